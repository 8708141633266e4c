"""Queries as values: what each condition finds, in which order, on which page - and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from cream_store import Database, InvalidDataError, KeysetPage, Page, QueryBuilder, query
from tests.conftest import BACK_ENDS
from tests.core.library import AgedRepository, Book, BooksRepository, Genre, emptied, fresh_library

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module", params=BACK_ENDS)
def library(request: pytest.FixtureRequest) -> Iterator[Database]:
    with fresh_library(request.param) as database:
        yield database


@pytest.fixture
def books(library: Database) -> BooksRepository:
    return BooksRepository(emptied(library))


def titles(found: list[Book]) -> list[str]:
    return sorted(book.title for book in found)


def stored(books: BooksRepository, **titled: dict[str, Any]) -> None:
    """Stores books whose titles are the names of the arguments."""
    books.create_many([Book(title=title, **values) for title, values in titled.items()])


class TestConditions:
    @pytest.mark.parametrize(
        ("builder", "found"),
        [
            (query(), ["cheap", "dear", "fair"]),
            (query().equals("price", Decimal(5)), ["fair"]),
            (query().equals("price", 5), ["fair"]),
            (query().differs("price", Decimal(5)), ["cheap", "dear"]),
            (query().at_least("price", Decimal(5)), ["dear", "fair"]),
            (query().above("price", Decimal(5)), ["dear"]),
            (query().at_most("price", Decimal(5)), ["cheap", "fair"]),
            (query().below("price", Decimal(5)), ["cheap"]),
            (query().above("price", Decimal(1)).below("price", Decimal(10)), ["fair"]),
            (query().equals("title", "fair").equals("price", Decimal(1)), []),
            (query().where("price", ">=", Decimal(5)), ["dear", "fair"]),
        ],
    )
    def test_a_comparison_finds_what_it_says(
        self, books: BooksRepository, builder: QueryBuilder, found: list[str]
    ) -> None:
        stored(books, cheap={"price": Decimal(1)}, fair={"price": Decimal(5)}, dear={"price": Decimal(10)})
        assert titles(books.find(builder)) == found
        assert books.count_of(builder) == len(found)

    def test_null_is_neither_equal_nor_different(self, books: BooksRepository) -> None:
        stored(books, short={"pages": 0}, unknown={"pages": None}, long={"pages": 900})
        assert titles(books.find(query().equals("pages", 0))) == ["short"]
        assert titles(books.find(query().differs("pages", 0))) == ["long"]
        assert titles(books.find(query().none_of("pages", [0]))) == ["long"]
        assert titles(books.find(query().is_null("pages"))) == ["unknown"]
        assert titles(books.find(query().is_null("pages", False))) == ["long", "short"]

    @pytest.mark.parametrize(
        "builder",
        [
            query().equals("pages", None),
            query().differs("pages", None),
            query().at_least("pages", None),
            query().at_most("pages", None),
            query().above("pages", None),
            query().below("pages", None),
            query().one_of("pages", None),
            query().none_of("pages", None),
            query().where("pages", "=", None),
        ],
    )
    def test_none_means_not_asked_for(self, books: BooksRepository, builder: QueryBuilder) -> None:
        assert builder == query()

    @pytest.mark.parametrize("text", ["", " ", "\t\n"])
    def test_blank_text_is_never_what_was_meant(self, text: str) -> None:
        ask: Callable[[], QueryBuilder]
        for ask in (
            lambda: query().equals("title", text),
            lambda: query().differs("title", text),
            lambda: query().at_least("title", text),
            lambda: query().contains(text, "title"),
        ):
            with pytest.raises(InvalidDataError, match="blank"):
                ask()

    def test_a_query_is_a_value(self) -> None:
        base = query().equals("title", "x").order_by("price").limit(3)
        assert base.above("price", 1) != base
        assert base == query().equals("title", "x").order_by("price").limit(3)
        assert hash(base) == hash(query().equals("title", "x").order_by("price").limit(3))

    def test_the_order_of_the_steps_does_not_matter(self) -> None:
        assert query().limit(3).offset(1).order_by("price").equals("title", "x") == (
            query().equals("title", "x").order_by("price").offset(1).limit(3)
        )

    @pytest.mark.parametrize(
        "builder",
        [
            query().equals("colour", "red"),
            query().one_of("colour", []),
            query().is_null("colour"),
            query().contains("x", "title", "colour"),
            query().order_by("colour"),
            query().order_by("-colour"),
            query().order_by(""),
            query().order_by("shelf"),  # the row; its key is the column
        ],
    )
    def test_an_unknown_column_is_refused_with_the_known_ones(
        self, books: BooksRepository, builder: QueryBuilder
    ) -> None:
        with pytest.raises(InvalidDataError, match=r"books has no column .*; it has: id, shelf_id, title"):
            books.find(builder)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("pages", "5"),
            ("pages", 5.0),
            ("pages", True),
            ("price", 5.0),
            ("price", Decimal("5.001")),
            ("lent", 1),
            ("genre", "crime"),
            ("created_at", "2024-01-01"),
            ("created_at", NOON.replace(tzinfo=None)),
            ("title", 5),
            ("title", "a\x00b"),
            ("title", "\ud83d"),
            ("shelf_id", "one"),
        ],
    )
    def test_a_value_that_the_column_cant_hold_is_refused(
        self, books: BooksRepository, column: str, value: object
    ) -> None:
        for builder in (
            query().equals(column, value),
            query().differs(column, value),
            query().above(column, value),
            query().one_of(column, [value]),
            query().none_of(column, [value]),
        ):
            with pytest.raises(InvalidDataError, match=rf"books\.{column}") as refused:
                books.find(builder)
            assert (refused.value.table, refused.value.columns) == ("books", (column,))

    def test_text_that_is_no_key_finds_nothing(self, books: BooksRepository) -> None:
        book = books.create(Book())
        assert books.find(query().equals("id", "nonsense")) == []
        assert books.count_of(query().equals("id", "nonsense")) == 0
        assert books.find(query().one_of("id", ["nonsense"])) == []
        assert books.find(query().one_of("id", ["nonsense", str(book.id), "\x00"])) == [book]

    def test_null_can_stand_for_no_end(self, books: BooksRepository) -> None:
        stored(books, over={"pages": 4}, ends={"pages": 5}, goes_on={"pages": 6}, endless={"pages": None})
        assert titles(books.find(query().above_or_null("pages", 5))) == ["endless", "goes_on"]
        assert titles(books.find(query().above_or_null("pages", 5).equals("title", "over"))) == []


class TestLists:
    @pytest.mark.parametrize(
        "wanted", [[], ["b1"], ["b0", "b1", "b2"], ["b0", "b1", "b2", "b3", "b4"], ["b1", "b1", "x"]]
    )
    def test_lists_of_any_length_find_what_they_list(self, books: BooksRepository, wanted: list[str]) -> None:
        stored(books, **{f"b{number}": {} for number in range(7)})
        listed = {f"b{number}" for number in range(7)} & set(wanted)
        for values in (wanted, tuple(wanted), set(wanted), iter(wanted), dict.fromkeys(wanted).keys()):
            assert titles(books.find(query().one_of("title", values))) == sorted(listed)
        assert books.count_of(query().none_of("title", wanted)) == 7 - len(listed)
        assert books.count_of(query().one_of("title", wanted).equals("price", Decimal("9.99"))) == len(listed)

    def test_none_in_a_list_is_not_asked_for(self, books: BooksRepository) -> None:
        stored(books, short={"pages": 1}, long={"pages": 900})
        assert titles(books.find(query().one_of("pages", [None, 1]))) == ["short"]
        assert titles(books.find(query().none_of("pages", [None, 1]))) == ["long"]
        assert books.find(query().one_of("pages", [None])) == []
        assert books.count_of(query().none_of("pages", [None])) == 2

    def test_one_text_is_not_a_list(self) -> None:
        with pytest.raises(InvalidDataError, match="title: needs several values"):
            query().one_of("title", "abc")
        with pytest.raises(InvalidDataError, match="title: needs several values"):
            query().none_of("title", "abc")


class TestDates:
    """A date means its whole day in UTC, at either end."""

    MOMENTS = {
        "eve": datetime(2024, 3, 14, 23, 59, 59, 999_999, tzinfo=UTC),
        "first": datetime(2024, 3, 15, tzinfo=UTC),
        "noon": NOON,
        "last": datetime(2024, 3, 15, 23, 59, 59, 999_999, tzinfo=UTC),
        "morrow": datetime(2024, 3, 16, tzinfo=UTC),
    }

    @pytest.mark.parametrize(
        ("builder", "found"),
        [
            (query().at_least("created_at", date(2024, 3, 15)), "first last morrow noon"),
            (query().above("created_at", date(2024, 3, 15)), "morrow"),
            (query().at_most("created_at", date(2024, 3, 15)), "eve first last noon"),
            (query().below("created_at", date(2024, 3, 15)), "eve"),
            (query().on_day("created_at", date(2024, 3, 15)), "first last noon"),
            (query().at_least("created_at", NOON), "last morrow noon"),
            (query().above("created_at", NOON), "last morrow"),
            (query().at_most("created_at", NOON), "eve first noon"),
            (query().below("created_at", NOON), "eve first"),
            (query().equals("created_at", NOON), "noon"),
            (query().equals("created_at", NOON.astimezone(timezone(timedelta(hours=-5)))), "noon"),
            (query().at_most("created_at", date.max), "eve first last morrow noon"),
            (query().at_least("created_at", date.min), "eve first last morrow noon"),
            (query().above("created_at", date.max), ""),
        ],
    )
    def test_bounds(self, books: BooksRepository, builder: QueryBuilder, found: str) -> None:
        stored(books, **{title: {"created_at": moment} for title, moment in self.MOMENTS.items()})
        assert titles(books.find(builder)) == found.split()

    def test_filters_of_a_repository_mean_the_same(self, books: BooksRepository) -> None:
        stored(books, **{title: {"created_at": moment} for title, moment in self.MOMENTS.items()})
        aged = AgedRepository(books.database)
        day = {"from_date": date(2024, 3, 15), "to_date": date(2024, 3, 15)}
        assert titles(aged.find_all(day)) == ["first", "last", "noon"]
        assert titles(aged.find_all({"from_date": NOON, "to_date": NOON})) == ["noon"]
        assert aged.count({"from_date": None, "to_date": None}) == 5

    def test_a_day_is_a_date(self) -> None:
        for value in (NOON, "2024-03-15", None):
            with pytest.raises(InvalidDataError, match="created_at: needs a date"):
                query().on_day("created_at", value)  # type: ignore[arg-type]  # that is the test


class TestText:
    TITLES = ("100%", "100 percent", "a_b", "aXb", "back\\slash", "back", "O'Reilly", "Krieg und Frieden", "%", "_")

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("100%", ["100%"]),
            ("%", ["%", "100%"]),
            ("_", ["_", "a_b"]),
            ("a_b", ["a_b"]),
            ("\\", ["back\\slash"]),
            ("k\\s", ["back\\slash"]),
            ("\\%", []),
            ("'", ["O'Reilly"]),
            ("krieg", ["Krieg und Frieden"]),
            ("UND F", ["Krieg und Frieden"]),
            (" und ", ["Krieg und Frieden"]),
            ("nothing like it", []),
        ],
    )
    def test_wildcards_are_just_letters(self, books: BooksRepository, text: str, found: list[str]) -> None:
        stored(books, **{title: {} for title in self.TITLES})
        assert titles(books.find(query().contains(text, "title"))) == sorted(found)
        assert books.count_of(query().contains(text, "title")) == len(found)

    def test_any_of_several_columns_may_contain_it(self, books: BooksRepository) -> None:
        stored(books, poems={}, other={"genre": Genre.POEMS}, neither={"code": "POE"})
        assert titles(books.find(query().contains("poem", "title", "genre"))) == ["other", "poems"]
        assert titles(books.find(query().contains("poe", "title", "genre", "code"))) == ["neither", "other", "poems"]

    @pytest.mark.parametrize("text", ["a\x00b", "half a \ud83d pair"])
    def test_text_that_cant_be_stored_is_refused(self, books: BooksRepository, text: str) -> None:
        with pytest.raises(InvalidDataError, match=r"books\.title"):
            books.find(query().contains(text, "title"))

    def test_it_needs_a_text_and_a_column(self) -> None:
        with pytest.raises(InvalidDataError):
            query().contains("x")
        for text in (5, None, b"x"):
            with pytest.raises(InvalidDataError):
                query().contains(text, "title")  # type: ignore[arg-type]  # that is the test


class TestArrays:
    @pytest.mark.parametrize(
        ("elements", "found"),
        [
            (("red",), ["both", "one"]),
            (("blue",), ["both"]),
            (("red", "green"), ["both", "one", "other"]),
            (("blue", "green", "x", "y", "z"), ["both", "other"]),
            (("re",), []),
            ((5,), ["numbers"]),
            (("5",), []),
            (("it's",), ["other"]),
            ((), []),
        ],
    )
    def test_an_element_is_found(self, books: BooksRepository, elements: tuple[Any, ...], found: list[str]) -> None:
        stored(
            books,
            one={"tags": ["red"]},
            both={"tags": ["red", "blue"]},
            other={"tags": ["green", "it's"]},
            numbers={"tags": [5, 6]},
            none={"tags": []},
            nested={"tags": [["red"], {"red": "blue"}]},
        )
        assert titles(books.find(query().has("tags", *elements))) == found

    @pytest.mark.parametrize("element", [None, True, 1.5, ["red"], {"a": 1}, object()])
    def test_other_elements_are_refused(self, element: object) -> None:
        with pytest.raises(InvalidDataError, match="tags: elements are texts or whole numbers"):
            query().has("tags", "red", element)


class TestOrder:
    def test_ties_are_decided_by_the_primary_key_in_the_same_direction(self, books: BooksRepository) -> None:
        same = [books.create(Book(created_at=NOON, price=Decimal(price))) for price in (1, 2, 1, 2)]
        a, b, c, d = (book.id for book in same)
        for order, expected in {
            (): [d, c, b, a],  # the repository's own: newest first
            ("created_at",): [a, b, c, d],
            ("-created_at",): [d, c, b, a],
            ("price",): [a, c, b, d],
            ("-price",): [d, b, c, a],
            ("-created_at", "price"): [a, c, b, d],
            ("created_at", "-price"): [d, b, c, a],
            ("id",): [a, b, c, d],
            ("-id", "price"): [d, c, b, a],
        }.items():
            assert [book.id for book in books.find(query().order_by(*order))] == expected, order
            if order:
                assert [book.id for book in books.find_many(order_by=order).data] == expected, order

    def test_null_comes_last_in_descending_order(self, books: BooksRepository) -> None:
        stored(books, unknown={"pages": None}, short={"pages": 1}, long={"pages": 2})
        assert [book.title for book in books.find(query().order_by("-pages"))] == ["long", "short", "unknown"]

    def test_numbers_times_and_enums_have_their_own_order(self, books: BooksRepository) -> None:
        stored(
            books,
            b={"price": Decimal("9.50"), "created_at": NOON, "genre": Genre.ESSAYS},
            a={"price": Decimal("10.50"), "created_at": NOON - MICROSECOND, "genre": Genre.NOVEL},
        )
        assert [book.title for book in books.find(query().order_by("price"))] == ["b", "a"]
        assert [book.title for book in books.find(query().order_by("created_at"))] == ["a", "b"]
        assert [book.title for book in books.find_all(order_by="-created_at")] == ["b", "a"]
        assert [book.title for book in books.find(query().order_by("genre"))] == ["a", "b"]  # as declared
        assert [book.title for book in books.find(query().order_by("-genre"))] == ["b", "a"]


BAD_LIMITS = [0, -1, 10_001, 2**64, 1.0, "5", True, False, Decimal(1)]
BAD_OFFSETS = [-1, 2**63, 1.0, "5", True, Decimal(1)]


class TestPages:
    def test_limit_and_offset_cut(self, books: BooksRepository) -> None:
        stored(books, **{f"b{number}": {"pages": number} for number in range(7)})
        ordered = query().order_by("pages")
        assert [book.pages for book in books.find(ordered.limit(3))] == [0, 1, 2]
        assert [book.pages for book in books.find(ordered.limit(3).offset(5))] == [5, 6]
        assert [book.pages for book in books.find(ordered.offset(5))] == [5, 6]
        assert [book.pages for book in books.find(ordered.offset(0).limit(10_000))] == list(range(7))
        assert books.find(ordered.offset(2**63 - 1)) == []
        assert len(books.find(ordered.limit(3).limit(None))) == 7
        assert books.count_of(ordered.limit(3).offset(2)) == 7

    @pytest.mark.parametrize("limit", BAD_LIMITS)
    def test_a_bad_limit_is_refused(self, books: BooksRepository, limit: Any) -> None:
        for ask in (
            lambda: query().limit(limit),
            lambda: books.find_many(limit=limit),
            lambda: books.find_many(page_size=limit),
            lambda: books.find_many(page=2, page_size=limit),
            lambda: books.find_all(limit=limit),
            lambda: books.find_keyset(limit=limit),
        ):
            with pytest.raises(InvalidDataError, match="whole number from 1 to 10,000") as refused:
                ask()
            assert refused.value.code == "INVALID_DATA"

    @pytest.mark.parametrize("offset", BAD_OFFSETS)
    def test_a_bad_offset_is_refused(self, books: BooksRepository, offset: Any) -> None:
        for ask in (lambda: query().offset(offset), lambda: books.find_many(offset=offset)):
            with pytest.raises(InvalidDataError, match="offset is a whole number from 0"):
                ask()

    @pytest.mark.parametrize("page", [0, -1, 1.0, "1", True, Decimal(1), 2**62])
    def test_a_bad_page_is_refused(self, books: BooksRepository, page: Any) -> None:
        with pytest.raises(InvalidDataError):
            books.find_many(page=page, page_size=10)

    @pytest.mark.parametrize(
        "paging", [{"limit": 5, "page": 1}, {"offset": 0, "page_size": 5}, {"limit": 1, "page_size": 1}]
    )
    def test_the_two_ways_of_paging_exclude_each_other(self, books: BooksRepository, paging: dict[str, int]) -> None:
        with pytest.raises(InvalidDataError, match="limit and offset, or page and page_size, not both"):
            books.find_many(**paging)  # type: ignore[arg-type]  # numbers by name

    def test_a_page_knows_where_it_is(self, books: BooksRepository) -> None:
        stored(books, **{f"b{number}": {"pages": number} for number in range(7)})
        page = books.find_many(page=2, page_size=3, order_by="pages")
        assert [book.pages for book in page.data] == [3, 4, 5]
        assert (page.total, page.limit, page.offset) == (7, 3, 3)
        assert (page.page, page.page_size, page.total_pages, page.has_next, page.has_prev) == (2, 3, 3, True, True)
        assert page == books.find_many(limit=3, offset=3, order_by="pages")

    @pytest.mark.parametrize(
        ("total", "limit", "offset", "page", "total_pages", "has_next", "has_prev"),
        [
            (0, 5, 0, 1, 0, False, False),
            (5, 5, 0, 1, 1, False, False),
            (6, 5, 0, 1, 2, True, False),
            (6, 5, 5, 2, 2, False, True),
            (6, 5, 10, 3, 2, False, True),
            (6, 5, 3, 1, 2, False, True),
            (10, 1, 9, 10, 10, False, True),
        ],
    )
    def test_what_a_page_derives(
        self, total: int, limit: int, offset: int, page: int, total_pages: int, has_next: bool, has_prev: bool
    ) -> None:
        derived: Page[Book] = Page([], total, limit, offset)
        assert (derived.page, derived.total_pages) == (page, total_pages)
        assert (derived.has_next, derived.has_prev) == (has_next, has_prev)

    def test_the_defaults_are_the_repositorys(self, books: BooksRepository) -> None:
        stored(books, **{f"b{number}": {} for number in range(7)})
        page = books.find_many()
        assert (len(page.data), page.total, page.limit, page.offset) == (5, 7, 5, 0)
        assert books.find_many(page=2).offset == 5
        assert len(books.find_keyset().data) == 5
        assert len(books.find_all()) == 7

    def test_a_page_past_the_end_is_empty_but_knows_the_total(self, books: BooksRepository) -> None:
        stored(books, **{f"b{number}": {} for number in range(3)})
        page = books.find_many(page=9, page_size=2)
        assert (page.data, page.total, page.page, page.total_pages, page.has_next) == ([], 3, 9, 2, False)
        assert books.find_many({"title": "nothing"}, offset=4).total == 0
        assert books.find_many({"title": []}, offset=4) == Page([], 0, 5, 4)


# What a cursor may be made to say, by column.
PLACES: dict[str, tuple[Any, ...]] = {"price": (5.5, "1"), "title": ("1x", "NaN"), "code": ("1x", "NaN")}
NO_PLACES: dict[str, tuple[Any, ...]] = {"price": ("1x", "NaN", "1.001"), "title": (5.5, True), "code": (5.5, "", " ")}


def walked(books: BooksRepository, **asked: Any) -> list[Book]:
    """All that following the cursors gives."""
    page = books.find_keyset(**asked)
    found = page.data
    while page.next_cursor is not None:
        page = books.find_keyset(after=page.next_cursor, **asked)
        found = found + page.data
    return found


ORDERS = ["created_at", "-created_at", "price", "-price", "genre", "lent", "-title", "code", "id", "-id"]


class TestKeysetPages:
    @pytest.mark.parametrize(
        "order", [*ORDERS, ("genre", "lent", "price"), ("-genre", "-created_at"), ("price", "title")]
    )
    def test_following_the_cursors_gives_every_row_once_in_order(self, books: BooksRepository, order: Any) -> None:
        books.create_many(
            Book(genre=genre, lent=lent, price=Decimal(price), created_at=NOON + moment * MICROSECOND, title=title)
            for genre, lent, price, moment, title in product(
                [Genre.NOVEL, Genre.ESSAYS], [True, False], ["9.50", "10.50"], [0, 1], ["it's \"%", "\u00e9\\"]
            )
        )
        everything = books.find_all(order_by=order)
        assert len(everything) == 32
        for limit in (1, 5, 32, 100):
            assert walked(books, limit=limit, order_by=order) == everything

    def test_filters_apply_to_every_page(self, books: BooksRepository) -> None:
        stored(books, **{f"b{number}": {"pages": number % 2} for number in range(9)})
        assert len(walked(books, filters={"pages": 1}, limit=2)) == 4
        assert walked(books, filters={"pages": 7}, limit=2) == []

    def test_rows_that_come_and_go_do_not_shift_the_pages(self, books: BooksRepository) -> None:
        a, b, c, d = (books.create(Book(created_at=NOON + number * MICROSECOND)) for number in range(4))
        page = books.find_keyset(limit=2, order_by="created_at")
        assert page.data == [a, b]
        books.delete(b.id)
        books.create(Book(created_at=NOON - MICROSECOND))
        assert books.find_keyset(limit=2, order_by="created_at", after=page.next_cursor).data == [c, d]

    def test_the_end_is_no_cursor(self, books: BooksRepository) -> None:
        assert books.find_keyset() == KeysetPage([], None)
        stored(books, one={})
        assert books.find_keyset(limit=2).next_cursor is None

    def test_a_cursor_is_safe_in_a_url(self, books: BooksRepository) -> None:
        stored(books, **{"\u00e9>?~\\": {}, "other": {}})
        cursor = books.find_keyset(limit=1, order_by="title").next_cursor
        assert cursor
        assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    @pytest.mark.parametrize(
        "order", [("pages",), ("created_at", "-price"), ("-created_at", "id"), ("shelf_id", "price")]
    )
    def test_an_order_that_cant_be_followed_is_refused(self, books: BooksRepository, order: tuple[str, ...]) -> None:
        with pytest.raises(InvalidDataError, match="in one direction over columns that are never NULL"):
            books.find_keyset(order_by=order)

    @pytest.mark.parametrize(
        "cursor", ["", "nonsense", "%%%", "\u00e9", "W10", "e30", "bnVsbA", "WzEsMl0", "====", "\x00"]
    )
    def test_what_is_no_cursor_is_refused(self, books: BooksRepository, cursor: str) -> None:
        with pytest.raises(InvalidDataError, match="the cursor is not one of a list ordered by -created_at, -id"):
            books.find_keyset(after=cursor)

    def test_a_cursor_of_another_order_is_refused(self, books: BooksRepository) -> None:
        stored(books, one={}, two={})
        cursor = books.find_keyset(limit=1, order_by="-price").next_cursor
        for other in ("price", "-title", None):
            with pytest.raises(InvalidDataError, match="start without a cursor"):
                books.find_keyset(limit=1, order_by=other, after=cursor)

    @pytest.mark.parametrize("column", ["created_at", "price", "genre", "lent", "title", "code", "id"])
    def test_a_tampered_cursor_is_refused_or_just_another_place(self, books: BooksRepository, column: str) -> None:
        stored(books, one={}, two={})
        cursor = books.find_keyset(limit=1, order_by=column).next_cursor
        assert cursor
        [order, position] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))

        def tampered(*position: object) -> str:
            return base64.urlsafe_b64encode(json.dumps([order, position]).encode()).decode()

        for place in PLACES.get(column, ()):
            books.find_keyset(limit=1, order_by=column, after=tampered(place, *position[1:]))
        for nonsense in (
            None,
            [],
            {},
            [1],
            "x\x00",
            "\ud83d",
            *NO_PLACES.get(column, ("1x", "NaN", "2024-13-45", 5.5)),
        ):
            with pytest.raises(InvalidDataError):
                books.find_keyset(limit=1, order_by=column, after=tampered(nonsense, *position[1:]))
        with pytest.raises(InvalidDataError):
            books.find_keyset(limit=1, order_by=column, after=tampered(*position, 1))
