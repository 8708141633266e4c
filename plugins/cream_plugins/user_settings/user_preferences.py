"""User preferences: how the dashboard looks for a user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict, cast
from uuid import UUID

import peewee

from cream_plugins.auth import UserRow
from cream_plugins.user_settings.notification_settings import (
    NotificationChanges,
    NotificationSettings,
    NotificationSettingsField,
)
from cream_store import (
    BooleanField,
    EnumField,
    ForeignKey,
    JSONField,
    NotFoundError,
    Param,
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
    unique,
    utc_now,
)
from cream_store.fields import is_sqlite


class Theme(StrEnum):
    """The dashboard's colours."""

    LIGHT = "light"
    DARK = "dark"
    SYSTEM = "system"


class ChartTimeframe(StrEnum):
    """The span of time that charts show at first."""

    ONE_DAY = "1D"
    ONE_WEEK = "1W"
    ONE_MONTH = "1M"
    THREE_MONTHS = "3M"
    SIX_MONTHS = "6M"
    ONE_YEAR = "1Y"
    ALL = "ALL"


class PortfolioView(StrEnum):
    """How the portfolio is shown at first."""

    TABLE = "table"
    CARDS = "cards"


class DateFormat(StrEnum):
    """How dates are written."""

    MONTH_FIRST = "MM/DD/YYYY"
    DAY_FIRST = "DD/MM/YYYY"
    YEAR_FIRST = "YYYY-MM-DD"


class TimeFormat(StrEnum):
    """How times of day are written."""

    TWELVE_HOURS = "12h"
    TWENTY_FOUR_HOURS = "24h"


class TextsField(JSONField):
    """A JSON list of texts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(list, **options)

    def encode(self, value: Any) -> str:
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            self.refuse("needs a list of texts")
        return super().encode(value)


class CurrencyField(TextField):
    """A currency: the three letters of ISO 4217, stored in upper case."""

    def encode(self, value: Any) -> str:
        code = super().encode(value).strip().upper()
        if not re.fullmatch("[A-Z]{3}", code):
            self.refuse("needs the three letters of a currency (ISO 4217)")
        return code


class UserPreferencesRow(Row):
    """Table `user_preferences`."""

    id = UUIDv7Field(primary_key=True)
    user = ForeignKey(UserRow, on_delete="CASCADE")
    theme = EnumField(Theme, server_default="system")
    chart_timeframe = EnumField(ChartTimeframe, server_default="1M")
    feed_filters = TextsField(server_default=[])
    sidebar_collapsed = BooleanField(server_default=False)
    notification_settings = NotificationSettingsField()
    default_portfolio_view = EnumField(PortfolioView, server_default="table")
    date_format = EnumField(DateFormat, server_default="MM/DD/YYYY")
    time_format = EnumField(TimeFormat, server_default="12h")
    currency = CurrencyField(server_default="USD")
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "user_preferences"
        constraints = [unique("user_preferences_user_id_unique", "user_id")]
        indexes = [index("idx_user_preferences_created_at", "created_at")]


@record
class UserPreferences(Record):
    """How the dashboard looks for a user."""

    id: UUID = field(default_factory=new_id)
    user_id: UUID
    theme: Theme = Theme.SYSTEM
    chart_timeframe: ChartTimeframe = ChartTimeframe.ONE_MONTH
    feed_filters: list[str] = field(default_factory=list)
    sidebar_collapsed: bool = False
    notification_settings: NotificationSettings = NotificationSettings()
    default_portfolio_view: PortfolioView = PortfolioView.TABLE
    date_format: DateFormat = DateFormat.MONTH_FIRST
    time_format: TimeFormat = TimeFormat.TWELVE_HOURS
    currency: str = "USD"  # ISO 4217
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class UserPreferencesFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    user_id: UUID | str | Sequence[UUID | str] | None


class UserPreferencesChanges(TypedDict, total=False):
    """What can be changed. What is left out stays, inside the notification settings, too."""

    theme: Theme | str
    chart_timeframe: ChartTimeframe | str
    feed_filters: list[str]
    sidebar_collapsed: bool
    notification_settings: NotificationChanges
    default_portfolio_view: PortfolioView | str
    date_format: DateFormat | str
    time_format: TimeFormat | str
    currency: str


class _Merged(peewee.ColumnBase):
    """The stored notification settings with the given ones over them."""

    def __sql__(self, context: Any) -> Any:
        stored, given = UserPreferencesRow.notification_settings, Param("notification_settings")
        if is_sqlite(context):
            return context.sql(peewee.fn.json_patch(stored, given))
        return context.literal("(").sql(stored).literal(" || ").sql(given).literal("::jsonb)")


_MERGED: Final = _Merged()


class UserPreferencesRepository(Repository[UserPreferences, UserPreferencesFilters, UserPreferencesChanges]):
    """The preferences, one row per user."""

    row = UserPreferencesRow
    default_order = ("created_at",)
    conflict_target = ("user_id",)

    @staticmethod
    def get_defaults() -> dict[str, Any]:
        """What every preference is until the user chooses, by name. The caller may change what is returned."""
        defaults = UserPreferences(user_id=new_id())
        return {name: getattr(defaults, name) for name in UserPreferencesChanges.__annotations__}

    def find_by_user_id(self, user_id: UUID | str) -> UserPreferences | None:
        """A user's preferences, or None."""
        return self._first(query().exactly("user_id", user_id))

    def get_or_create(self, user_id: UUID | str) -> UserPreferences:
        """A user's preferences, with the defaults if there were none.

        Raises ConstraintViolationError when there is no such user.
        """
        return self.find_by_user_id(user_id) or self._upsert_changes(
            UserPreferences(user_id=UUID(UserPreferencesRow.user.encode(user_id))), {}
        )

    def update(  # type: ignore[override]  # by user
        self, user_id: UUID | str, changes: UserPreferencesChanges
    ) -> UserPreferences:
        """Writes the given changes and returns the preferences as they are then.

        Raises NotFoundError when the user has none: unlike alert settings, they are not created here.
        """
        written = dict(self._checked_changes(changes))
        notifications = cast(NotificationChanges, written.pop("notification_settings", {}))
        computed: dict[str, peewee.Node] = {}
        if notifications:
            document = UserPreferencesRow.notification_settings.encode_changes(notifications)
            written["notification_settings"], computed["notification_settings"] = document, _MERGED
        preferences = query().exactly("user_id", user_id)
        found = self._update_where(preferences, written, computed) if written else self.find(preferences)
        return found[0] if found else self._raise_without_preferences(user_id)

    def reset(self, user_id: UUID | str) -> UserPreferences:
        """Gives every preference its default. Raises NotFoundError when the user has none."""
        found = self._update_where(query().exactly("user_id", user_id), self.get_defaults())
        return found[0] if found else self._raise_without_preferences(user_id)

    def delete(self, user_id: UUID | str) -> bool:  # type: ignore[override]  # by user
        """Deletes a user's preferences; False when there are none."""
        return self._delete(query().exactly("user_id", user_id)) > 0

    def _raise_without_preferences(self, user_id: UUID | str) -> Any:
        raise NotFoundError(
            f"user_preferences: user {user_id} has none; get_or_create creates them", table="user_preferences"
        )
