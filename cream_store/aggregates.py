"""Sums that are exact on both databases."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import peewee

from cream_store.fields import NumericField, is_sqlite


class ExactSum(peewee.ColumnBase):
    """The sum of a numeric column, as a Decimal; None over no values.

    SQLite adds floats; there the sum is taken over whole numbers of the column's smallest step.
    """

    def __init__(self, column: NumericField) -> None:
        self.column = column

    def __sql__(self, context: Any) -> Any:
        if not is_sqlite(context):
            return context.sql(peewee.fn.SUM(self.column))
        steps = 10**self.column.scale
        return context.literal("SUM(CAST(ROUND(").sql(self.column).literal(f" * {steps}) AS INTEGER))")

    def decode(self, value: Any) -> Decimal | None:
        """The sum that a driver's value means."""
        if value is None or isinstance(value, Decimal):
            return value
        return Decimal(value).scaleb(-self.column.scale)


def ratio(part: Decimal | int | None, whole: Decimal | int) -> Decimal | None:
    """part / whole, unrounded; None when there is no part or the whole is nothing."""
    return None if part is None or not whole else Decimal(part) / Decimal(whole)


def percentage(part: int, whole: int) -> Decimal:
    """100 part / whole, unrounded; 0 of nothing."""
    return Decimal(100 * part) / Decimal(whole) if whole else Decimal(0)
