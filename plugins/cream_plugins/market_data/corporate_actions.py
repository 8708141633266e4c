"""Corporate actions: what a company did to its shares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypedDict

from peewee import EXCLUDED, fn

from cream_store import (
    ConstraintViolationError,
    DayField,
    EnumField,
    Given,
    NumericField,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SerialField,
    SymbolField,
    TextField,
    TimestampField,
    Written,
    field,
    index,
    query,
    record,
    since,
    until,
    utc_now,
)


class CorporateActionType(StrEnum):
    """What the company did. A reverse split is a split with a ratio below 1, a special dividend a dividend."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    MERGER = "merger"
    SPINOFF = "spinoff"


class CorporateActionRow(Row):
    """Table `corporate_actions`."""

    id = SerialField()
    symbol = SymbolField()
    action_type = EnumField(CorporateActionType)
    ex_date = DayField()
    record_date = DayField(null=True)
    pay_date = DayField(null=True)
    ratio = NumericField(10, 6, null=True)
    amount = NumericField(12, 4, null=True)
    details = TextField(null=True)
    provider = TextField(server_default="alpaca")
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "corporate_actions"
        indexes = [
            index("idx_corporate_actions_ex_date", "ex_date"),
            index("idx_corporate_actions_symbol_date", "symbol", "ex_date"),
            index("idx_corporate_actions_type", "action_type"),
            index("idx_corporate_actions_unique", "symbol", "action_type", "ex_date", unique=True),
        ]


@record
class CorporateAction(Record):
    """An action of a company. A symbol has one of a type and ex-date. Its days are stored as 00:00 UTC."""

    id: int | None = None  # None until stored
    symbol: str
    action_type: CorporateActionType
    ex_date: datetime  # the first day on which shares trade without the right; a `date` will do, as for the other days
    record_date: datetime | None = None
    pay_date: datetime | None = None
    ratio: Decimal | None = None  # new shares for one old share
    amount: Decimal | None = None  # per share, in the instrument's currency
    details: str | None = None  # what the provider says about it, such as its own id of the action
    provider: str = "alpaca"
    created_at: datetime = field(default_factory=utc_now)  # when it became known here


class CorporateActionFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `ex_date`."""

    symbol: str | Sequence[str] | None
    action_type: CorporateActionType | str | Sequence[CorporateActionType | str] | None
    provider: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class CorporateActionChanges(TypedDict, total=False):
    """What `update` can change. Symbol, type and ex-date stay."""

    record_date: date | datetime | None
    pay_date: date | datetime | None
    ratio: Decimal | None
    amount: Decimal | None
    details: str | None
    provider: str


class CorporateActionsRepository(Repository[CorporateAction, CorporateActionFilters, CorporateActionChanges]):
    """The corporate actions of all instruments.

    An upsert overwrites every value of the action with the same symbol, type and ex-date. It raises
    ConstraintViolationError for another amount with other details: a second dividend of that day, for example, which
    the table has no place for.
    """

    row = CorporateActionRow
    default_order = ("-ex_date",)
    default_limit = 100
    filter_rules = {"from_date": since("ex_date"), "to_date": until("ex_date")}
    conflict_target = ("symbol", "action_type", "ex_date")
    overwrite_refusal = "another action of that type and ex-date, with another amount and other details, is stored"

    def bulk_upsert(self, actions: Given[CorporateAction]) -> Written:
        """Upserts all actions or none; of several with the same key, the last wins. Returns how many were given."""
        return self.upsert_many(actions)

    def upsert_many(self, records: Given[CorporateAction]) -> Written:
        """Upserts all actions or none; of several with the same key, the last wins. Returns how many were given."""
        given = list(self._records(records))
        latest: dict[tuple[str, ...], CorporateAction] = {}
        for action in given:
            key = tuple(column.encode(getattr(action, column.record_name)) for column in self._conflict_columns())
            if _differ(latest.setdefault(key, action), action):
                raise ConstraintViolationError(
                    f"corporate_actions: {self.overwrite_refusal}", table="corporate_actions"
                )
            latest[key] = action
        return super().upsert_many(given)

    def get_for_symbol(
        self,
        symbol: str,
        start_date: date | datetime | None = None,
        end_date: date | datetime | None = None,
        known_at: date | datetime | None = None,
        limit: int | None = None,
    ) -> list[CorporateAction]:
        """A symbol's actions with an ex-date in a range, both bounds included, newest first.

        `known_at`: only those that were stored by then.
        """
        builder = _of(symbol, known_at).at_least("ex_date", start_date).at_most("ex_date", end_date)
        return self.find(builder.order_by("-ex_date").limit(limit))

    def get_splits(
        self, symbol: str, after_date: date | datetime | None = None, known_at: date | datetime | None = None
    ) -> list[CorporateAction]:
        """A symbol's splits with that ex-date or a later one, oldest first: the order in which prices are adjusted."""
        builder = _of(symbol, known_at).equals("action_type", CorporateActionType.SPLIT)
        return self.find(builder.at_least("ex_date", after_date).order_by("ex_date"))

    def get_dividends(
        self, symbol: str, after_date: date | datetime | None = None, known_at: date | datetime | None = None
    ) -> list[CorporateAction]:
        """A symbol's dividends with that ex-date or a later one, newest first."""
        builder = _of(symbol, known_at).equals("action_type", CorporateActionType.DIVIDEND)
        return self.find(builder.at_least("ex_date", after_date).order_by("-ex_date"))

    def get_by_ex_date(self, ex_date: date | datetime) -> list[CorporateAction]:
        """All actions of a day in UTC, by symbol."""
        return self.find(query().on_day("ex_date", _day(ex_date)).order_by("symbol"))

    def find_by_created_at_range(
        self, start: date | datetime, end: date | datetime, limit: int = 100
    ) -> list[CorporateAction]:
        """The actions that were stored from start to end, both included: the latest ex-date first, then by symbol."""
        builder = query().at_least("created_at", start).at_most("created_at", end)
        return self.find(builder.order_by("-ex_date", "symbol").limit(limit))

    def _may_overwrite(self) -> Any:
        stored = CorporateActionRow
        # A comparison with NULL is no difference: what is not known can be filled in, or be withdrawn.
        differs = (stored.amount != EXCLUDED.amount) & (stored.details != EXCLUDED.details)
        return fn.COALESCE(~differs, True)


def _of(symbol: str, known_at: date | datetime | None) -> QueryBuilder:
    # Encoded here, because None would mean every symbol.
    return query().equals("symbol", CorporateActionRow.symbol.encode(symbol)).as_of("created_at", known_at)


def _differ(one: CorporateAction, other: CorporateAction) -> bool:
    """Whether two actions with the same key are about different things, as `_may_overwrite` tells it."""
    return all(
        None not in values and values[0] != values[1]
        for values in ((one.amount, other.amount), (one.details, other.details))
    )


def _day(day: date | datetime) -> date:
    if not isinstance(day, datetime):
        return day
    return datetime.fromisoformat(CorporateActionRow.ex_date.compared.encode(day)).date()
