"""The audit log: it only grows, tells environments apart, and records what retention took away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from cream_plugins.audit import AuditLogEntry, AuditLogRepository
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    RepositoryError,
    Store,
    clock_set_to,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE


def entry(action: str = "login", timestamp: datetime = NOW, **others: Any) -> AuditLogEntry:
    values: dict[str, Any] = {"user_id": "ann", "user_email": "Ann@example.com", "environment": PAPER}
    return AuditLogEntry(action=action, timestamp=timestamp, **values | others)


@pytest.fixture
def log(store: Store) -> AuditLogRepository:
    return store[AuditLogRepository]


def actions(found: list[AuditLogEntry]) -> list[str]:
    return [one.action for one in found]


def test_every_value_comes_back_as_it_was_stored(log: AuditLogRepository) -> None:
    given = entry(ip_address="::1", user_agent="", timestamp=NOW - DAY, created_at=NOW)
    assert log.create(given) == given == log.find_by_id(given.id)


def test_it_happened_now_unless_said_otherwise(log: AuditLogRepository) -> None:
    with clock_set_to(NOW):
        stored = log.create(AuditLogEntry(user_id="ann", user_email="a@b", action="x", environment=LIVE))
    assert (stored.timestamp, stored.created_at, stored.ip_address) == (NOW, NOW, None)


def test_an_entry_says_where_it_happened(store: Store, paper_store: Store) -> None:
    unplaced: Any = {"user_id": "ann", "user_email": "a@b", "action": "x"}
    with pytest.raises(TypeError, match="environment"):
        AuditLogEntry(**unplaced)
    for nowhere in (None, "TEST", "X"):
        with pytest.raises(RepositoryError):
            store[AuditLogRepository].create(entry(environment=nowhere))
    with pytest.raises(EnvironmentMismatchError):
        paper_store[AuditLogRepository].create(entry(environment=LIVE))
    assert store[AuditLogRepository].count() == 0


def test_nothing_changes_or_deletes_an_entry(log: AuditLogRepository) -> None:
    stored = log.create(entry())
    attempts: list[Callable[[], object]] = [
        partial(log.update, stored.id, {}),
        partial(log.delete, stored.id),
        partial(log.delete_many, {"user_id": "ann"}),
        partial(log.upsert, stored.replace(action="logout")),
        partial(log.upsert_many, [stored.replace(action="logout")]),
    ]
    for attempt in attempts:
        with pytest.raises(ConstraintViolationError, match="neither changed nor deleted"):
            attempt()
    with pytest.raises(DuplicateKeyError):
        log.create(stored.replace(action="logout"))
    assert log.find_all() == [stored]


class TestReading:
    def test_newest_first_by_the_time_it_happened(self, log: AuditLogRepository) -> None:
        log.create_many([entry("old", NOW - DAY), entry("a"), entry("b"), entry("new", NOW + SECOND)])
        page = log.find_many(page=1, page_size=3)
        assert (actions(page.data), page.total, page.total_pages) == (["new", "b", "a"], 4, 2)
        assert log.find_many().page_size == 50

    def test_filters(self, log: AuditLogRepository) -> None:
        log.create_many(
            [
                entry("login", user_id="ann"),
                entry("login.failed", NOW - DAY, user_id="bob"),
                entry("trade", NOW + DAY, user_id="ann", environment=LIVE),
            ]
        )

        def found(**filters: Any) -> list[str]:
            return actions(log.find_many(filters).data)  # type: ignore[arg-type]  # any of them

        assert found(action="login") == ["login"]
        assert found(action=[]) == []
        assert found(user_id="ann") == ["trade", "login"]
        assert found(user_id="ann", environment="PAPER") == ["login"]
        assert found(from_date=NOW, to_date=NOW) == ["login"]
        assert found(from_date=date(2024, 3, 15), to_date=date(2024, 3, 16)) == ["trade", "login"]

    def test_what_a_user_did_last(self, log: AuditLogRepository) -> None:
        log.create_many([entry("a", NOW - SECOND), entry("b"), entry("c"), entry("d", user_id="bob")])
        log.create(entry("live", NOW + DAY, environment=LIVE))
        assert actions(log.find_recent_by_user("ann")) == ["live", "c", "b", "a"]
        assert actions(log.find_recent_by_user("ann", 2, PAPER)) == ["c", "b"]
        assert log.find_recent_by_user("cid") == []
        with pytest.raises(InvalidDataError, match="limit"):
            log.find_recent_by_user("ann", 0)

    def test_no_user_is_not_every_user(self, log: AuditLogRepository) -> None:
        log.create(entry())
        nobody: Any = None
        assert log.find_recent_by_user(nobody) == []
        assert log.count_by_user_in_period(nobody, NOW) == 0

    def test_counting_a_period_includes_both_ends(self, log: AuditLogRepository) -> None:
        log.create_many([entry(timestamp=NOW + seconds * SECOND) for seconds in (-1, 0, 1, 2)])
        log.create(entry(environment=LIVE))
        log.create(entry(user_id="bob"))
        assert log.count_by_user_in_period("ann", NOW) == 4
        assert log.count_by_user_in_period("ann", NOW, environment=PAPER) == 3
        assert log.count_by_user_in_period("ann", NOW, NOW + SECOND, PAPER) == 2
        assert log.count_by_user_in_period("ann", date(2024, 3, 15), date(2024, 3, 15), LIVE) == 1
        assert log.count_by_user_in_period("ann", NOW + DAY) == log.count_by_user_in_period("cid", NOW) == 0


class TestRetention:
    def test_what_it_deleted_is_on_record(self, log: AuditLogRepository) -> None:
        log.create_many([entry("a", NOW - SECOND), entry("b", NOW - DAY), entry("c"), entry("d", environment=LIVE)])
        with clock_set_to(NOW + SECOND):
            assert log.delete_older_than(NOW, PAPER, user_id="bob", user_email="bob@example.com") == 2
        recorded, kept = log.find_all({"environment": PAPER})
        assert kept.action == "c"
        assert recorded.action == "audit_log.delete_older_than: 2 from before 2024-03-15T12:00:00+00:00"
        assert (recorded.user_id, recorded.user_email, recorded.timestamp) == ("bob", "bob@example.com", NOW + SECOND)

    def test_without_a_loss_there_is_nothing_to_record(self, log: AuditLogRepository) -> None:
        log.create(entry())
        assert log.delete_older_than(NOW, PAPER) == 0
        assert log.count() == 1

    def test_each_environment_records_its_own(self, log: AuditLogRepository) -> None:
        log.create_many([entry("a", environment=PAPER), entry("b", environment=LIVE), entry("c", environment=LIVE)])
        assert log.delete_older_than(date(2024, 3, 16)) == 3  # a TEST database holds both
        for environment, deleted in ((PAPER, 1), (LIVE, 2)):
            [recorded] = log.find_all({"environment": environment})
            assert recorded.action == f"audit_log.delete_older_than: {deleted} from before 2024-03-16T00:00:00+00:00"
            assert recorded.user_id == "system"

    def test_a_cutoff_is_a_moment_anywhere(self, log: AuditLogRepository) -> None:
        log.create_many([entry("a", NOW - SECOND), entry("b")])
        assert log.delete_older_than(NOW.astimezone(timezone(timedelta(hours=9))), PAPER) == 1

    def test_no_cutoff_is_refused(self, log: AuditLogRepository) -> None:
        log.create(entry())
        wrong: Any
        for wrong in (None, datetime(2030, 1, 1), "2030-01-01"):  # noqa: DTZ001  # naive is the point
            with pytest.raises(InvalidDataError):
                log.delete_older_than(wrong, PAPER)
        assert actions(log.find_all()) == ["login"]

    def test_deletion_and_record_are_one(self, log: AuditLogRepository) -> None:
        log.create(entry())
        with pytest.raises(InvalidDataError):
            log.delete_older_than(NOW + DAY, PAPER, user_id="\x00")
        assert actions(log.find_all()) == ["login"]

    def test_an_entry_is_deleted_once(self, postgresql_store: Store) -> None:
        log = postgresql_store[AuditLogRepository]
        log.create_many([entry(timestamp=NOW + number * SECOND) for number in range(30)])
        counts = at_once(*[partial(log.delete_older_than, NOW + DAY, PAPER)] * 4)
        recorded = [int(one.action.split()[1]) for one in log.find_all()]
        assert sum(recorded) == 30
        assert sorted(count for count in counts if isinstance(count, int) and count) == sorted(recorded)
