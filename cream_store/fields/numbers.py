"""Numbers: whole ones, exact decimal ones, and truth values."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, Inexact, InvalidOperation
from decimal import Context as DecimalContext
from typing import Any, ClassVar, Final

import peewee
from peewee import SQL

from cream_store.fields.column import ByKind, Column, Decoder
from cream_store.url import Kind

_SQLITE_EXACT_DIGITS: Final = 15


class BooleanField(Column):
    """True or false."""

    field_type = "BOOL"
    python_type = bool

    def _default_clause(self, value: Any) -> peewee.Node:
        return ByKind(f"DEFAULT {str(value).lower()}", f"DEFAULT {int(value)}")

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

    def sample(self, number: int) -> int:
        return 1

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
        self._rounding = DecimalContext(prec=precision, traps=[InvalidOperation], rounding=ROUND_HALF_EVEN)
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

    def sample(self, number: int) -> Decimal | int:
        return Decimal(1) if self.scale else 1

    def encode(self, value: Any) -> str:
        return str(self.exact(value))

    def rounded(self, value: Decimal) -> Decimal | None:
        """A finite number, rounded half-even to the column's scale; None when it is too large for the column."""
        try:
            return self._rounding.quantize(value, self._step)
        except InvalidOperation:
            return None

    def exact(self, value: Any) -> Decimal:
        """The number with all decimals of the column. Raises InvalidDataError for one that the column can't hold."""
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

    @property
    def too_large_for_sqlite(self) -> Decimal | None:
        """From which size on SQLite may not hold a number of the column exactly; None where it holds all of them."""
        if self.precision <= _SQLITE_EXACT_DIGITS:
            return None
        # A whole number is an integer there, not a float.
        return Decimal(1).scaleb(_SQLITE_EXACT_DIGITS - self.scale) if self.scale else Decimal(1 << 63)

    def encoder(self, kind: Kind) -> Callable[[Any], Any]:
        if kind == "postgresql" or self.precision <= _SQLITE_EXACT_DIGITS:
            return self.encode

        def encode(value: Any) -> str:
            number = self.exact(value)
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
