"""Alert settings: how and when a user wants to be alerted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

from cream_plugins.auth import EmailField, UserRow
from cream_store import (
    BooleanField,
    ForeignKey,
    InvalidDataError,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    new_id,
    query,
    record,
    unique,
    utc_now,
)

_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class TimeOfDayField(TextField):
    """A time of day as text: `HH:MM`, 00:00 to 23:59."""

    def encode(self, value: Any) -> str:
        text = super().encode(value)
        if not _TIME_OF_DAY.fullmatch(text):
            self.refuse("needs a time of day, HH:MM from 00:00 to 23:59")
        return text


class AlertSettingsRow(Row):
    """Table `alert_settings`."""

    id = UUIDv7Field(primary_key=True)
    user = ForeignKey(UserRow, on_delete="CASCADE")
    enable_push = BooleanField(server_default=True)
    enable_email = BooleanField(server_default=True)
    email_address = EmailField(null=True)
    critical_only = BooleanField(server_default=False)
    quiet_hours_start = TimeOfDayField(null=True)
    quiet_hours_end = TimeOfDayField(null=True)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "alert_settings"
        constraints = [unique("alert_settings_user_id_unique", "user_id")]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """The time of day without alerts: `HH:MM` in UTC. An end before the start is the next day's."""

    start: str
    end: str


@record
class AlertSettings(Record):
    """How and when a user wants to be alerted."""

    id: UUID = field(default_factory=new_id)
    user_id: UUID
    enable_push: bool = True
    enable_email: bool = True
    email_address: str | None = None  # None: the address that the user signs in with
    critical_only: bool = False
    quiet_hours_start: str | None = None  # HH:MM in UTC; only together with the end
    quiet_hours_end: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    @property
    def quiet_hours(self) -> QuietHours | None:
        """The time of day without alerts, if there is one."""
        start, end = self.quiet_hours_start or "", self.quiet_hours_end or ""
        return QuietHours(start=start, end=end) if start.strip() and end.strip() else None


class AlertSettingsFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    user_id: UUID | str | Sequence[UUID | str] | None
    enable_push: bool | None
    enable_email: bool | None
    critical_only: bool | None


class AlertSettingsChanges(TypedDict, total=False):
    """What can be changed. What is left out stays; the quiet hours come and go together."""

    enable_push: bool
    enable_email: bool
    email_address: str | None
    critical_only: bool
    quiet_hours_start: str | None
    quiet_hours_end: str | None


class AlertSettingsRepository(Repository[AlertSettings, AlertSettingsFilters, AlertSettingsChanges]):
    """The alert settings, one row per user. Half of the quiet hours without the other is refused."""

    row = AlertSettingsRow
    default_order = ("created_at",)
    conflict_target = ("user_id",)

    def find_by_user_id(self, user_id: UUID | str) -> AlertSettings | None:
        """A user's settings, or None."""
        return self._first(query().exactly("user_id", user_id))

    def get_or_create(self, user_id: UUID | str) -> AlertSettings:
        """A user's settings, with the defaults if there were none. Raises ConstraintViolationError for no such user."""
        return self.find_by_user_id(user_id) or self.update(user_id, {})

    def update(  # type: ignore[override]  # by user
        self, user_id: UUID | str, changes: AlertSettingsChanges
    ) -> AlertSettings:
        """Writes the given changes, into new settings with the defaults if the user has none, and returns them.

        Raises ConstraintViolationError when there is no such user.
        """
        new = AlertSettings(user_id=UUID(AlertSettingsRow.user.encode(user_id)))
        return self._upsert_changes(new, self._checked_changes(changes))

    def delete_by_user_id(self, user_id: UUID | str) -> bool:
        """Deletes a user's settings; False when there are none."""
        return self._delete(query().exactly("user_id", user_id)) > 0

    def _checked_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        if ("quiet_hours_start" in changes) != ("quiet_hours_end" in changes):
            _refuse_half()
        return super()._checked_changes(changes)

    def _guard(self, record: AlertSettings) -> None:
        super()._guard(record)
        if (record.quiet_hours_start is None) != (record.quiet_hours_end is None):
            _refuse_half()


def _refuse_half() -> None:
    raise InvalidDataError(
        "alert_settings: quiet hours have a start and an end, or neither",
        table="alert_settings",
        columns=("quiet_hours_start", "quiet_hours_end"),
    )
