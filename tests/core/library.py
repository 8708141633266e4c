"""Two tables with one of everything, for tests of what repositories can do: shelves, and the books on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from cream_store import (
    BooleanField,
    Changes,
    Database,
    EnumField,
    Environment,
    Filters,
    ForeignKey,
    IntegerField,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    SerialField,
    SymbolField,
    TextField,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    record,
    since,
    unique,
    until,
    utc_now,
)
from cream_store.schema import push
from tests.conftest import templates


class Genre(StrEnum):
    NOVEL = "novel"
    POEMS = "poems"
    ESSAYS = "essays"


class ShelfRow(Row):
    id = SerialField()
    name = TextField()

    class Meta:
        table_name = "shelves"
        constraints = [unique("shelves_name_unique", "name")]


@record
class Shelf(Record):
    id: int | None = None
    name: str


class ShelvesRepository(Repository[Shelf, Filters, Changes]):
    row = ShelfRow


class BookRow(Row):
    id = UUIDv7Field(primary_key=True)
    shelf = ForeignKey(ShelfRow, null=True)
    title = TextField()
    code = SymbolField()
    genre = EnumField(Genre, server_default="novel")
    price = NumericField(10, 2)
    pages = IntegerField(null=True)
    lent = BooleanField(server_default=False)
    tags = JSONField(list, null=True, server_default=[])
    isbn = TextField(null=True)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "books"
        constraints = [check("positive_price", "price > 0"), unique("books_code_genre", "code", "genre")]
        indexes = [
            index("idx_books_title", "title"),
            index("idx_books_isbn", "isbn", unique=True, where="isbn IS NOT NULL"),
        ]


def fresh_code() -> str:
    """A code that no other book has."""
    return f"B-{new_id()}".upper()


@record
class Book(Record):
    id: UUID = field(default_factory=new_id)
    shelf_id: int | None = None
    title: str = "A book"
    code: str = field(default_factory=fresh_code)
    genre: Genre = Genre.NOVEL
    price: Decimal = Decimal("9.99")
    pages: int | None = None
    lent: bool = False
    tags: list[Any] = field(default_factory=list)
    isbn: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class BooksRepository(Repository[Book, Filters, Changes]):
    row = BookRow
    default_order = ("-created_at",)
    default_limit = 5


class CodesRepository(Repository[Book, Filters, Changes]):
    """The books again, by another key."""

    row = BookRow
    conflict_target = ("code", "genre")


class AgedRepository(Repository[Book, Filters, Changes]):
    """The books again, with filters that are more than an equal value."""

    row = BookRow
    filter_rules = {"from_date": since("created_at"), "to_date": until("created_at")}


@contextmanager
def fresh_library(back_end: str) -> Iterator[Database]:
    """A TEST database with these tables, on a back end."""
    with templates(back_end, ("core-trading",), Environment.TEST).copy() as store:
        push(store.database, [ShelfRow, BookRow])
        yield store.database


def emptied(database: Database) -> Database:
    """The library without a book."""
    BookRow.delete().execute(database)
    ShelfRow.delete().execute(database)
    return database
