"""What all column types share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Final, NoReturn

import peewee
from peewee import SQL

from cream_store.errors import InvalidDataError
from cream_store.url import Kind

Decoder = Callable[[Any], Any]

_MISSING: Final = object()


class Column(peewee.Field):
    """Base of all column types.

    `server_default` is written into the table for other programs; our own records carry their defaults themselves.
    `null_as` is what a stored NULL reads as, for columns that may be NULL although the value never is missing.
    """

    python_type: ClassVar[type]

    def __init__(self, *, server_default: Any = _MISSING, null_as: Any = None, **options: Any) -> None:
        self.server_default = server_default
        self.null_as = null_as
        constraints = list(options.pop("constraints", None) or ())
        if server_default is not _MISSING:
            constraints.append(self._default_clause(server_default))
        super().__init__(constraints=constraints or None, **options)

    def _default_clause(self, value: Any) -> peewee.Node:
        return SQL(f"DEFAULT {text_literal(str(value))}")

    @property
    def record_name(self) -> str:
        """What records call the column."""
        name: str = self.name
        return name

    @property
    def value_type(self) -> type:
        """The Python type of the column's values."""
        return self.python_type

    def sample(self, number: int) -> Any:
        """A value for tests that the column can hold: another one for each number, if there are so many."""
        return self.value_type()

    def as_column(self) -> Column:
        """The column itself; of a foreign key, what the referenced column would be in its place."""
        return self

    def encode(self, value: Any) -> Any:
        """What both drivers are given for a value that is not None. Raises InvalidDataError for an impossible one."""
        raise NotImplementedError

    def encoder(self, kind: Kind) -> Callable[[Any], Any]:
        """`encode`, for statements that are compiled for one kind of database."""
        return self.encode

    @property
    def compared(self) -> Column:
        """What encodes the values that conditions compare the column with: they need not be storable."""
        return self

    def sort_key(self, value: peewee.ColumnBase) -> peewee.ColumnBase:
        """What the column's values are sorted by: the column, or another node that stands for such a value."""
        return value

    def decoder(self, kind: Kind) -> Decoder | None:
        """Turns the driver's value (NULL included) into ours; None when the driver's value is ours already."""
        decode = self._decoder(kind)
        if self.null_as is None:
            if decode is None or not self.null:
                return decode
            required: Decoder = decode
            return lambda value: None if value is None else required(value)
        null_as = self.null_as
        make_null: Callable[[], Any] = null_as if callable(null_as) else lambda: null_as
        if decode is None:
            return lambda value: make_null() if value is None else value
        present: Decoder = decode
        return lambda value: make_null() if value is None else present(value)

    def _decoder(self, kind: Kind) -> Decoder | None:
        return None

    def refuse(self, reason: str) -> NoReturn:
        """Raises the InvalidDataError that names the column."""
        table = self.model._meta.table_name
        raise InvalidDataError(f"{table}.{self.column_name}: {reason}", table=table, columns=(self.column_name,))

    # Peewee's own queries go through the same rules.

    def db_value(self, value: Any) -> Any:
        return None if value is None else self.encode(value)

    def python_value(self, value: Any) -> Any:
        decode = self._peewee_decoders["sqlite" if isinstance(value, str | int | float) else "postgresql"]
        return value if decode is None else decode(value)

    @cached_property
    def _peewee_decoders(self) -> dict[Kind, Decoder | None]:
        return {"sqlite": self.decoder("sqlite"), "postgresql": self.decoder("postgresql")}


def is_sqlite(context: Any) -> bool:
    """Whether SQL is being written for SQLite (its placeholder differs from PostgreSQL's)."""
    return bool((context.state.param or "?") == "?")


class ByKind(SQL):
    """A piece of SQL that is spelled differently on the two databases."""

    def __init__(self, postgresql: str, sqlite: str) -> None:
        super().__init__(postgresql)
        self._postgresql = postgresql
        self._sqlite = sqlite

    def __sql__(self, context: Any) -> Any:
        return context.literal(self._sqlite if is_sqlite(context) else self._postgresql)


def text_literal(text: str) -> str:
    """The text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
