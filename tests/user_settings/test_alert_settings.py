"""Alert settings: one row per user, written as far as is given; quiet hours come and go together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from cream_plugins.auth import User, UsersRepository
from cream_plugins.user_settings import AlertSettings, AlertSettingsRepository, AlertSettingsRow, QuietHours
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    InvalidDataError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def add_user(store: Store) -> User:
    return store[UsersRepository].create(User(name="Ada", email=f"{new_id()}@x.io"))


@pytest.fixture
def settings(store: Store) -> AlertSettingsRepository:
    return store[AlertSettingsRepository]


@pytest.fixture
def user(store: Store) -> User:
    return add_user(store)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with clock_set_to(NOW):
        yield


class TestStoring:
    def test_comes_back_as_it_was_stored(self, settings: AlertSettingsRepository, user: User) -> None:
        given = AlertSettings(
            user_id=user.id, enable_push=False, quiet_hours_start="22:00", quiet_hours_end="06:30", critical_only=True
        )
        assert settings.create(given) == given
        assert settings.find_by_id(given.id) == settings.find_by_user_id(str(user.id)) == given

    def test_has_defaults(self, settings: AlertSettingsRepository, user: User) -> None:
        stored = settings.create(AlertSettings(user_id=user.id))
        assert (stored.enable_push, stored.enable_email, stored.critical_only) == (True, True, False)
        assert (stored.email_address, stored.quiet_hours) == (None, None)

    def test_one_per_user_and_only_for_users(self, settings: AlertSettingsRepository, user: User) -> None:
        settings.create(AlertSettings(user_id=user.id))
        with pytest.raises(DuplicateKeyError):
            settings.create(AlertSettings(user_id=user.id))
        with pytest.raises(ConstraintViolationError):
            settings.create(AlertSettings(user_id=uuid4()))

    def test_an_address_is_trimmed_and_in_lower_case(self, settings: AlertSettingsRepository, user: User) -> None:
        assert settings.update(user.id, {"email_address": " Ada@X.io"}).email_address == "ada@x.io"
        with pytest.raises(InvalidDataError, match=r"alert_settings\.email_address: not an email address"):
            settings.update(user.id, {"email_address": ""})
        assert settings.update(user.id, {"email_address": None}).email_address is None

    def test_goes_with_its_user(self, store: Store, settings: AlertSettingsRepository, user: User) -> None:
        settings.get_or_create(user.id)
        kept = settings.get_or_create(add_user(store).id)
        store[UsersRepository].delete(user.id)
        assert settings.find_all() == [kept]


class TestUpdating:
    def test_creates_with_defaults(self, settings: AlertSettingsRepository, user: User) -> None:
        created = settings.update(str(user.id), {"critical_only": True})
        assert created == AlertSettings(id=created.id, user_id=user.id, critical_only=True)
        assert settings.find_all() == [created]

    def test_writes_what_is_given(self, settings: AlertSettingsRepository, user: User) -> None:
        stored = settings.update(user.id, {"email_address": "ada@x.io", "enable_push": False})
        with clock_set_to(NOW + SECOND):
            assert settings.update(user.id, {}) == stored
            changed = settings.update(user.id, {"enable_email": False, "email_address": None})
        assert changed == stored.replace(enable_email=False, email_address=None, updated_at=NOW + SECOND)

    def test_not_whose_they_are(self, settings: AlertSettingsRepository, user: User) -> None:
        changes: Any = {"user_id": user.id}
        with pytest.raises(InvalidDataError, match=r"alert_settings\.user_id can't be changed"):
            settings.update(user.id, changes)

    def test_only_for_users(self, settings: AlertSettingsRepository) -> None:
        for change in (settings.get_or_create, lambda nobody: settings.update(nobody, {"enable_push": False})):
            with pytest.raises(ConstraintViolationError):
                change(uuid4())
            with pytest.raises(InvalidDataError):
                change("nobody")
        assert settings.find_by_user_id("nobody") is None

    def test_first_calls_at_once_lose_nothing(self, postgresql_store: Store) -> None:
        settings, user = postgresql_store[AlertSettingsRepository], add_user(postgresql_store)
        results = at_once(
            *[partial(settings.get_or_create, user.id)] * 4,
            *[partial(settings.update, user.id, {"enable_push": False})] * 4,
            *[partial(settings.update, user.id, {"critical_only": True})] * 4,
        )
        [stored] = settings.find_all()
        assert {result.id for result in results if isinstance(result, AlertSettings)} == {stored.id}
        assert len([result for result in results if isinstance(result, AlertSettings)]) == 12
        assert (stored.enable_push, stored.critical_only) == (False, True)

    def test_getting_them_changes_nothing(self, settings: AlertSettingsRepository, user: User) -> None:
        created = settings.get_or_create(user.id)
        with clock_set_to(NOW + SECOND):
            assert settings.get_or_create(user.id) == created


class TestQuietHours:
    def test_come_and_go_together(self, settings: AlertSettingsRepository, user: User) -> None:
        stored = settings.update(user.id, {"quiet_hours_start": "22:00", "quiet_hours_end": "06:30"})
        assert stored.quiet_hours == QuietHours(start="22:00", end="06:30")
        cleared = settings.update(user.id, {"quiet_hours_start": None, "quiet_hours_end": None})
        assert cleared.quiet_hours is None

    def test_half_of_them_is_refused(self, settings: AlertSettingsRepository, user: User) -> None:
        stored = settings.update(user.id, {"quiet_hours_start": "22:00", "quiet_hours_end": "06:30"})
        halves: list[Any] = [
            {"quiet_hours_start": "23:00"},
            {"quiet_hours_end": None},
            {"quiet_hours_start": "23:00", "quiet_hours_end": None},
            {"quiet_hours_start": None, "quiet_hours_end": "06:00"},
        ]
        for half in halves:
            with pytest.raises(InvalidDataError, match="a start and an end, or neither"):
                settings.update(user.id, half)
        for half_record in (stored.replace(quiet_hours_start=None), stored.replace(quiet_hours_end=None)):
            with pytest.raises(InvalidDataError, match="a start and an end, or neither"):
                settings.upsert(half_record)
        assert settings.find_by_user_id(user.id) == stored

    def test_are_times_of_day(self, settings: AlertSettingsRepository, user: User) -> None:
        for text in ("", "24:00", "6:30", "06:60", "06:30:00", "06.30", "٠٦:٣٠", "06:30\n"):
            for start, end in ((text, "06:30"), ("06:30", text)):
                with pytest.raises(InvalidDataError, match="needs a time of day"):
                    settings.update(user.id, {"quiet_hours_start": start, "quiet_hours_end": end})
        assert settings.update(user.id, {"quiet_hours_start": "00:00", "quiet_hours_end": "23:59"}).quiet_hours

    def test_that_another_program_left_half_or_blank_are_none(
        self, settings: AlertSettingsRepository, user: User
    ) -> None:
        settings.get_or_create(user.id)
        for start, end in (("'22:00'", "NULL"), ("NULL", "'06:30'"), ("'22:00'", "' '")):
            settings.database.change(f"UPDATE alert_settings SET quiet_hours_start = {start}, quiet_hours_end = {end}")
            assert settings.get_or_create(user.id).quiet_hours is None


class TestDeleting:
    def test_by_user_or_id(self, store: Store, settings: AlertSettingsRepository, user: User) -> None:
        first, second = settings.get_or_create(user.id), settings.get_or_create(add_user(store).id)
        nothing: Any = None
        assert settings.delete_by_user_id(nothing) is False
        assert settings.delete_by_user_id("nobody") is False
        assert settings.delete_by_user_id(first.id) is False
        assert settings.find_by_user_id(nothing) is None
        assert settings.delete_by_user_id(user.id) is True
        assert settings.delete_by_user_id(user.id) is False
        assert settings.delete(second.user_id) is False
        assert settings.delete(second.id) is True
        assert AlertSettingsRow.select().count(settings.database) == 0
