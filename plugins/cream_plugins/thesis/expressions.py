"""What the database computes when a thesis changes, or when theses are counted."""

from __future__ import annotations

from typing import Any, Final

import peewee
from peewee import Case, fn

from cream_plugins.thesis.theses import ThesisRow
from cream_store import Param
from cream_store.fields import is_sqlite

ONE_MORE_ADDITION: Final = ThesisRow.add_count + 1

_GIVEN_PEAK: Final = Param("peak_unrealized_pnl", ThesisRow.peak_unrealized_pnl)

HIGHER_PEAK: Final = Case(
    None, [(ThesisRow.peak_unrealized_pnl >= _GIVEN_PEAK, ThesisRow.peak_unrealized_pnl)], _GIVEN_PEAK
)
"""The stored peak or the given one, whichever is higher; the given one, when none is stored."""


class _NotesWithOneMore(peewee.ColumnBase):
    """The stored notes, which are some, with the given one. As the database adds it, the others stay as they are."""

    def __sql__(self, context: Any) -> Any:
        before, after = (_ADDED_ON_SQLITE if is_sqlite(context) else _ADDED_ON_POSTGRESQL).split("{note}")
        return context.literal(before).sql(Param("notes", ThesisRow.notes)).literal(after)


_ADDED_ON_POSTGRESQL: Final = """("notes"::jsonb || {note}::jsonb)::text"""

# A patch with null removes what has the same key. To add the note by a patch too would lose what is null within it,
# and the paths of json_set can't spell every key: it is added as text.
_ADDED_ON_SQLITE: Final = """(
    SELECT substr("others", 1, length("others") - 1) || iif("others" = '{}', '', ',') || substr("note", 2)
    FROM (
        SELECT json_patch("notes", json_object((SELECT "key" FROM json_each("note")), NULL)) AS "others", "note"
        FROM (SELECT {note} AS "note")
    )
)"""

NOTES_WITH_ONE_MORE: Final = _NotesWithOneMore()


class _HeldMicroseconds(peewee.ColumnBase):
    """How long a thesis held its position; NULL unless it was entered and closed."""

    def __sql__(self, context: Any) -> Any:
        entered, closed = ThesisRow.entry_date, ThesisRow.closed_at
        if is_sqlite(context):
            return context.sql(_microseconds(closed) - _microseconds(entered))
        return context.sql((fn.date_part("epoch", closed - entered) * 1_000_000).cast("BIGINT"))


def _microseconds(moment: peewee.Field) -> Any:
    """Since 1970, from a moment as SQLite stores it: its own functions know milliseconds at most."""
    seconds = fn.strftime("%s", fn.substr(moment, 1, 19)).cast("INTEGER")
    return seconds * 1_000_000 + fn.substr(moment, 21, 6).cast("INTEGER")


HELD_MICROSECONDS: Final = _HeldMicroseconds()
