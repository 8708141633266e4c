"""What all access to a table stands on: its columns, compiled statements, decoded rows, and environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args, get_origin
from uuid import UUID

from cream_store.backend import Database
from cream_store.collection import MANY, collection_paused
from cream_store.conditions import can_exist
from cream_store.database import get_db
from cream_store.decoder import RowDecoder, compile_decoder
from cream_store.environment import Environment
from cream_store.errors import ConfigurationError, EnvironmentMismatchError, InvalidDataError, NotFoundError
from cream_store.queries import Condition, QueryBuilder, query
from cream_store.records import Record
from cream_store.row import Row, StoredColumn, columns_of, key_of, table_of
from cream_store.statement import Statement, Values
from cream_store.url import Kind

Key = UUID | str | int

R = TypeVar("R", bound=Record)


_OF_ENVIRONMENT: Final = {environment: Condition("environment", "=", environment) for environment in Environment}


class Table(Generic[R]):
    """A table whose rows are records of type `R`, on a database."""

    row: ClassVar[type[Row]]
    record: type[R]
    moved_on_update: ClassVar[str] = "updated_at"
    """The column that every update sets to now, if the table has it."""
    _columns: ClassVar[dict[str, StoredColumn]]
    _key_name: ClassVar[str]
    _statements: ClassVar[dict[Any, Statement]]
    _decoders: ClassVar[dict[Kind, RowDecoder[Any]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "row" in cls.__dict__:  # else it is a base for other repositories
            (cls.record,) = type_arguments(cls, Table)
            cls._columns = columns_of(cls.row)
            cls._key_name = key_of(cls.row).record_name
            cls._statements, cls._decoders = {}, {}

    def __init__(self, database: Database | None = None) -> None:
        """Works on the given database, or on the current environment's (`get_db()`) at each call."""
        self._database = database

    @property
    def database(self) -> Database:
        """The database that the next call uses."""
        return self._database if self._database is not None else get_db()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database!r})" if self._database else f"{type(self).__name__}()"

    def environment_of(self, environment: Environment | str | None) -> Environment | None:
        """The environment that a read is limited to: the given one, else the database's own; on TEST, all (None)."""
        if environment is not None:
            if not isinstance(environment, str):
                raise InvalidDataError(f"an environment is text, got {type(environment).__name__}")
            try:
                return Environment.parse(environment)
            except ConfigurationError as error:
                raise InvalidDataError(str(error), columns=("environment",)) from None
        own = self.database.environment
        return None if own is Environment.TEST else own

    def one_environment_of(self, environment: Environment | str | None) -> Environment:
        """The one environment that a call is about: the given one, else the database's own.

        Raises InvalidDataError on a TEST database, which has rows of both, when none is given.
        """
        one = self.environment_of(environment)
        if one is None:
            raise InvalidDataError("a TEST database holds rows of PAPER and LIVE: say which", columns=("environment",))
        return one

    def _own(self, builder: QueryBuilder) -> QueryBuilder:
        """The query, limited to rows that the database's environment may write."""
        own = self.database.environment
        if own is Environment.TEST or "environment" not in self._columns:
            return builder
        conditions = (*builder.conditions, _OF_ENVIRONMENT[own])
        return QueryBuilder(conditions, builder.order, builder.row_limit, builder.row_offset)

    def _within(self, environment: Environment | str | None, within: QueryBuilder | None) -> QueryBuilder:
        builder = within or query()
        if "environment" not in self._columns:
            return builder
        return builder.equals("environment", self.environment_of(environment))

    def _guard_environment(self, environment: Environment) -> None:
        """Refuses to write rows of another environment than the database's."""
        own = self.database.environment
        if environment != own and own is not Environment.TEST:
            raise EnvironmentMismatchError(
                f"{table_of(self.row)}: a row of environment {environment} can't be written to the {own} database",
                table=table_of(self.row),
                columns=("environment",),
            )

    def _column(self, name: str) -> StoredColumn:
        column = self._columns.get(name)
        if column is None:
            raise InvalidDataError(f"{table_of(self.row)} has no column {name!r}; it has: {', '.join(self._columns)}")
        return column

    def _by_key(self, id: Key, *further: Condition) -> QueryBuilder:
        return QueryBuilder((Condition(self._key_name, "=", id), *further))

    def _is_by_key(self, builder: QueryBuilder) -> bool:
        """Whether the first condition names the row, as `_by_key` has it."""
        return bool(builder.conditions) and builder.conditions[0][:2] == (self._key_name, "=")

    def _statement(self, key: object, build: Callable[[], Any], *, by_key: bool = False) -> Statement:
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = Statement(build, by_key=by_key)
        return statement

    def _fetch(self, statement: Statement, values: Values) -> list[R]:
        """Executes a statement whose rows are whole rows of the table."""
        return self._decode(statement.fetch_all(self.database, values))

    def _fetch_one(self, id: Key, statement: Statement, values: Mapping[str, Any] | None = None) -> R | None:
        """Executes a statement over the row whose key is the parameter `id`; None when it gives no row."""
        if isinstance(id, str) and not can_exist(key_of(self.row), id):
            return None
        found = self._fetch(statement, {**(values or {}), "id": id})
        return found[0] if found else None

    def _decode(self, rows: Iterable[Sequence[Any]]) -> list[R]:
        kind = self.database.kind
        decode = self._decoders.get(kind)
        if decode is None:
            decode = self._decoders[kind] = compile_decoder(self.record, self._columns, kind)
        if not isinstance(rows, list) or len(rows) < MANY:
            return [decode(row) for row in rows]
        with collection_paused():
            return [decode(row) for row in rows]

    def _raise_not_found(self, id: object) -> Any:
        table = table_of(self.row)
        raise NotFoundError(f"{table}: no row with {key_of(self.row).column_name} {id}", table=table)


def type_arguments(cls: type, generic: type) -> tuple[Any, ...]:
    """What a class gives as the type arguments of a generic base: `Repository[Order, OrderFilters, OrderChanges]`.

    A base in between may fix some of them and leave others to its own subclasses.
    """
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if origin is generic:
            return get_args(base)
        if isinstance(origin, type) and issubclass(origin, generic):
            given = dict(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=True))
            return tuple(given.get(argument, argument) for argument in type_arguments(origin, generic))
    raise TypeError(f"{cls.__name__} needs the type arguments of {generic.__name__}")
