"""Verifications: a code is good once, for a time, and only until the next one is sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.auth import Verification, VerificationsRepository
from cream_store import DuplicateKeyError, InvalidDataError, NotFoundError, Secret, Store, clock_set_to, new_id
from tests.auth.samples import DAY, NOBODY, NOW, SECOND
from tests.races import at_once

MICROSECOND = timedelta(microseconds=1)
LATER = NOW + 60 * SECOND


def code(value: str = "123456", identifier: str = "ada@x.io", **values: Any) -> Verification:
    return Verification(**{"identifier": identifier, "value": Secret(value), "expires_at": LATER, **values})


@pytest.fixture
def verifications(store: Store) -> VerificationsRepository:
    return store[VerificationsRepository]


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with clock_set_to(NOW):
        yield


class TestCreating:
    def test_comes_back_as_it_was_stored(self, verifications: VerificationsRepository) -> None:
        given = code(identifier="Reset: Token")
        assert verifications.create(given) == given
        assert verifications.find_by_id(given.id) == given

    def test_an_expired_one_is_refused(self, verifications: VerificationsRepository) -> None:
        stored = verifications.create(code())
        for expires_at in (NOW - DAY, NOW, datetime(2050, 1, 1)):  # noqa: DTZ001  # a naive one, too
            with pytest.raises(InvalidDataError, match=r"verification\.expires_at"):
                verifications.create(code(expires_at=expires_at))
        assert verifications.find_all() == [stored]

    def test_a_new_code_replaces_the_earlier_ones(self, verifications: VerificationsRepository) -> None:
        other = verifications.create(code(identifier="eve@x.io"))
        verifications.create(code("1"))
        verifications.create(code("2"), replace=False)
        assert verifications.count({"identifier": "ada@x.io"}) == 2
        last = verifications.create(code("3", identifier=" ADA@x.io"))
        assert verifications.find_many({"identifier": "Ada@X.io"}).data == [last]
        assert verifications.find_by_id(other.id) == other

    def test_all_or_nothing(self, verifications: VerificationsRepository) -> None:
        stored, other = verifications.create(code()), verifications.create(code(identifier="eve@x.io"))
        with pytest.raises(DuplicateKeyError):
            verifications.create(code(id=other.id))
        assert verifications.find_by_id(stored.id) == stored

    def test_of_new_codes_at_once_one_is_left(self, postgresql_store: Store) -> None:
        verifications = postgresql_store[VerificationsRepository]
        at_once(*[partial(verifications.create, code(str(i))) for i in range(8)])
        assert verifications.count() == 1

    def test_others_are_kept_as_they_are_spelt(self, verifications: VerificationsRepository) -> None:
        verifications.create(code("a", identifier="reset-password:aB"))
        assert verifications.consume("reset-password:AB") is None
        assert verifications.consume("reset-password:aB") == Secret("a")


class TestConsuming:
    def test_gives_the_newest_valid_one_and_deletes_all(self, verifications: VerificationsRepository) -> None:
        ids = [new_id() for _ in range(4)]
        times = [(NOW, LATER), (NOW + SECOND, LATER), (NOW + SECOND, LATER), (NOW + 2 * SECOND, NOW + 3 * SECOND)]
        for id, (created_at, expires_at) in zip(ids, times, strict=True):
            verifications.create(code(str(id), id=id, created_at=created_at, expires_at=expires_at), replace=False)
        other = verifications.create(code(identifier="eve@x.io"))
        with clock_set_to(NOW + 3 * SECOND):
            assert verifications.consume("Ada@x.io") == Secret(str(ids[2]))
            assert verifications.consume("ada@x.io") is None
        assert verifications.find_all() == [other]

    def test_gives_nothing_that_has_expired(self, verifications: VerificationsRepository) -> None:
        verifications.create(code())
        with clock_set_to(LATER - MICROSECOND):
            assert verifications.consume_value("ada@x.io", "000000") is False
        with clock_set_to(LATER):
            assert verifications.consume_value("ada@x.io", "123456") is False
            assert verifications.count() == 1
            assert verifications.consume("ada@x.io") is None
        assert verifications.count() == 0

    def test_of_the_right_code_only(self, verifications: VerificationsRepository) -> None:
        verifications.create(code("1"))
        kept = verifications.create(code("2"), replace=False)
        assert verifications.consume_value("ada@x.io", "3") is False
        assert verifications.consume_value("eve@x.io", "1") is False
        assert verifications.count() == 2
        assert verifications.consume_value(" Ada@x.io", Secret("1")) is True
        assert verifications.consume_value("ada@x.io", "1") is False
        assert verifications.find_all() == [kept]

    def test_of_nothing(self, verifications: VerificationsRepository) -> None:
        verifications.create(code())
        nothing: Any = None
        assert verifications.consume(nothing) is None
        assert verifications.consume_value(nothing, "123456") is False
        assert verifications.consume_value("ada@x.io", nothing) is False
        assert verifications.count() == 1

    def test_by_many_at_once_succeeds_once(self, postgresql_store: Store) -> None:
        verifications = postgresql_store[VerificationsRepository]
        for _ in range(5):
            verifications.create(code())
            consumed = at_once(*[partial(verifications.consume, "ada@x.io")] * 8)
            assert sorted(consumed, key=str) == [Secret("123456"), *[None] * 7]
            verifications.create(code())
            consumed_values = at_once(*[partial(verifications.consume_value, "ada@x.io", "123456")] * 8)
            assert sorted(consumed_values, key=str) == [*[False] * 7, True]


def test_can_be_changed(verifications: VerificationsRepository) -> None:
    stored = verifications.create(code())
    with clock_set_to(NOW + SECOND):
        changed = verifications.update(stored.id, {"value": "123456:1"})
    assert changed == stored.replace(value=Secret("123456:1"), updated_at=NOW + SECOND)
    with pytest.raises(NotFoundError):
        verifications.update(NOBODY, {"value": "1"})


def test_expired_ones_are_deleted(verifications: VerificationsRepository) -> None:
    verifications.create_many(code(expires_at=NOW + i * SECOND) for i in (1, 2, 3))
    with clock_set_to(NOW + 2 * SECOND):
        assert verifications.delete_expired(batch_size=1) == 2
    assert [one.expires_at for one in verifications.find_all()] == [NOW + 3 * SECOND]
