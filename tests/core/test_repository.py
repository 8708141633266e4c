"""What every repository can do, on two tables with one of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import pytest
from peewee import EXCLUDED, Case

from cream_store import (
    ConstraintViolationError,
    Database,
    DuplicateKeyError,
    InvalidDataError,
    NotFoundError,
    QueryError,
    clock_set_to,
    get_db,
    new_id,
    query,
    utc_now,
)
from cream_store.schema import push
from tests.conftest import BACK_ENDS
from tests.core.library import (
    Book,
    BookRow,
    BooksRepository,
    CodesRepository,
    Genre,
    Shelf,
    ShelfRow,
    ShelvesRepository,
    emptied,
    fresh_library,
)

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module", params=BACK_ENDS)
def library(request: pytest.FixtureRequest) -> Iterator[Database]:
    with fresh_library(request.param) as database:
        yield database


@pytest.fixture
def books(library: Database) -> BooksRepository:
    return BooksRepository(emptied(library))


@pytest.fixture
def shelves(books: BooksRepository) -> ShelvesRepository:
    return ShelvesRepository(books.database)


@pytest.fixture
def codes(books: BooksRepository) -> CodesRepository:
    """The books by another key: code and genre."""
    return CodesRepository(books.database)


def titles(books: BooksRepository) -> list[str]:
    return sorted(book.title for book in books.find_all())


class TestCreate:
    def test_what_is_stored_comes_back(self, books: BooksRepository) -> None:
        book = Book(title="A", pages=3, tags=["x"], isbn="1", lent=True, genre=Genre.POEMS, price=Decimal("1.20"))
        assert books.create(book) == book
        assert books.find_by_id(book.id) == book

    def test_it_comes_back_as_stored(self, books: BooksRepository) -> None:
        created = books.create(Book(code=" abc ", price=Decimal(3), created_at=NOON.astimezone()))
        assert (created.code, str(created.price), str(created.created_at)) == (
            "ABC",
            "3.00",
            "2024-03-15 12:00:00+00:00",
        )

    def test_the_callers_record_stays_as_it_is(self, books: BooksRepository) -> None:
        book = Book(code=" abc ", tags=["x"])
        copy = book.replace()
        books.create(book).tags.append("y")
        assert book == copy
        assert books.find_by_id_or_raise(book.id).tags == ["x"]

    def test_an_id_that_is_given_is_honoured(self, books: BooksRepository, shelves: ShelvesRepository) -> None:
        identifier = UUID("00000000-0000-4000-8000-000000000000")
        assert books.create(Book(id=identifier)).id == identifier
        assert shelves.create(Shelf(id=4711, name="A")).id == 4711

    def test_serial_ids_are_the_databases(self, shelves: ShelvesRepository) -> None:
        first, second = shelves.create(Shelf(name="A")), shelves.create(Shelf(name="B"))
        assert isinstance(first.id, int)
        assert isinstance(second.id, int)
        assert first.id < second.id
        assert shelves.find_by_id(first.id) == first

    @pytest.mark.parametrize("other", [Shelf(name="A"), None, "A", ("A",), Book])
    def test_only_records_of_the_repository_are_taken(self, books: BooksRepository, other: Any) -> None:
        for write in (
            lambda: books.create(other),
            lambda: books.upsert(other),
            lambda: books.create_many([Book(), other]),
            lambda: books.upsert_many([Book(), other]),
        ):
            with pytest.raises(InvalidDataError, match="needs a Book, got"):
                write()
        assert books.count() == 0

    def test_what_is_missing_is_refused_by_the_database(self, books: BooksRepository) -> None:
        for column in ("title", "code", "genre", "price", "lent", "created_at"):
            nothing: dict[str, Any] = {column: None}
            with pytest.raises(ConstraintViolationError) as refused:
                books.create(Book(**nothing))
            assert (refused.value.table, refused.value.columns) == ("books", (column,))
        assert books.count() == 0


class TestCreateMany:
    @pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 99, 100, 101, 255])
    def test_any_number_comes_back_in_order(
        self, books: BooksRepository, shelves: ShelvesRepository, count: int
    ) -> None:
        given = [Book(id=UUID(int=(7919 * number) % 100_003)) for number in range(count)]
        assert books.create_many(given) == given
        assert books.count() == count
        named = shelves.create_many([Shelf(name=f"S{number}") for number in range(count)])
        assert [shelf.name for shelf in named] == [f"S{number}" for number in range(count)]
        assert sorted(shelf.id or 0 for shelf in named) == [shelf.id for shelf in named]

    def test_any_iterable_is_taken(self, books: BooksRepository) -> None:
        assert len(books.create_many(Book(title=title) for title in "abc")) == 3
        assert len(books.create_many({Book(title="d").id: Book(title="d")}.values())) == 1

    @pytest.mark.parametrize("bad", [0, 57, 149])
    def test_all_are_stored_or_none(self, books: BooksRepository, bad: int) -> None:
        there = books.create(Book())
        for wrong in (Book(id=there.id), Book(price=Decimal(-1)), Book(price=Decimal("1.001")), Book(shelf_id=4711)):
            given = [Book() for _ in range(150)]
            given[bad] = wrong
            with pytest.raises((DuplicateKeyError, ConstraintViolationError, InvalidDataError)):
                books.create_many(given)
            assert books.find_all() == [there]

    def test_what_comes_from_a_generator_that_fails_is_not_stored(self, books: BooksRepository) -> None:
        def failing() -> Iterator[Book]:
            yield from (Book() for _ in range(120))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            books.create_many(failing())
        assert books.count() == 0

    def test_given_and_new_numbers_can_be_mixed(self, shelves: ShelvesRepository) -> None:
        given = [Shelf(name="A"), Shelf(id=9000, name="B"), Shelf(name="C"), Shelf(id=8000, name="D")]
        stored = shelves.create_many(given)
        assert [shelf.name for shelf in stored] == ["A", "B", "C", "D"]
        assert (stored[1].id, stored[3].id) == (9000, 8000)

    def test_a_key_in_another_spelling_keeps_its_place(self, books: BooksRepository) -> None:
        ids = sorted((new_id() for _ in range(20)), reverse=True)
        spelt: list[dict[str, Any]] = [{"id": str(one).upper(), "title": str(one)} for one in ids]
        assert [book.title for book in books.create_many(Book(**values) for values in spelt)] == [
            str(one) for one in ids
        ]


class TestDuplicates:
    """A key that is taken: which, and of which columns, is the same on every database."""

    @pytest.mark.parametrize(
        ("again", "constraint", "columns"),
        [
            (lambda book: Book(id=book.id), "books_pkey", ("id",)),
            (lambda book: Book(code=book.code.lower(), genre=book.genre), "books_code_genre", ("code", "genre")),
            (lambda book: Book(isbn=book.isbn), "idx_books_isbn", ("isbn",)),
        ],
    )
    def test_the_error_says_what_is_taken(
        self, books: BooksRepository, again: Callable[[Book], Book], constraint: str, columns: tuple[str, ...]
    ) -> None:
        there = books.create(Book(isbn="1"))
        for write in (
            lambda: books.create(again(there)),
            lambda: books.create_many([Book(), again(there)]),
            lambda: BookRow.insert(again(there).as_dict() | {"shelf": None}).execute(books.database),
        ):
            with pytest.raises(DuplicateKeyError) as refused:
                write()
            assert refused.value.code == "DUPLICATE_KEY"
            assert (refused.value.table, refused.value.constraint) == ("books", constraint)
            assert refused.value.columns == columns
            assert refused.value.cause is refused.value.__cause__ is not None
        assert books.find_all() == [there]

    def test_changes_and_upserts_can_meet_one_too(self, books: BooksRepository) -> None:
        one, other = books.create(Book(isbn="1")), books.create(Book(isbn="2"))
        for write in (
            lambda: books.update(other.id, {"isbn": "1"}),
            lambda: books.upsert(other.replace(isbn="1")),
            lambda: books.upsert_many([other.replace(isbn="1")]),
        ):
            with pytest.raises(DuplicateKeyError) as refused:
                write()
            assert (refused.value.constraint, refused.value.columns) == ("idx_books_isbn", ("isbn",))
        assert books.find_all(order_by="isbn") == [one, other]

    def test_a_unique_constraint_of_a_numbered_table_too(self, shelves: ShelvesRepository) -> None:
        there = shelves.create(Shelf(name="A"))
        with pytest.raises(DuplicateKeyError) as refused:
            shelves.create(Shelf(name="A"))
        assert (refused.value.constraint, refused.value.columns) == ("shelves_name_unique", ("name",))
        with pytest.raises(DuplicateKeyError) as refused:
            shelves.create(Shelf(id=there.id, name="B"))
        assert (refused.value.constraint, refused.value.columns) == ("shelves_pkey", ("id",))

    def test_values_of_the_row_are_not_in_the_error(self, books: BooksRepository) -> None:
        books.create(Book(isbn="secret-isbn"))
        with pytest.raises(DuplicateKeyError) as refused:
            books.create(Book(isbn="secret-isbn"))
        assert "secret-isbn" not in f"{refused.value} {refused.value.__cause__} {refused.value.__cause__!r}"


class TestConstraints:
    def test_a_missing_parent_is_a_violation(self, books: BooksRepository, shelves: ShelvesRepository) -> None:
        shelf = shelves.create(Shelf(name="A"))
        book = books.create(Book(shelf_id=shelf.id))
        write: Callable[[], object]
        for write in (
            lambda: books.create(Book(shelf_id=4711)),
            lambda: books.create_many([Book(), Book(shelf_id=4711)]),
            lambda: books.upsert(book.replace(shelf_id=4711)),
            lambda: books.update(book.id, {"shelf_id": 4711}),
            lambda: shelves.delete(shelf.id or 0),
        ):
            with pytest.raises(ConstraintViolationError) as refused:
                write()
            assert refused.value.code == "CONSTRAINT_VIOLATION"
        assert books.find_all() == [book]

    def test_a_check_is_named(self, books: BooksRepository) -> None:
        book = books.create(Book())
        write: Callable[[], Book]
        for write in (
            lambda: books.create(Book(price=Decimal(0))),
            lambda: books.update(book.id, {"price": Decimal(-1)}),
            lambda: books.upsert(book.replace(price=Decimal("-0.01"))),
        ):
            with pytest.raises(ConstraintViolationError) as refused:
                write()
            assert refused.value.constraint == "positive_price"
        assert books.find_all() == [book]


class TestUpsert:
    def test_a_new_record_is_stored(self, books: BooksRepository) -> None:
        book = Book()
        assert books.upsert(book) == book
        assert books.find_all() == [book]

    def test_a_stored_one_is_replaced_but_for_its_key_and_creation(self, books: BooksRepository) -> None:
        there = books.create(Book(title="old", pages=1, tags=["x"], isbn="1", created_at=NOON, updated_at=NOON))
        later = there.replace(
            title="new", pages=None, tags=[], isbn=None, created_at=NOON + HOUR, updated_at=NOON + HOUR
        )
        assert books.upsert(later) == later.replace(created_at=NOON)
        assert books.find_all() == [later.replace(created_at=NOON)]

    def test_another_key_can_decide(self, codes: CodesRepository) -> None:
        there = codes.create(Book(code="x", genre=Genre.POEMS, title="old"))
        assert codes.upsert(Book(code=" X ", genre=Genre.POEMS, title="new")).id == there.id
        codes.upsert(Book(code="x", genre=Genre.NOVEL, title="other"))
        assert {book.title: book.id == there.id for book in codes.find_all()} == {"new": True, "other": False}

    def test_a_record_without_a_number_is_new(self, shelves: ShelvesRepository) -> None:
        first = shelves.upsert(Shelf(name="A"))
        assert shelves.upsert(Shelf(name="B")).id != first.id
        assert shelves.upsert(Shelf(id=first.id, name="C")) == Shelf(id=first.id, name="C")
        assert [shelf.name for shelf in shelves.find_all(order_by="name")] == ["B", "C"]


class LendingRepository(BooksRepository):
    """Books that are new when they are stored: nobody has lent one, or counted its pages."""

    row = BookRow
    beginning = {"lent": False, "pages": None}
    history_told_by = "lend and count_pages"

    def lend(self, title: str) -> int:
        return self._update_all(query().equals("title", title), {"lent": True})


class TestHistory:
    @pytest.fixture
    def lending(self, books: BooksRepository) -> LendingRepository:
        return LendingRepository(books.database)

    @pytest.mark.parametrize("column", ["lent", "pages"])
    def test_a_new_record_claims_none(self, lending: LendingRepository, column: str) -> None:
        claiming: dict[str, Any] = {column: 1 if column == "pages" else True}
        old = Book(**claiming)
        for store in (
            lambda: lending.create(old),
            lambda: lending.create_many([Book(), old]),
            lambda: lending.upsert(old),
            lambda: lending.upsert_many([Book(), old]),
        ):
            with pytest.raises(InvalidDataError, match=f"books.{column}: .* told by lend and count_pages") as refused:
                store()
            assert (refused.value.table, refused.value.columns) == ("books", (column,))
        assert lending.count() == 0

    def test_nothing_is_no_answer_either(self, lending: LendingRepository) -> None:
        unknown: Any = None
        with pytest.raises(InvalidDataError, match="a new record has False, got None"):
            lending.create(Book(lent=unknown))

    def test_changes_tell_it(self, lending: LendingRepository) -> None:
        book = lending.create(Book())
        assert lending.update(book.id, {"lent": True}).lent

    def test_changes_of_many_are_counted(self, lending: LendingRepository) -> None:
        for title in "aab":
            lending.create(Book(title=title, updated_at=NOON))
        with clock_set_to(NOON + HOUR):
            assert lending.lend("a") == 2
        assert lending.lend("c") == 0
        assert [(book.lent, book.updated_at) for book in lending.find_all(order_by="title")] == [
            (True, NOON + HOUR),
            (True, NOON + HOUR),
            (False, NOON),
        ]


class OnceRepository(CodesRepository):
    """Books of which the first with a code and genre stays."""

    row = BookRow

    def add(self, book: Book) -> Book | None:
        return self._insert_if_absent(book)


class NamedShelves(ShelvesRepository):
    """Shelves of which the first with a name stays."""

    row = ShelfRow
    conflict_target = ("name",)

    def add(self, name: str) -> Shelf | None:
        return self._insert_if_absent(Shelf(name=name))


class TestInsertIfAbsent:
    @pytest.fixture
    def once(self, books: BooksRepository) -> OnceRepository:
        return OnceRepository(books.database)

    def test_the_first_stays_as_it_is(self, once: OnceRepository) -> None:
        first = Book(code="A", title="first")
        assert once.add(first) == first
        assert once.add(Book(code="a", title="second")) is None
        assert once.find_all() == [first]

    def test_another_key_is_no_reason_to_leave_it_out(self, once: OnceRepository) -> None:
        once.add(Book(code="A", isbn="1"))
        with pytest.raises(DuplicateKeyError):
            once.add(Book(code="B", isbn="1"))

    def test_a_numbered_row_gets_its_number(self, shelves: ShelvesRepository) -> None:
        named = NamedShelves(shelves.database)
        added = named.add("A")
        assert added is not None
        assert isinstance(added.id, int)
        assert named.add("A") is None
        assert named.find_all() == [added]

    def test_what_cant_be_stored_is_refused(self, once: OnceRepository) -> None:
        other: Any = Shelf(name="A")
        with pytest.raises(InvalidDataError, match="needs a Book"):
            once.add(other)


class FilledBooks(BooksRepository):
    """An upsert leaves the pages and the ISBN as they are stored when a record lacks them."""

    row = BookRow
    filled_on_conflict = ("pages", "isbn")


class TestUpsertThatFills:
    def test_a_missing_value_leaves_the_stored_one(self, books: BooksRepository) -> None:
        filled = FilledBooks(books.database)
        stored = filled.upsert(Book(title="old", pages=7, isbn="1"))
        after = filled.upsert(stored.replace(title="new", pages=None, isbn=None))
        assert (after.title, after.pages, after.isbn) == ("new", 7, "1")

    def test_a_given_value_replaces_it_even_if_it_is_nothing(self, books: BooksRepository) -> None:
        filled = FilledBooks(books.database)
        stored = filled.upsert(Book(pages=7, isbn="1"))
        after = filled.upsert(stored.replace(pages=0, isbn=""))
        assert (after.pages, after.isbn) == (0, "")

    def test_a_new_record_keeps_what_it_lacks(self, books: BooksRepository) -> None:
        assert FilledBooks(books.database).upsert(Book()).pages is None

    def test_each_of_many_is_filled_by_its_own_row(self, books: BooksRepository) -> None:
        filled = FilledBooks(books.database)
        stored = filled.create_many(Book(pages=number or None) for number in range(12))
        filled.upsert_many(book.replace(title="new", pages=None) for book in stored)
        assert [filled.find_by_id(book.id) for book in stored] == [book.replace(title="new") for book in stored]


_LONGER: Final = Case(None, [(BookRow.pages > EXCLUDED.pages, BookRow.pages)], EXCLUDED.pages)
_BOTH_TITLES: Final = BookRow.title.concat(", now ").concat(EXCLUDED.title)


class EditionsRepository(BooksRepository):
    """Books that are stored piece by piece."""

    row = BookRow

    def add_edition(self, book: Book, title: str) -> Book:
        """Gives the book a title; it has the pages of its longest edition."""
        return self._upsert_changes(book, {"title": title}, {"pages": _LONGER})

    def rename(self, book: Book) -> Book:
        return self._upsert_changes(book, {}, {"title": _BOTH_TITLES})


class TestUpsertOfChanges:
    @pytest.fixture
    def editions(self, books: BooksRepository) -> EditionsRepository:
        return EditionsRepository(books.database)

    def test_a_new_record_is_stored_whole(self, editions: EditionsRepository) -> None:
        book = Book(pages=5, isbn="1")
        assert editions.add_edition(book, "first") == book.replace(title="first")

    @pytest.mark.parametrize(("pages", "longest"), [(3, 5), (8, 8)])
    def test_a_computed_column_looks_at_both_records(
        self, editions: EditionsRepository, pages: int, longest: int
    ) -> None:
        stored = editions.create(Book(pages=5, isbn="1"))
        after = editions.add_edition(stored.replace(pages=pages, isbn="2", lent=True), "second")
        assert after == stored.replace(title="second", pages=longest, updated_at=after.updated_at)

    def test_what_is_only_computed_moves_the_update_too(self, editions: EditionsRepository) -> None:
        stored = editions.create(Book(title="old"))
        later = stored.updated_at + HOUR
        after = editions.rename(stored.replace(title="new", updated_at=later))
        assert after == stored.replace(title="old, now new", updated_at=later)


class TestUpsertMany:
    def test_the_last_of_several_with_one_key_wins(self, books: BooksRepository) -> None:
        there = books.create(Book(title="stored"))
        new = Book(title="first")
        given = [
            there.replace(title="a"),
            new,
            there.replace(title="b"),
            new.replace(title="last"),
            there.replace(title="c"),
        ]
        assert books.upsert_many(given) == 5
        assert titles(books) == ["c", "last"]

    def test_keys_are_compared_as_they_are_stored(self, codes: CodesRepository) -> None:
        given = [Book(code=code, title=code) for code in ("abc", " ABC", "Abc ", "abd")]
        assert codes.upsert_many(given) == 4
        assert {book.code: book.title for book in codes.find_all()} == {"ABC": "Abc ", "ABD": "abd"}

    @pytest.mark.parametrize("count", [0, 1, 10, 101, 250])
    def test_any_number_is_stored(self, books: BooksRepository, count: int) -> None:
        given = [Book(title=f"{number:03}") for number in range(count)]
        assert books.upsert_many(iter(given)) == count
        assert books.upsert_many(book.replace(pages=1) for book in given) == count
        assert books.count() == books.count({"pages": 1}) == count

    def test_all_are_stored_or_none(self, books: BooksRepository) -> None:
        there = books.create(Book(title="old"))
        with pytest.raises(ConstraintViolationError):
            books.upsert_many([there.replace(title="new"), *(Book() for _ in range(120)), Book(price=Decimal(-1))])
        assert books.find_all() == [there]


class TestFindByKey:
    def test_a_key_is_a_uuid_or_its_text(self, books: BooksRepository) -> None:
        book = books.create(Book())
        for key in (book.id, str(book.id), str(book.id).upper(), book.id.hex, f"{{{book.id}}}"):
            assert books.find_by_id(key) == book
            assert books.find_by_id_or_raise(key) == book

    @pytest.mark.parametrize("key", [UUID(int=1), str(UUID(int=1)), "", "nonsense", "a\x00b", "\ud83d", "' OR 1=1 --"])
    def test_a_key_that_nobody_has_is_an_answer(self, books: BooksRepository, key: UUID | str) -> None:
        books.create(Book())
        assert books.find_by_id(key) is None
        assert books.delete(key) is False
        use: Callable[[], Book]
        for use in (lambda: books.find_by_id_or_raise(key), lambda: books.update(key, {"pages": 1})):
            with pytest.raises(NotFoundError, match="books: no row with id") as missing:
                use()
            assert (missing.value.code, missing.value.table) == ("NOT_FOUND", "books")
        with pytest.raises(NotFoundError):
            books.update(key, {})

    @pytest.mark.parametrize("key", [5, 5.0, b"x", True, ["x"]])
    def test_what_can_be_no_key_is_refused(self, books: BooksRepository, key: Any) -> None:
        for use in (lambda: books.find_by_id(key), lambda: books.delete(key), lambda: books.update(key, {"pages": 1})):
            with pytest.raises(InvalidDataError, match=r"books\.id: needs a UUID"):
                use()

    def test_numbers_are_keys_of_numbered_tables(self, shelves: ShelvesRepository) -> None:
        shelf = shelves.create(Shelf(name="A"))
        assert shelf.id is not None
        assert shelves.find_by_id(shelf.id) == shelf
        assert shelves.find_by_id(shelf.id + 1) is None
        assert shelves.delete(shelf.id)
        with pytest.raises(InvalidDataError, match=r"shelves\.id"):
            shelves.find_by_id("one")


class TestFind:
    def test_filters_are_columns_with_a_value_or_one_of_a_list(self, books: BooksRepository) -> None:
        books.create_many([Book(title=title, pages=pages) for title in "ab" for pages in (0, 1, None)])
        cases: list[tuple[dict[str, Any] | None, int]] = [
            (None, 6),
            ({}, 6),
            ({"title": "a"}, 3),
            ({"title": "a", "pages": 0}, 1),
            ({"title": None, "pages": 0}, 2),
            ({"pages": [0, 1]}, 4),
            ({"pages": {0, 1}, "title": ("b",)}, 2),
            ({"pages": []}, 0),
            ({"lent": False}, 6),
            ({"lent": True}, 0),
            ({"genre": "novel"}, 6),
            ({"genre": [Genre.POEMS, "essays"]}, 0),
            ({"price": Decimal("9.99")}, 6),
        ]
        for filters, count in cases:
            assert books.count(filters) == count
            assert len(books.find_all(filters)) == count
            assert books.find_many(filters, limit=100).total == count
            assert books.exists(filters) is (count > 0)
            assert (books.first(filters) is not None) is (count > 0)

    def test_symbols_are_found_in_any_spelling(self, books: BooksRepository) -> None:
        book = books.create(Book(code="Abc"))
        assert books.find_all({"code": " aBC "}) == books.find_all({"code": ["abc", "x"]}) == [book]

    def test_first_is_the_first_of_the_order(self, books: BooksRepository) -> None:
        books.create_many([Book(title=title, created_at=NOON + hour * HOUR) for hour, title in enumerate("bca")])
        assert [found.title for found in [books.first()] if found] == ["a"]
        assert [found.title for found in [books.first(order_by="created_at")] if found] == ["b"]
        assert [found.title for found in [books.first({"title": ["b", "c"]}, order_by=["-title"])] if found] == ["c"]
        assert books.first({"title": "x"}) is None

    @pytest.mark.parametrize("filters", [{"colour": "red"}, {"colour": None}, {"title": "a", "shelf": 1}, {"": 1}])
    def test_an_unknown_filter_is_refused_with_the_known_ones(
        self, books: BooksRepository, filters: dict[str, Any]
    ) -> None:
        for ask in (books.find_many, books.find_all, books.find_keyset, books.first, books.exists, books.count):
            with pytest.raises(InvalidDataError, match=r"unknown filter '(colour|shelf|)'; known: code, created_at"):
                ask(filters)

    @pytest.mark.parametrize(
        "filters", [{"title": " "}, {"code": ""}, {"code": ["A", " "]}, {"pages": "1"}, {"genre": "x"}]
    )
    def test_a_bad_filter_is_refused(self, books: BooksRepository, filters: dict[str, Any]) -> None:
        for ask in (books.find_many, books.find_all, books.find_keyset, books.first, books.exists, books.count):
            with pytest.raises(InvalidDataError):
                ask(filters)
        with pytest.raises(InvalidDataError):
            books.delete_many(filters)

    @pytest.mark.parametrize(
        "order", ["colour", "-colour", ["title", "colour"], "", "title desc", "title; DROP TABLE books"]
    )
    def test_an_unknown_order_is_refused(self, books: BooksRepository, order: Any) -> None:
        for ask in (books.find_many, books.find_all, books.find_keyset, books.first):
            with pytest.raises(InvalidDataError, match="books has no column"):
                ask(order_by=order)

    def test_a_page_and_its_total_are_of_one_state(self, books: BooksRepository) -> None:
        books.create_many([Book() for _ in range(3)])
        page = books.find_many({"lent": False}, limit=2)
        assert (len(page.data), page.total) == (2, 3)

    def test_a_value_is_never_part_of_the_statement(self, books: BooksRepository) -> None:
        nasty = "'; DROP TABLE books; -- %s %(x)s ? :x \\"
        book = books.create(Book(title=nasty))
        assert books.find_all({"title": nasty}) == [book]
        assert books.find(query().contains(nasty, "title")) == [book]


class TestUpdate:
    def test_what_is_given_is_written_and_the_rest_stays(self, books: BooksRepository) -> None:
        book = books.create(Book(title="old", pages=5, tags=["x"], created_at=NOON, updated_at=NOON))
        with clock_set_to(NOON + HOUR):
            updated = books.update(book.id, {"title": "new", "pages": None, "tags": ["y"]})
        assert updated == book.replace(title="new", pages=None, tags=["y"], updated_at=NOON + HOUR)
        assert books.find_by_id(book.id) == updated

    def test_zero_and_empty_values_are_written(self, books: BooksRepository) -> None:
        book = books.create(Book(title="old", pages=5, tags=["x"], lent=True, isbn="1"))
        updated = books.update(book.id, {"title": "", "pages": 0, "tags": [], "lent": False, "isbn": ""})
        assert (updated.title, updated.pages, updated.tags, updated.lent, updated.isbn) == ("", 0, [], False, "")

    def test_nothing_given_changes_nothing(self, books: BooksRepository) -> None:
        book = books.create(Book(updated_at=NOON))
        with clock_set_to(NOON + HOUR):
            assert books.update(book.id, {}) == book
        assert books.find_by_id(book.id) == book

    def test_a_foreign_key_can_be_changed(self, books: BooksRepository, shelves: ShelvesRepository) -> None:
        shelf = shelves.create(Shelf(name="A"))
        book = books.create(Book())
        assert books.update(book.id, {"shelf_id": shelf.id}).shelf_id == shelf.id
        assert books.update(book.id, {"shelf_id": None}).shelf_id is None

    @pytest.mark.parametrize("column", ["id", "created_at", "colour", "shelf", ""])
    def test_what_cant_be_changed_is_refused_with_what_can(self, books: BooksRepository, column: str) -> None:
        book = books.create(Book())
        with pytest.raises(InvalidDataError, match=rf"books\.{column} can't be changed; can: code, genre, isbn"):
            books.update(book.id, {"title": "new", column: NOON})
        assert books.find_by_id(book.id) == book

    def test_a_bad_value_changes_nothing(self, books: BooksRepository) -> None:
        book = books.create(Book())
        for changes in ({"price": 1.5}, {"title": None}, {"genre": "crime"}, {"title": "x", "pages": 2**31}):
            with pytest.raises((InvalidDataError, ConstraintViolationError)) as refused:
                books.update(book.id, changes)
            assert refused.value.table == "books"
        assert books.find_by_id(book.id) == book

    def test_only_the_one_row_changes(self, books: BooksRepository) -> None:
        book, other = books.create(Book()), books.create(Book())
        books.update(book.id, {"title": "new"})
        assert books.find_by_id(other.id) == other


class TestDelete:
    def test_a_row_is_deleted_once(self, books: BooksRepository) -> None:
        book, other = books.create(Book()), books.create(Book())
        assert books.delete(book.id) is True
        assert books.delete(book.id) is False
        assert books.find_all() == [other]

    def test_many_are_deleted_by_a_filter(self, books: BooksRepository) -> None:
        books.create_many([Book(title=title, pages=pages) for title in "ab" for pages in (0, 1)])
        assert books.delete_many({"title": "a", "pages": [0, 5]}) == 1
        assert books.delete_many({"title": "x"}) == 0
        assert books.delete_many({"title": []}) == 0
        assert books.delete_many({"lent": False, "pages": None}) == 3

    @pytest.mark.parametrize("filters", [{}, {"title": None}, {"title": None, "pages": None}])
    def test_without_a_filter_nothing_is_deleted(self, books: BooksRepository, filters: dict[str, Any]) -> None:
        books.create(Book())
        with pytest.raises(InvalidDataError, match="delete_many needs at least one filter"):
            books.delete_many(filters)
        assert books.count() == 1


class TestDatabase:
    def test_the_current_environments_database_is_the_default(self) -> None:
        push(get_db(), [ShelfRow, BookRow])
        book = BooksRepository().create(Book())
        assert BooksRepository(get_db()).find_all() == [book]
        assert BooksRepository().database is get_db()

    def test_it_shows_what_it_works_on(self, books: BooksRepository) -> None:
        assert repr(books) == f"BooksRepository({books.database!r})"
        assert repr(BooksRepository()) == "BooksRepository()"

    def test_a_missing_table_is_an_error_that_says_what_to_do(self) -> None:
        with pytest.raises(QueryError, match="no such table: books; run `cream-store db push`"):
            BooksRepository().count()

    def test_its_methods_are_part_of_the_callers_transaction(self, books: BooksRepository) -> None:
        with suppress(ZeroDivisionError), books.database.transaction():
            books.create_many([Book() for _ in range(3)])
            assert books.count() == 3
            books.upsert_many([Book()])
            raise ZeroDivisionError
        assert books.count() == 0

    def test_two_databases_do_not_meet(self, books: BooksRepository) -> None:
        push(get_db(), [ShelfRow, BookRow])
        here, there = books, BooksRepository(get_db())
        book = here.create(Book())
        assert there.find_all() == []
        assert there.create(book) == book
        there.delete(book.id)
        assert here.find_all() == [book]

    def test_other_programs_get_the_databases_defaults(self, books: BooksRepository) -> None:
        books.database.change("INSERT INTO books (title, code, price) VALUES ('A', 'X', 1)")
        [book] = books.find_all()
        assert (book.id.version, book.genre, book.lent, book.tags) == (7, Genre.NOVEL, False, [])
        assert abs(utc_now() - book.created_at) < HOUR
        assert book.created_at == book.updated_at

    def test_keys_that_the_database_makes_are_ordered_by_time_and_all_different(self, books: BooksRepository) -> None:
        for number in range(50):
            books.database.change(f"INSERT INTO books (title, code, price) VALUES ('A', 'X{number}', 1)")
        made = [book.id for book in books.find_all()]
        assert len(set(made)) == 50
        milliseconds = utc_now().timestamp() * 1000
        assert all(abs((one.int >> 80) - milliseconds) < HOUR.total_seconds() * 1000 for one in made)
        assert all(one.variant == "specified in RFC 4122" for one in made)
