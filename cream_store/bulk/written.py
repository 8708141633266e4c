"""What came of a bulk write."""

from __future__ import annotations

from typing import Self


class Written(int):
    """How many records were given, as an int, and what became of them.

    `inserted` is how many rows are new, `updated` how many stored ones were written over. Together they are fewer than
    were given when several records meant the same row, of which the last one counts.
    """

    inserted: int
    updated: int

    def __new__(cls, given: int, inserted: int = 0, updated: int = 0) -> Self:
        written = super().__new__(cls, given)
        written.inserted, written.updated = inserted, updated
        return written

    def __repr__(self) -> str:
        return f"Written({int(self)}, inserted={self.inserted}, updated={self.updated})"

    __str__ = int.__repr__
