"""Config versions: one active per environment, whatever happens at once; history; comparison."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from cream_plugins.core_trading import ConfigVersion, ConfigVersionRow, ConfigVersionsRepository
from cream_store import (
    ABSENT,
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
PAPER, LIVE = Environment.PAPER, Environment.LIVE


def version(hour: int = 0, **others: Any) -> ConfigVersion:
    """A version that was created so many hours from now."""
    values: dict[str, Any] = {
        "environment": PAPER,
        "config": {"maxPositions": 5},
        "created_at": NOW + timedelta(hours=hour),
    }
    return ConfigVersion(**values | others)


@pytest.fixture
def versions(store: Store) -> ConfigVersionsRepository:
    return store[ConfigVersionsRepository]


@pytest.fixture
def clock() -> Iterator[None]:
    """Each look at the clock is an hour after the one before, the first at NOW."""
    hours = iter(range(1000))
    with clock_set_to(lambda: NOW + timedelta(hours=next(hours))):
        yield


def active_ids(versions: ConfigVersionsRepository) -> list[UUID]:
    return [one.id for one in versions.find_all({"active": True})]


def test_a_new_version_is_inactive_and_comes_back_as_it_was_stored(versions: ConfigVersionsRepository) -> None:
    config = {"größe": 1.5, "nested": {"none": None, "list": [0, False, ""]}, "": 0}
    given = version(config=config, description="", created_by="risk desk")

    stored = versions.create(given)

    assert stored == given == versions.find_by_id_or_raise(given.id)
    assert (stored.active, stored.activated_at, stored.deactivated_at) == (False, None, None)
    assert versions.create(version(config={})).config == {}


def test_a_given_id_is_honoured_and_not_given_twice(versions: ConfigVersionsRepository) -> None:
    given = version(id=uuid4())
    assert versions.create(given).id == given.id
    with pytest.raises(DuplicateKeyError):
        versions.create(given)


def test_a_version_can_not_be_stored_as_active(versions: ConfigVersionsRepository) -> None:
    for claims in ({"active": True}, {"activated_at": NOW}, {"deactivated_at": NOW}):
        for store in (versions.create, versions.upsert):
            with pytest.raises(InvalidDataError, match="told by activate and deactivate"):
                store(version(**claims))
        with pytest.raises(InvalidDataError):
            versions.create_many([version(), version(**claims)])
    assert versions.count() == 0


def test_an_upsert_leaves_the_activation_as_it_is(versions: ConfigVersionsRepository) -> None:
    given = versions.create(version())
    active = versions.activate(given.id)
    assert versions.upsert(given.replace(description="again")) == active.replace(description="again")


def test_what_is_no_document_or_environment_is_refused(versions: ConfigVersionsRepository) -> None:
    impossible: list[dict[str, Any]] = [
        {"config": []},
        {"config": {1: 2}},
        {"config": {"a": float("nan")}},
        {"environment": "TEST"},
        {"created_at": datetime(2024, 3, 15)},  # noqa: DTZ001  # a naive time is what is refused
    ]
    for values in impossible:
        with pytest.raises(InvalidDataError, match="config_versions"):
            versions.create(version(**values))
    with pytest.raises(ConstraintViolationError):
        versions.create(version(config=None))


def test_missing_versions(versions: ConfigVersionsRepository) -> None:
    for id in (uuid4(), "no uuid"):
        assert versions.find_by_id(id) is None
        assert versions.delete(id) is False
        for act in (versions.find_by_id_or_raise, versions.activate, versions.deactivate):
            with pytest.raises(NotFoundError, match="config_versions"):
                act(id)


def test_only_the_description_of_a_version_changes(versions: ConfigVersionsRepository) -> None:
    stored = versions.create(version())
    assert versions.update(stored.id, {"description": "calm"}) == stored.replace(description="calm")
    assert versions.update(stored.id, {"description": None}) == stored
    for name in ("config", "active", "environment", "activated_at"):
        with pytest.raises(InvalidDataError, match=f"{name} can't be changed"):
            versions.update(stored.id, {name: None})  # type: ignore[misc]  # what is being tested


def test_activation_replaces_the_active_version_of_the_environment(
    versions: ConfigVersionsRepository, clock: None
) -> None:
    first, second, live = versions.create_many([version(), version(1), version(environment=LIVE)])
    assert versions.get_active(PAPER) is None

    assert versions.activate(first.id) == first.replace(active=True, activated_at=NOW)
    activated = versions.activate(second.id)
    versions.activate(live.id)

    assert activated == second.replace(active=True, activated_at=NOW + timedelta(hours=1))
    assert versions.get_active(PAPER) == activated
    assert versions.find_by_id_or_raise(first.id) == first.replace(
        activated_at=NOW, deactivated_at=activated.activated_at
    )
    assert versions.get_active_or_raise("LIVE").id == live.id


def test_a_version_that_is_activated_again_has_no_end(versions: ConfigVersionsRepository, clock: None) -> None:
    first, second = versions.create_many([version(), version(1)])
    for id in (first.id, second.id):
        versions.activate(id)

    again = versions.activate(str(first.id))

    assert again == first.replace(active=True, activated_at=NOW + timedelta(hours=2), deactivated_at=None)
    assert active_ids(versions) == [first.id]


def test_activating_the_active_version_changes_nothing(versions: ConfigVersionsRepository, clock: None) -> None:
    active = versions.activate(versions.create(version()).id)
    assert versions.activate(active.id) == active
    assert versions.find_all() == [active]


def test_deactivation_leaves_no_active_version(versions: ConfigVersionsRepository, clock: None) -> None:
    active = versions.activate(versions.create(version()).id)

    ended = versions.deactivate(active.id)

    assert ended == active.replace(active=False, deactivated_at=NOW + timedelta(hours=1))
    assert versions.get_active(PAPER) is None
    assert versions.deactivate(active.id) == ended


def test_deactivating_what_never_was_active_changes_nothing(versions: ConfigVersionsRepository) -> None:
    stored = versions.create(version())
    assert versions.deactivate(stored.id) == stored == versions.find_by_id(stored.id)


def test_an_environment_without_an_active_version_is_named(versions: ConfigVersionsRepository) -> None:
    versions.activate(versions.create(version()).id)
    with pytest.raises(NotFoundError, match="no active version in LIVE"):
        versions.get_active_or_raise(LIVE)
    with pytest.raises(InvalidDataError):
        versions.get_active_or_raise("STAGING")
    with pytest.raises(InvalidDataError, match="say which"):
        versions.get_active()


def test_a_paper_database_means_its_own_environment(paper_store: Store) -> None:
    versions = paper_store[ConfigVersionsRepository]
    with pytest.raises(NotFoundError, match="no active version in PAPER"):
        versions.get_active_or_raise()
    active = versions.activate(versions.create(version()).id)
    assert versions.get_active_or_raise() == active
    assert versions.find_by_environment() == [active]
    assert versions.get_active(LIVE) is None
    with pytest.raises(EnvironmentMismatchError):
        versions.create(version(environment=LIVE))


def test_another_environment_s_version_is_neither_activated_nor_deactivated(paper_store: Store) -> None:
    versions = paper_store[ConfigVersionsRepository]
    live = version(environment=LIVE)
    ConfigVersionRow.insert(**live.as_dict()).execute(paper_store.database)
    for act in (versions.activate, versions.deactivate):
        with pytest.raises(EnvironmentMismatchError):
            act(live.id)
    assert versions.find_by_id(live.id) == live


def test_the_newest_versions_come_first_and_ties_by_key(versions: ConfigVersionsRepository) -> None:
    made = versions.create_many([version(2), version(1), version(1), version(3, environment=LIVE)])
    newest_first = [made[0], made[2], made[1]]

    assert versions.find_by_environment(PAPER) == newest_first
    assert versions.find_by_environment(PAPER, limit=2) == newest_first[:2]
    assert versions.find_by_environment() == [made[3], *newest_first]
    versions.create_many(version(hour) for hour in range(20))
    assert len(versions.find_by_environment(PAPER)) == 20
    with pytest.raises(InvalidDataError):
        versions.find_by_environment(PAPER, limit=0)


def test_pages_by_filter(versions: ConfigVersionsRepository) -> None:
    made = versions.create_many(
        [version(0, created_by="ann"), version(12, created_by="bob"), version(-13, created_by="ann")]
    )
    versions.activate(made[0].id)

    assert [one.id for one in versions.find_many({"created_by": "ann"}).data] == [made[0].id, made[2].id]
    assert versions.find_many({"active": False}).total == 2
    assert versions.find_many({"from_date": date(2024, 3, 15), "to_date": date(2024, 3, 15)}).total == 1
    assert versions.find_many({"created_by": []}).total == 0


def test_the_active_version_can_not_be_deleted(versions: ConfigVersionsRepository) -> None:
    active, ended, never = versions.create_many([version(), version(1), version(2)])
    versions.activate(ended.id)
    versions.activate(active.id)

    with pytest.raises(ConstraintViolationError, match="is active"):
        versions.delete(active.id)

    assert versions.delete(str(never.id)) is True
    assert versions.delete(never.id) is False
    assert versions.delete(ended.id) is True
    assert [one.id for one in versions.find_all()] == [active.id]


def test_deleting_many_leaves_the_active_version(versions: ConfigVersionsRepository) -> None:
    active, _, live = versions.create_many([version(), version(1), version(environment=LIVE)])
    versions.activate(active.id)
    assert versions.delete_many({"environment": PAPER}) == 1
    assert {one.id for one in versions.find_all()} == {active.id, live.id}


def test_history_has_the_newest_activations_also_of_old_versions(
    versions: ConfigVersionsRepository, clock: None
) -> None:
    old, new, unused, live = versions.create_many([version(), version(1), version(2), version(3, environment=LIVE)])
    for id in (old.id, new.id, live.id, old.id):
        versions.activate(id)

    history = versions.get_history(PAPER)
    assert [one.id for one in history.versions] == [unused.id, new.id, old.id]
    assert [(one.id, one.activated_at, one.deactivated_at) for one in history.activation_history] == [
        (old.id, NOW + timedelta(hours=3), None),
        (new.id, NOW + timedelta(hours=1), NOW + timedelta(hours=3)),
    ]

    newest = versions.get_history(PAPER, limit=1)
    assert [one.id for one in newest.versions] == [unused.id]
    assert [one.id for one in newest.activation_history] == [old.id]


def test_history_of_nothing_is_empty(versions: ConfigVersionsRepository) -> None:
    history = versions.get_history(PAPER)
    assert (history.versions, history.activation_history) == ([], [])
    with pytest.raises(InvalidDataError):
        versions.get_history(PAPER, limit=0)


def test_comparison_by_top_level_key_and_within(versions: ConfigVersionsRepository) -> None:
    first, second = versions.create_many(
        [
            version(config={"size": 1, "risk": {"max": 5, "min": 1}, "note": None}),
            version(config={"size": 1, "risk": {"min": 1, "max": 6}, "none": None}, environment=LIVE),
        ]
    )

    comparison = versions.compare(first.id, str(second.id))

    assert (comparison.config1, comparison.config2) == (first, second)
    assert comparison.environments == (PAPER, LIVE)
    assert {one.path: (one.value1, one.value2) for one in comparison.differences} == {
        "risk": ({"max": 5, "min": 1}, {"max": 6, "min": 1}),
        "note": (None, ABSENT),
        "none": (ABSENT, None),
    }
    assert {one.path: (one.value1, one.value2) for one in comparison.nested_differences} == {
        "risk.max": (5, 6),
        "note": (None, ABSENT),
        "none": (ABSENT, None),
    }


def test_equal_versions_do_not_differ_and_missing_ones_are_errors(versions: ConfigVersionsRepository) -> None:
    first, second = versions.create_many([version(), version(1)])
    comparison = versions.compare(first.id, second.id)
    assert (comparison.differences, comparison.nested_differences) == ([], [])
    for ids in ((first.id, uuid4()), (uuid4(), first.id), (first.id, "no uuid")):
        with pytest.raises(NotFoundError):
            versions.compare(*ids)


def test_activations_at_once_leave_exactly_one_active(versions: ConfigVersionsRepository) -> None:
    made = versions.create_many(version(hour) for hour in range(20))

    activated = at_once(*(partial(versions.activate, one.id) for one in made))

    assert [one.active for one in activated if isinstance(one, ConfigVersion)] == [True] * 20
    [active] = active_ids(versions)
    everything = versions.find_all()
    assert all(one.activated_at for one in everything)
    assert [one.id for one in everything if one.deactivated_at is None] == [active]


def test_activations_of_the_same_version_at_once_are_one(versions: ConfigVersionsRepository) -> None:
    stored = versions.create(version())
    activated = at_once(*[partial(versions.activate, stored.id)] * 8)
    assert activated == [versions.get_active(PAPER)] * 8


def test_activation_and_deletion_at_once_never_lose_the_active_version(postgresql_store: Store) -> None:
    versions = postgresql_store[ConfigVersionsRepository]
    for _ in range(10):
        active, next_one = versions.create_many([version(), version()])
        versions.activate(active.id)

        activated, deleted = at_once(
            partial[object](versions.activate, next_one.id), partial[object](versions.delete, next_one.id)
        )

        if deleted is True:
            assert isinstance(activated, NotFoundError)
        else:
            assert isinstance(deleted, ConstraintViolationError)
        assert active_ids(versions) == [active.id if deleted is True else next_one.id]


def test_a_failed_activation_keeps_the_active_version(versions: ConfigVersionsRepository, store: Store) -> None:
    first, second = versions.create_many([version(), version(1)])
    active = versions.activate(first.id)

    def activate_both() -> None:
        with store.transaction():
            versions.activate(second.id)
            versions.activate(uuid4())

    with pytest.raises(NotFoundError):
        activate_both()
    assert versions.get_active(PAPER) == active


def test_the_database_itself_refuses_a_second_active_version(versions: ConfigVersionsRepository, store: Store) -> None:
    versions.activate(versions.create(version()).id)
    another_program = ConfigVersionRow.insert(environment=PAPER, config={}, active=True, created_at=NOW, id=uuid4())
    with pytest.raises(DuplicateKeyError):
        another_program.execute(store.database)


def test_rows_of_other_programs_are_inactive_and_of_now_by_default(
    versions: ConfigVersionsRepository, store: Store
) -> None:
    store.database.change("INSERT INTO config_versions (environment, config_json) VALUES ('PAPER', '{}')")
    [stored] = versions.find_all()
    assert (stored.active, stored.config, stored.id.version) == (False, {}, 7)
    assert abs(datetime.now(UTC) - stored.created_at) < timedelta(minutes=5)
