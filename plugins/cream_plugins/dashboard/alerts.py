"""Alerts: what somebody should look at, and who did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

from cream_store import (
    BooleanField,
    ChoiceField,
    EnumField,
    Environment,
    EnvironmentField,
    InvalidDataError,
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
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.repository import Key


class AlertSeverity(StrEnum):
    """How bad it is, the least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class AlertType(StrEnum):
    """What an alert is about."""

    CONNECTION = "connection"
    ORDER = "order"
    POSITION = "position"
    RISK = "risk"
    SYSTEM = "system"
    MARKET = "market"
    AGENT = "agent"


class AlertRow(Row):
    """Table `alerts`."""

    id = UUIDv7Field(primary_key=True)
    severity = EnumField(AlertSeverity)
    type = ChoiceField(AlertType)
    title = TextField()
    message = TextField()
    metadata = JSONField(dict, null=True)
    acknowledged = BooleanField(server_default=False)
    acknowledged_by = TextField(null=True)
    acknowledged_at = TimestampField(null=True)
    environment = EnvironmentField()
    created_at = TimestampField(default_now=True)
    expires_at = TimestampField(null=True)

    class Meta:
        table_name = "alerts"
        indexes = [
            index("idx_alerts_acknowledged", "acknowledged"),
            index("idx_alerts_created_at", "created_at"),
            index("idx_alerts_environment", "environment"),
            index("idx_alerts_severity", "severity"),
            index("idx_alerts_type", "type"),
            index("idx_alerts_unack_env", "environment", "acknowledged", where="acknowledged = false"),
        ]


@record
class Alert(Record):
    """Something to look at. A new one is unacknowledged."""

    id: UUID = field(default_factory=new_id)
    severity: AlertSeverity
    type: AlertType | str
    title: str
    message: str
    metadata: dict[str, Any] = field(default_factory=dict)
    acknowledged: bool = False
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    environment: Environment
    created_at: datetime = field(default_factory=utc_now)
    expires_at: datetime | None = None  # from then on it is no longer of interest; None: it stays so


class AlertFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `created_at`. An empty list matches nothing."""

    severity: AlertSeverity | str | Sequence[AlertSeverity | str] | None
    type: AlertType | str | Sequence[AlertType | str] | None
    acknowledged: bool | None
    environment: Environment | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None
    include_expired: bool | None  # without it, expired alerts are left out


class AlertChanges(TypedDict, total=False):
    """What `update` can change. Who acknowledged an alert, and when, stays."""

    severity: AlertSeverity
    type: AlertType
    title: str
    message: str
    metadata: dict[str, Any]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMatch:
    """An alert that a search found."""

    id: UUID
    title: str
    message: str


def _expiry_asked_for(builder: QueryBuilder, include_expired: bool) -> QueryBuilder:
    return builder if include_expired else builder.above_or_null("expires_at", utc_now())


class AlertsRepository(Repository[Alert, AlertFilters, AlertChanges]):
    """The alerts. Lists, counts and filters leave expired ones out unless `include_expired` says otherwise.

    An alert has expired when its `expires_at` has come. The first acknowledgement stays.
    """

    row = AlertRow
    default_order = ("-created_at",)
    default_limit = 50
    filter_rules = {
        "from_date": since("created_at"),
        "to_date": until("created_at"),
        "include_expired": _expiry_asked_for,
    }
    kept_on_conflict = ("id", "acknowledged", "acknowledged_by", "acknowledged_at", "environment", "created_at")
    beginning = {"acknowledged": False, "acknowledged_by": None, "acknowledged_at": None}
    history_told_by = "acknowledge"

    def find_unacknowledged(
        self, environment: Environment | str | None = None, limit: int = 50, *, include_expired: bool = False
    ) -> list[Alert]:
        """The alerts that nobody has acknowledged: the worst first, and the newest first among equally bad ones."""
        return self.find_all(
            {"environment": environment, "acknowledged": False, "include_expired": include_expired},
            limit=limit,
            order_by=("-severity", "-created_at"),
        )

    def find_recent(
        self, environment: Environment | str | None = None, limit: int = 20, *, include_expired: bool = False
    ) -> list[Alert]:
        """The newest alerts, acknowledged or not."""
        return self.find_all({"environment": environment, "include_expired": include_expired}, limit=limit)

    def acknowledge(self, id: Key, acknowledged_by: str) -> Alert:
        """Marks an alert as seen by somebody now, and returns it. An acknowledged one stays as it is.

        Raises NotFoundError, and EnvironmentMismatchError for an alert of another environment than the database's.
        """
        acknowledged = self._update_one(id, _acknowledgement(acknowledged_by), query().equals("acknowledged", False))
        if acknowledged is None:
            acknowledged = self.find_by_id_or_raise(id)
            self._guard_environment(acknowledged.environment)
        return acknowledged

    @transactional
    def acknowledge_many(self, ids: Iterable[Key], acknowledged_by: str) -> int:
        """Marks alerts as seen by somebody now, and returns how many were not before. Unknown ids are left out."""
        unacknowledged = query().one_of("id", ids).equals("acknowledged", False)
        return self._update_all(unacknowledged, _acknowledgement(acknowledged_by))

    @transactional
    def acknowledge_all(
        self, environment: Environment | str | None, acknowledged_by: str, *, include_expired: bool = False
    ) -> int:
        """Marks all unacknowledged alerts as seen by somebody now, and returns how many they were.

        Expired ones, which the lists do not show, only if asked for.
        """
        unacknowledged = self._filtered(
            {"environment": environment, "acknowledged": False, "include_expired": include_expired}
        )
        return self._update_all(unacknowledged, _acknowledgement(acknowledged_by))

    def delete_many(self, filters: AlertFilters) -> int:
        """Deletes the alerts that match all filters, and returns how many they were.

        Takes at least one filter besides `include_expired`; expired alerts are only deleted with that.
        """
        if all(value is None for name, value in filters.items() if name != "include_expired"):
            raise InvalidDataError("delete_many needs a filter besides include_expired", table="alerts")
        return super().delete_many(filters)

    def delete_expired(self, environment: Environment | str | None = None) -> int:
        """Deletes the expired alerts, in batches, and returns how many they were.

        Critical ones that nobody has acknowledged stay: they may have expired unseen.
        """
        expired = self._filtered({"environment": environment, "include_expired": True})
        expired = expired.at_most("expires_at", utc_now())
        critical = expired.equals("severity", AlertSeverity.CRITICAL).equals("acknowledged", True)
        others = expired.differs("severity", AlertSeverity.CRITICAL)
        return self._delete_in_batches(critical) + self._delete_in_batches(others)

    def count_by_severity(
        self,
        environment: Environment | str | None = None,
        acknowledged_only: bool | None = False,
        *,
        include_expired: bool = False,
    ) -> dict[AlertSeverity, int]:
        """How many alerts have each severity; every severity is listed.

        `acknowledged_only`: True counts the acknowledged ones, False the others, None both.
        """
        counted = _expiry_asked_for(query().equals("acknowledged", acknowledged_only), include_expired)
        return self._count_by("severity", environment, counted)

    def search(
        self,
        query: str,
        limit: int = 5,
        environment: Environment | str | None = None,
        *,
        include_expired: bool = False,
    ) -> list[AlertMatch]:
        """Alerts whose title or message contains the text, in any case, newest first; none for blank text."""
        within = _expiry_asked_for(QueryBuilder(), include_expired)
        found = self._search(query, ("title", "message"), limit, environment, within)
        return [AlertMatch(id=match.id, title=match.title, message=match.message) for match in found]

    def _filtered(self, filters: Mapping[str, Any] | None) -> QueryBuilder:
        filters = filters or {}
        return super()._filtered({**filters, "include_expired": bool(filters.get("include_expired"))})


def _acknowledgement(acknowledged_by: str) -> dict[str, Any]:
    """Raises InvalidDataError for nobody."""
    by = AlertRow.acknowledged_by.encode(acknowledged_by)
    return {"acknowledged": True, "acknowledged_by": by, "acknowledged_at": utc_now()}
