"""The different values of a column by an index that begins with it: one look-up for each value, whatever the rows."""

from __future__ import annotations

import peewee
from peewee import fn

from cream_store.fields import Column


def distinct_values(column: Column) -> peewee.CTE:
    """A recursive query for `with_cte`, whose column `value` has each of the column's values once, then one NULL."""
    row = column.model
    following = row.alias()
    same = getattr(following, column.name)
    first = row.select(fn.MIN(column).alias("value")).cte("distinct_values", recursive=True, columns=("value",))
    higher = following.select(fn.MIN(same)).where(same > first.c.value)
    values: peewee.CTE = first.union_all(peewee.Select([first], [higher]).where(first.c.value.is_null(False)))
    return values
