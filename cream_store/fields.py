"""Column types: which values a column holds, and the one place where PostgreSQL and SQLite differ in values.

Every type turns a value into the text (or number, or boolean) that both databases accept, and refuses, with an
InvalidDataError that names table and column, what the column can't hold exactly. Nothing is rounded, cut or guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Context as DecimalContext
from decimal import Decimal, Inexact, InvalidOperation
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Final, NoReturn
from uuid import UUID

import peewee
from peewee import SQL

from cream_store.environment import Environment
from cream_store.errors import InvalidDataError
from cream_store.secret import Secret
from cream_store.url import Kind

Decoder = Callable[[Any], Any]

_MISSING: Final = object()
_SQLITE_EXACT_DIGITS = 15
_DEEPEST_JSON = 200
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_read_json = json.JSONDecoder().decode
_write_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def is_sqlite(context: Any) -> bool:
    """Whether SQL is being written for SQLite (its placeholder differs from PostgreSQL's)."""
    return bool((context.state.param or "?") == "?")


class _ByKind(SQL):
    """A piece of SQL that is spelled differently on the two databases."""

    def __init__(self, postgresql: str, sqlite: str) -> None:
        super().__init__(postgresql)
        self._postgresql = postgresql
        self._sqlite = sqlite

    def __sql__(self, context: Any) -> Any:
        return context.literal(self._sqlite if is_sqlite(context) else self._postgresql)


_NOW = _ByKind("DEFAULT now()", "DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))")

# A version 7 UUID (RFC 9562): 48 bits of milliseconds, the version, 74 random bits with the variant among them.
_UUIDV7 = _ByKind(
    "DEFAULT uuidv7()",
    "DEFAULT (lower(substr(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), 1, 8) || '-'"
    " || substr(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), 9, 4) || '-7'"
    " || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1)"
    " || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))",
)


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


def text_literal(text: str) -> str:
    """The text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def checked_text(column: Column | ForeignKey, value: str) -> str:
    """The text, if a database can store it. A member of an enum becomes its value, whatever `str` makes of it."""
    if "\x00" in value:
        column.refuse("text with a NUL character can't be stored")
    if not _is_unicode(value):
        column.refuse("text with half of a surrogate pair can't be stored")
    return str.__str__(value)


def _is_unicode(text: str) -> bool:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # which quotes the text, and so must not be the context of another error
            return False
    return True


class TextField(Column):
    """Text of any length."""

    field_type = "TEXT"
    python_type: ClassVar[type] = str

    def encode(self, value: Any) -> str:
        if not isinstance(value, str):
            self.refuse(f"needs text, got {type(value).__name__}")
        return checked_text(self, value)


class SymbolField(TextField):
    """The symbol of an instrument: stored and searched without surrounding space, in upper case; never blank."""

    def encode(self, value: Any) -> str:
        return _symbol(self, super().encode(value))


def _symbol(column: Column, value: Any) -> str:
    if not isinstance(value, str):
        column.refuse(f"a symbol is text, got {type(value).__name__}")
    symbol = value.strip().upper()
    if not symbol:
        column.refuse("a symbol can't be blank")
    return symbol


class SecretField(Column):
    """Text that must not show: a token, a password, a key. A `Secret` in records and all the way to the driver.

    Plain text is accepted. No error quotes the value.
    """

    field_type = "TEXT"
    python_type = Secret

    def encode(self, value: Any) -> Secret:
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str):
            self.refuse(f"needs a Secret, got {type(value).__name__}")
        return Secret(checked_text(self, text))

    def _decoder(self, kind: Kind) -> Decoder | None:
        return Secret


class BooleanField(Column):
    """True or false."""

    field_type = "BOOL"
    python_type = bool

    def _default_clause(self, value: Any) -> peewee.Node:
        return _ByKind(f"DEFAULT {str(value).lower()}", f"DEFAULT {int(value)}")

    def encode(self, value: Any) -> bool:
        if not isinstance(value, bool):
            self.refuse(f"needs True or False, got {type(value).__name__}")
        return value

    def _decoder(self, kind: Kind) -> Decoder | None:
        return bool if kind == "sqlite" else None


class IntegerField(Column):
    """A whole number of 32 bits."""

    field_type = "INT"
    python_type = int
    bits: ClassVar[int] = 32

    def _default_clause(self, value: Any) -> peewee.Node:
        return SQL(f"DEFAULT {int(value)}")

    def encode(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(f"needs a whole number, got {type(value).__name__}")
        limit = 1 << (self.bits - 1)
        if not -limit <= value < limit:
            self.refuse(f"a number outside {-limit} .. {limit - 1} can't be stored")
        return int(value)


class BigIntegerField(IntegerField):
    """A whole number of 64 bits."""

    field_type = "BIGINT"
    bits = 64


class SerialField(IntegerField, peewee.AutoField):
    """A primary key that the database numbers; None in a record until it is stored."""

    field_type = "AUTO"

    def __init__(self, **options: Any) -> None:
        super().__init__(primary_key=True, **options)


class NumericField(Column):
    """An exact number with `precision` digits, `scale` of them after the point. Decimal; int when `scale` is 0.

    SQLite stores numerics with decimals as 8-byte floats, exact to 15 significant digits: values with more are
    refused there.
    """

    field_type = "DECIMAL"

    def __init__(self, precision: int, scale: int, **options: Any) -> None:
        self.precision = precision
        self.scale = scale
        self._step = Decimal(1).scaleb(-scale)
        self._context = DecimalContext(prec=precision, traps=[Inexact, InvalidOperation])
        self._format = f"%.{scale}f"
        super().__init__(**options)

    @property
    def value_type(self) -> type:
        return Decimal if self.scale else int

    def get_modifiers(self) -> list[int]:
        return [self.precision, self.scale]

    def _default_clause(self, value: Any) -> peewee.Node:
        # Whole numbers are quoted, as the programs that share the schema write them: the catalogue keeps the spelling.
        return SQL(f"DEFAULT {value}" if "." in str(value) else f"DEFAULT '{value}'")

    def encode(self, value: Any) -> str:
        return str(self._quantized(value))

    def _quantized(self, value: Any) -> Decimal:
        if isinstance(value, int) and not isinstance(value, bool):
            value = Decimal(value)
        elif not isinstance(value, Decimal):
            self.refuse(f"needs a Decimal, got {type(value).__name__} (floats are not exact)")
        if not value.is_finite():
            self.refuse(f"{value} is not a number that can be stored")
        try:
            return self._context.quantize(value, self._step)
        except Inexact:
            self.refuse(f"{value} has more than {self.scale} decimals; round it to what you mean")
        except InvalidOperation:
            self.refuse(f"{value} has more than {self.precision - self.scale} digits before the point")

    def encoder(self, kind: Kind) -> Callable[[Any], Any]:
        if kind == "postgresql" or self.precision <= _SQLITE_EXACT_DIGITS:
            return super().encoder(kind)

        def encode(value: Any) -> str:
            number = self._quantized(value)
            if not self._is_exact_on_sqlite(number):
                self.refuse(f"{value} has more digits than SQLite can store exactly")
            return str(number)

        return encode

    def _is_exact_on_sqlite(self, number: Decimal) -> bool:
        if not self.scale:
            return abs(number) < 1 << 63  # an integer there, not a float
        # The column's own context: the caller's may be too narrow for the number.
        return len(self._context.normalize(number).as_tuple().digits) <= _SQLITE_EXACT_DIGITS

    def _decoder(self, kind: Kind) -> Decoder | None:
        if self.scale == 0:
            return int
        if kind == "postgresql":
            return None
        if self.precision <= _SQLITE_EXACT_DIGITS:
            style = self._format
            return lambda value: Decimal(style % value)
        # Digits after the 15th are the float's, not the number's.
        style, step, context = f"%.{_SQLITE_EXACT_DIGITS}g", self._step, self._context
        return lambda value: Decimal(value if isinstance(value, int) else style % value).quantize(step, context=context)


class UUIDField(Column):
    """A UUID. Text that spells one is accepted."""

    field_type = "UUID"
    python_type = UUID

    def encode(self, value: Any) -> str:
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, str):
            try:
                return str(UUID(value))
            except ValueError:
                self.refuse("not a UUID")
        return self.refuse(f"needs a UUID, got {type(value).__name__}")

    def _decoder(self, kind: Kind) -> Decoder | None:
        return UUID if kind == "sqlite" else None  # Peewee has psycopg2 make UUIDs


class UUIDv7Field(UUIDField):
    """A UUID that the database makes, ordered by time (version 7, RFC 9562), when a program supplies none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(constraints=[_UUIDV7], **options)


class TimestampField(Column):
    """A moment: timezone-aware, stored and returned in UTC with microseconds.

    SQLite holds it as text of fixed width, so that the order of text is the order of time.
    """

    field_type = "TIMESTAMPTZ"
    python_type = datetime

    def __init__(self, *, default_now: bool = False, **options: Any) -> None:
        self.default_now = default_now
        super().__init__(constraints=[_NOW] if default_now else None, **options)

    def ddl_datatype(self, context: Any) -> SQL:
        return _ByKind("TIMESTAMPTZ", "TEXT")

    def encode(self, value: Any) -> str:
        if not isinstance(value, datetime):
            self.refuse(f"needs a datetime, got {type(value).__name__}")
        if value.utcoffset() is None:
            self.refuse("needs a timezone-aware datetime, got a naive one; add tzinfo=UTC if it is UTC")
        try:
            utc = value.astimezone(UTC)
        except OverflowError:
            self.refuse(f"{value} is outside the years 1 to 9999")
        return utc.isoformat("T", "microseconds")[:-6] + "Z"

    def _decoder(self, kind: Kind) -> Decoder | None:
        return datetime.fromisoformat if kind == "sqlite" else None


class _DayOrMomentField(TimestampField):
    """A moment, for which a `date` stands as its first one in UTC."""

    def encode(self, value: Any) -> str:
        is_date = isinstance(value, date) and not isinstance(value, datetime)
        return super().encode(datetime.combine(value, time.min, UTC) if is_date else value)


class DayField(_DayOrMomentField):
    """A calendar day: stored and returned as its first moment in UTC. A `date` is accepted.

    Another time of day is refused: a key would hold it for another day.
    """

    def encode(self, value: Any) -> str:
        moment = super().encode(value)
        if not moment.endswith("T00:00:00.000000Z"):
            self.refuse(f"needs a day, or its first moment in UTC; got {value}")
        return moment

    @property
    def compared(self) -> Column:
        bound = _DayOrMomentField()
        bound.model, bound.column_name = self.model, self.column_name
        return bound


class TimestampTextField(TimestampField):
    """A moment in a text column: ISO 8601 in UTC with microseconds and a Z, so that text sorts by time.

    What other programs wrote with another offset or precision reads as the moment it means.
    """

    field_type = "TEXT"

    def ddl_datatype(self, context: Any) -> SQL:
        return SQL("TEXT")

    def _decoder(self, kind: Kind) -> Decoder | None:
        return _moment_in_text


def _moment_in_text(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset from UTC")
    return moment.astimezone(UTC)


class ChoiceField(TextField):
    """Text whose values a StrEnum declares, although the database does not check them.

    An undeclared value is refused on write; one that is stored already reads as plain text.
    """

    def __init__(self, enum: type[StrEnum], **options: Any) -> None:
        self.enum = enum
        self._texts = {member: member.value for member in enum}
        super().__init__(**options)

    @property
    def value_type(self) -> type:
        return self.enum

    def encode(self, value: Any) -> str:
        try:
            return self._texts[value]  # a member and its text are equal
        except (KeyError, TypeError):
            self.refuse(f"{value!r} is not one of {', '.join(self.enum)}")

    def _decoder(self, kind: Kind) -> Decoder | None:
        by_value: dict[str, str] = {member.value: member for member in self.enum}
        return lambda text: by_value.get(text, text)


class EnumField(Column):
    """One value of a StrEnum: an enum type of the same values on PostgreSQL, checked text on SQLite.

    The type's name is the class's name in snake case, unless `type_name` says otherwise.
    """

    field_type = "TEXT"

    def __init__(self, enum: type[StrEnum], *, type_name: str | None = None, **options: Any) -> None:
        self.enum = enum
        self.type_name = type_name or re.sub(r"(?<!^)(?=[A-Z])", "_", enum.__name__).lower()
        self._texts = {member: member.value for member in self.members}
        super().__init__(**options)

    @property
    def value_type(self) -> type:
        return self.enum

    @property
    def members(self) -> tuple[StrEnum, ...]:
        """The members that can be stored, in the database type's order."""
        return tuple(self.enum)

    def ddl_datatype(self, context: Any) -> SQL:
        return _ByKind(f'"{self.type_name}"', "TEXT")

    def ddl(self, context: Any) -> peewee.NodeList:
        definition = super().ddl(context)
        if not is_sqlite(context):
            return definition
        values = ", ".join(text_literal(member) for member in self.members)
        return peewee.NodeList((definition, SQL(f'CHECK ("{self.column_name}" IN ({values}))')))

    def sort_key(self, value: peewee.ColumnBase) -> peewee.ColumnBase:
        return _DeclaredOrder(self, value)

    def encode(self, value: Any) -> str:
        try:
            return self._texts[value]  # a member and its text are equal
        except (KeyError, TypeError):
            self.refuse(f"{value!r} is not one of {', '.join(self.members)}")

    def decoder(self, kind: Kind) -> Decoder | None:
        by_value: dict[str | None, StrEnum | None] = {member.value: member for member in self.members}
        if self.null:
            by_value[None] = self.null_as
        return by_value.__getitem__


class _DeclaredOrder(peewee.ColumnBase):
    """What an enum's value is sorted by: PostgreSQL's enum types have an order, SQLite's texts are numbered."""

    def __init__(self, column: EnumField, value: peewee.ColumnBase) -> None:
        self._column = column
        self._value = value

    def __sql__(self, context: Any) -> Any:
        if not is_sqlite(context):
            return context.sql(self._value)
        context.literal("CASE ").sql(self._value)
        for place, member in enumerate(self._column.members):
            context.literal(f" WHEN {text_literal(member)} THEN {place}")
        return context.literal(" END")


class EnvironmentField(EnumField):
    """The environment that a row belongs to: PAPER or LIVE."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Environment, **options)

    @property
    def members(self) -> tuple[StrEnum, ...]:
        return (Environment.PAPER, Environment.LIVE)


class JSONField(Column):
    """A JSON document: dicts with text keys, lists, text, numbers, booleans, None; at most 200 levels deep.

    `of` is the type of the whole document (dict or list); a stored NULL then reads as an empty one, unless it is told
    apart with `null_as=None`.
    """

    field_type = "JSON"

    def __init__(self, of: type[dict[str, Any]] | type[list[Any]] = dict, **options: Any) -> None:
        self.of = of
        super().__init__(**{"null_as": of, **options})

    @property
    def value_type(self) -> type:
        return self.of

    def _default_clause(self, value: Any) -> peewee.Node:
        literal = text_literal(json.dumps(value))
        return _ByKind(f"DEFAULT {literal}::jsonb", f"DEFAULT {literal}")

    def encode(self, value: Any) -> str:
        if not isinstance(value, self.of):
            self.refuse(f"needs a {self.of.__name__}, got {type(value).__name__}")
        try:
            text = _write_json(self._storable(value, 1))
        except ValueError as error:
            self.refuse(f"not storable as JSON: {error}")
        if "\\u0000" in text and _ESCAPED_NUL.search(text):
            self.refuse("text with a NUL character can't be stored")
        return checked_text(self, text)

    def _storable(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, str | int):  # True and False are ints
            return value
        if isinstance(value, float):
            return self._storable_float(value)
        if not isinstance(value, dict | list):
            return self.refuse(f"{type(value).__name__} has no place in JSON")
        if depth > _DEEPEST_JSON:
            self.refuse(f"JSON deeper than {_DEEPEST_JSON} levels can't be stored")
        if isinstance(value, list):
            return [self._storable(item, depth + 1) for item in value]
        for key in value:
            if not isinstance(key, str):
                self.refuse(f"JSON keys are text, got {type(key).__name__}")
        return {key: self._storable(item, depth + 1) for key, item in value.items()}

    def _storable_float(self, value: float) -> float | int:
        if not math.isfinite(value):
            self.refuse(f"{value} has no place in JSON")
        # jsonb writes large floats without an exponent, and such text reads back as the int of those digits, which
        # is not always the float's exact value: its exact value is stored instead.
        return int(value) if abs(value) >= 1e16 else value

    def _decoder(self, kind: Kind) -> Decoder | None:
        return _read_json if kind == "sqlite" else None

    def python_value(self, value: Any) -> Any:
        if isinstance(value, str):
            value = _read_json(value)
        return self.of() if value is None and self.null_as is not None else value


class SymbolsField(JSONField):
    """A JSON list of symbols, each spelt as a `SymbolField` spells it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(list, **options)

    def encode(self, value: Any) -> str:
        return super().encode([_symbol(self, item) for item in value] if isinstance(value, list) else value)


class ForeignKey(peewee.ForeignKeyField):
    """A reference to another table's row, named as every program that shares the schema names it."""

    def __init__(self, to: type[peewee.Model], **options: Any) -> None:
        super().__init__(to, index=False, backref="+", **options)

    def bind(self, model: type[peewee.Model], name: str, set_attribute: bool = True) -> None:
        super().bind(model, name, set_attribute)
        target = self.rel_model._meta.table_name
        self.constraint_name = f"{model._meta.table_name}_{self.column_name}_{target}_{self.rel_field.column_name}_fk"

    @property
    def record_name(self) -> str:
        """What records call the column: the key of the referenced row, not the row itself."""
        name: str = self.object_id_name
        return name

    @property
    def value_type(self) -> type:
        """The Python type of the column's values."""
        value_type: type = self.rel_field.value_type
        return value_type

    @property
    def compared(self) -> ForeignKey:
        """What encodes the values that conditions compare the column with."""
        return self

    def sort_key(self, value: peewee.ColumnBase) -> peewee.ColumnBase:
        """What the column's values are sorted by: those of the referenced one."""
        return self._own().sort_key(value)

    def encode(self, value: Any) -> Any:
        return self._own().encode(value)

    def encoder(self, kind: Kind) -> Callable[[Any], Any]:
        return self._own().encoder(kind)

    def decoder(self, kind: Kind) -> Decoder | None:
        return self._own().decoder(kind)

    def refuse(self, reason: str) -> NoReturn:
        """Raises the InvalidDataError that names the column."""
        self._own().refuse(reason)

    def _own(self) -> Column:
        """A column of the referenced type that belongs to this table, so that errors name the right one."""
        column: Column = self.rel_field.clone()
        column.model, column.column_name, column.null = self.model, self.column_name, self.null
        return column
