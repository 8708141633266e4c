"""Figures over groups of records, and the first records of each group."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from peewee import fn

from cream_store import Database, Param, QueryBuilder, query
from cream_store.aggregates import Extreme
from cream_store.fields import Column
from tests.conftest import BACK_ENDS
from tests.core.library import Book, BookRow, BooksRepository, Genre, emptied, fresh_library

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


_THICK: Final = fn.COUNT(BookRow.id).filter(BookRow.pages >= Param("pages", BookRow.pages))


class GroupedBooks(BooksRepository):
    """The books, with what repositories make of groups."""

    def among_newest_of_each_genre(self, builder: QueryBuilder, until: datetime | None = None) -> list[str]:
        """The titles of those that meet a query among the newest of each genre."""
        newest = query().at_most("created_at", until).order_by("-created_at")
        return [book.title for book in self._among_latest_of_each("genre", newest, builder)]

    def extremes(self, builder: QueryBuilder, *columns: Column) -> tuple[Any, ...]:
        """The least and the greatest value of each column."""
        select = [Extreme(function, column) for column in columns for function in ("MIN", "MAX")]
        [found] = self._aggregate(f"extremes of {[column.name for column in columns]}", builder, select)
        return found

    def thick(self, pages: int, genres: QueryBuilder) -> dict[Genre, int]:
        """How many books of each genre have so many pages."""
        rows = self._aggregate("thick", genres, [_THICK], group_by=[BookRow.genre], given={"pages": pages})
        return dict(rows)


@pytest.fixture(scope="module", params=BACK_ENDS)
def library(request: pytest.FixtureRequest) -> Iterator[Database]:
    with fresh_library(request.param) as database:
        yield database


@pytest.fixture
def books(library: Database) -> GroupedBooks:
    """Two novels, two books of poems, one of essays; the newest of each have 20, 30 and 10 pages."""
    books = GroupedBooks(emptied(library))
    for title, genre, pages, age in [
        ("old novel", Genre.NOVEL, 90, 3),
        ("new novel", Genre.NOVEL, 20, 2),
        ("old poems", Genre.POEMS, 10, 1),
        ("new poems", Genre.POEMS, 30, 0),
        ("essays", Genre.ESSAYS, 10, 4),
    ]:
        books.create(Book(title=title, genre=genre, pages=pages, created_at=NOON - age * HOUR))
    return books


class TestAggregates:
    def test_extremes_are_the_columns_own_values(self, books: GroupedBooks) -> None:
        found = books.extremes(query(), BookRow.created_at, BookRow.price, BookRow.pages, BookRow.title)
        assert found == (
            *(NOON - 4 * HOUR, NOON),
            *(Decimal("9.99"), Decimal("9.99")),
            *(10, 90),
            *("essays", "old poems"),
        )
        assert [type(value) for value in found[::2]] == [datetime, Decimal, int, str]

    def test_extremes_are_of_the_query(self, books: GroupedBooks) -> None:
        assert books.extremes(query().equals("genre", Genre.POEMS), BookRow.pages) == (10, 30)

    def test_extremes_of_nothing_are_none(self, books: GroupedBooks) -> None:
        nothing = query().equals("title", "unknown")
        assert books.extremes(nothing, BookRow.created_at, BookRow.price, BookRow.pages, BookRow.title) == (None,) * 8

    def test_a_selection_has_parameters_of_its_own(self, books: GroupedBooks) -> None:
        assert books.thick(20, query()) == {Genre.NOVEL: 2, Genre.POEMS: 1, Genre.ESSAYS: 0}
        assert books.thick(90, query()) == {Genre.NOVEL: 1, Genre.POEMS: 0, Genre.ESSAYS: 0}
        assert books.thick(20, query().equals("genre", Genre.POEMS)) == {Genre.POEMS: 1}


class TestAmongTheLatestOfEach:
    def test_they_come_in_the_querys_order(self, books: GroupedBooks) -> None:
        assert books.among_newest_of_each_genre(query().order_by("-pages")) == ["new poems", "new novel", "essays"]
        assert books.among_newest_of_each_genre(query().order_by("title")) == ["essays", "new novel", "new poems"]

    def test_without_an_order_they_come_in_the_tables(self, books: GroupedBooks) -> None:
        assert books.among_newest_of_each_genre(query()) == ["new poems", "new novel", "essays"]

    def test_the_query_chooses_among_them_and_not_before(self, books: GroupedBooks) -> None:
        assert books.among_newest_of_each_genre(query().at_least("pages", 25)) == ["new poems"]
        assert books.among_newest_of_each_genre(query().equals("pages", 90)) == []

    def test_what_counts_as_the_latest_can_be_limited(self, books: GroupedBooks) -> None:
        by_pages = query().order_by("-pages")
        assert books.among_newest_of_each_genre(by_pages, until=NOON - HOUR) == ["new novel", "essays", "old poems"]
        assert books.among_newest_of_each_genre(by_pages.at_least("pages", 15), until=NOON - HOUR) == ["new novel"]

    @pytest.mark.parametrize("limit", [1, 2, 10])
    def test_at_most_the_querys_limit_comes(self, books: GroupedBooks, limit: int) -> None:
        expected = ["new poems", "new novel", "essays"][:limit]
        assert books.among_newest_of_each_genre(query().order_by("-pages").limit(limit)) == expected

    def test_ties_are_decided_by_the_primary_key(self, books: GroupedBooks) -> None:
        first, second = (books.create(Book(title=title, genre=Genre.NOVEL, created_at=NOON)) for title in "ab")
        assert first.id < second.id
        assert books.among_newest_of_each_genre(query().equals("genre", Genre.NOVEL)) == ["b"]

    def test_a_query_that_no_row_can_meet_gives_none(self, books: GroupedBooks) -> None:
        assert books.among_newest_of_each_genre(query().one_of("title", [])) == []
