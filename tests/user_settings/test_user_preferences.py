"""User preferences: one row per user, with defaults that nobody can change by accident."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from cream_plugins.auth import User, UsersRepository
from cream_plugins.user_settings import (
    ChartTimeframe,
    DateFormat,
    NotificationSettings,
    PortfolioView,
    Theme,
    TimeFormat,
    UserPreferences,
    UserPreferencesRepository,
)
from cream_store import (
    ConstraintViolationError,
    Database,
    DuplicateKeyError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def add_user(store: Store) -> User:
    return store[UsersRepository].create(User(name="Ada", email=f"{new_id()}@x.io"))


def stored_notifications(database: Database) -> Any:
    [(document,)] = database.fetch_all("SELECT notification_settings FROM user_preferences")
    return json.loads(document) if isinstance(document, str) else document


def store_notifications(database: Database, document: object) -> None:
    database.change(f"UPDATE user_preferences SET notification_settings = '{json.dumps(document)}'")


@pytest.fixture
def preferences(store: Store) -> UserPreferencesRepository:
    return store[UserPreferencesRepository]


@pytest.fixture
def user(store: Store) -> User:
    return add_user(store)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with clock_set_to(NOW):
        yield


class TestStoring:
    def test_comes_back_as_it_was_stored(self, preferences: UserPreferencesRepository, user: User) -> None:
        given = UserPreferences(
            user_id=user.id,
            theme=Theme.DARK,
            chart_timeframe=ChartTimeframe.ALL,
            feed_filters=["", "orders"],
            sidebar_collapsed=True,
            notification_settings=NotificationSettings(email_alerts=False),
            default_portfolio_view=PortfolioView.CARDS,
            date_format=DateFormat.YEAR_FIRST,
            time_format=TimeFormat.TWENTY_FOUR_HOURS,
            currency="EUR",
        )
        assert preferences.create(given) == given
        assert preferences.find_by_id(given.id) == preferences.find_by_user_id(str(user.id)) == given

    def test_one_per_user_and_only_for_users(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.create(UserPreferences(user_id=user.id))
        with pytest.raises(DuplicateKeyError):
            preferences.create(UserPreferences(user_id=user.id))
        with pytest.raises(ConstraintViolationError):
            preferences.create(UserPreferences(user_id=uuid4()))
        with pytest.raises(ConstraintViolationError):
            preferences.get_or_create(uuid4())

    def test_the_database_has_the_same_defaults(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.database.change(f"INSERT INTO user_preferences (id, user_id) VALUES ('{new_id()}', '{user.id}')")
        [stored] = preferences.find_all()
        ours = UserPreferences(
            id=stored.id, user_id=user.id, created_at=stored.created_at, updated_at=stored.updated_at
        )
        assert stored == ours

    def test_a_currency_has_three_letters(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.get_or_create(user.id)
        assert preferences.update(user.id, {"currency": " eur"}).currency == "EUR"
        for text in ("", "EU", "EURO", "E1R", "€UR", "ÄÖÜ"):
            with pytest.raises(InvalidDataError, match=r"user_preferences\.currency"):
                preferences.update(user.id, {"currency": text})

    def test_feed_filters_are_texts(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.get_or_create(user.id)
        filters: Any
        for filters in ([1], [None], ["a", ["b"]], "a", {"a": "b"}):
            with pytest.raises(InvalidDataError, match=r"user_preferences\.feed_filters"):
                preferences.update(user.id, {"feed_filters": filters})

    def test_an_unknown_choice_is_refused(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.get_or_create(user.id)
        assert preferences.update(user.id, {"theme": "light", "chart_timeframe": "1D"}).theme is Theme.LIGHT
        for name in ("theme", "chart_timeframe", "default_portfolio_view", "date_format", "time_format"):
            changes: Any = {name: "purple"}
            with pytest.raises(InvalidDataError, match=rf"user_preferences\.{name}: 'purple' is not one of"):
                preferences.update(user.id, changes)

    def test_goes_with_its_user(self, store: Store, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.get_or_create(user.id)
        store[UsersRepository].delete(user.id)
        assert preferences.count() == 0


class TestDefaults:
    def test_are_as_agreed(self) -> None:
        assert UserPreferencesRepository.get_defaults() == {
            "theme": "system",
            "chart_timeframe": "1M",
            "feed_filters": [],
            "sidebar_collapsed": False,
            "notification_settings": NotificationSettings(
                email_alerts=True,
                push_notifications=False,
                trade_confirmations=True,
                daily_summary=True,
                risk_alerts=True,
            ),
            "default_portfolio_view": "table",
            "date_format": "MM/DD/YYYY",
            "time_format": "12h",
            "currency": "USD",
        }

    def test_are_everybodys_own(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.get_defaults()["feed_filters"].append("orders")
        assert preferences.get_defaults()["feed_filters"] == []
        preferences.get_or_create(user.id).feed_filters.append("orders")
        assert preferences.reset(user.id).feed_filters == []

    def test_resetting_keeps_the_row(self, preferences: UserPreferencesRepository, user: User) -> None:
        stored = preferences.create(UserPreferences(user_id=user.id, theme=Theme.DARK, feed_filters=["a"]))
        preferences.update(user.id, {"notification_settings": {"email_alerts": False}, "currency": "EUR"})
        with clock_set_to(NOW + SECOND):
            reset = preferences.reset(str(user.id))
        assert reset == stored.replace(theme=Theme.SYSTEM, feed_filters=[], updated_at=NOW + SECOND)

    def test_first_calls_at_once_find_the_same(self, postgresql_store: Store) -> None:
        preferences, user = postgresql_store[UserPreferencesRepository], add_user(postgresql_store)
        results = at_once(*[partial(preferences.get_or_create, user.id)] * 8)
        assert results == [preferences.find_by_user_id(user.id)] * 8


class TestUpdating:
    def test_what_is_left_out_stays(self, preferences: UserPreferencesRepository, user: User) -> None:
        stored = preferences.create(UserPreferences(user_id=user.id, feed_filters=["a"]))
        with clock_set_to(NOW + SECOND):
            assert preferences.update(user.id, {}) == stored
            assert preferences.update(user.id, {"notification_settings": {}}) == stored
            changed = preferences.update(str(user.id), {"theme": Theme.DARK, "feed_filters": []})
        assert changed == stored.replace(theme=Theme.DARK, feed_filters=[], updated_at=NOW + SECOND)

    def test_of_a_user_without_preferences(self, preferences: UserPreferencesRepository, user: User) -> None:
        nothing: Any = None
        for nobody in (user.id, uuid4(), "nobody", nothing):
            for change in (
                partial(preferences.update, nobody, {"theme": Theme.DARK}),
                partial(preferences.update, nobody, {}),
                partial(preferences.reset, nobody),
            ):
                with pytest.raises(NotFoundError):
                    change()
        assert preferences.count() == 0

    def test_not_whose_they_are(self, preferences: UserPreferencesRepository, user: User) -> None:
        changes: Any = {"user_id": user.id}
        with pytest.raises(InvalidDataError, match=r"user_preferences\.user_id can't be changed"):
            preferences.update(user.id, changes)


class TestNotifications:
    def test_are_stored_under_the_keys_of_other_programs(
        self, preferences: UserPreferencesRepository, user: User
    ) -> None:
        preferences.create(
            UserPreferences(user_id=user.id, notification_settings=NotificationSettings(push_notifications=True))
        )
        assert stored_notifications(preferences.database) == {
            "emailAlerts": True,
            "pushNotifications": True,
            "tradeConfirmations": True,
            "dailySummary": True,
            "riskAlerts": True,
        }

    def test_are_merged(self, preferences: UserPreferencesRepository, user: User) -> None:
        stored = preferences.get_or_create(user.id)
        changed = preferences.update(user.id, {"notification_settings": {"email_alerts": False}, "theme": "dark"})
        assert changed == stored.replace(
            theme=Theme.DARK, notification_settings=NotificationSettings(email_alerts=False)
        )
        again = preferences.update(user.id, {"notification_settings": {"push_notifications": True}})
        expected = NotificationSettings(email_alerts=False, push_notifications=True)
        assert again.notification_settings == expected

    def test_keep_what_other_programs_store(self, preferences: UserPreferencesRepository, user: User) -> None:
        preferences.get_or_create(user.id)
        store_notifications(preferences.database, {"riskAlerts": False, "theirs": [1]})
        expected = NotificationSettings(risk_alerts=False)
        assert preferences.get_or_create(user.id).notification_settings == expected
        preferences.update(user.id, {"notification_settings": {"daily_summary": False}})
        assert stored_notifications(preferences.database) == {
            "riskAlerts": False,
            "theirs": [1],
            "dailySummary": False,
        }

    def test_are_known_and_true_or_false(self, preferences: UserPreferencesRepository, user: User) -> None:
        stored = preferences.get_or_create(user.id)
        changes: Any
        for changes in ({"emailAlerts": True}, {"sms": True}, {"email_alerts": 1}, {"email_alerts": None}):
            with pytest.raises(InvalidDataError, match=r"user_preferences\.notification_settings"):
                preferences.update(user.id, {"notification_settings": changes})
        wrong: Any
        for wrong in ({"email_alerts": False}, NotificationSettings(email_alerts=None)):  # type: ignore[arg-type]  # meant
            with pytest.raises(InvalidDataError, match=r"user_preferences\.notification_settings"):
                preferences.upsert(stored.replace(notification_settings=wrong))
        assert preferences.find_all() == [stored]

    def test_that_mean_nothing_are_not_guessed(self, preferences: UserPreferencesRepository, user: User) -> None:
        stored = preferences.get_or_create(user.id)
        store_notifications(preferences.database, {"riskAlerts": "yes"})
        with pytest.raises(InvalidDataError, match=r"user_preferences\.notification_settings.*can't be read"):
            preferences.find_by_user_id(user.id)
        assert preferences.reset(user.id) == stored

    def test_changed_at_once_lose_nothing(self, postgresql_store: Store) -> None:
        preferences, user = postgresql_store[UserPreferencesRepository], add_user(postgresql_store)
        preferences.get_or_create(user.id)
        names = ["email_alerts", "trade_confirmations", "daily_summary", "risk_alerts"]
        off: list[Any] = [{"notification_settings": {name: False}} for name in names]
        at_once(*[partial(preferences.update, user.id, changes) for changes in off])
        [stored] = preferences.find_all()
        assert stored.notification_settings == NotificationSettings(**dict.fromkeys(names, False))


def test_is_deleted_by_user(store: Store, preferences: UserPreferencesRepository, user: User) -> None:
    stored, kept = preferences.get_or_create(user.id), preferences.get_or_create(add_user(store).id)
    nothing: Any = None
    for not_the_user in (nothing, "nobody", stored.id):
        assert preferences.delete(not_the_user) is False
    assert preferences.delete(user.id) is True
    assert preferences.delete(user.id) is False
    assert preferences.find_by_user_id(nothing) is None
    assert preferences.find_all() == [kept]
