"""Columns for numbers within bounds that the database does not check."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cream_store import IntegerField, NumericField


class BoundedNumericField(NumericField):
    """A number from `lowest` to `highest`."""

    def __init__(self, precision: int, scale: int, *, lowest: int, highest: int, **options: Any) -> None:
        self.lowest = lowest
        self.highest = highest
        super().__init__(precision, scale, **options)

    def encode(self, value: Any) -> str:
        text = super().encode(value)
        if not self.lowest <= Decimal(text) <= self.highest:
            self.refuse(f"a number from {self.lowest} to {self.highest} is needed, got {value}")
        return text


class BoundedIntegerField(IntegerField):
    """A whole number from `lowest` to `highest`."""

    def __init__(self, *, lowest: int = 0, highest: int = 2**31 - 1, **options: Any) -> None:
        self.lowest = lowest
        self.highest = highest
        super().__init__(**options)

    def encode(self, value: Any) -> int:
        number = super().encode(value)
        if not self.lowest <= number <= self.highest:
            self.refuse(f"a whole number from {self.lowest} to {self.highest} is needed, got {value}")
        return number
