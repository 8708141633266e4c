"""What goes wrong outside: servers that are down, sessions that end, files that can't be used, disks that are full.

Each ends in an error that says what happened and where, and never in a connection that stays unusable.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier

import pytest

from cream_store import (
    ConnectionLostError,
    Database,
    DatabaseConnectionError,
    Environment,
    QueryError,
    RepositoryError,
    RetryableTransactionError,
    TransactionError,
    open_database,
)
from cream_store.errors import PoolTimeoutError
from cream_store.pool import PoolStats
from cream_store.schema import push
from cream_store.testing.servers import PASSWORD, PrivateServer, available_servers
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

TEST = Environment.TEST


def write(database: Database, text: str) -> Note:
    return Notes(database).create(Note(text=text))


# A server that comes and goes


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    """A server that a test may stop; it must start it again."""
    with PrivateServer(*available_servers()[0]) as server:
        yield server


@pytest.fixture
def own_notebook(own_server: PrivateServer) -> Iterator[Database]:
    """An empty notebook on the server that may be stopped."""
    database = open_database(own_server.url("postgres"), TEST)
    push(database, [NoteRow])
    NoteRow.delete().execute(database)
    yield database
    database.close_pool()
    assert database.pool_stats().total == 0


def test_a_server_that_is_down_is_a_connection_error_until_it_is_back(
    own_server: PrivateServer, own_notebook: Database
) -> None:
    own_server.stop()
    for _ in range(15):  # more often than the pool has places
        with pytest.raises(DatabaseConnectionError, match=r"can't connect to postgresql://.*Is the server running"):
            write(own_notebook, "lost")
    assert own_notebook.pool_stats() == PoolStats(total=0, idle=0, waiting=0, size=10)
    own_server.start()
    write(own_notebook, "back again")
    assert texts(own_notebook) == ["back again"]


def test_a_server_that_was_restarted_between_operations_goes_unnoticed(
    own_server: PrivateServer, own_notebook: Database
) -> None:
    barrier = Barrier(10)

    def write_together(text: str) -> None:
        with own_notebook.transaction():
            write(own_notebook, text)
            barrier.wait(DEADLINE)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(write_together, ["before"] * 10))
        assert own_notebook.pool_stats() == PoolStats(total=10, idle=10, waiting=0, size=10)
        own_server.restart()
        list(threads.map(write_together, ["after"] * 10))
    assert own_notebook.pool_stats() == PoolStats(total=10, idle=10, waiting=0, size=10)
    assert texts(own_notebook) == ["after"] * 10 + ["before"] * 10


def test_a_server_that_was_restarted_inside_a_transaction_loses_that_transaction_only(
    own_server: PrivateServer, own_notebook: Database
) -> None:
    def write_across_a_restart() -> None:
        with own_notebook.transaction():
            write(own_notebook, "lost")
            own_server.restart()
            write(own_notebook, "lost, too")

    write(own_notebook, "before")
    with pytest.raises(ConnectionLostError, match=r"connection to postgresql://.* was lost"):
        write_across_a_restart()
    write(own_notebook, "after")
    assert texts(own_notebook) == ["after", "before"]


def test_a_wrong_password_is_not_shown(own_server: PrivateServer) -> None:
    database = open_database(own_server.tcp_url("postgres", "a wrong p@ssword"), TEST)
    with pytest.raises(DatabaseConnectionError, match=f"postgres:\\*\\*\\*@127.0.0.1:{own_server.port}") as caught:
        texts(database)
    error: BaseException | None = caught.value
    while error is not None:
        assert "p@ssword" not in str(error)
        assert "p%40ssword" not in str(error)
        error = error.__cause__


def test_the_right_password_is_taken_with_whatever_a_url_must_escape(own_server: PrivateServer) -> None:
    database = open_database(own_server.tcp_url("postgres", PASSWORD), TEST)
    assert database.fetch_all("SELECT current_user") == [("postgres",)]
    assert PASSWORD not in repr(database)
    database.close_pool()


def test_a_database_that_does_not_exist_is_named(own_server: PrivateServer) -> None:
    with pytest.raises(DatabaseConnectionError, match='database "no such thing" does not exist'):
        texts(open_database(own_server.url("no such thing"), TEST))


def test_a_server_that_accepts_no_more_sessions_is_a_connection_error(
    own_server: PrivateServer, own_notebook: Database
) -> None:
    own_notebook.execute_sql("CREATE ROLE visitor LOGIN CONNECTION LIMIT 1")
    database = open_database(own_server.create_database("visited").replace("//postgres@", "//visitor@"), TEST)
    with database.transaction(), ThreadPoolExecutor(1) as threads:
        refused = threads.submit(database.fetch_all, "SELECT 1")
        with pytest.raises(DatabaseConnectionError, match="too many connections for role"):
            refused.result(DEADLINE)
        assert database.pool_stats().total == 1
    assert database.fetch_all("SELECT 1") == [(1,)]
    database.close_pool()


def test_a_stamp_that_may_not_be_read_opens_nothing(own_server: PrivateServer, own_notebook: Database) -> None:
    own_notebook.execute_sql("CREATE ROLE stranger LOGIN")
    own_notebook.execute_sql("REVOKE ALL ON cream_store.metadata FROM PUBLIC")  # a push lets everybody read it
    database = open_database(own_server.url("postgres").replace("//postgres@", "//stranger@"), TEST)
    with pytest.raises(DatabaseConnectionError, match="permission denied"):
        database.fetch_all("SELECT 1")
    assert database.pool_stats().total == 0


# Sessions that the server ends


def test_an_idle_session_that_was_ended_goes_unnoticed(postgresql_notebook: Database) -> None:
    operations: list[Callable[[Database], object]] = [
        lambda database: write(database, "a"),
        lambda database: Notes(database).create_many([Note(text="b"), Note(text="c")]),
        texts,
        lambda database: list(NoteRow.select().execute(database)),
    ]
    for operation in operations:
        end_sessions(postgresql_notebook)
        operation(postgresql_notebook)
    assert texts(postgresql_notebook) == ["a", "b", "c"]
    assert postgresql_notebook.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)


def test_a_session_that_was_ended_inside_a_transaction_is_lost_with_it(postgresql_notebook: Database) -> None:
    def write_in_an_ended_session() -> None:
        with postgresql_notebook.transaction():
            write(postgresql_notebook, "lost")
            end_sessions(postgresql_notebook)
            write(postgresql_notebook, "lost, too")

    for _ in range(3):
        with pytest.raises(ConnectionLostError) as caught:
            write_in_an_ended_session()
        assert caught.value.code == "CONNECTION_ERROR"
        write(postgresql_notebook, "stays")
    assert texts(postgresql_notebook) == ["stays"] * 3


def test_a_commit_that_does_not_reach_the_server_is_an_error(postgresql_notebook: Database) -> None:
    def commit_in_an_ended_session() -> None:
        with postgresql_notebook.transaction():
            write(postgresql_notebook, "lost")
            end_sessions(postgresql_notebook)

    with pytest.raises(ConnectionLostError):
        commit_in_an_ended_session()
    assert texts(postgresql_notebook) == []


def test_a_lost_connection_can_not_be_papered_over(postgresql_notebook: Database) -> None:
    """Whoever catches the error inside the block must not end up with half a transaction."""

    def go_on_regardless() -> None:
        with postgresql_notebook.transaction():
            write(postgresql_notebook, "lost")
            end_sessions(postgresql_notebook)
            for _ in range(3):
                with suppress(ConnectionLostError), postgresql_notebook.transaction():
                    write(postgresql_notebook, "lost, too")

    with pytest.raises(ConnectionLostError):
        go_on_regardless()
    assert texts(postgresql_notebook) == []


def test_a_connection_taken_by_hand_is_replaced_once_its_loss_is_known(postgresql_notebook: Database) -> None:
    with postgresql_notebook.connection_context():
        for _ in range(3):
            end_sessions(postgresql_notebook)
            with pytest.raises(ConnectionLostError):
                write(postgresql_notebook, "lost")
            with postgresql_notebook.transaction():
                write(postgresql_notebook, "stays")
    assert texts(postgresql_notebook) == ["stays"] * 3


def test_a_transaction_that_the_server_ends_for_its_idleness_is_lost(postgresql_notebook: Database) -> None:
    def dawdle() -> None:
        with postgresql_notebook.transaction():
            write(postgresql_notebook, "lost")
            postgresql_notebook.execute_sql("SET LOCAL idle_in_transaction_session_timeout = 10")
            with reopened(postgresql_notebook) as administrator:
                wait_until(lambda: other_sessions(administrator) == 0)
            write(postgresql_notebook, "too late")

    with pytest.raises(ConnectionLostError):
        dawdle()
    assert texts(postgresql_notebook) == []


def test_a_statement_that_the_server_cancels_leaves_the_connection_usable(postgresql_notebook: Database) -> None:
    def overrun() -> None:
        with postgresql_notebook.transaction():
            postgresql_notebook.execute_sql("SET LOCAL statement_timeout = 10")
            postgresql_notebook.execute_sql("SELECT pg_sleep(600)")

    with pytest.raises(QueryError, match="statement timeout"):
        overrun()
    assert texts(postgresql_notebook) == []
    assert postgresql_notebook.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)


def test_an_exhausted_pool_is_an_error(notebook: Database) -> None:
    with reopened(notebook, pool_size=1, pool_timeout=0.3) as small, small.transaction():
        with ThreadPoolExecutor(3) as threads:
            for waiting in [threads.submit(texts, small) for _ in range(3)]:
                with pytest.raises(PoolTimeoutError, match=r"within 0\.3 s: all 1 are in use"):
                    waiting.result(DEADLINE)
        assert texts(small) == []


# SQLite files


@contextmanager
def as_nobody() -> Iterator[None]:
    """Gives up root's rights, before which every file can be read and written, for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that everybody can read, but only its owner change."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def file_of_notes(file: Path, count: int = 1) -> str:
    """The URL of a new file with some notes."""
    url = f"sqlite:///{file}"
    database = open_database(url, TEST)
    push(database, [NoteRow])
    Notes(database).create_many(Note(text="x" * 100) for _ in range(count))
    database.close_pool()
    return url


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/not/yet/there.db", TEST)
    push(database, [NoteRow])
    assert (tmp_path / "not" / "yet" / "there.db").is_file()
    database.close_pool()


def test_a_directory_that_can_not_be_made_is_a_connection_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = open_database(f"sqlite:///{tmp_path}/file/a.db", TEST)
    with pytest.raises(DatabaseConnectionError, match=r"can't create the directory of .*/file/a.db: .*CREAM_HOME"):
        texts(database)
    assert database.pool_stats().total == 0


def test_a_directory_instead_of_a_file_is_a_connection_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseConnectionError, match=f"can't use {tmp_path}: unable to open.*check that the file"):
        texts(open_database(f"sqlite:///{tmp_path}", TEST))


def test_a_directory_without_permission_is_a_connection_error(directory: Path) -> None:
    (directory / "closed").mkdir(mode=0)
    with as_nobody(), pytest.raises(DatabaseConnectionError, match="check that the file and its directory"):
        texts(open_database(f"sqlite:///{directory}/closed/a.db", TEST))


def test_a_file_that_may_only_be_read_is_never_written(directory: Path) -> None:
    file = directory / "a.db"
    url = file_of_notes(file)
    file.chmod(0o444)
    directory.chmod(0o777)  # SQLite keeps files of its own beside a file in use
    before = file.read_bytes()
    with as_nobody():
        database = open_database(url, TEST)
        assert Notes(database).count() == 1
        for records in ([Note()], [Note(), Note()]):
            with pytest.raises(DatabaseConnectionError, match=f"can't use {file}.*may be read and written"):
                Notes(database).create_many(records)
        database.close_pool()
    assert file.read_bytes() == before


def test_a_file_that_can_not_even_be_read_is_a_connection_error(directory: Path) -> None:
    file = directory / "a.db"
    url = file_of_notes(file)
    directory.chmod(0o555)
    with as_nobody(), pytest.raises(DatabaseConnectionError, match=f"can't use {file}.*may be read and written"):
        texts(open_database(url, TEST))


def test_a_file_that_is_no_database_is_a_connection_error(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    file.write_text("Dear diary, ...\n" * 100)
    with pytest.raises(DatabaseConnectionError, match=f"can't use {file}: file is not a database; is it a database?"):
        texts(open_database(f"sqlite:///{file}", TEST))
    assert file.read_text() == "Dear diary, ...\n" * 100


def test_a_damaged_file_is_a_connection_error(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    url = file_of_notes(file, 1000)
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    file.write_bytes(content)
    database = open_database(url, TEST)
    with pytest.raises(DatabaseConnectionError, match=r"malformed; restore it from a backup"):
        texts(database)
    database.close_pool()


def test_a_damaged_catalogue_is_a_connection_error(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    url = file_of_notes(file, 1000)
    content = bytearray(file.read_bytes())
    content[100:4096] = b"\xff" * (4096 - 100)
    file.write_bytes(content)
    database = open_database(url, TEST)
    with pytest.raises(DatabaseConnectionError, match=r"malformed; restore it from a backup"):
        texts(database)
    assert database.pool_stats().total == 0


def fill_up(database: Database) -> None:
    for _ in range(100):
        write(database, "x" * 1000)


def test_a_full_disk_is_an_error_and_leaves_the_file_as_it_was(sqlite_notebook: Database) -> None:
    def fill_up_in_a_transaction() -> None:
        with sqlite_notebook.transaction():
            fill_up(sqlite_notebook)

    write(sqlite_notebook, "before")
    sqlite_notebook.change("VACUUM")  # else the file has room for what other tests deleted
    with sqlite_notebook.connection_context():
        [(pages,)] = sqlite_notebook.fetch_all("PRAGMA page_count")
        sqlite_notebook.change(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(DatabaseConnectionError, match=r"full; free some space on its disk"):
            fill_up_in_a_transaction()
        assert texts(sqlite_notebook) == ["before"]
    sqlite_notebook.close_pool()
    write(sqlite_notebook, "after")
    assert texts(sqlite_notebook) == ["after", "before"]


def test_a_transaction_that_sqlite_gave_up_stores_nothing_more(sqlite_notebook: Database) -> None:
    """SQLite ends a transaction by itself when it must, and takes what follows for single statements."""

    def go_on_regardless() -> None:
        with sqlite_notebook.transaction():
            write(sqlite_notebook, "undone")
            with suppress(RepositoryError):
                sqlite_notebook.execute_sql("INSERT OR ROLLBACK INTO notes SELECT * FROM notes")
            for _ in range(3):
                with suppress(TransactionError), sqlite_notebook.transaction():
                    write(sqlite_notebook, "too late")
                with suppress(TransactionError):
                    write(sqlite_notebook, "too late, too")

    with pytest.raises(TransactionError, match="undid the whole of it"):
        go_on_regardless()
    assert texts(sqlite_notebook) == []


def test_a_file_that_another_program_keeps_busy_is_a_retryable_error(
    sqlite_notebook: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_notebook.close_pool()
    monkeypatch.setattr("cream_store.sqlite.BUSY_TIMEOUT", 0.01)
    with closing(sqlite3.connect(str(sqlite_notebook.url.target), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RetryableTransactionError, match="is busy"):
            write(sqlite_notebook, "refused")
        with pytest.raises(RetryableTransactionError, match="is busy"):
            sqlite_notebook.transaction().__enter__()
        assert texts(sqlite_notebook) == []
        other.execute("ROLLBACK")
    write(sqlite_notebook, "after")
    assert texts(sqlite_notebook) == ["after"]
