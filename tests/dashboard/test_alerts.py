"""Alerts: which ones are shown and in which order, the first acknowledgement, what expires and what stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.dashboard import Alert, AlertMatch, AlertSeverity, AlertsRepository, AlertType
from cream_store import (
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once, overtaken

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
INFO, WARNING, ERROR, CRITICAL = AlertSeverity


def alert(title: str = "an alert", **others: Any) -> Alert:
    values: dict[str, Any] = {
        "severity": WARNING,
        "type": AlertType.RISK,
        "title": title,
        "message": "look at it",
        "environment": PAPER,
        "created_at": NOW,
    }
    return Alert(**values | others)


@pytest.fixture
def alerts(store: Store) -> AlertsRepository:
    return store[AlertsRepository]


def titles(found: list[Alert]) -> list[str]:
    return [one.title for one in found]


def test_every_value_comes_back_as_it_was_stored(alerts: AlertsRepository) -> None:
    given = alert(severity=CRITICAL, type="market", metadata={"gap": 0, "note": ""}, expires_at=NOW + SECOND)
    stored = alerts.create(given)
    assert stored == given == alerts.find_by_id(given.id)
    assert isinstance(stored.type, AlertType)
    assert (stored.acknowledged, stored.acknowledged_by, stored.acknowledged_at) == (False, None, None)


def test_the_metadata_of_another_programs_alert_may_be_missing(alerts: AlertsRepository) -> None:
    alerts.database.change(
        "INSERT INTO alerts (severity, type, title, message, environment)"
        " VALUES ('info', 'weather', 'rain', 'soon', 'PAPER')"
    )
    [stored] = alerts.find_recent(PAPER)
    assert (stored.metadata, stored.type, stored.expires_at) == ({}, "weather", None)


@pytest.mark.parametrize("wrong", [{"severity": "fatal"}, {"type": "weather"}, {"metadata": []}, {"environment": "X"}])
def test_what_is_not_in_the_lists_is_refused(alerts: AlertsRepository, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        alerts.create(alert(**wrong))
    assert alerts.count() == 0


@pytest.mark.parametrize("said", [{"acknowledged": True}, {"acknowledged_by": "ann"}, {"acknowledged_at": NOW}])
def test_a_new_alert_is_unacknowledged(alerts: AlertsRepository, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError, match="told by acknowledge"):
        alerts.create(alert(**said))


def test_a_taken_id_is_a_duplicate(alerts: AlertsRepository) -> None:
    stored = alerts.create(alert())
    with pytest.raises(DuplicateKeyError):
        alerts.create(alert(id=stored.id))


def test_a_missing_alert(alerts: AlertsRepository) -> None:
    assert alerts.find_by_id(new_id()) is None
    assert alerts.delete(new_id()) is False
    for missing in (new_id(), "nonsense"):
        with pytest.raises(NotFoundError):
            alerts.find_by_id_or_raise(missing)
        with pytest.raises(NotFoundError):
            alerts.acknowledge(missing, "ann")


class TestLists:
    def test_the_worst_come_first_then_the_newest(self, alerts: AlertsRepository) -> None:
        for severity in (ERROR, INFO, CRITICAL, WARNING):
            for age in (2, 1, 1):
                title = f"{severity} {age}"
                alerts.create(alert(title, severity=severity, created_at=NOW - age * SECOND))
        found = alerts.find_unacknowledged(PAPER)
        assert titles(found) == [
            f"{severity} {age}" for severity in ("critical", "error", "warning", "info") for age in (1, 1, 2)
        ]
        assert all(found[at].id > found[at + 1].id for at in (0, 3, 6, 9))  # ties: the later one first
        assert alerts.find_unacknowledged(PAPER, limit=4) == found[:4]

    def test_only_what_nobody_has_acknowledged(self, alerts: AlertsRepository) -> None:
        seen, unseen = alerts.create(alert("seen")), alerts.create(alert("unseen"))
        alerts.acknowledge(seen.id, "ann")
        assert alerts.find_unacknowledged(PAPER) == [unseen]
        assert titles(alerts.find_recent(PAPER)) == ["unseen", "seen"]

    def test_recent_is_newest_first_and_limited(self, alerts: AlertsRepository) -> None:
        for age in (3, 1, 2):
            alerts.create(alert(str(age), created_at=NOW - age * SECOND))
        assert titles(alerts.find_recent(PAPER)) == ["1", "2", "3"]
        assert titles(alerts.find_recent(PAPER, limit=1)) == ["1"]

    def test_an_environment_is_its_own(self, alerts: AlertsRepository) -> None:
        alerts.create(alert("paper"))
        alerts.create(alert("live", environment=LIVE))
        for find in (alerts.find_recent, alerts.find_unacknowledged):
            assert titles(find(LIVE)) == ["live"]
            assert titles(find("PAPER")) == ["paper"]
            assert len(find()) == 2  # a TEST database holds both

    @pytest.mark.parametrize("limit", [0, -1, 10_001])
    def test_bad_limits_are_refused(self, alerts: AlertsRepository, limit: int) -> None:
        for find in (alerts.find_recent, alerts.find_unacknowledged, partial(alerts.search, "x")):
            with pytest.raises(InvalidDataError, match="limit"):
                find(limit=limit)

    def test_filters(self, alerts: AlertsRepository) -> None:
        seen = alerts.create(alert("seen", severity=INFO, type=AlertType.ORDER))
        alerts.acknowledge(seen.id, "ann")
        alerts.create(alert("early", severity=CRITICAL, created_at=NOW - timedelta(days=1)))
        alerts.create(alert("live", environment=LIVE))

        def found(**filters: Any) -> list[str]:
            return sorted(titles(alerts.find_many(filters).data))  # type: ignore[arg-type]  # any of them

        assert found(severity="info") == ["seen"]
        assert found(severity=[INFO, CRITICAL]) == ["early", "seen"]
        assert found(severity=[]) == found(type=[]) == []
        assert found(type=AlertType.ORDER) == ["seen"]
        assert found(type=["order", "risk"], environment=PAPER) == ["early", "seen"]
        assert found(acknowledged=True) == ["seen"]
        assert found(acknowledged=False) == ["early", "live"]
        assert found(environment=LIVE) == ["live"]
        assert found(to_date=date(2024, 3, 14)) == ["early"]
        assert found(from_date=NOW, to_date=date(2024, 3, 15)) == ["live", "seen"]
        with pytest.raises(InvalidDataError, match="title"):
            found(title="x")

    def test_pages(self, alerts: AlertsRepository) -> None:
        stored = [alerts.create(alert(created_at=NOW + number * SECOND)) for number in range(5)]
        page = alerts.find_many({"environment": PAPER}, page=2, page_size=2)
        assert (page.data, page.total, page.total_pages, page.has_next) == ([stored[2], stored[1]], 5, 3, True)
        assert alerts.find_many().page_size == 50


class TestAcknowledging:
    def test_it_records_who_and_when(self, alerts: AlertsRepository) -> None:
        stored = alerts.create(alert())
        with clock_set_to(NOW + SECOND):
            seen = alerts.acknowledge(stored.id, "ann")
        assert seen == stored.replace(acknowledged=True, acknowledged_by="ann", acknowledged_at=NOW + SECOND)
        assert alerts.find_by_id(stored.id) == seen

    def test_the_first_one_stays(self, alerts: AlertsRepository) -> None:
        first, second = alerts.create(alert()), alerts.create(alert())
        seen = alerts.acknowledge(first.id, "ann")
        assert alerts.acknowledge(first.id, "bob") == seen
        assert alerts.acknowledge_many([first.id, second.id, new_id()], "bob") == 1
        assert alerts.acknowledge_all(PAPER, "cid") == 0
        assert alerts.find_by_id(first.id) == seen
        assert alerts.find_by_id_or_raise(second.id).acknowledged_by == "bob"

    def test_an_upsert_keeps_it(self, alerts: AlertsRepository) -> None:
        stored = alerts.create(alert())
        seen = alerts.acknowledge(stored.id, "ann")
        assert alerts.upsert(stored.replace(title="new")) == seen.replace(title="new")

    def test_an_update_cant_touch_it(self, alerts: AlertsRepository) -> None:
        stored = alerts.create(alert())
        assert alerts.update(stored.id, {"title": "new", "severity": ERROR}).title == "new"
        with pytest.raises(InvalidDataError, match="acknowledged can't be changed"):
            alerts.update(stored.id, {"acknowledged": False})  # type: ignore[typeddict-unknown-key]  # refused

    def test_many_are_few_different_ones(self, alerts: AlertsRepository) -> None:
        one, other = alerts.create(alert()), alerts.create(alert(environment=LIVE))
        assert alerts.acknowledge_many([], "ann") == 0
        assert alerts.acknowledge_many([one.id, str(one.id), "nonsense", new_id()], "ann") == 1
        assert alerts.find_unacknowledged() == [other]

    def test_all_of_one_environment(self, alerts: AlertsRepository) -> None:
        for environment in (PAPER, PAPER, LIVE):
            alerts.create(alert(environment=environment))
        assert alerts.acknowledge_all(PAPER, "ann") == 2
        assert len(alerts.find_unacknowledged(LIVE)) == 1

    def test_all_are_those_that_are_shown(self, alerts: AlertsRepository) -> None:
        alerts.create(alert(severity=CRITICAL, expires_at=NOW))
        with clock_set_to(NOW):
            assert alerts.acknowledge_all(PAPER, "ann") == 0
            assert alerts.acknowledge_all(PAPER, "ann", include_expired=True) == 1

    def test_somebody_does_it(self, alerts: AlertsRepository) -> None:
        stored = alerts.create(alert())
        nobody: Any = None
        for acknowledge in (
            lambda: alerts.acknowledge(stored.id, nobody),
            lambda: alerts.acknowledge_many([stored.id], nobody),
            lambda: alerts.acknowledge_all(PAPER, nobody),
        ):
            with pytest.raises(InvalidDataError, match="acknowledged_by"):
                acknowledge()
        assert alerts.find_unacknowledged(PAPER) == [stored]

    def test_only_in_the_databases_own_environment(self, paper_store: Store) -> None:
        alerts = paper_store[AlertsRepository]
        other = alert(environment=LIVE)
        with pytest.raises(EnvironmentMismatchError):
            alerts.create(other)
        alerts.database.change(
            "INSERT INTO alerts (id, severity, type, title, message, environment)"
            f" VALUES ('{other.id}', 'info', 'risk', 'x', 'x', 'LIVE')"
        )
        with pytest.raises(EnvironmentMismatchError):
            alerts.acknowledge(other.id, "ann")
        assert alerts.acknowledge_many([other.id], "ann") == alerts.acknowledge_all(LIVE, "ann") == 0
        assert alerts.find_by_id_or_raise(other.id).acknowledged is False

    def test_one_of_many_at_once_is_the_first(self, postgresql_store: Store) -> None:
        alerts = postgresql_store[AlertsRepository]
        stored = alerts.create(alert())
        names = [f"user {number}" for number in range(6)]
        results = at_once(*(partial(alerts.acknowledge, stored.id, name) for name in names))
        assert set(map(repr, results)) == {repr(alerts.find_by_id(stored.id))}

    def test_an_alert_is_counted_once(self, postgresql_store: Store) -> None:
        alerts = postgresql_store[AlertsRepository]
        ids = [alerts.create(alert()).id for _ in range(20)]
        counts = at_once(
            *(partial(alerts.acknowledge_many, order, "ann") for order in (ids, ids[::-1])),
            *(partial(alerts.acknowledge_all, PAPER, "bob") for _ in range(2)),
        )
        assert sum(count for count in counts if isinstance(count, int)) == 20

    def test_one_that_was_overtaken_changes_nothing(self, postgresql_store: Store) -> None:
        alerts = postgresql_store[AlertsRepository]
        stored = alerts.create(alert())
        late = overtaken(
            postgresql_store,
            partial(alerts.acknowledge_many, [stored.id], "late"),
            by=partial(alerts.acknowledge, stored.id, "early"),
        )
        assert late == 0
        assert alerts.find_by_id_or_raise(stored.id).acknowledged_by == "early"


class TestExpiry:
    def test_an_alert_expires_at_its_moment(self, alerts: AlertsRepository) -> None:
        alerts.create(alert("over", expires_at=NOW))
        alerts.create(alert("ends", expires_at=NOW + SECOND))
        alerts.create(alert("stays"))
        with clock_set_to(NOW):
            for found in (
                alerts.find_recent(PAPER),
                alerts.find_unacknowledged(PAPER),
                alerts.find_many().data,
                alerts.find_all(),
            ):
                assert sorted(titles(found)) == ["ends", "stays"]
            for found in (
                alerts.find_recent(PAPER, include_expired=True),
                alerts.find_unacknowledged(PAPER, include_expired=True),
                alerts.find_many({"include_expired": True}).data,
            ):
                assert sorted(titles(found)) == ["ends", "over", "stays"]
            assert alerts.count() == alerts.count({"include_expired": None}) == 2
            assert [match.title for match in alerts.search("look")] == ["stays", "ends"]
            assert len(alerts.search("look", include_expired=True)) == 3

    def test_deleting_keeps_what_may_have_expired_unseen(self, alerts: AlertsRepository) -> None:
        unseen = alerts.create(alert("unseen", severity=CRITICAL, expires_at=NOW))
        seen = alerts.create(alert("seen", severity=CRITICAL, expires_at=NOW))
        alerts.acknowledge(seen.id, "ann")
        for severity in (INFO, WARNING, ERROR):
            alerts.create(alert(severity=severity, expires_at=NOW - SECOND))
        later = alerts.create(alert("later", expires_at=NOW + SECOND))
        never = alerts.create(alert("never"))
        with clock_set_to(NOW):
            assert alerts.delete_expired() == 4
            assert alerts.delete_expired() == 0
        assert {one.id for one in alerts.find_all({"include_expired": True})} == {unseen.id, later.id, never.id}

    def test_deleting_in_one_environment(self, alerts: AlertsRepository) -> None:
        for environment in (PAPER, LIVE):
            alerts.create(alert(environment=environment, expires_at=NOW))
        with clock_set_to(NOW):
            assert alerts.delete_expired(LIVE) == 1
            assert alerts.delete_expired() == 1

    def test_delete_many_spares_expired_ones_unless_told(self, alerts: AlertsRepository) -> None:
        alerts.create(alert(expires_at=NOW))
        alerts.create(alert())
        with clock_set_to(NOW):
            for none in ({}, {"include_expired": True}, {"include_expired": True, "severity": None}):
                with pytest.raises(InvalidDataError, match="filter"):
                    alerts.delete_many(none)  # type: ignore[arg-type]  # mypy takes the list for plain dicts
            assert alerts.delete_many({"severity": WARNING}) == 1
            assert alerts.delete_many({"severity": WARNING, "include_expired": True}) == 1


class TestCounting:
    def test_every_severity_is_listed(self, alerts: AlertsRepository) -> None:
        assert alerts.count_by_severity(PAPER) == {INFO: 0, WARNING: 0, ERROR: 0, CRITICAL: 0}
        assert list(alerts.count_by_severity(PAPER)) == [INFO, WARNING, ERROR, CRITICAL]

    def test_acknowledged_or_not_or_both(self, alerts: AlertsRepository) -> None:
        for severity in (ERROR, ERROR, INFO):
            alerts.acknowledge(alerts.create(alert(severity=severity)).id, "ann")
        alerts.create(alert(severity=ERROR))
        alerts.create(alert(severity=ERROR, environment=LIVE))
        alerts.create(alert(severity=CRITICAL, expires_at=NOW))
        with clock_set_to(NOW):
            assert alerts.count_by_severity(PAPER) == {INFO: 0, WARNING: 0, ERROR: 1, CRITICAL: 0}
            assert alerts.count_by_severity(PAPER, acknowledged_only=True) == {
                INFO: 1,
                WARNING: 0,
                ERROR: 2,
                CRITICAL: 0,
            }
            assert alerts.count_by_severity(acknowledged_only=None, include_expired=True) == {
                INFO: 1,
                WARNING: 0,
                ERROR: 4,
                CRITICAL: 1,
            }


class TestSearch:
    def test_title_or_message_in_any_case_newest_first(self, alerts: AlertsRepository) -> None:
        old = alerts.create(alert("Drawdown", created_at=NOW - SECOND))
        new = alerts.create(alert("other", message="the DRAWDOWN grew"))
        alerts.create(alert("drawdown", environment=LIVE))
        assert alerts.search(" drawdown ", environment=PAPER) == [
            AlertMatch(id=new.id, title="other", message="the DRAWDOWN grew"),
            AlertMatch(id=old.id, title="Drawdown", message="look at it"),
        ]
        assert len(alerts.search("drawdown")) == 3
        assert len(alerts.search("drawdown", limit=1)) == 1

    def test_wildcards_are_letters_and_blank_finds_nothing(self, alerts: AlertsRepository) -> None:
        alerts.create(alert("100%"))
        alerts.create(alert("100 of 200"))
        assert [match.title for match in alerts.search("0%")] == ["100%"]
        assert alerts.search("1_0") == alerts.search("") == alerts.search("  ") == []
