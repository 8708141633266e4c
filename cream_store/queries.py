"""Queries over one table, as values: conditions, order, limits - and the pages they give."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from cream_store.errors import InvalidDataError

R = TypeVar("R")

MAX_LIMIT: Final = 10_000
"""Rows of a page at most."""

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "not in", "null", "not null", "null or >", "contains", "has"]


class Condition(NamedTuple):
    """A condition on a column; for `contains`, on any of several, joined by spaces."""

    column: str
    operator: Operator
    value: Any


class QueryBuilder(NamedTuple):  # a tuple is made in half the time of a frozen dataclass
    """Conditions (all must hold), an order and limits. Each method returns a new builder.

        query().equals("symbol", "AAPL").at_least("created_at", yesterday).order_by("-created_at").limit(20)

    Columns go by the names that the record gives them. In every condition the value None means "not asked for" and
    adds nothing; to look for NULL, say `is_null`.
    """

    conditions: tuple[Condition, ...] = ()
    order: tuple[str, ...] = ()
    row_limit: int | None = None
    row_offset: int | None = None

    def where(self, column: str, operator: Operator, value: Any) -> QueryBuilder:
        """Adds a condition. Raises InvalidDataError for blank text, which is never what was meant."""
        if value is None:
            return self
        if isinstance(value, str) and not value.strip():
            raise InvalidDataError(f"{column}: a filter can't be blank text; leave it out instead", columns=(column,))
        conditions = (*self.conditions, Condition(column, operator, value))
        return QueryBuilder(conditions, self.order, self.row_limit, self.row_offset)

    def equals(self, column: str, value: Any) -> QueryBuilder:
        """The column has the value."""
        return self.where(column, "=", value)

    def exactly(self, column: str, value: Any) -> QueryBuilder:
        """The column has the value, which can't be left out: None, no row has."""
        return self.one_of(column, ()) if value is None else self.equals(column, value)

    def differs(self, column: str, value: Any) -> QueryBuilder:
        """The column has another value (NULL is none)."""
        return self.where(column, "!=", value)

    def at_least(self, column: str, value: Any) -> QueryBuilder:
        """The column is `value` or more; a `date` means its first moment in UTC."""
        return self.where(column, ">=", first_moment(value))

    def at_most(self, column: str, value: Any) -> QueryBuilder:
        """The column is `value` or less; a `date` includes its whole day in UTC."""
        return self.where(column, "<=", _last_moment(value))

    def as_of(self, column: str, value: Any) -> QueryBuilder:
        """The column is `value` or less; a `date` means its first moment in UTC, before anything of that day."""
        return self.where(column, "<=", first_moment(value))

    def above(self, column: str, value: Any) -> QueryBuilder:
        """The column is more than `value`; a `date` means its last moment in UTC."""
        return self.where(column, ">", _last_moment(value))

    def above_or_null(self, column: str, value: Any) -> QueryBuilder:
        """The column is more than `value`, or NULL: an end that lies ahead, or none. A `date` means its last moment."""
        return self.where(column, "null or >", _last_moment(value))

    def below(self, column: str, value: Any) -> QueryBuilder:
        """The column is less than `value`; a `date` means its first moment in UTC."""
        return self.where(column, "<", first_moment(value))

    def on_day(self, column: str, day: date) -> QueryBuilder:
        """The column lies within a day in UTC. Raises InvalidDataError for anything but a `date`, a datetime too."""
        if not _is_plain_date(day):
            raise InvalidDataError(f"{column}: needs a date, got {type(day).__name__}", columns=(column,))
        return self.at_least(column, day).at_most(column, day)

    def one_of(self, column: str, values: Iterable[Any] | None) -> QueryBuilder:
        """The column has one of the values; of none, no row has."""
        return self.where(column, "in", _listed(column, values))

    def none_of(self, column: str, values: Iterable[Any] | None) -> QueryBuilder:
        """The column has none of the values."""
        return self.where(column, "not in", _listed(column, values))

    def has(self, column: str, *elements: Any) -> QueryBuilder:
        """The column is a JSON array with one of the elements, texts or whole numbers; with none of none."""
        for element in elements:
            if not isinstance(element, str | int) or isinstance(element, bool):
                raise InvalidDataError(
                    f"{column}: elements are texts or whole numbers, got {type(element).__name__}", columns=(column,)
                )
        return self.where(column, "has", elements)

    def is_null(self, column: str, is_null: bool = True) -> QueryBuilder:
        """The column is NULL, or is not."""
        return self.where(column, "null" if is_null else "not null", True)

    def contains(self, text: str, *columns: str) -> QueryBuilder:
        """The text stands, in any case (SQLite: of ASCII letters), in one of the columns; % and _ are just letters."""
        if not isinstance(text, str) or not columns:
            raise InvalidDataError("contains needs a text, and the columns to look for it in")
        return self.where(" ".join(columns), "contains", text)

    def order_by(self, *columns: str) -> QueryBuilder:
        """Ascending; descending with a minus before the name. The primary key always decides ties."""
        return QueryBuilder(self.conditions, columns, self.row_limit, self.row_offset)

    def limit(self, limit: int | None) -> QueryBuilder:
        """At most so many rows, 1 to 10,000."""
        return self._replace(row_limit=None if limit is None else checked_limit(limit))

    def offset(self, offset: int) -> QueryBuilder:
        """Leaves out the first rows."""
        return self._replace(row_offset=checked_offset(offset))


def query() -> QueryBuilder:
    """An empty query: all rows."""
    return QueryBuilder()


def _is_plain_date(value: Any) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def first_moment(value: Any) -> Any:
    """A `date` as its first moment in UTC; anything else as it is."""
    return datetime.combine(value, time_of_day.min, UTC) if _is_plain_date(value) else value


def _last_moment(value: Any) -> Any:
    return datetime.combine(value, time_of_day.max, UTC) if _is_plain_date(value) else value


def _listed(column: str, values: Iterable[Any] | None) -> tuple[Any, ...] | None:
    """The values less None, which means "not asked for" here too."""
    if values is None:
        return None
    if isinstance(values, str):
        raise InvalidDataError(f"{column}: needs several values, got one text", columns=(column,))
    return tuple(value for value in values if value is not None)


def checked_limit(limit: int, name: str = "limit") -> int:
    """The limit, if it is a whole number from 1 to 10,000; else raises InvalidDataError."""
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
        raise InvalidDataError(f"{name} is a whole number from 1 to {MAX_LIMIT:,}, got {limit!r}")
    return limit


def checked_offset(offset: int) -> int:
    """The offset, if it is a whole number from 0; else raises InvalidDataError."""
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < 2**63:
        raise InvalidDataError(f"offset is a whole number from 0, got {offset!r}")
    return offset


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some of the rows that match, and how many match in all."""

    data: list[R]
    total: int
    limit: int
    offset: int

    @property
    def page(self) -> int:
        """The page's number, from 1."""
        return self.offset // self.limit + 1

    @property
    def page_size(self) -> int:
        """Rows a page holds at most."""
        return self.limit

    @property
    def total_pages(self) -> int:
        """Pages in all; 0 when nothing matches."""
        return -(-self.total // self.limit)

    @property
    def has_next(self) -> bool:
        """Whether rows follow this page."""
        return self.offset + self.limit < self.total

    @property
    def has_prev(self) -> bool:
        """Whether rows precede this page."""
        return self.offset > 0


@dataclass(frozen=True, slots=True)
class KeysetPage(Generic[R]):
    """Rows after a position. Page 10,000 costs what page 1 costs."""

    data: list[R]
    next_cursor: str | None
    """Where the next page begins, for `after`; None at the end. Opaque, safe in a URL."""


def _as_it_is(value: Any) -> Any:
    return value


_FROM_JSON: Final[dict[type, Callable[[Any], Any]]] = {datetime: datetime.fromisoformat, Decimal: Decimal, int: int}
"""How to read what columns of these types are encoded as; others are read as text, or as it is."""


def encode_cursor(order: Sequence[str], values: Sequence[Any]) -> str:
    """A position in an ordered list as text."""
    return base64.urlsafe_b64encode(json.dumps([list(order), list(values)]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, order: Sequence[str], types: Sequence[type]) -> list[Any]:
    """The position's values, of the columns' types; raises InvalidDataError when the text is none, or of another order.

    A cursor comes from outside, like any other argument.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        cursor_order, values = json.loads(base64.urlsafe_b64decode(padded.encode()))
        if cursor_order == list(order) and None not in values:
            return [_FROM_JSON.get(kind, _as_it_is)(value) for kind, value in zip(types, values, strict=True)]
    except (ArithmeticError, LookupError, TypeError, ValueError):
        pass
    raise InvalidDataError(f"the cursor is not one of a list ordered by {', '.join(order)}; start without a cursor")
