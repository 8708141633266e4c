"""The audit log: who did what, when and from where. It only grows, but for what is older than it has to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, NoReturn, TypedDict
from uuid import UUID

from cream_store import (
    ConstraintViolationError,
    Environment,
    EnvironmentField,
    Given,
    QueryBuilder,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    first_moment,
    index,
    new_id,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.repository import Key

RETENTION: Final = "audit_log.delete_older_than"
"""How the action of an entry begins that records a deletion of old entries."""


class AuditLogRow(Row):
    """Table `audit_log`."""

    id = UUIDv7Field(primary_key=True)
    timestamp = TimestampField(default_now=True)
    user_id = TextField()
    user_email = TextField()
    action = TextField()
    ip_address = TextField(null=True)
    user_agent = TextField(null=True)
    environment = EnvironmentField(server_default="LIVE")
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "audit_log"
        indexes = [
            index("idx_audit_log_action", "action"),
            index("idx_audit_log_environment", "environment"),
            index("idx_audit_log_timestamp", "timestamp"),
            index("idx_audit_log_user_id", "user_id"),
        ]


@record
class AuditLogEntry(Record):
    """Something that somebody did."""

    id: UUID = field(default_factory=new_id)
    timestamp: datetime = field(default_factory=utc_now)  # when it was done
    user_id: str
    user_email: str
    action: str
    ip_address: str | None = None
    user_agent: str | None = None
    environment: Environment  # where it was done: the database's LIVE is for other programs, and never assumed here
    created_at: datetime = field(default_factory=utc_now)  # when it was recorded


class AuditLogFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `timestamp`. An empty list matches nothing."""

    user_id: str | Sequence[str] | None
    action: str | Sequence[str] | None
    environment: Environment | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class AuditLogChanges(TypedDict):
    """What can be changed: nothing."""


class AuditLogRepository(Repository[AuditLogEntry, AuditLogFilters, AuditLogChanges]):
    """The audit log. Whatever would change or delete an entry raises ConstraintViolationError."""

    row = AuditLogRow
    default_order = ("-timestamp",)
    default_limit = 50
    filter_rules = {"from_date": since("timestamp"), "to_date": until("timestamp")}

    def find_recent_by_user(
        self, user_id: str, limit: int = 50, environment: Environment | str | None = None
    ) -> list[AuditLogEntry]:
        """What a user did last, newest first."""
        return self.find(self._by_user(user_id, environment).order_by("-timestamp").limit(limit))

    def count_by_user_in_period(
        self,
        user_id: str,
        since: date | datetime,
        until: date | datetime | None = None,
        environment: Environment | str | None = None,
    ) -> int:
        """How many entries a user has in a period, both ends included; up to now, and beyond, without `until`.

        A `date` means its first moment in UTC, and as the upper bound its whole day.
        """
        return self.count_of(
            self._by_user(user_id, environment).at_least("timestamp", since).at_most("timestamp", until)
        )

    @transactional
    def delete_older_than(
        self,
        cutoff: date | datetime,
        environment: Environment | str | None = None,
        *,
        user_id: str = "system",
        user_email: str = "system",
    ) -> int:
        """Deletes the entries from before the cutoff, as the rules of retention demand, and returns how many they were.

        That is itself recorded, as done by the given user: in each environment that lost entries, an entry says how
        many and from before when. A `date` means its first moment in UTC.
        """
        one = self.environment_of(environment)
        total = 0
        for where in (Environment.PAPER, Environment.LIVE) if one is None else (one,):
            deleted = self._delete_older_than("timestamp", cutoff, self._filtered({"environment": where}))
            if deleted:
                action = f"{RETENTION}: {deleted} from before {first_moment(cutoff).isoformat()}"
                self.create(AuditLogEntry(user_id=user_id, user_email=user_email, action=action, environment=where))
            total += deleted
        return total

    def upsert(self, record: AuditLogEntry) -> NoReturn:
        """Refused: it could replace an entry. Use `create`."""
        _refuse()

    def upsert_many(self, records: Given[AuditLogEntry]) -> NoReturn:
        """Refused: it could replace entries. Use `create_many`."""
        _refuse()

    def update(self, id: Key, changes: AuditLogChanges) -> NoReturn:
        """Refused."""
        _refuse()

    def delete(self, id: Key) -> NoReturn:
        """Refused."""
        _refuse()

    def delete_many(self, filters: AuditLogFilters) -> NoReturn:
        """Refused."""
        _refuse()

    def _by_user(self, user_id: str, environment: Environment | str | None) -> QueryBuilder:
        return self._filtered({"environment": environment}).exactly("user_id", user_id)


def _refuse() -> NoReturn:
    raise ConstraintViolationError(
        "audit_log: entries are neither changed nor deleted; what is too old goes by delete_older_than()",
        table="audit_log",
    )
