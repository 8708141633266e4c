"""Profits of trades."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any, Final

from cream_plugins.thesis.theses import ThesisRow
from cream_store import InvalidDataError


def profit_in_percent(
    realized_pnl: Decimal | None, entry_price: Decimal | None, quantity: Decimal | None
) -> Decimal | None:
    """A profit's part of what the position cost; None when that is unknown, or has no place in the column."""
    units = Decimal(1) if quantity is None else _number("quantity", quantity)
    if units <= 0:
        raise InvalidDataError(f"quantity is more than 0, of a short position too; got {quantity}")
    if realized_pnl is None or entry_price is None:
        return None
    with localcontext(_EXACTLY_ENOUGH):
        percent = 100 * Decimal(ThesisRow.realized_pnl.encode(realized_pnl)) / (entry_price * units)
    return ThesisRow.realized_pnl_pct.rounded(percent)


_EXACTLY_ENOUGH: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def profit_per_unit(entry_price: Decimal | None, current_price: Decimal | None) -> Decimal | None:
    """What a unit of a long position has gained; None when a price is unknown."""
    if entry_price is None or current_price is None:
        return None
    return _number("current_price", current_price) - entry_price


def _number(name: str, value: Any) -> Decimal:
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or not Decimal(value).is_finite():
        raise InvalidDataError(f"{name} is a finite Decimal, got {value!r}")
    return Decimal(value)
