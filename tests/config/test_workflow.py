"""Draft, test, activate, archive: the way that three tables share. Details are shown on the risk limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from cream_plugins.config import (
    CONFIG_STATES,
    ConfigStatus,
    ConstraintsConfig,
    ConstraintsConfigRepository,
    TradingConfigRepository,
    UniverseConfigsRepository,
    WorkflowRepository,
)
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    get_db,
)
from tests.races import at_once, overtaken

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
DRAFT, TESTING, ACTIVE, ARCHIVED = ConfigStatus

AnyWorkflow = WorkflowRepository[Any, Any, Any]


def limits(status: ConfigStatus = DRAFT, environment: Environment = PAPER, **values: Any) -> ConstraintsConfig:
    """Risk limits that are fit to be active unless the values say otherwise."""
    return ConstraintsConfig(environment=environment, status=status, **values)


@pytest.fixture
def constraints(store: Store) -> ConstraintsConfigRepository:
    return store[ConstraintsConfigRepository]


@pytest.fixture
def clock() -> Iterator[None]:
    """Each look at the clock is a second after the one before, the first at NOW."""
    seconds = iter(range(1000))
    with clock_set_to(lambda: NOW + timedelta(seconds=next(seconds))):
        yield


@pytest.mark.parametrize(
    ("kind", "values", "changes"),
    [
        (TradingConfigRepository, {}, {"kelly_fraction": Decimal("0.125")}),
        (UniverseConfigsRepository, {"static_symbols": ["AAPL"]}, {"exclude_list": ["GME"]}),
        (ConstraintsConfigRepository, {}, {"max_positions": 3}),
    ],
    ids=["trading", "universe", "constraints"],
)
def test_a_configuration_goes_its_way(
    store: Store, kind: type[AnyWorkflow], values: dict[str, Any], changes: dict[str, Any]
) -> None:
    configs = store[kind]
    first = configs.create(kind.record(environment=PAPER, status=ACTIVE, **values))

    draft = configs.save_draft(PAPER, changes)
    assert draft.status is DRAFT
    assert configs.get_draft(PAPER) == draft
    assert configs.set_status(draft.id, TESTING).status is TESTING
    second = configs.set_status(draft.id, ACTIVE)

    assert configs.get_active_or_raise(PAPER) == second
    assert configs.find_by_id_or_raise(first.id).status is ARCHIVED
    assert configs.get_history(PAPER) == [second, configs.find_by_id_or_raise(first.id)]
    assert [one.path for one in configs.compare(first.id, second.id).differences] == list(changes)
    with pytest.raises(ConstraintViolationError, match="can't be deleted"):
        configs.delete(second.id)
    assert configs.archive(second.id, allow_none_active=True).status is ARCHIVED
    assert configs.get_active(PAPER) is None


class TestStatus:
    def test_follows_the_allowed_moves_and_no_others(self, constraints: ConstraintsConfigRepository) -> None:
        for before, after in product(ConfigStatus, ConfigStatus):
            config = constraints.create(limits(before))
            if after == before:
                assert constraints.set_status(config.id, after.value) == config
            elif CONFIG_STATES.allows(before, after) and before is not ACTIVE:
                assert constraints.set_status(config.id, after.value).status is after
            else:
                with pytest.raises(ConstraintViolationError, match=r"can't become|is active"):
                    constraints.set_status(config.id, after.value)
                assert constraints.find_by_id(config.id) == config
            if (active := constraints.get_active(PAPER)) is not None:
                constraints.archive(active.id, allow_none_active=True)
            constraints.delete(config.id)

    def test_moves_are_those_that_were_agreed(self) -> None:
        assert {status: set(CONFIG_STATES.after(status)) for status in ConfigStatus} == {
            DRAFT: {TESTING, ARCHIVED},
            TESTING: {ACTIVE, DRAFT, ARCHIVED},
            ACTIVE: {ARCHIVED},
            ARCHIVED: set(),
        }

    def test_a_forbidden_move_is_told_with_the_allowed_ones(self, constraints: ConstraintsConfigRepository) -> None:
        draft = constraints.create(limits())
        with pytest.raises(ConstraintViolationError, match="allowed from draft: testing, archived") as refused:
            constraints.set_status(draft.id, ACTIVE)
        assert refused.value.table == "constraints_config"

    def test_of_nothing_or_to_nothing_known(self, constraints: ConstraintsConfigRepository) -> None:
        with pytest.raises(NotFoundError):
            constraints.set_status(uuid4(), TESTING)
        with pytest.raises(NotFoundError):
            constraints.archive("no uuid")
        with pytest.raises(InvalidDataError, match="'live' is not one of draft, testing, active, archived"):
            constraints.set_status(constraints.create(limits()).id, "live")

    def test_returning_to_draft_needs_the_drafts_place(self, constraints: ConstraintsConfigRepository) -> None:
        tested = constraints.create(limits(TESTING))
        draft = constraints.create(limits())
        with pytest.raises(DuplicateKeyError, match=str(draft.id)):
            constraints.set_status(tested.id, DRAFT)
        constraints.archive(draft.id)
        assert constraints.set_status(tested.id, DRAFT).status is DRAFT


class TestActivation:
    def test_archives_what_was_active_there(self, constraints: ConstraintsConfigRepository, clock: None) -> None:
        old = constraints.create(limits(ACTIVE))
        elsewhere = constraints.create(limits(ACTIVE, LIVE))
        tested = constraints.create(limits(TESTING))

        active = constraints.set_status(tested.id, ACTIVE)

        archived = constraints.find_by_id_or_raise(old.id)
        assert archived == old.replace(status=ARCHIVED, updated_at=archived.updated_at)
        assert old.updated_at < archived.updated_at <= active.updated_at
        assert constraints.get_active(LIVE) == elsewhere

    def test_of_the_active_one_changes_nothing(self, constraints: ConstraintsConfigRepository, clock: None) -> None:
        active = constraints.create(limits(ACTIVE))
        assert constraints.set_status(active.id, ACTIVE) == active

    def test_of_an_unfit_one_leaves_the_active_one(self, constraints: ConstraintsConfigRepository) -> None:
        active = constraints.create(limits(ACTIVE))
        unfit = constraints.create(limits(TESTING, max_shares=-1, max_net_exposure=Decimal(3)))
        with pytest.raises(InvalidDataError, match=r"needed: max_shares >= 0; max_net_exposure <= max_gross_exposure$"):
            constraints.set_status(unfit.id, ACTIVE)
        assert constraints.find_by_id(unfit.id) == unfit
        assert constraints.get_active(PAPER) == active

    def test_in_a_transaction_that_fails_never_happened(self, constraints: ConstraintsConfigRepository) -> None:
        active = constraints.create(limits(ACTIVE))
        tested = constraints.create(limits(TESTING))

        def activate_and_fail() -> None:
            with constraints.database.transaction():
                constraints.set_status(tested.id, ACTIVE)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            activate_and_fail()
        assert constraints.get_active(PAPER) == active
        assert constraints.find_by_id(tested.id) == tested

    def test_of_many_at_once_leaves_one(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        first = constraints.create(limits(ACTIVE))
        tested = constraints.create_many(limits(TESTING, max_positions=i) for i in range(20))

        results = at_once(*[partial(constraints.set_status, one.id, ACTIVE) for one in tested])

        assert [result.status for result in results if isinstance(result, ConstraintsConfig)] == [ACTIVE] * 20
        active = constraints.get_active_or_raise(PAPER)
        everything = constraints.get_history(PAPER, limit=100)
        assert {one.id for one in everything if one.status is ARCHIVED} == {first.id, *(one.id for one in tested)} - {
            active.id
        }
        assert len(everything) == 21

    def test_of_one_by_many_happens_once(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        tested = constraints.create(limits(TESTING))
        results = at_once(*[partial(constraints.set_status, tested.id, ACTIVE)] * 8)
        assert results == [constraints.get_active_or_raise(PAPER)] * 8

    def test_overtaken_by_archiving(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        tested = constraints.create(limits(TESTING))
        with pytest.raises(ConstraintViolationError, match="archived is final"):
            overtaken(
                postgresql_store,
                partial(constraints.set_status, tested.id, ACTIVE),
                by=partial(constraints.archive, tested.id),
            )
        assert constraints.get_active(PAPER) is None


class TestArchiving:
    def test_the_active_one_has_to_be_meant(self, constraints: ConstraintsConfigRepository) -> None:
        active = constraints.create(limits(ACTIVE))
        for archive in (constraints.archive, partial(constraints.set_status, status=ARCHIVED)):
            with pytest.raises(ConstraintViolationError, match="allow_none_active"):
                archive(active.id)
        assert constraints.get_active(PAPER) == active
        assert constraints.archive(active.id, allow_none_active=True).status is ARCHIVED

    def test_again_changes_nothing(self, constraints: ConstraintsConfigRepository, clock: None) -> None:
        archived = constraints.archive(constraints.create(limits()).id)
        assert constraints.archive(archived.id) == archived
        assert constraints.set_status(archived.id, ARCHIVED) == archived


class TestCreating:
    def test_honours_the_id_and_keeps_every_value(self, constraints: ConstraintsConfigRepository) -> None:
        given = limits(max_shares=0, max_notional=Decimal(0), max_positions=0, max_delta=Decimal("0.01"))
        assert constraints.create(given) == given
        assert constraints.find_by_id(given.id) == given
        with pytest.raises(DuplicateKeyError):
            constraints.create(given.replace(status=TESTING))

    @pytest.mark.parametrize("status", [DRAFT, ACTIVE])
    def test_a_second_one_is_refused(self, constraints: ConstraintsConfigRepository, status: ConfigStatus) -> None:
        first = constraints.create(limits(status))
        with pytest.raises(DuplicateKeyError, match=f"PAPER has one that is {status} already: {first.id}"):
            constraints.create(limits(status))
        assert constraints.create(limits(status, LIVE)).environment is LIVE
        assert constraints.count() == 2

    def test_any_number_can_be_in_testing_or_archived(self, constraints: ConstraintsConfigRepository) -> None:
        given = [limits(TESTING), limits(TESTING), limits(ARCHIVED), limits(ARCHIVED)]
        assert constraints.create_many(given) == given

    def test_an_unfit_active_one_is_refused(self, constraints: ConstraintsConfigRepository) -> None:
        with pytest.raises(InvalidDataError, match="max_drawdown <= 1"):
            constraints.create(limits(ACTIVE, max_drawdown=Decimal(2)))
        assert constraints.count() == 0

    def test_many_is_all_or_none(self, constraints: ConstraintsConfigRepository) -> None:
        with pytest.raises(DuplicateKeyError):
            constraints.create_many([limits(TESTING), limits(ACTIVE), limits(ACTIVE)])
        assert constraints.count() == 0

    def test_drafts_at_once_leaves_one(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        results = at_once(*[partial(constraints.create, limits()) for _ in range(8)])
        assert sum(isinstance(result, DuplicateKeyError) for result in results) == 7
        assert constraints.get_draft(PAPER) in results

    def test_overwriting_is_refused(self, constraints: ConstraintsConfigRepository) -> None:
        active = constraints.create(limits(ACTIVE))
        changed = active.replace(max_positions=99)
        with pytest.raises(ConstraintViolationError, match="never overwritten"):
            constraints.upsert(changed)
        with pytest.raises(ConstraintViolationError, match="never overwritten"):
            constraints.upsert_many([changed])
        assert constraints.get_active(PAPER) == active


class TestDrafts:
    def test_take_what_is_not_given_from_the_active_one(self, constraints: ConstraintsConfigRepository) -> None:
        active = constraints.create(limits(ACTIVE, max_notional=Decimal(1000), max_shares=5))
        draft = constraints.save_draft(PAPER, {"max_positions": 7})
        assert (draft.max_notional, draft.max_shares, draft.max_positions) == (Decimal(1000), 5, 7)
        assert draft.id != active.id
        assert draft.created_at > active.created_at
        assert constraints.get_active(PAPER) == active

    def test_take_the_defaults_when_nothing_is_active(self, constraints: ConstraintsConfigRepository) -> None:
        constraints.create(limits(ARCHIVED, max_shares=5))
        constraints.create(limits(ACTIVE, LIVE, max_shares=6))
        draft = constraints.save_draft(PAPER, {})
        assert draft == limits(id=draft.id, created_at=draft.created_at, updated_at=draft.updated_at)

    def test_keep_what_is_not_given_again(self, constraints: ConstraintsConfigRepository, clock: None) -> None:
        first = constraints.save_draft(PAPER, {"max_positions": 0})
        constraints.create(limits(ACTIVE, max_shares=5))
        second = constraints.save_draft("paper", {"max_delta": Decimal(0)})
        assert second == first.replace(max_delta=Decimal(0), updated_at=second.updated_at)
        assert second.updated_at > first.updated_at

    def test_given_nothing_stay_as_they_are(self, constraints: ConstraintsConfigRepository, clock: None) -> None:
        draft = constraints.save_draft(PAPER, {"max_positions": 2})
        assert constraints.save_draft(PAPER, {}) == draft
        assert constraints.update(draft.id, {}) == draft

    def test_have_values_only(self, constraints: ConstraintsConfigRepository) -> None:
        changes: Any = {"status": ACTIVE}
        with pytest.raises(InvalidDataError, match=r"constraints_config\.status can't be changed"):
            constraints.save_draft(PAPER, changes)
        with pytest.raises(InvalidDataError, match=r"constraints_config\.status can't be changed"):
            constraints.update(constraints.create(limits()).id, changes)

    def test_are_all_that_can_be_updated(self, constraints: ConstraintsConfigRepository) -> None:
        draft = constraints.create(limits())
        assert constraints.update(draft.id, {"max_positions": 4}).max_positions == 4
        for status in (TESTING, ACTIVE, ARCHIVED):
            config = constraints.create(limits(status))
            with pytest.raises(ConstraintViolationError, match=f"is {status}, and only a draft can be changed"):
                constraints.update(config.id, {"max_positions": 4})
            assert constraints.find_by_id(config.id) == config
        with pytest.raises(NotFoundError):
            constraints.update(uuid4(), {"max_positions": 4})

    def test_saved_at_once_are_one_with_every_change(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        names = ("max_shares", "max_contracts", "max_positions")
        at_once(*[partial(constraints.save_draft, PAPER, {name: 77}) for name in names * 5])  # type: ignore[misc]  # the keys are a TypedDict's
        [draft] = constraints.find_all({"status": DRAFT})
        assert (draft.max_shares, draft.max_contracts, draft.max_positions) == (77, 77, 77)

    def test_saving_after_another_activation_inherits_from_what_is_active_then(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        constraints.create(limits(ACTIVE, max_shares=1))
        tested = constraints.create(limits(TESTING, max_shares=2))
        draft = overtaken(
            postgresql_store,
            partial(constraints.save_draft, PAPER, {"max_positions": 3}),
            by=partial(constraints.set_status, tested.id, ACTIVE),
        )
        assert (draft.max_shares, draft.max_positions) == (2, 3)


class TestDeleting:
    def test_is_possible_unless_active(self, constraints: ConstraintsConfigRepository) -> None:
        active = constraints.create(limits(ACTIVE))
        for status in (DRAFT, TESTING, ARCHIVED):
            assert constraints.delete(constraints.create(limits(status)).id) is True
        with pytest.raises(ConstraintViolationError):
            constraints.delete(active.id)
        assert constraints.find_all() == [active]
        assert constraints.delete(uuid4()) is False

    def test_many_is_all_or_none(self, constraints: ConstraintsConfigRepository) -> None:
        constraints.create_many([limits(ACTIVE), limits(ARCHIVED), limits(ARCHIVED, LIVE)])
        with pytest.raises(ConstraintViolationError):
            constraints.delete_many({"environment": PAPER})
        assert constraints.count() == 3
        assert constraints.delete_many({"status": ARCHIVED}) == 2
        assert constraints.count() == 1


class TestReading:
    def test_history_is_newest_first_whatever_the_status(self, constraints: ConstraintsConfigRepository) -> None:
        with clock_set_to(NOW):
            same_moment = [limits(status) for status in (ARCHIVED, ACTIVE, TESTING)]
        older = limits(created_at=NOW - timedelta(days=1))
        elsewhere = limits(ACTIVE, LIVE)
        constraints.create_many([older, *same_moment, elsewhere])
        newest_first = [*sorted(same_moment, key=lambda one: one.id, reverse=True), older]
        assert constraints.get_history(PAPER) == newest_first
        assert constraints.get_history(PAPER, limit=2) == newest_first[:2]
        assert constraints.get_history(LIVE) == [elsewhere]
        assert len(constraints.get_history()) == 5
        with pytest.raises(InvalidDataError, match="limit"):
            constraints.get_history(PAPER, limit=0)

    def test_what_is_missing(self, constraints: ConstraintsConfigRepository) -> None:
        constraints.create_many([limits(ACTIVE, LIVE), limits(ARCHIVED)])
        assert constraints.get_active(PAPER) is None
        assert constraints.get_draft(PAPER) is None
        with pytest.raises(NotFoundError, match=r"PAPER has no active configuration; `cream-store db seed`"):
            constraints.get_active_or_raise(PAPER)
        with pytest.raises(NotFoundError):
            constraints.compare(constraints.get_active_or_raise(LIVE).id, uuid4())

    def test_comparison_lists_values_that_differ(self, constraints: ConstraintsConfigRepository) -> None:
        one, other = constraints.create_many(
            [
                limits(ARCHIVED, max_theta=Decimal(0), max_shares=1),
                limits(TESTING, LIVE, max_theta=Decimal(1), max_shares=2, max_notional=Decimal("50000.00")),
            ]
        )
        comparison = constraints.compare(one.id, str(other.id))
        assert (comparison.config1, comparison.config2) == (one, other)
        assert [(found.path, found.value1, found.value2) for found in comparison.differences] == [
            ("max_shares", 1, 2),
            ("max_theta", Decimal(0), Decimal(1)),
        ]
        assert constraints.compare(one.id, one.id).differences == []


class TestEnvironments:
    def test_the_databases_own_is_meant_unless_said(self, paper_store: Store) -> None:
        constraints = paper_store[ConstraintsConfigRepository]
        active = constraints.create(limits(ACTIVE))
        draft = constraints.save_draft(None, {})
        assert (constraints.get_active(), constraints.get_draft()) == (active, draft)
        assert constraints.get_history() == [draft, active]

    def test_a_test_database_has_to_be_told(self, constraints: ConstraintsConfigRepository) -> None:
        for read in (constraints.get_active, constraints.get_active_or_raise, constraints.get_draft):
            with pytest.raises(InvalidDataError, match="PAPER and LIVE: say which"):
                read()
        with pytest.raises(InvalidDataError, match="unknown environment 'staging'"):
            constraints.get_active("staging")

    def test_another_one_is_not_written(self, paper_store: Store) -> None:
        constraints = paper_store[ConstraintsConfigRepository]
        with pytest.raises(EnvironmentMismatchError):
            constraints.create(limits(environment=LIVE))
        with pytest.raises(EnvironmentMismatchError):
            constraints.save_draft(LIVE, {})
        assert constraints.count({"environment": LIVE}) == 0

    def test_live_is_not_moved_by_a_process_that_works_on_paper(
        self, live_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PAPER without a database of its own shares LIVE's."""
        in_live = live_store[ConstraintsConfigRepository]
        active, tested = in_live.create_many([limits(ACTIVE, LIVE), limits(TESTING, LIVE)])
        monkeypatch.setenv("DATABASE_URL", live_store.database.location.url)
        on_paper = ConstraintsConfigRepository(get_db(PAPER))
        with pytest.raises(EnvironmentMismatchError):
            on_paper.set_status(tested.id, ACTIVE)
        with pytest.raises(EnvironmentMismatchError):
            on_paper.archive(active.id, allow_none_active=True)
        with pytest.raises(EnvironmentMismatchError):
            on_paper.save_draft(LIVE, {})
        assert in_live.find_all() == [tested, active]


class TestPromotion:
    def test_makes_a_draft_in_the_other_database(self, paper_store: Store, live_store: Store) -> None:
        on_paper, in_live = paper_store[ConstraintsConfigRepository], live_store[ConstraintsConfigRepository]
        source = on_paper.create(limits(ACTIVE, max_shares=0, max_notional=Decimal("1234.56")))
        active = in_live.create(limits(ACTIVE, LIVE, max_shares=9))

        draft = on_paper.promote(source.id, in_live)

        expected = source.replace(
            id=draft.id, environment=LIVE, status=DRAFT, created_at=draft.created_at, updated_at=draft.updated_at
        )
        assert draft == expected
        assert in_live.get_draft() == draft
        assert in_live.get_active() == active
        assert on_paper.find_all() == [source]

    def test_replaces_the_values_of_a_draft_that_is_there(self, paper_store: Store, live_store: Store) -> None:
        on_paper, in_live = paper_store[ConstraintsConfigRepository], live_store[ConstraintsConfigRepository]
        existing = in_live.save_draft(LIVE, {"max_shares": 9, "max_vega": Decimal(1)})
        source = on_paper.create(limits(ACTIVE, max_shares=4))
        draft = on_paper.promote(source.id, in_live)
        assert in_live.find_all() == [draft]
        assert draft.id == existing.id
        assert (draft.max_shares, draft.max_vega) == (4, Decimal(1000))

    def test_works_within_one_database(self, constraints: ConstraintsConfigRepository) -> None:
        source = constraints.create(limits(ACTIVE, max_shares=4))
        draft = constraints.promote(str(source.id), constraints)
        assert (draft.environment, draft.max_shares) == (LIVE, 4)
        assert constraints.get_active(PAPER) == source

    def test_goes_from_paper_to_live_only(self, paper_store: Store, live_store: Store) -> None:
        on_paper, in_live = paper_store[ConstraintsConfigRepository], live_store[ConstraintsConfigRepository]
        paper, live = on_paper.create(limits(ACTIVE)), in_live.create(limits(ACTIVE, LIVE))
        for promote in (
            partial(on_paper.promote, paper.id, on_paper),
            partial(in_live.promote, live.id, on_paper),
            partial(in_live.promote, live.id, in_live),
        ):
            with pytest.raises(ConstraintViolationError, match="promoted from PAPER to LIVE, not from"):
                promote()
        assert (on_paper.find_all(), in_live.find_all()) == ([paper], [live])

    def test_takes_the_active_one_only(self, paper_store: Store, live_store: Store) -> None:
        on_paper, in_live = paper_store[ConstraintsConfigRepository], live_store[ConstraintsConfigRepository]
        for status in (DRAFT, TESTING, ARCHIVED):
            source = on_paper.create(limits(status))
            with pytest.raises(ConstraintViolationError, match=f"is {status}, and only the active"):
                on_paper.promote(source.id, in_live)
        with pytest.raises(NotFoundError):
            on_paper.promote(uuid4(), in_live)
        assert in_live.count() == 0

    def test_many_times_at_once_makes_one_draft(self, postgresql_store: Store) -> None:
        constraints = postgresql_store[ConstraintsConfigRepository]
        source = constraints.create(limits(ACTIVE, max_shares=4))
        results = at_once(*[partial(constraints.promote, source.id, constraints)] * 10)
        [draft] = constraints.find_all({"environment": LIVE})
        assert {result.id for result in results if isinstance(result, ConstraintsConfig)} == {draft.id}
        assert draft.max_shares == 4
