"""Which rows a page's address asks for. What the address says comes from outside, so all of it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final, Self

from cream_store.errors import InvalidDataError
from cream_store.fields import EnumField, TextField
from cream_store.queries import QueryBuilder, query
from cream_store.row import StoredColumn
from cream_store.studio.catalogue import Table, holds_json, own
from cream_store.studio.values import parse_compared

PAGE_SIZES: Final = (25, 50, 100, 200)
DEFAULT_PAGE_SIZE: Final = 50
MOST_FILTERS: Final = 20

Comparison = Callable[[QueryBuilder, str, Any], QueryBuilder]


def _is(builder: QueryBuilder, column: str, value: Any) -> QueryBuilder:
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return builder.on_day(column, value) if is_day else builder.equals(column, value)


COMPARISONS: Final[Mapping[str, Comparison]] = {
    "is": _is,
    "is-not": QueryBuilder.differs,
    "contains": lambda builder, column, value: builder.contains(value, column),
    "at-least": QueryBuilder.at_least,
    "at-most": QueryBuilder.at_most,
    "above": QueryBuilder.above,
    "below": QueryBuilder.below,
}
"""What compares a column with a value."""
STATES: Final[Mapping[str, bool]] = {"is-empty": True, "is-not-empty": False}
"""What needs no value: whether the column is NULL."""
OPERATORS: Final = (*COMPARISONS, *STATES)


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a column."""

    column: str
    operator: str
    text: str = ""

    @classmethod
    def parse(cls, table: Table, written: str) -> Self:
        """Reads "column operator text". Raises InvalidDataError for one that makes no sense."""
        column, _, rest = written.partition(" ")
        operator, _, text = rest.partition(" ")
        parsed = cls(column, operator, text.strip())
        parsed.narrow(table, query())
        return parsed

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.text}".rstrip()

    @property
    def words(self) -> str:
        """The condition as one reads it."""
        return f"{self.column} {self.operator.replace('-', ' ')} {self.text}".rstrip()

    def narrow(self, table: Table, builder: QueryBuilder) -> QueryBuilder:
        """The query with this condition too."""
        column = table.column(self.column)
        if self.operator not in operators_for(column):
            raise InvalidDataError(f"{table.name}.{self.column} can't be filtered by {self.operator!r}")
        if self.operator in STATES:
            return builder.is_null(self.column, STATES[self.operator])
        if self.operator == "contains":
            return builder.contains(self.text, self.column)
        value = parse_compared(column, self.text)
        if not isinstance(value, date):
            column.compared.encode(value)
        return COMPARISONS[self.operator](builder, self.column, value)


def operators_for(column: StoredColumn) -> tuple[str, ...]:
    """The operators that make sense for a column."""
    if holds_json(column):
        return tuple(STATES)
    holds_text = isinstance(own(column), TextField | EnumField)
    return tuple(operator for operator in OPERATORS if holds_text or operator != "contains")


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a table: filtered, sorted, and from a position on."""

    filters: tuple[Filter, ...] = ()
    search: str = ""
    inside: bool = False
    """The search looks inside texts at once, not only for rows where an indexed column is what was searched."""
    sort: str | None = None
    """The column, with a minus for descending; the table's own order when there is none."""
    after: str | None = None
    before: str | None = None
    """Cursors: the rows behind the one, or in front of the other."""
    size: int = DEFAULT_PAGE_SIZE

    @classmethod
    def parse(cls, table: Table, arguments: Mapping[str, str], filters: list[str]) -> Self:
        """Reads an address's parameters. Raises InvalidDataError for any that makes no sense."""
        if len(filters) > MOST_FILTERS:
            raise InvalidDataError(f"at most {MOST_FILTERS} filters at once")
        sort = arguments.get("sort") or None
        if sort is not None and sort.removeprefix("-") not in table.sortable:
            raise InvalidDataError(f"{table.name} can't be sorted by {sort.removeprefix('-')!r}")
        size = arguments.get("size") or str(DEFAULT_PAGE_SIZE)
        if size not in map(str, PAGE_SIZES):
            raise InvalidDataError(f"a page has {', '.join(map(str, PAGE_SIZES))} rows, not {size[:20]!r}")
        return cls(
            filters=tuple(dict.fromkeys(Filter.parse(table, written) for written in filters)),
            search=arguments.get("search", "").strip(),
            inside=bool(arguments.get("inside")),
            sort=sort,
            after=arguments.get("after") or None,
            before=arguments.get("before") or None,
            size=int(size),
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The address's parameters, for `url_for`, without those that say nothing."""
        given = {
            "where": [str(one) for one in self.filters],
            "search": self.search,
            "inside": "1" if self.inside and self.search else "",
            "sort": self.sort,
            "size": "" if self.size == DEFAULT_PAGE_SIZE else self.size,
            "after": self.after,
            "before": self.before,
        }
        return {name: value for name, value in given.items() if value}

    def but(self, **changes: Any) -> Selection:
        """The first page of a changed selection, unless the change is the position."""
        return replace(self, **{"after": None, "before": None, **changes})

    def with_filter(self, filter: Filter) -> Selection:
        """The rows that meet one more condition."""
        return self.but(filters=tuple(dict.fromkeys((*self.filters, filter))))

    def without_filter(self, filter: Filter) -> Selection:
        """The rows that need not meet that condition."""
        return self.but(filters=tuple(one for one in self.filters if one != filter))

    def sorted_by(self, column: str) -> Selection:
        """Sorted by a column: ascending, or descending when it is ascending already."""
        return self.but(sort=f"-{column}" if self.sort == column else column)
