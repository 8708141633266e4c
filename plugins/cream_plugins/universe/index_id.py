"""The indices whose members are known."""

from __future__ import annotations

from enum import StrEnum

from cream_store import ChoiceField, QueryBuilder, Row, TextField, query
from cream_store.fields import Column


class IndexId(StrEnum):
    """An index. (`NASDAQ100` and `DOWJONES` are `NDX100` and `DJIA` in the tables of the plugin config.)"""

    SP500 = "SP500"
    NASDAQ100 = "NASDAQ100"
    DOWJONES = "DOWJONES"
    RUSSELL2000 = "RUSSELL2000"
    RUSSELL3000 = "RUSSELL3000"
    SP400 = "SP400"
    SP600 = "SP600"


class IndexIdField(ChoiceField):
    """An index. An unknown one is refused on write; asked for, it is one without members."""

    def __init__(self) -> None:
        super().__init__(IndexId)

    @property
    def compared(self) -> Column:
        text = TextField()
        text.model, text.column_name = self.model, self.column_name
        return text


def named_index(row: type[Row], index_id: IndexId | str) -> str:
    """The index's id. Raises InvalidDataError for what is none, None among it: it would mean every index."""
    column: IndexIdField = row._meta.fields["index_id"]
    name: str = column.compared.encode(index_id)
    if not name.strip():
        column.refuse("an index can't be blank")
    return name


def of_index(row: type[Row], index_id: IndexId | str) -> QueryBuilder:
    """The rows of one index. Raises InvalidDataError for what is none."""
    return query().equals("index_id", named_index(row, index_id))
