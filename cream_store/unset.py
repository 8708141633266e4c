"""The value of a parameter that the caller did not supply, where None means something of its own."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Unset(Enum):
    """The type of `UNSET`: an enum, so that type checkers know what is left once `UNSET` is ruled out."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Not supplied: the column stays as it is. None, in contrast, writes NULL.

    def update_status(self, id: Key, status: OrderStatus, broker_order_id: str | Unset | None = UNSET) -> Order: ...
"""
