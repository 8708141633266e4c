"""What may occur only once: the columns behind each unique constraint's name, for errors that have to say it.

Tables tell it when they are declared; the drivers' errors are translated without knowing any table.
"""

from __future__ import annotations

from collections.abc import Mapping

_keys: dict[str, dict[str, tuple[str, ...]]] = {}


def declare_unique_keys(table: str, keys: Mapping[str, tuple[str, ...]]) -> None:
    """Tells a table's primary key, unique constraints and unique indexes: their columns, by name."""
    _keys.setdefault(table, {}).update(keys)


def unique_keys(table: str) -> Mapping[str, tuple[str, ...]]:
    """The columns of a table's unique keys, by name; nothing for a table that nobody declared."""
    return _keys.get(table, {})
