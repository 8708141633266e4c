"""Parity validations: whether an indicator, a factor or a configuration does live what it did in research."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

from cream_store import (
    BooleanField,
    EnumField,
    Environment,
    EnvironmentField,
    JSONField,
    QueryBuilder,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.queries import checked_limit


class ParityEntityType(StrEnum):
    """What was validated."""

    INDICATOR = "indicator"
    FACTOR = "factor"
    CONFIG = "config"


class ParityRecommendation(StrEnum):
    """What a validation comes to."""

    APPROVE_FOR_LIVE = "APPROVE_FOR_LIVE"
    NEEDS_INVESTIGATION = "NEEDS_INVESTIGATION"
    NOT_READY = "NOT_READY"


class ParityValidationRow(Row):
    """Table `parity_validation_history`."""

    id = UUIDv7Field(primary_key=True)
    entity_type = EnumField(ParityEntityType)
    entity_id = TextField()
    environment = EnvironmentField()
    passed = BooleanField()
    recommendation = EnumField(ParityRecommendation)
    blocking_issues = JSONField(list, null=True)
    warnings = JSONField(list, null=True)
    full_report = JSONField(dict)
    validated_at = TimestampField()
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "parity_validation_history"
        indexes = [
            index("idx_parity_history_entity", "entity_type", "entity_id"),
            index("idx_parity_history_environment", "environment"),
            index("idx_parity_history_passed", "passed"),
            index("idx_parity_history_validated_at", "validated_at"),
        ]


@record
class ParityValidationRecord(Record):
    """A validation of something in one environment. What was validated before stays on record."""

    id: UUID = field(default_factory=new_id)
    entity_type: ParityEntityType
    entity_id: str
    environment: Environment
    passed: bool
    recommendation: ParityRecommendation
    blocking_issues: list[Any]
    warnings: list[Any]
    full_report: dict[str, Any]
    validated_at: datetime
    created_at: datetime = field(default_factory=utc_now)

    @property
    def approves(self) -> bool:
        """Whether what was validated may go live: it passed, and nothing is left to look into."""
        return self.passed and self.recommendation is ParityRecommendation.APPROVE_FOR_LIVE


class ParityValidationFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `validated_at`. An empty list matches nothing."""

    entity_type: ParityEntityType | str | Sequence[ParityEntityType | str] | None
    entity_id: str | Sequence[str] | None
    environment: Environment | str | None
    passed: bool | None
    recommendation: ParityRecommendation | str | Sequence[ParityRecommendation | str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class ParityValidationChanges(TypedDict, total=False):
    """What `update` can change. What was validated, where and when stays."""

    passed: bool
    recommendation: ParityRecommendation
    blocking_issues: list[Any]
    warnings: list[Any]
    full_report: dict[str, Any]


_ENTITY = ("environment", "entity_type", "entity_id")


class ParityValidationRepository(Repository[ParityValidationRecord, ParityValidationFilters, ParityValidationChanges]):
    """The validations, the newest first. What passed in one environment says nothing about the other."""

    row = ParityValidationRow
    default_order = ("-validated_at",)
    default_limit = 50
    filter_rules = {"from_date": since("validated_at"), "to_date": until("validated_at")}

    def find_latest_by_entity(
        self, entity_type: ParityEntityType | str, entity_id: str, environment: Environment | str | None = None
    ) -> ParityValidationRecord | None:
        """The newest validation of something in one environment, or None."""
        return self._first(self._of(entity_type, entity_id, self.one_environment_of(environment)))

    def find_by_entity(
        self,
        entity_type: ParityEntityType | str,
        entity_id: str,
        environment: Environment | str | None = None,
        limit: int | None = None,
    ) -> list[ParityValidationRecord]:
        """The validations of something, newest first: every one, unless there is a limit."""
        return self.find(self._of(entity_type, entity_id, environment).limit(limit))

    def find_by_environment(
        self, environment: Environment | str | None = None, limit: int = 1000
    ) -> list[ParityValidationRecord]:
        """The newest validations."""
        return self.find_all({"environment": environment}, limit=limit)

    def find_failing(
        self, environment: Environment | str | None = None, limit: int = 1000
    ) -> list[ParityValidationRecord]:
        """The newest validation of everything whose newest validation did not pass, newest first."""
        checked_limit(limit)
        latest = self._latest_of_each(_ENTITY, self._filtered({"environment": environment}))
        failing = [validation for validation in latest if not validation.passed]
        return sorted(failing, key=lambda validation: (validation.validated_at, validation.id), reverse=True)[:limit]

    def has_passing_validation(
        self, entity_type: ParityEntityType | str, entity_id: str, environment: Environment | str | None = None
    ) -> bool:
        """Whether the newest validation of something in one environment passed and recommends APPROVE_FOR_LIVE."""
        latest = self.find_latest_by_entity(entity_type, entity_id, environment)
        return latest is not None and latest.approves

    @transactional
    def prune_history(self, keep_last: int = 10, environment: Environment | str | None = None) -> int:
        """Deletes all but the newest `keep_last` validations of everything in each environment.

        Returns how many they were. `keep_last`: 1 to 10,000. Raises InvalidDataError otherwise.
        """
        return self._delete_beyond_latest(_ENTITY, keep_last, self._filtered({"environment": environment}))

    def _of(
        self, entity_type: ParityEntityType | str, entity_id: str, environment: Environment | str | None
    ) -> QueryBuilder:
        return (
            self._filtered({"environment": environment})
            .exactly("entity_type", entity_type)
            .exactly("entity_id", entity_id)
            .order_by("-validated_at")
        )
