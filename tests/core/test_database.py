"""Opening databases: when, which, with what settings - and what plain Peewee does on them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import peewee
import pytest

from cream_store import (
    ConfigurationError,
    Database,
    Environment,
    EnvironmentMismatchError,
    QueryError,
    TransactionError,
    close_db,
    db,
    get_db,
    health_check,
    open_database,
    pool_stats,
)
from cream_store.pool import PoolStats
from cream_store.schema import push
from tests.core.notes import DEADLINE, Note, NoteRow, Notes, reopened, texts

LIVE, PAPER, TEST = Environment.LIVE, Environment.PAPER, Environment.TEST


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a database for each environment."""
    monkeypatch.setenv("DATABASE_URL", url_of(tmp_path / "live.db"))
    monkeypatch.setenv("DATABASE_URL_PAPER", url_of(tmp_path / "paper.db"))
    monkeypatch.setenv("TEST_DATABASE_URL", url_of(tmp_path / "test.db"))
    return tmp_path


# The databases of the process


def test_nothing_is_opened_before_the_first_operation(files: Path) -> None:
    database = get_db()
    assert database.environment is PAPER
    assert pool_stats() == PoolStats(total=0, idle=0, waiting=0, size=10)
    assert not (files / "paper.db").exists()
    push(database, [NoteRow])
    assert (files / "paper.db").exists()


@pytest.mark.usefixtures("files")
def test_there_is_one_database_for_each_environment() -> None:
    assert get_db("live") is get_db(LIVE)
    assert get_db() is get_db(PAPER)
    assert {get_db(environment).environment for environment in Environment} == set(Environment)


@pytest.mark.usefixtures("files")
def test_all_threads_get_the_same_database() -> None:
    barrier = threading.Barrier(20)

    def get() -> Database:
        barrier.wait(DEADLINE)
        return get_db()

    with ThreadPoolExecutor(20) as threads:
        assert len({id(future.result(DEADLINE)) for future in [threads.submit(get) for _ in range(20)]}) == 1


@pytest.mark.usefixtures("files")
def test_databases_can_be_closed_and_opened_again_and_again() -> None:
    close_db()
    for _ in range(2):
        database = get_db()
        push(database, [NoteRow])
        Notes().create(Note())
        close_db()
        close_db()
        assert database.pool_stats().total == 0
        assert get_db() is not database
    assert Notes().count() == 2


def test_paper_and_live_are_open_side_by_side(files: Path) -> None:
    for environment in (PAPER, LIVE):
        push(get_db(environment), [NoteRow])
        Notes(get_db(environment)).create(Note(text=environment))
    assert texts(get_db(PAPER)) == ["PAPER"]
    assert texts(get_db(LIVE)) == ["LIVE"]
    assert {file.name for file in files.glob("*.db")} == {"paper.db", "live.db"}


@pytest.mark.usefixtures("files")
def test_db_is_the_current_environments_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in (PAPER, TEST):
        monkeypatch.setenv("CREAM_ENV", environment)
        push(get_db(), [NoteRow])
        assert db.environment is environment
        with db.connection_context(), db.atomic(), db:
            NoteRow.create(text=environment, number=1)
        assert pool_stats().idle == 1
        assert [note.text for note in NoteRow.select()] == [environment]


@pytest.mark.usefixtures("files")
def test_looking_at_db_does_not_choose_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_mock_name", "__wrapped__", "__bases__"):
        assert not hasattr(db, name)
    monkeypatch.setenv("DATABASE_URL_PAPER", "sqlite:///:memory:")
    assert db.url.target == ":memory:"


def test_settings_of_the_pool_stand_in_the_url(tmp_path: Path) -> None:
    database = open_database(
        url_of(tmp_path / "a.db") + "?pool_size=3&pool_idle_timeout=1.5&pool_timeout=0.01&connect_timeout=4", TEST
    )
    assert database.pool_stats().size == 3
    settings = database.url.pool
    assert (settings.pool_idle_timeout, settings.pool_timeout, settings.connect_timeout) == (1.5, 0.01, 4)


def test_by_default_ten_connections_are_kept_for_twenty_seconds(tmp_path: Path) -> None:
    settings = open_database(url_of(tmp_path / "a.db"), TEST).url.pool
    assert (settings.pool_size, settings.pool_idle_timeout) == (10, 20)
    assert (settings.pool_timeout, settings.connect_timeout) == (10, 10)


# Health


def test_a_database_that_answers_is_healthy(notebook: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", notebook.location.url)
    assert health_check("test")
    assert pool_stats("test").idle == pool_stats("test").total == 1


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ("LIVE", ""),
        ("STAGING", ""),
        ("LIVE", "mysql://elsewhere/db"),
        ("LIVE", "postgresql://nobody:secret@127.0.0.1:1/nothing"),
        ("LIVE", "postgresql:///?host=/no/such/directory"),
        ("LIVE", "sqlite:////proc/nowhere/a.db"),
        ("LIVE", f"sqlite:///{__file__}"),
    ],
    ids=["no URL", "no such environment", "no such scheme", "refused", "no socket", "no directory", "no database"],
)
def test_a_health_check_never_raises(environment: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert health_check(environment) is False


# The stamp


def stamped(url: str, environment: Environment) -> str:
    """The URL of a database that was pushed for an environment and holds one note."""
    database = open_database(url, environment)
    push(database, [NoteRow])
    Notes(database).create(Note(text="stamped"))
    database.close_pool()
    return url


@pytest.mark.parametrize("opened", [PAPER, LIVE])
def test_a_database_of_another_environment_is_not_opened(notebook: Database, opened: Environment) -> None:
    Notes(notebook).create(Note(text="ours"))
    with reopened(notebook, opened) as wrong:
        for operation in OPERATIONS:
            with pytest.raises(EnvironmentMismatchError, match=f"belongs to environment TEST.*opened it for {opened}"):
                operation(wrong)
        assert wrong.pool_stats().total == 0
    assert texts(notebook) == ["ours"]


OPERATIONS: list[Callable[[Database], object]] = [
    lambda database: Notes(database).count(),
    lambda database: Notes(database).create(Note()),
    lambda database: NoteRow.select().execute(database),
    lambda database: database.execute_sql("DELETE FROM notes"),
    lambda database: database.transaction().__enter__(),
    lambda database: database.connect(),
    lambda database: push(database, [NoteRow]),
]


@pytest.mark.parametrize(
    ("stamp", "opened"), [(PAPER, TEST), (LIVE, TEST), (PAPER, LIVE), (LIVE, PAPER), (TEST, PAPER), (TEST, LIVE)]
)
def test_every_environment_keeps_to_itself(tmp_path: Path, stamp: Environment, opened: Environment) -> None:
    url = stamped(url_of(tmp_path / "a.db"), stamp)
    database = open_database(url, opened)
    with pytest.raises(EnvironmentMismatchError, match=f"belongs to environment {stamp}.*opened it for {opened}"):
        Notes(database).find_all()
    with pytest.raises(EnvironmentMismatchError):
        Notes(database).create(Note())
    with reopened(database, stamp) as right:
        assert texts(right) == ["stamped"]


@pytest.mark.parametrize("environment", list(Environment))
def test_a_database_without_a_stamp_is_opened_for_any_environment(tmp_path: Path, environment: Environment) -> None:
    database = open_database(url_of(tmp_path / "a.db"), environment)
    assert database.fetch_all("SELECT 1") == [(1,)]
    database.close_pool()


def test_paper_uses_the_live_database_only_as_its_fallback(
    files: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = stamped(url_of(files / "live.db"), LIVE)
    monkeypatch.setenv("DATABASE_URL_PAPER", url)
    with pytest.raises(EnvironmentMismatchError, match="from DATABASE_URL_PAPER"):
        texts(get_db(PAPER))
    close_db()

    monkeypatch.delenv("DATABASE_URL_PAPER")
    monkeypatch.setattr("cream_store.environment._live_fallback_warned", False)
    with caplog.at_level(logging.WARNING, "cream_store"):
        assert texts(get_db(PAPER)) == ["stamped"]
    assert "PAPER uses DATABASE_URL" in caplog.text


def test_a_test_database_never_falls_back(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped(url_of(files / "live.db"), LIVE)
    monkeypatch.delenv("TEST_DATABASE_URL")
    with pytest.raises(ConfigurationError, match="TEST_DATABASE_URL"):
        get_db(TEST)


# SQLite


def test_sqlite_files_are_opened_for_safety_and_for_readers_beside_a_writer(sqlite_notebook: Database) -> None:
    def pragma(name: str) -> Any:
        [(value,)] = sqlite_notebook.fetch_all(f"PRAGMA {name}")
        return value

    assert pragma("journal_mode") == "wal"
    assert pragma("foreign_keys") == 1
    assert pragma("synchronous") == 2  # FULL: what was committed survives a power cut
    assert pragma("busy_timeout") == 5000


def test_readers_go_on_while_a_writer_is_inside_a_transaction(sqlite_notebook: Database) -> None:
    with sqlite_notebook.transaction():
        Notes(sqlite_notebook).create(Note(text="not yet"))
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(texts, sqlite_notebook).result(DEADLINE) == []


def test_many_threads_open_a_new_file_at_once(tmp_path: Path) -> None:
    database = open_database(url_of(tmp_path / "new" / "a.db"), TEST)
    barrier = threading.Barrier(10)

    def use(number: int) -> None:
        barrier.wait(DEADLINE)
        push(database, [NoteRow])
        Notes(database).create(Note(number=number))

    with ThreadPoolExecutor(10) as threads:
        for future in [threads.submit(use, number) for number in range(10)]:
            future.result(DEADLINE)
    assert {note.number for note in Notes(database).find_all()} == set(range(10))
    database.close_pool()


def test_a_database_in_memory_keeps_its_data_between_operations_and_threads() -> None:
    database, another = (open_database("sqlite:///:memory:", TEST) for _ in range(2))
    push(database, [NoteRow])

    def write() -> None:
        Notes(database).create(Note())

    def write_and_end_with_a_connection() -> None:
        database.connect()
        write()

    for work in (write, write_and_end_with_a_connection):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(DEADLINE)
    assert Notes(database).count() == 2
    assert database.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=1)
    with pytest.raises(QueryError, match="no such table"):
        Notes(another).count()
    database.close_pool()
    another.close_pool()


# Plain Peewee


def refused(database: Database, statement: str) -> None:
    with pytest.raises(QueryError), database.transaction():
        database.execute_sql(statement)


PEEWEE: dict[str, Callable[[Database], object]] = {
    "select": lambda database: list(NoteRow.select().execute(database)),
    "first row only": lambda database: next(iter(NoteRow.select().execute(database))),
    "iterator": lambda database: next(NoteRow.select().iterator(database)),
    "tuples": lambda database: list(NoteRow.select(NoteRow.text).tuples().execute(database)),
    "count": lambda database: NoteRow.select(peewee.fn.COUNT(NoteRow.id)).scalar(database),
    "insert": lambda database: NoteRow.insert(text="b", number=2).execute(database),
    "insert many": lambda database: NoteRow.insert_many([{"text": "b", "number": 2}] * 3).execute(database),
    "update": lambda database: NoteRow.update(number=7).execute(database),
    "update returning": lambda database: list(NoteRow.update(number=7).returning(NoteRow).execute(database)),
    "delete": lambda database: NoteRow.delete().execute(database),
    "SQL": lambda database: database.execute_sql("SELECT text FROM notes").fetchall(),
    "SQL, unread": lambda database: database.execute_sql("SELECT text FROM notes"),
    "tables": lambda database: database.get_tables(),
    "refused": lambda database: refused(database, "SELECT nonsense FROM notes"),
}


@pytest.mark.parametrize("name", PEEWEE)
def test_a_peewee_query_gives_its_connection_back(notebook: Database, name: str) -> None:
    Notes(notebook).create(Note(text="a"))
    PEEWEE[name](notebook)
    assert notebook.is_closed()
    assert notebook.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)
    with notebook.atomic():
        Notes(notebook).create(Note(text="a"))
        PEEWEE[name](notebook)
        assert notebook.pool_stats() == PoolStats(total=1, idle=0, waiting=0, size=10)
    assert notebook.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)


def test_rows_can_be_read_after_their_connection_is_gone(notebook: Database) -> None:
    Notes(notebook).create_many([Note(text="a"), Note(text="b")])
    rows = NoteRow.select().order_by(NoteRow.text).execute(notebook)
    cursor = notebook.execute_sql("SELECT text FROM notes ORDER BY text")
    notebook.close_pool()
    assert [row.text for row in rows] == ["a", "b"]
    assert cursor.fetchone() == ("a",)
    assert list(cursor) == [("b",)]
    assert cursor.fetchone() is None


@pytest.mark.usefixtures("files")
def test_models_work_on_the_current_database() -> None:
    push(get_db(), [NoteRow])
    row = NoteRow.create(text="a", number=1)
    row.number = 2
    row.save()
    found, is_new = cast(Any, NoteRow).get_or_create(text="b", defaults={"number": 3})
    assert is_new
    assert found.number == 3
    assert [(note.text, note.number) for note in NoteRow.select().order_by(NoteRow.text)] == [("a", 2), ("b", 3)]
    row.delete_instance()
    assert NoteRow.select().count() == 1
    assert pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)


def test_with_database_is_a_transaction(notebook: Database) -> None:
    with notebook:
        Notes(notebook).create(Note(text="a"))
        with notebook:
            Notes(notebook).create(Note(text="b"))
    with notebook.transaction(), notebook:
        Notes(notebook).create(Note(text="c"))
    with pytest.raises(ZeroDivisionError), notebook:
        assert Notes(notebook).create(Note(text="undone")).number / 0
    assert texts(notebook) == ["a", "b", "c"]
    assert notebook.is_closed()


def test_a_connection_can_be_taken_by_hand(notebook: Database) -> None:
    assert notebook.connect()
    assert not notebook.connect(reuse_if_open=True)
    with pytest.raises(TransactionError, match="holds a connection already"):
        notebook.connect()
    with notebook.transaction():
        Notes(notebook).create(Note(text="a"))
        with pytest.raises(TransactionError, match="inside a transaction"):
            notebook.close()
    assert notebook.pool_stats() == PoolStats(total=1, idle=0, waiting=0, size=10)
    assert notebook.close()
    assert not notebook.close()
    assert notebook.pool_stats() == PoolStats(total=1, idle=1, waiting=0, size=10)
    with notebook.connection_context():
        assert texts(notebook) == ["a"]
    assert notebook.is_closed()


def test_a_database_shows_itself_without_its_password() -> None:
    database = open_database("postgresql://trader:secret@db.example.org/cream", LIVE)
    assert repr(database) == "<PostgresqlDatabase LIVE postgresql://trader:***@db.example.org/cream>"
