"""Many threads, ended sessions, killed writers and forked children: nothing is lost and nothing is left behind."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from cream_store import (
    Database,
    DatabaseConnectionError,
    Environment,
    TransactionError,
    open_database,
)
from cream_store.pool import PoolStats
from cream_store.schema import push
from tests.conftest import POSTGRESQL_BACK_ENDS
from tests.core.notes import (
    DEADLINE,
    Note,
    NoteRow,
    Notes,
    end_sessions,
    other_sessions,
    reopened,
    texts,
    wait_until,
)

newest_postgresql = pytest.mark.parametrize("postgresql", POSTGRESQL_BACK_ENDS[:1], indirect=True)


# Threads


@newest_postgresql
def test_a_hundred_threads_share_ten_connections(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    seen: list[tuple[PoolStats, int]] = []
    is_done = threading.Event()

    def write_and_read_back(number: int) -> None:
        for _ in range(50):
            note = notes.create(Note(number=number))
            assert notes.find_all({"id": note.id}) == [note]

    def watch() -> None:
        with reopened(postgresql_notebook) as administrator:
            while not is_done.is_set():
                seen.append((postgresql_notebook.pool_stats(), other_sessions(administrator)))

    with ThreadPoolExecutor(101) as threads:
        watching = threads.submit(watch)
        try:
            list(threads.map(write_and_read_back, range(100), timeout=DEADLINE))
        finally:
            is_done.set()
        watching.result(DEADLINE)
    assert notes.count() == 5000
    assert max(stats.total for stats, _ in seen) == 10
    assert max(sessions for _, sessions in seen) <= 10
    assert max(stats.waiting for stats, _ in seen) <= 90


@newest_postgresql
def test_sessions_that_end_under_load_lose_nothing_that_was_stored(postgresql_notebook: Database) -> None:
    """Each thread counts a row, and a pair of rows, only when it was told that they are stored."""
    notes = Notes(postgresql_notebook)
    stored: set[int] = set()
    attempts = iter(range(1_000_000))
    is_done = threading.Event()
    failures = []

    def write() -> None:
        while not is_done.is_set():
            number = next(attempts)
            try:
                if number % 2:
                    notes.create(Note(number=number))
                else:
                    with postgresql_notebook.transaction():
                        notes.create(Note(number=number))
                        notes.create(Note(number=number))
                stored.add(number)
            except DatabaseConnectionError as error:
                failures.append(error)

    def wait_for_a_hundred_more() -> None:
        goal = len(stored) + 100
        wait_until(lambda: len(stored) >= goal)

    with ThreadPoolExecutor(50) as threads:
        writing = [threads.submit(write) for _ in range(50)]
        try:
            for _ in range(5):
                wait_for_a_hundred_more()
                end_sessions(postgresql_notebook)
        finally:
            is_done.set()
        for future in writing:
            future.result(DEADLINE)

    found = [note.number for note in notes.find_all()]
    assert stored <= set(found)
    assert all(found.count(number) == 2 for number in set(found) if number % 2 == 0)
    assert len(set(found) - stored) <= len(failures)
    stats = postgresql_notebook.pool_stats()
    assert stats.idle == stats.total <= 10
    assert [notes.count() for _ in range(20)] == [len(found)] * 20


def test_many_threads_write_to_one_database(notebook: Database) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            Notes(notebook).create(Note(number=number))
            Notes(notebook).create_many([Note(number=number), Note(number=number)])

    with ThreadPoolExecutor(30) as threads:
        list(threads.map(write, range(30), timeout=DEADLINE))
    assert Notes(notebook).count() == 30 * 30
    assert notebook.pool_stats().total <= 10


def test_threads_that_end_with_a_connection_in_hand_leave_no_trace(
    notebook: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def take_a_connection() -> None:
        notebook.connect()
        Notes(notebook).create(Note(text="stays"))

    def begin_a_transaction() -> None:
        notebook.transaction().__enter__()
        Notes(notebook).create(Note(text="undone"))

    def begin_with_peewee() -> None:
        notebook.begin()
        Notes(notebook).create(Note(text="undone"))

    with caplog.at_level(logging.WARNING, "cream_store.pool"):
        for work in [take_a_connection, begin_a_transaction, begin_with_peewee] * 7:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join(DEADLINE)
        assert notebook.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)
        assert texts(notebook) == ["stays"] * 7
    assert caplog.text.count("a thread ended without giving its connection back") == 21
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Dummy")]


# Processes


def leave_by(action: Callable[[], object]) -> NoReturn:
    """Ends this process; well, if the action does not fail."""
    code = 1
    try:
        action()
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def in_child(action: Callable[[], object]) -> None:
    """Does something in a forked child, in which nothing may fail."""
    child = os.fork()
    if child == 0:
        leave_by(action)
    assert exit_code_of(child) == 0


def exit_code_of(child: int) -> int:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("a child hangs")


def write(database: Database, text: str) -> None:
    Notes(database).create(Note(text=text))


def test_a_writer_that_is_killed_inside_a_transaction_leaves_nothing_behind(notebook: Database) -> None:
    has_written, tell = os.pipe()

    def write_and_hang() -> None:
        with notebook.transaction():
            Notes(notebook).create_many(Note(text="x" * 1000) for _ in range(2000))
            os.write(tell, b"!")
            signal.pause()

    child = os.fork()
    if child == 0:
        leave_by(write_and_hang)
    os.read(has_written, 1)
    os.kill(child, signal.SIGKILL)
    assert exit_code_of(child) == -signal.SIGKILL
    os.close(has_written)
    os.close(tell)
    assert texts(notebook) == []
    write(notebook, "after")
    assert texts(notebook) == ["after"]


def test_a_forked_child_has_connections_of_its_own(notebook: Database) -> None:
    def work_in_child() -> None:
        assert notebook.pool_stats().total == 0
        assert texts(notebook) == ["parent"]
        with notebook.transaction():
            write(notebook, "child")

    write(notebook, "parent")
    in_child(work_in_child)
    write(notebook, "parent again")
    assert texts(notebook) == ["child", "parent", "parent again"]


def test_the_parents_session_outlives_its_children(postgresql_notebook: Database) -> None:
    [(session,)] = postgresql_notebook.fetch_all("SELECT pg_backend_pid()")
    for _ in range(3):
        in_child(lambda: texts(postgresql_notebook))
        in_child(postgresql_notebook.close_pool)
    assert postgresql_notebook.fetch_all("SELECT pg_backend_pid()") == [(session,)]


def test_what_a_child_writes_outlives_its_parents_connections(notebook: Database) -> None:
    """SQLite deletes its log when the last connection is closed, and does not see those of a child by itself."""
    parent_has_closed, tell_child = os.pipe()

    def write_before_and_after() -> None:
        write(notebook, "before")
        os.read(parent_has_closed, 1)
        write(notebook, "after")
        assert texts(notebook) == ["after", "before", "parent"]

    write(notebook, "parent")
    child = os.fork()
    if child == 0:
        leave_by(write_before_and_after)
    with reopened(notebook) as elsewhere:
        wait_until(lambda: Notes(elsewhere).count() == 2)
    notebook.close_pool()
    os.write(tell_child, b"!")
    assert exit_code_of(child) == 0
    os.close(parent_has_closed)
    os.close(tell_child)
    assert texts(notebook) == ["after", "before", "parent"]


def test_a_transaction_goes_on_in_the_parent_while_a_child_works(postgresql_notebook: Database) -> None:
    def work_in_child() -> None:
        assert not postgresql_notebook.in_transaction()
        assert texts(postgresql_notebook) == []
        write(postgresql_notebook, "child")

    with postgresql_notebook.transaction():
        write(postgresql_notebook, "parent")
        in_child(work_in_child)
        in_child(postgresql_notebook.close_pool)
        write(postgresql_notebook, "parent again")
    assert texts(postgresql_notebook) == ["child", "parent", "parent again"]


def test_the_transaction_of_another_thread_goes_on_in_the_parent(notebook: Database) -> None:
    """The child loses that thread, and with it all that the thread held, before anything else."""
    has_begun, may_end = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with notebook.transaction():
            write(notebook, "begun")
            has_begun.set()
            assert may_end.wait(DEADLINE)
            write(notebook, "ended")

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write_slowly)
        assert has_begun.wait(DEADLINE)
        in_child(lambda: None)
        may_end.set()
        writing.result(DEADLINE)
    assert texts(notebook) == ["begun", "ended"]


def test_a_child_that_leaves_its_parents_transaction_ends_nothing(notebook: Database) -> None:
    def leave_well() -> None:
        with pytest.raises(TransactionError, match="no forked child"):
            transaction.__exit__(None, None, None)

    def leave_badly() -> None:
        error = KeyError()
        transaction.__exit__(KeyError, error, None)

    with notebook.transaction() as transaction:
        write(notebook, "parent")
        in_child(leave_well)
        in_child(leave_badly)
        write(notebook, "parent again")
    assert texts(notebook) == ["parent", "parent again"]


def test_a_child_does_not_use_a_file_that_its_parent_was_using(sqlite_notebook: Database, tmp_path: Path) -> None:
    """SQLite would let it, and could lose what the child writes."""

    def work_in_child() -> None:
        for _ in range(2):
            with pytest.raises(DatabaseConnectionError, match="forked while its parent was using the file"):
                texts(sqlite_notebook)
            with reopened(sqlite_notebook) as same_file, pytest.raises(DatabaseConnectionError, match="forked"):
                write(same_file, "child")
        assert sqlite_notebook.pool_stats().total == 0
        another_file = open_database(f"sqlite:///{tmp_path}/another.db", Environment.TEST)
        push(another_file, [NoteRow])
        write(another_file, "child")

    with sqlite_notebook.transaction():
        write(sqlite_notebook, "parent")
        in_child(work_in_child)
    in_child(lambda: write(sqlite_notebook, "child"))
    assert texts(sqlite_notebook) == ["child", "parent"]


def test_a_database_in_memory_survives_a_fork_in_the_parent() -> None:
    database = open_database("sqlite:///:memory:", Environment.TEST)
    push(database, [NoteRow])
    write(database, "parent")
    in_child(lambda: database.fetch_all("SELECT 1"))
    assert texts(database) == ["parent"]
    database.close_pool()


def test_forked_workers_share_a_database(notebook: Database) -> None:
    def work() -> None:
        for _ in range(10):
            write(notebook, "worker")
            Notes(notebook).create_many([Note(text="worker"), Note(text="worker")])

    write(notebook, "parent")
    workers = [multiprocessing.get_context("fork").Process(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE)
    assert [worker.exitcode for worker in workers] == [0] * 4
    write(notebook, "parent")
    assert texts(notebook) == ["parent"] * 2 + ["worker"] * 4 * 30
