"""Access to one table: the statements that repositories are made of.

Plugins use it through `Repository`. Every statement is compiled once per shape (which conditions, which columns) and
kind of database.
"""

from __future__ import annotations

from typing import TypeVar

from cream_store.records import Record
from cream_store.table_access.changing import Changing
from cream_store.table_access.columnar import Columnar
from cream_store.table_access.deleting import Deleting
from cream_store.table_access.inserting import Inserting, chunks
from cream_store.table_access.table import Key, type_arguments

__all__ = ["Key", "TableAccess", "chunks", "type_arguments"]

R = TypeVar("R", bound=Record)


class TableAccess(Changing[R], Deleting[R], Inserting[R], Columnar[R]):
    """The statements over one table, whose rows are records of type `R`."""
