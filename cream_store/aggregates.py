"""Sums that are exact on both databases, extremes that are the column's own values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import peewee

from cream_store.fields import Column, Decoder, NumericField, is_sqlite
from cream_store.url import Kind


class ExactSum(peewee.ColumnBase):
    """The sum of a numeric column, as a Decimal; None over no values.

    SQLite adds floats; there the sum is taken over whole numbers of the column's smallest step. `only`: the condition
    for a value to be added, if there is one.
    """

    def __init__(self, column: NumericField, *, only: peewee.Node | None = None) -> None:
        self.column = column
        self.only = only

    def __sql__(self, context: Any) -> Any:
        if is_sqlite(context):
            steps = 10**self.column.scale
            context.literal("SUM(CAST(ROUND(").sql(self.column).literal(f" * {steps}) AS INTEGER))")
        else:
            context.sql(peewee.fn.SUM(self.column))
        return context if self.only is None else context.literal(" FILTER (WHERE ").sql(self.only).literal(")")

    def decoder(self, kind: Kind) -> Decoder | None:
        """Turns the driver's value into the sum; None when it is that already."""
        if kind == "postgresql":
            return None
        scale = self.column.scale
        return lambda value: None if value is None else Decimal(value).scaleb(-scale)


class Extreme(peewee.ColumnBase):
    """The least or greatest value of a column, as the column's own; None over no values."""

    def __init__(self, function: Literal["MIN", "MAX"], column: Column) -> None:
        self.function = function
        self.column = column

    def __sql__(self, context: Any) -> Any:
        return context.literal(f"{self.function}(").sql(self.column).literal(")")

    def decoder(self, kind: Kind) -> Decoder | None:
        """Turns the driver's value into the column's; None when it is that already."""
        decode = self.column.decoder(kind)
        return None if decode is None else lambda value: None if value is None else decode(value)


def ratio(part: Decimal | int | None, whole: Decimal | int) -> Decimal | None:
    """part / whole, unrounded; None when there is no part or the whole is nothing."""
    return None if part is None or not whole else Decimal(part) / Decimal(whole)


def percentage(part: int, whole: int) -> Decimal:
    """100 part / whole, unrounded; 0 of nothing."""
    return Decimal(100 * part) / Decimal(whole) if whole else Decimal(0)
