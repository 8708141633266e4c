"""Results larger than memory come as record batches: in step with the reader, and without a trace when it stops."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import polars
import pyarrow as pa
import pytest

from cream_store import ConnectionLostError, Database, InvalidDataError, QueryError, TransactionError
from tests.core.notes import Note, Notes, end_sessions, other_sessions, reopened, texts, wait_until

LONG = "x" * 1_000
MANY = 20_000
"""Rows of long text: more than is ever on its way."""


def fill(database: Database, count: int = MANY) -> None:
    """Stores so many notes, numbered from 1."""
    database.change(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
        f" INSERT INTO notes (text, number) SELECT '{LONG}', n FROM numbers"
    )


def receivers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cream-store copy"]


@pytest.fixture(autouse=True)
def _no_receiver_is_left() -> Iterator[None]:
    yield
    assert not receivers()


def test_batches_come_in_order_and_are_the_table(notebook: Database) -> None:
    fill(notebook)
    notes = Notes(notebook)
    with notes.iterate_arrow(order_by="number") as reader:
        schema, batches = reader.schema, list(reader)
    assert len(batches) > 1
    table = pa.Table.from_batches(batches, schema)
    assert table["number"].to_pylist() == list(range(1, MANY + 1))
    assert table.equals(notes.find_arrow(order_by="number"))


def test_nothing_is_a_reader_without_batches(notebook: Database) -> None:
    with Notes(notebook).iterate_arrow() as reader:
        assert list(reader) == []
        assert reader.schema.names == ["id", "text", "number"]


def test_a_reader_is_made_for_others_that_take_arrow(notebook: Database) -> None:
    fill(notebook)
    with Notes(notebook).iterate_arrow() as reader:
        assert polars.DataFrame(polars.from_arrow(reader))["number"].sum() == MANY * (MANY + 1) // 2


# Readers that stop early


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_block_may_be_left_early(notebook: Database, batches: int) -> None:
    fill(notebook)
    with Notes(notebook).iterate_arrow() as reader:
        for _ in range(batches):
            reader.read_next_batch()
        assert notebook.pool_stats().idle == notebook.pool_stats().total - 1
    assert notebook.pool_stats().idle == notebook.pool_stats().total
    assert Notes(notebook).count() == MANY


def test_an_error_of_the_caller_ends_it(notebook: Database) -> None:
    fill(notebook)

    def read_and_fail() -> None:
        with Notes(notebook).iterate_arrow() as reader:
            reader.read_next_batch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_and_fail()
    assert notebook.pool_stats().idle == notebook.pool_stats().total


def test_a_generator_around_it_may_be_forgotten(notebook: Database) -> None:
    fill(notebook)

    def numbers() -> Iterator[int]:
        with Notes(notebook).iterate_arrow(order_by="number") as reader:
            for batch in reader:
                yield from batch["number"].to_pylist()

    some = numbers()
    assert [next(some), next(some)] == [1, 2]
    del some
    gc.collect()
    assert notebook.pool_stats().idle == notebook.pool_stats().total


def test_a_reader_that_outlives_its_block_does_not_pretend_to_be_at_the_end(notebook: Database) -> None:
    fill(notebook)
    with Notes(notebook).iterate_arrow() as reader:
        reader.read_next_batch()
    with pytest.raises(TransactionError, match="before it was read to its end"):
        reader.read_all()


def test_a_query_that_never_begins_to_answer_is_cancelled(postgresql_notebook: Database) -> None:
    Notes(postgresql_notebook).create(Note())
    postgresql_notebook.change("ALTER TABLE notes RENAME TO kept_notes")
    slow = "SELECT *, pg_sleep(1000) IS NULL AS slept FROM kept_notes"
    postgresql_notebook.change(f"CREATE VIEW notes AS SELECT id, text, number FROM ({slow} OFFSET 0) s WHERE NOT slept")
    try:
        with Notes(postgresql_notebook).iterate_arrow():
            pass  # far sooner than the database would answer
        with reopened(postgresql_notebook) as administrator:
            wait_until(lambda: "pg_sleep" not in active_queries(administrator))
    finally:
        postgresql_notebook.change("DROP VIEW notes")
        postgresql_notebook.change("ALTER TABLE kept_notes RENAME TO notes")


def active_queries(administrator: Database) -> str:
    rows = administrator.fetch_all(
        "SELECT query FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    return "\n".join(query for (query,) in rows)


# Inside transactions


def test_it_sees_what_its_transaction_wrote(notebook: Database) -> None:
    notes = Notes(notebook)
    with notebook.transaction():
        notes.create(Note(text="new"))
        assert notes.find_arrow(columns=["text"]).to_pydict() == {"text": ["new"]}
        notes.create(Note(text="newer"))
    assert texts(notebook) == ["new", "newer"]


@pytest.mark.parametrize("batches", [0, 1])
def test_a_transaction_goes_on_after_a_block_was_left_early(notebook: Database, batches: int) -> None:
    notes = Notes(notebook)
    with notebook.transaction():
        fill(notebook)
        with notes.iterate_arrow() as reader:
            for _ in range(batches):
                reader.read_next_batch()
        notes.create(Note(text="after"))
    assert notes.count() == MANY + 1


def test_a_transaction_executes_nothing_else_meanwhile(notebook: Database) -> None:
    notes = Notes(notebook)
    with notebook.transaction():
        fill(notebook)
        with notes.iterate_arrow() as reader:
            reader.read_next_batch()
            with pytest.raises(TransactionError, match="still being read"):
                notes.count()
            with pytest.raises(TransactionError, match="still being read"):
                notes.find_arrow()
            rest = reader.read_all()
            assert 0 < rest.num_rows < MANY
            assert notes.count() == MANY  # at its end it is no obstacle, although the block is not left yet


def test_outside_a_transaction_other_operations_go_on(notebook: Database) -> None:
    fill(notebook)
    notes = Notes(notebook)
    with notes.iterate_arrow() as reader:
        reader.read_next_batch()
        notes.create(Note(text="meanwhile"))
        assert notes.count() == MANY + 1
        assert "meanwhile" not in reader.read_all()["text"].to_pylist()


@pytest.mark.parametrize("fails", [False, True])
def test_a_transaction_that_ends_first_ends_the_reading(notebook: Database, fails: bool) -> None:
    fill(notebook)
    notes = Notes(notebook)

    def begin() -> pa.RecordBatchReader:
        with notebook.transaction():
            notes.create(Note(text="kept or not"))
            opened = notes.iterate_arrow()
            blocks.append(opened)
            reader = opened.__enter__()
            reader.read_next_batch()
            if fails:
                raise ZeroDivisionError
            return reader

    blocks: list[object] = []
    if fails:
        with pytest.raises(ZeroDivisionError):
            begin()
    else:
        with pytest.raises(TransactionError, match="before it was read to its end"):
            begin().read_all()
    assert not receivers()
    assert notes.count() == MANY + (not fails)
    assert notebook.pool_stats().idle == notebook.pool_stats().total


def test_a_nested_transaction_that_fails_leaves_the_outer_one_usable(notebook: Database) -> None:
    notes = Notes(notebook)

    def read_and_fail() -> None:
        with notebook.transaction(), notes.iterate_arrow() as reader:
            reader.read_next_batch()
            raise ZeroDivisionError

    with notebook.transaction():
        fill(notebook)
        with pytest.raises(ZeroDivisionError):
            read_and_fail()
        assert notes.count() == MANY


# Errors of the database


def test_a_missing_table_is_the_same_error_as_for_records(notebook: Database) -> None:
    with notebook.transaction():
        notebook.change("ALTER TABLE notes RENAME TO hidden")
        with pytest.raises(QueryError, match="cream-store db push"):
            Notes(notebook).find_arrow()
        notebook.change("ALTER TABLE hidden RENAME TO notes")


def test_a_query_that_fails_midway_fails_for_the_reader(postgresql_notebook: Database) -> None:
    fill(postgresql_notebook)
    postgresql_notebook.change("ALTER TABLE notes RENAME TO kept_notes")
    failing = f"SELECT id, text, number / (CASE WHEN number = {MANY} THEN 0 ELSE 1 END) AS number FROM kept_notes"
    postgresql_notebook.change(f"CREATE VIEW notes AS {failing}")
    try:
        with pytest.raises(InvalidDataError, match="division by zero"):
            Notes(postgresql_notebook).find_arrow(order_by="id")
        assert postgresql_notebook.pool_stats().idle == 1
    finally:
        postgresql_notebook.change("DROP VIEW notes")
        postgresql_notebook.change("ALTER TABLE kept_notes RENAME TO notes")


def test_a_connection_that_is_lost_midway_is_an_error_and_is_replaced(postgresql_notebook: Database) -> None:
    fill(postgresql_notebook, 5 * MANY)
    with Notes(postgresql_notebook).iterate_arrow() as reader:
        reader.read_next_batch()
        end_sessions(postgresql_notebook)
        with pytest.raises(ConnectionLostError):
            reader.read_all()
    assert Notes(postgresql_notebook).count() == 5 * MANY


def test_a_fraction_in_a_column_of_whole_numbers_is_not_cut(sqlite_notebook: Database) -> None:
    sqlite_notebook.change("INSERT INTO notes (text, number) VALUES ('one and a half', 1.5), ('one', 1)")
    with pytest.raises(InvalidDataError, match=r"notes\.number"):
        Notes(sqlite_notebook).find_arrow()


# Threads, forks, interruptions


def test_threads_share_a_pool_that_is_smaller_than_they_are_many(notebook: Database) -> None:
    fill(notebook, 2_000)
    with reopened(notebook, pool_size=2) as small, ThreadPoolExecutor(8) as threads:
        tables = list(threads.map(lambda _: Notes(small).find_arrow(), range(24)))
    assert {table.num_rows for table in tables} == {2_000}


def test_a_forked_child_leaves_the_parents_reading_alone(postgresql_notebook: Database) -> None:
    fill(postgresql_notebook)
    with Notes(postgresql_notebook).iterate_arrow() as reader:
        first = reader.read_next_batch()
        child = os.fork()
        if child == 0:
            del reader
            gc.collect()
            os._exit(0 if Notes(postgresql_notebook).count() == MANY else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert first.num_rows + reader.read_all().num_rows == MANY


def test_ctrl_c_ends_the_wait_for_an_answer(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    notes.create(Note())
    with reopened(postgresql_notebook) as other, other.transaction():
        other.change("LOCK TABLE notes")
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
        interruption = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        interruption.start()
        with pytest.raises(KeyboardInterrupt):
            notes.find_arrow()
        interruption.join()
        signal.signal(signal.SIGINT, handler)
    assert notes.count() == 1
    assert other_sessions(postgresql_notebook) <= 1
