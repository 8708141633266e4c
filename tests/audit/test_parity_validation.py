"""Parity validations: the newest one counts, in its environment alone, and pruning never takes it away."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.audit import (
    ParityEntityType,
    ParityRecommendation,
    ParityValidationRecord,
    ParityValidationRepository,
)
from cream_store import (
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    new_id,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
APPROVE, INVESTIGATE, NOT_READY = ParityRecommendation


def validation(validated_at: datetime = NOW, passed: bool = True, **others: Any) -> ParityValidationRecord:
    values: dict[str, Any] = {
        "entity_type": ParityEntityType.INDICATOR,
        "entity_id": "rsi",
        "environment": PAPER,
        "recommendation": APPROVE if passed else NOT_READY,
        "blocking_issues": [],
        "warnings": [],
        "full_report": {},
    }
    return ParityValidationRecord(passed=passed, validated_at=validated_at, **values | others)


@pytest.fixture
def validations(store: Store) -> ParityValidationRepository:
    return store[ParityValidationRepository]


def test_every_value_comes_back_as_it_was_stored(validations: ParityValidationRepository) -> None:
    given = validation(
        recommendation="NEEDS_INVESTIGATION",
        blocking_issues=[{"field": "close", "delta": 0}],
        warnings=["slow", ""],
        full_report={"sharpeRatio": {"live": 0.5}},
    )
    assert validations.create(given) == given == validations.find_by_id(given.id)


def test_lists_that_another_program_left_out_are_empty(validations: ParityValidationRepository) -> None:
    validations.database.change(
        "INSERT INTO parity_validation_history"
        " (entity_type, entity_id, environment, passed, recommendation, full_report, validated_at)"
        " VALUES ('factor', 'f', 'LIVE', true, 'NOT_READY', '{}', '2024-03-15T12:00:00.000000Z')"
    )
    [stored] = validations.find_by_environment(LIVE)
    assert (stored.blocking_issues, stored.warnings, stored.full_report) == ([], [], {})


def test_everything_has_to_be_said(validations: ParityValidationRepository) -> None:
    with pytest.raises(TypeError, match="blocking_issues"):
        ParityValidationRecord(entity_type="factor", entity_id="f")  # type: ignore[call-arg,arg-type]  # refused


@pytest.mark.parametrize(
    "wrong",
    [{"entity_type": "model"}, {"recommendation": "MAYBE"}, {"passed": 1}, {"warnings": {}}, {"full_report": []}],
)
def test_what_is_not_in_the_lists_is_refused(validations: ParityValidationRepository, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        validations.create(validation(**wrong))


def test_keys_and_environments_are_guarded(validations: ParityValidationRepository, paper_store: Store) -> None:
    stored = validations.create(validation())
    with pytest.raises(DuplicateKeyError):
        validations.create(stored)
    with pytest.raises(EnvironmentMismatchError):
        paper_store[ParityValidationRepository].create(validation(environment=LIVE))


def test_what_was_validated_and_when_stays(validations: ParityValidationRepository) -> None:
    stored = validations.create(validation())
    assert validations.update(stored.id, {"warnings": ["late"]}) == stored.replace(warnings=["late"])
    with pytest.raises(InvalidDataError, match="entity_id can't be changed"):
        validations.update(stored.id, {"entity_id": "x"})  # type: ignore[typeddict-unknown-key]  # refused
    with pytest.raises(NotFoundError):
        validations.update(new_id(), {"warnings": []})


class TestFinding:
    def test_the_latest_is_the_one_validated_last(self, validations: ParityValidationRepository) -> None:
        _, newest, _ = validations.create_many([validation(), validation(NOW + HOUR), validation(NOW - HOUR)])
        assert validations.find_latest_by_entity("indicator", "rsi", PAPER) == newest
        tied = validations.create(validation(NOW + HOUR))
        assert validations.find_latest_by_entity(ParityEntityType.INDICATOR, "rsi", "PAPER") == tied

    def test_the_latest_is_that_of_its_environment(self, validations: ParityValidationRepository) -> None:
        live = validations.create(validation(environment=LIVE))
        validations.create(validation(NOW + HOUR))
        assert validations.find_latest_by_entity("indicator", "rsi", LIVE) == live
        for ask in (validations.find_latest_by_entity, validations.has_passing_validation):
            with pytest.raises(InvalidDataError, match="PAPER and LIVE"):
                ask("indicator", "rsi")

    def test_another_entity_has_another_history(self, validations: ParityValidationRepository) -> None:
        validations.create(validation(entity_type="factor"))
        nothing: Any = None
        for name in ("macd", nothing):
            assert validations.find_latest_by_entity("factor", name, PAPER) is None
            assert validations.find_by_entity("factor", name) == []
        assert validations.find_latest_by_entity("indicator", "rsi", PAPER) is None
        with pytest.raises(InvalidDataError, match="entity_type"):
            validations.find_by_entity("model", "rsi")

    def test_a_history_is_complete_and_newest_first(self, validations: ParityValidationRepository) -> None:
        a, b, c = validations.create_many([validation(), validation(NOW - HOUR), validation()])
        live = validations.create(validation(NOW + HOUR, environment=LIVE))
        assert validations.find_by_entity("indicator", "rsi", PAPER) == [c, a, b]
        assert validations.find_by_entity("indicator", "rsi") == [live, c, a, b]
        assert validations.find_by_entity("indicator", "rsi", limit=2) == [live, c]
        assert validations.find_by_environment(PAPER) == [c, a, b]
        assert validations.find_by_environment(LIVE, limit=1) == [live]

    def test_filters(self, validations: ParityValidationRepository) -> None:
        passed, failed = validations.create_many([validation(), validation(NOW - 24 * HOUR, passed=False)])
        assert validations.find_many({"passed": False}).data == [failed]
        assert validations.find_many({"recommendation": ["APPROVE_FOR_LIVE"]}).data == [passed]
        assert validations.find_many({"to_date": date(2024, 3, 14), "entity_id": "rsi"}).data == [failed]

    def test_failing_is_what_failed_last(self, validations: ParityValidationRepository) -> None:
        validations.create_many(
            [
                validation(entity_id="mended", passed=False),
                validation(NOW + HOUR, entity_id="mended"),
                validation(entity_id="broken"),
                validation(NOW + HOUR, passed=False, entity_id="broken"),
                validation(passed=False, entity_id="never"),
                validation(NOW - HOUR, passed=False, entity_id="mended", environment=LIVE),
                validation(entity_id="unclear", recommendation=INVESTIGATE),
            ]
        )
        failing = validations.find_failing()
        assert [one.entity_id for one in failing] == ["broken", "never", "mended"]
        assert validations.find_failing(PAPER) == failing[:2]
        assert validations.find_failing(limit=1) == failing[:1]
        with pytest.raises(InvalidDataError, match="limit"):
            validations.find_failing(limit=0)


class TestPassing:
    @pytest.mark.parametrize(
        ("passed", "recommendation", "passes"),
        [
            (True, APPROVE, True),
            (True, INVESTIGATE, False),
            (True, NOT_READY, False),
            (False, APPROVE, False),
            (False, NOT_READY, False),
        ],
    )
    def test_it_takes_both_a_pass_and_the_recommendation(
        self, validations: ParityValidationRepository, passed: bool, recommendation: str, passes: bool
    ) -> None:
        stored = validations.create(validation(passed=passed, recommendation=recommendation))
        assert validations.has_passing_validation("indicator", "rsi", PAPER) is stored.approves is passes

    def test_only_the_latest_counts(self, validations: ParityValidationRepository) -> None:
        assert validations.has_passing_validation("indicator", "rsi", PAPER) is False
        validations.create(validation())
        assert validations.has_passing_validation("indicator", "rsi", PAPER) is True
        validations.create(validation(NOW + HOUR, passed=False))
        assert validations.has_passing_validation("indicator", "rsi", PAPER) is False

    def test_a_pass_on_paper_is_none_live(self, validations: ParityValidationRepository) -> None:
        validations.create(validation(environment=LIVE, passed=False))
        validations.create(validation(NOW + HOUR, environment=PAPER))
        assert validations.has_passing_validation("indicator", "rsi", PAPER) is True
        assert validations.has_passing_validation("indicator", "rsi", LIVE) is False

    def test_a_paper_database_means_paper(self, paper_store: Store) -> None:
        validations = paper_store[ParityValidationRepository]
        stored = validations.create(validation())
        assert validations.find_latest_by_entity("indicator", "rsi") == stored
        assert validations.has_passing_validation("indicator", "rsi") is True


class TestPruning:
    def test_the_newest_of_everything_stay(self, validations: ParityValidationRepository) -> None:
        _, b, c = validations.create_many([validation(NOW - HOUR), validation(), validation()])
        other = validations.create(validation(NOW - 9 * HOUR, entity_id="macd"))
        live = validations.create(validation(NOW - 9 * HOUR, environment=LIVE))
        assert validations.prune_history(3) == 0
        assert validations.prune_history(2) == 1
        assert validations.find_all() == [c, b, live, other]
        assert validations.prune_history(1) == 1
        assert validations.find_all() == [c, live, other]

    def test_ten_stay_unless_said_otherwise(self, validations: ParityValidationRepository) -> None:
        validations.create_many([validation() for _ in range(12)])
        assert validations.prune_history() == 2

    def test_one_environment_is_left_alone(self, validations: ParityValidationRepository) -> None:
        validations.create_many([validation(environment=where) for where in (PAPER, PAPER, LIVE, LIVE)])
        assert validations.prune_history(1, LIVE) == 1
        assert validations.count({"environment": PAPER}) == 2

    @pytest.mark.parametrize("keep_last", [0, -1, 1.5, True, None])
    def test_something_is_always_kept(self, validations: ParityValidationRepository, keep_last: Any) -> None:
        validations.create(validation())
        with pytest.raises(InvalidDataError, match="keep"):
            validations.prune_history(keep_last)
        assert validations.count() == 1

    def test_a_database_prunes_its_own_environment(self, paper_store: Store) -> None:
        validations = paper_store[ParityValidationRepository]
        validations.create_many([validation(), validation()])
        assert validations.prune_history(1, LIVE) == 0
        assert validations.prune_history(1) == 1

    def test_a_validation_is_deleted_once(self, postgresql_store: Store) -> None:
        validations = postgresql_store[ParityValidationRepository]
        validations.create_many([validation(NOW + number * HOUR) for number in range(20)])
        counts = at_once(*[partial(validations.prune_history, 5)] * 4)
        assert sum(count for count in counts if isinstance(count, int)) == 15
        assert validations.count() == 5
