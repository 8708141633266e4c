"""Writing many records at once."""

from __future__ import annotations

from cream_store.bulk.given import Columns, Given, Rounded, rounded
from cream_store.bulk.written import Written

__all__ = ["Columns", "Given", "Rounded", "Written", "rounded"]
