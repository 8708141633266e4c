"""Transactions: all or nothing, nested ones, repeated ones, and what runs after the commit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Barrier

import pytest

from cream_store import (
    Database,
    DuplicateKeyError,
    NotFoundError,
    RetryableTransactionError,
    TransactionError,
    get_db,
    transaction,
    transactional,
    with_transaction,
)
from cream_store.schema import push
from tests.core.notes import DEADLINE, Note, NoteRow, Notes, reopened, texts, wait_until


@pytest.fixture
def another_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def write(database: Database, text: str) -> Note:
    return Notes(database).create(Note(text=text))


def numbers(database: Database) -> list[int]:
    return [note.number for note in Notes(database).find_all()]


class Undo(Exception):
    """The reason to undo a transaction."""


@contextmanager
def undone(database: Database) -> Iterator[None]:
    """A transaction that fails at its end."""
    with suppress(Undo), database.transaction():
        yield
        raise Undo


# All or nothing


def test_a_transaction_stores_everything(notebook: Database) -> None:
    with notebook.transaction():
        write(notebook, "a")
        write(notebook, "b")
        with reopened(notebook) as elsewhere:
            assert texts(elsewhere) == []
    assert texts(notebook) == ["a", "b"]


@pytest.mark.parametrize("error", [KeyError, SystemExit, GeneratorExit])
def test_an_exception_undoes_everything_and_goes_on_to_the_caller(
    notebook: Database, error: type[BaseException]
) -> None:
    def write_and_fail() -> None:
        with notebook.transaction():
            write(notebook, "a")
            raise error

    write(notebook, "before")
    with pytest.raises(error):
        write_and_fail()
    assert texts(notebook) == ["before"]


def test_a_transaction_keeps_one_connection_and_gives_it_back(notebook: Database) -> None:
    with notebook.transaction():
        write(notebook, "a")
        write(notebook, "b")
        stats = notebook.pool_stats()
        assert (stats.total, stats.idle) == (1, 0)
    stats = notebook.pool_stats()
    assert (stats.total, stats.idle) == (1, 1)


def test_statements_of_a_transaction_run_in_one_session(postgresql_notebook: Database) -> None:
    def session() -> int:
        [(process_id,)] = postgresql_notebook.fetch_all("SELECT pg_backend_pid()")
        return int(process_id)

    def transaction_in_which_all_is_one_session() -> int:
        barrier.wait(DEADLINE)
        with postgresql_notebook.transaction():
            first = session()
            barrier.wait(DEADLINE)
            assert {session() for _ in range(10)} == {first}
        return first

    barrier = Barrier(5)
    with ThreadPoolExecutor(5) as threads:
        transactions = [threads.submit(transaction_in_which_all_is_one_session) for _ in range(5)]
        assert len({future.result(DEADLINE) for future in transactions}) == 5


def test_an_error_that_was_caught_inside_a_transaction_can_not_be_lost(postgresql_notebook: Database) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with a roll-back, and no error."""

    def catch_an_error() -> None:
        with postgresql_notebook.transaction():
            write(postgresql_notebook, "a")
            with suppress(DuplicateKeyError):
                Notes(postgresql_notebook).create(stored)

    stored = write(postgresql_notebook, "before")
    with pytest.raises(TransactionError, match="undid the whole of it"):
        catch_an_error()
    assert texts(postgresql_notebook) == ["before"]


def test_no_statement_runs_in_a_transaction_that_failed(postgresql_notebook: Database) -> None:
    stored = write(postgresql_notebook, "before")
    with undone(postgresql_notebook):
        with pytest.raises(DuplicateKeyError):
            Notes(postgresql_notebook).create(stored)
        with pytest.raises(TransactionError, match="nested transaction"):
            write(postgresql_notebook, "a")
        with pytest.raises(TransactionError, match="nested transaction"):
            postgresql_notebook.transaction().__enter__()
    assert texts(postgresql_notebook) == ["before"]


def test_only_the_thread_that_began_a_transaction_can_end_it(
    notebook: Database, another_thread: ThreadPoolExecutor
) -> None:
    ours = notebook.transaction()
    ours.__enter__()
    write(notebook, "a")
    with pytest.raises(TransactionError, match="only the thread that began"):
        another_thread.submit(ours.__exit__, None, None, None).result(DEADLINE)
    ours.__exit__(None, None, None)
    assert texts(notebook) == ["a"]


def test_a_transaction_begun_by_hand_ends_with_its_statement(
    notebook: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cream_store"):
        notebook.execute_sql("BEGIN")
    assert "'BEGIN' began a transaction that ends at once" in caplog.text
    write(notebook, "a")
    with reopened(notebook) as elsewhere:
        assert texts(elsewhere) == ["a"]


# Nested transactions


def test_the_failure_of_an_inner_transaction_undoes_the_inner_one_only(notebook: Database) -> None:
    with notebook.transaction():
        write(notebook, "outer")
        with undone(notebook):
            write(notebook, "inner")
        write(notebook, "outer again")
    assert texts(notebook) == ["outer", "outer again"]


def test_an_inner_transaction_survives_what_the_database_refuses(notebook: Database) -> None:
    stored = write(notebook, "before")
    with notebook.transaction():
        write(notebook, "outer")
        with pytest.raises(DuplicateKeyError):
            Notes(notebook).create_many([Note(text="inner"), stored])
        write(notebook, "outer again")
    assert texts(notebook) == ["before", "outer", "outer again"]


def test_an_inner_transaction_ends_with_its_outer_one(notebook: Database) -> None:
    with undone(notebook), notebook.transaction():
        write(notebook, "inner")
    assert texts(notebook) == []


def test_transactions_nest_to_any_depth(notebook: Database) -> None:
    def nest(depth: int) -> None:
        with notebook.transaction():
            write(notebook, f"down {depth}")
            if depth < 5:
                nest(depth + 1)
            write(notebook, f"up {depth}")
            if depth == 3:
                raise KeyError

    with notebook.transaction():
        with pytest.raises(KeyError):
            nest(1)
        write(notebook, "outside")
    assert texts(notebook) == ["outside"]


# Repeating


class Unlucky:
    """A function that fails a number of times before it succeeds, leaving a note each time."""

    def __init__(self, database: Database, failures: int, error: type[Exception] = RetryableTransactionError) -> None:
        self.database = database
        self.failures = failures
        self.error = error
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        write(self.database, f"run {self.runs}")
        if self.runs <= self.failures:
            raise self.error("bad luck")
        return self.runs


def test_a_function_runs_again_until_its_transaction_succeeds(notebook: Database) -> None:
    assert with_transaction(Unlucky(notebook, failures=3), notebook) == 4
    assert texts(notebook) == ["run 4"]


def test_a_function_runs_only_so_often(notebook: Database) -> None:
    function = Unlucky(notebook, failures=3)
    with pytest.raises(RetryableTransactionError, match="bad luck"):
        with_transaction(function, notebook, retries=2)
    assert function.runs == 3
    assert texts(notebook) == []


@pytest.mark.parametrize("error", [KeyError, NotFoundError, TransactionError])
def test_other_errors_do_not_make_a_function_run_again(notebook: Database, error: type[Exception]) -> None:
    function = Unlucky(notebook, failures=1, error=error)
    with pytest.raises(error):
        with_transaction(function, notebook)
    assert function.runs == 1
    assert texts(notebook) == []


class UnluckyNotes(Notes):
    """Notes whose first attempt to write is undone."""

    attempts = 0

    @transactional
    def write_all(self, notes: Iterable[Note], more: Iterable[Note] = ()) -> int:
        self.attempts += 1
        written = len(self.create_many([*notes, *more]))
        if self.attempts == 1:
            raise RetryableTransactionError("bad luck")
        return written


def test_a_repeated_method_still_has_the_records_of_an_iterator(notebook: Database) -> None:
    notes = UnluckyNotes(notebook)
    assert notes.write_all((Note(text=text) for text in "ab"), more=iter([Note(text="c")])) == 3
    assert notes.attempts == 2
    assert sorted(texts(notebook)) == ["a", "b", "c"]


def test_only_the_outermost_transaction_is_repeated(notebook: Database) -> None:
    inner = Unlucky(notebook, failures=2)
    outer_runs = []

    def outer() -> None:
        outer_runs.append(inner.runs)
        write(notebook, f"outer {len(outer_runs)}")
        with_transaction(inner, notebook)

    with_transaction(outer, notebook)
    assert outer_runs == [0, 1, 2]
    assert texts(notebook) == ["outer 3", "run 3"]


def test_a_deadlock_is_resolved_by_repeating_one_of_the_two(postgresql_notebook: Database) -> None:
    first, second = (Notes(postgresql_notebook).create(Note()) for _ in range(2))
    barrier = Barrier(2)
    runs = []

    def count_up(note: Note) -> None:
        NoteRow.update(number=NoteRow.number + 1).where(NoteRow.id == note.id).execute(postgresql_notebook)

    def count_both_up(one: Note, other: Note) -> None:
        runs.append(one)
        postgresql_notebook.execute_sql("SET LOCAL deadlock_timeout = 10")
        count_up(one)
        if len(runs) <= 2:
            barrier.wait(DEADLINE)
        count_up(other)

    with ThreadPoolExecutor(2) as threads:
        for future in [
            threads.submit(with_transaction, partial(count_both_up, *notes), postgresql_notebook)
            for notes in ([first, second], [second, first])
        ]:
            future.result(DEADLINE)
    assert len(runs) > 2  # a slow machine may see the two meet once more
    assert numbers(postgresql_notebook) == [2, 2]


def test_a_serialization_failure_is_repeated(postgresql_notebook: Database) -> None:
    note = Notes(postgresql_notebook).create(Note())
    barrier = Barrier(2)
    runs = []

    def count_up() -> None:
        runs.append(1)
        [number] = numbers(postgresql_notebook)
        if len(runs) <= 2:
            barrier.wait(DEADLINE)
        NoteRow.update(number=number + 1).where(NoteRow.id == note.id).execute(postgresql_notebook)

    with ThreadPoolExecutor(2) as threads:
        counting = [threads.submit(with_transaction, count_up, postgresql_notebook, snapshot=True) for _ in range(2)]
        for future in counting:
            future.result(DEADLINE)
    assert len(runs) == 3
    assert numbers(postgresql_notebook) == [2]


def test_a_busy_file_is_tried_again(
    sqlite_notebook: Database, another_thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_notebook.close_pool()
    monkeypatch.setattr("cream_store.sqlite.BUSY_TIMEOUT", 0.01)
    with sqlite_notebook.transaction():
        with pytest.raises(RetryableTransactionError, match="another writer held it"):
            another_thread.submit(write, sqlite_notebook, "at once").result(DEADLINE)
        patient = another_thread.submit(
            with_transaction, lambda: write(sqlite_notebook, "in the end"), sqlite_notebook, retries=10_000
        )
        wait_until(lambda: sqlite_notebook.pool_stats().total == 2)
    patient.result(DEADLINE)
    assert texts(sqlite_notebook) == ["in the end"]


def test_transactions_that_read_before_they_write_take_turns_on_a_file(sqlite_notebook: Database) -> None:
    note = Notes(sqlite_notebook).create(Note())

    def count_up() -> None:
        for _ in range(20):
            with sqlite_notebook.transaction():
                [number] = numbers(sqlite_notebook)
                NoteRow.update(number=number + 1).where(NoteRow.id == note.id).execute(sqlite_notebook)

    with ThreadPoolExecutor(5) as threads:
        for future in [threads.submit(count_up) for _ in range(5)]:
            future.result(DEADLINE)
    assert numbers(sqlite_notebook) == [100]


# After the commit


def test_callbacks_run_in_order_after_the_outermost_commit(notebook: Database) -> None:
    seen: list[object] = []
    with notebook.transaction():
        notebook.after_commit(lambda: seen.append(texts(notebook)))
        write(notebook, "outer")
        with notebook.transaction():
            notebook.after_commit(lambda: seen.append("second"))
            write(notebook, "inner")
        assert seen == []
    assert seen == [["inner", "outer"], "second"]


def test_a_callback_runs_when_the_connection_has_been_given_back(notebook: Database) -> None:
    seen: list[object] = []

    def remember() -> None:
        stats = notebook.pool_stats()
        seen.append((stats.idle, stats.total, notebook.in_transaction()))
        with notebook.transaction():
            write(notebook, "of the callback")

    with notebook.transaction():
        write(notebook, "a")
        notebook.after_commit(remember)
    assert seen == [(1, 1, False)]
    assert texts(notebook) == ["a", "of the callback"]


def test_outside_a_transaction_a_callback_runs_at_once(notebook: Database) -> None:
    seen: list[int] = []
    notebook.after_commit(lambda: seen.append(1))
    assert seen == [1]


def test_callbacks_of_what_was_undone_do_not_run(notebook: Database) -> None:
    seen: list[str] = []
    with undone(notebook):
        notebook.after_commit(lambda: seen.append("undone"))
    with notebook.transaction():
        notebook.after_commit(lambda: seen.append("outer"))
        with undone(notebook):
            notebook.after_commit(lambda: seen.append("undone inner"))
    with notebook.transaction():
        pass
    assert seen == ["outer"]


def test_a_callback_that_fails_does_not_make_a_stored_transaction_run_again(notebook: Database) -> None:
    def fail() -> None:
        raise RetryableTransactionError("of the callback")

    def function() -> None:
        write(notebook, "once")
        notebook.after_commit(fail)

    with pytest.raises(RetryableTransactionError, match="of the callback"):
        with_transaction(function, notebook)
    assert texts(notebook) == ["once"]


def test_the_callbacks_of_a_repeated_transaction_run_once(notebook: Database) -> None:
    seen: list[int] = []
    unlucky = Unlucky(notebook, failures=2)

    def function() -> None:
        notebook.after_commit(lambda: seen.append(unlucky.runs))
        unlucky()

    with_transaction(function, notebook)
    assert seen == [3]


# Snapshots


def test_all_reads_of_a_snapshot_see_one_state(notebook: Database) -> None:
    write(notebook, "before")
    with reopened(notebook) as elsewhere:
        with notebook.transaction(snapshot=True):
            assert texts(notebook) == ["before"]
            write(elsewhere, "meanwhile")
            assert texts(notebook) == ["before"]
            assert Notes(notebook).count() == 1
        assert texts(notebook) == ["before", "meanwhile"]


def test_without_a_snapshot_each_read_sees_what_is_committed(postgresql_notebook: Database) -> None:
    with reopened(postgresql_notebook) as elsewhere, postgresql_notebook.transaction():
        assert texts(postgresql_notebook) == []
        write(elsewhere, "meanwhile")
        assert texts(postgresql_notebook) == ["meanwhile"]


def test_a_snapshot_can_write(notebook: Database) -> None:
    with notebook.transaction(snapshot=True):
        write(notebook, "a")
    assert texts(notebook) == ["a"]


# Which database


def test_without_a_database_the_current_one_is_meant() -> None:
    push(get_db(), [NoteRow])
    with transaction():
        write(get_db(), "a")
    with_transaction(lambda: write(get_db(), "b"))
    assert texts(get_db()) == ["a", "b"]


def test_a_transaction_of_one_database_does_not_touch_another(notebook: Database) -> None:
    push(get_db(), [NoteRow])
    with undone(notebook):
        write(notebook, "undone")
        write(get_db(), "stays")
    assert texts(notebook) == []
    assert texts(get_db()) == ["stays"]
