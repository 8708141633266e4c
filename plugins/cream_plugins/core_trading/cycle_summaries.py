"""Summaries of its decisions and orders that a cycle keeps as JSON documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

from cream_plugins.core_trading.decisions import DecisionAction, DecisionDirection, DecisionRow
from cream_plugins.core_trading.orders import OrderRow, OrderSide
from cream_store import InvalidDataError


class OrderSummaryStatus(StrEnum):
    """What became of an order by the end of its cycle."""

    SUBMITTED = "submitted"
    FILLED = "filled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSummary:
    """What a cycle keeps of a decision. Values that another program stored and nobody declares read as plain text."""

    symbol: str
    action: DecisionAction
    direction: DecisionDirection
    confidence: Decimal | None  # 0..1

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The summary that a stored document holds."""
        return cls(
            symbol=document.get("symbol", ""),
            action=_member(DecisionAction, document.get("action")),
            direction=_member(DecisionDirection, document.get("direction")),
            confidence=_decimal(document.get("confidence")),
        )

    def document(self) -> dict[str, Any]:
        """What is stored. Raises InvalidDataError for values that no decision has."""
        return {
            "symbol": DecisionRow.symbol.encode(self.symbol),
            "action": DecisionRow.action.encode(self.action),
            "direction": DecisionRow.direction.encode(self.direction),
            "confidence": _json_number("confidence", self.confidence),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSummary:
    """What a cycle keeps of an order. Values that another program stored and nobody declares read as plain text."""

    order_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal | None
    status: OrderSummaryStatus

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The summary that a stored document holds."""
        return cls(
            order_id=document.get("orderId", ""),
            symbol=document.get("symbol", ""),
            side=_member(OrderSide, document.get("side")),
            quantity=_decimal(document.get("quantity")),
            status=_member(OrderSummaryStatus, document.get("status")),
        )

    def document(self) -> dict[str, Any]:
        """What is stored. Raises InvalidDataError for values that no order has."""
        if self.status not in tuple(OrderSummaryStatus):
            raise InvalidDataError(
                f"status of an order summary: {self.status!r} is not one of {', '.join(OrderSummaryStatus)}"
            )
        return {
            "orderId": str(self.order_id),
            "symbol": OrderRow.symbol.encode(self.symbol),
            "side": OrderRow.side.encode(self.side),
            "quantity": _json_number("quantity", self.quantity),
            "status": str(self.status),
        }


def _member(enum: type[StrEnum], value: Any) -> Any:
    return next((member for member in enum if member == value), value)


def _decimal(value: Any) -> Decimal | None:
    """The decimal number that a JSON number spells; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return Decimal(str(value))


def _json_number(name: str, value: Decimal | None) -> int | float | None:
    """A JSON number of exactly that value. Raises InvalidDataError when there is none."""
    if value is None:
        return None
    if not value.is_finite():
        raise InvalidDataError(f"{name}: {value} has no place in JSON")
    number = int(value) if value == value.to_integral_value() else float(value)
    if _decimal(number) != value:
        raise InvalidDataError(f"{name}: {value} has more digits than a JSON number keeps")
    return number
