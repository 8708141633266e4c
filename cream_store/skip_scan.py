"""What a column's different values lead to, by an index that begins with it: a look-up for each, whatever the rows."""

from __future__ import annotations

from collections.abc import Sequence

import peewee
from peewee import fn

from cream_store.fields import Column, ForeignKey


def distinct_values(column: Column | ForeignKey) -> peewee.CTE:
    """A recursive query for `with_cte`, whose column `value` has each of the column's values once, then one NULL."""
    row = column.model
    following = row.alias()
    same = getattr(following, column.name)
    first = row.select(fn.MIN(column).alias("value")).cte("distinct_values", recursive=True, columns=("value",))
    higher = following.select(fn.MIN(same)).where(same > first.c.value)
    values: peewee.CTE = first.union_all(peewee.Select([first], [higher]).where(first.c.value.is_null(False)))
    return values


def first_of_each(
    column: Column | ForeignKey, conditions: Sequence[peewee.Node], order: Sequence[peewee.Node]
) -> peewee.Select:
    """A subquery with the keys of the rows that come first, in an order, among those with each of the column's values.

    It gives NULL for a value whose rows don't meet the conditions.
    """
    values = distinct_values(column)
    key = column.model._meta.primary_key
    first = column.model.select(key).where(column == values.c.value, *conditions).order_by(*order).limit(1)
    keys: peewee.Select = values.select_from(first).where(values.c.value.is_null(False))
    return keys
