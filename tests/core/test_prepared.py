"""PostgreSQL keeps the statements by key prepared, which nobody notices but by the time they take."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from cream_store import (
    BigIntegerField,
    Database,
    DuplicateKeyError,
    Environment,
    InvalidDataError,
    QueryError,
    RetryableTransactionError,
    Row,
    TextField,
    UUIDv7Field,
    new_id,
    open_database,
    query,
    with_transaction,
)
from cream_store.prepared import KEPT
from cream_store.schema import push
from cream_store.statement import Param, Statement
from cream_store.testing.servers import PrivateServer, available_servers, private_server
from tests.conftest import templates
from tests.core.notes import Note, NoteRow, Notes, end_sessions, reopened

WIDEN = "ALTER TABLE notes ALTER number TYPE BIGINT"


class WideNoteRow(Row):
    """The table `notes` as another version of the program declares it."""

    id = UUIDv7Field(primary_key=True)
    text = TextField()
    number = BigIntegerField()

    class Meta:
        table_name = "notes"


@pytest.fixture
def own_notebook(postgresql: str) -> Iterator[Database]:
    """A notebook whose table a test may change."""
    with templates(postgresql, (), Environment.TEST).copy() as store:
        push(store.database, [NoteRow])
        yield store.database


def prepared(database: Database) -> list[str]:
    """The statements that are prepared on the connection which the pool gives next."""
    return [text for (text,) in database.fetch_all("SELECT statement FROM pg_prepared_statements")]


def twice(call: Callable[[], object]) -> None:
    call()
    call()


def with_prepared_statements(database: Database) -> tuple[Notes, Note]:
    """The notes, and one that was found and changed by prepared statements."""
    notes = Notes(database)
    note, _ = [notes.create(Note(number=1)) for _ in range(2)]
    twice(lambda: notes.find_by_id(note.id))
    twice(lambda: notes.update(note.id, {"text": "changed"}))
    assert len(prepared(database)) == 3
    return notes, notes.find_by_id_or_raise(note.id)


# Which statements, and when


def test_a_statement_by_key_is_prepared_when_it_is_used_again(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    note = notes.create(Note())
    notes.find_by_id(note.id)
    assert prepared(postgresql_notebook) == []
    for _ in range(3):
        assert notes.find_by_id(note.id) == note
    [statement] = prepared(postgresql_notebook)
    assert statement.startswith("PREPARE")
    assert "$1" in statement
    [(used,)] = postgresql_notebook.fetch_all("SELECT generic_plans + custom_plans FROM pg_prepared_statements")
    assert used == 3


def test_reads_and_writes_of_one_row_by_its_key_are_prepared(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    note = Note()
    calls: list[Callable[[], object]] = [
        lambda: notes.create(Note()),
        lambda: notes.upsert(note),
        lambda: notes.find_by_id(note.id),
        lambda: notes.update(note.id, {"number": 2}),
        lambda: notes.delete(note.id),
    ]
    for count, call in enumerate(calls, 1):
        twice(call)
        assert len(prepared(postgresql_notebook)) == count


def test_statements_whose_best_plan_depends_on_values_are_not_prepared(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    twice(lambda: notes.find_many({"number": 1}, limit=5))
    twice(lambda: notes.count({"number": 1}))
    twice(lambda: notes.delete_many({"number": 1}))
    twice(lambda: notes.find(query().one_of("id", [new_id()])))
    twice(lambda: notes.create_many([Note() for _ in range(10)]))
    assert prepared(postgresql_notebook) == []


def test_the_url_can_forbid_it(postgresql_notebook: Database) -> None:
    with reopened(postgresql_notebook, prepared="off") as database:
        notes = Notes(database)
        note = notes.create(Note())
        for _ in range(5):
            assert notes.find_by_id(note.id) == note
        assert prepared(database) == []


def test_a_connection_keeps_a_limited_number_those_that_were_used_last(postgresql_notebook: Database) -> None:
    note = Notes(postgresql_notebook).create(Note())

    def statement(number: int) -> Statement:
        return Statement(
            lambda: NoteRow.select(NoteRow.id.alias(f"id_{number}")).where(NoteRow.id == Param("id", NoteRow.id)),
            by_key=True,
        )

    statements = [statement(number) for number in range(KEPT + 20)]
    for one in (*statements, *statements[:5]):
        for _ in range(2):
            assert one.fetch_all(postgresql_notebook, {"id": note.id}) == [(note.id,)]
    kept = " ".join(prepared(postgresql_notebook))
    assert kept.count("PREPARE") == KEPT
    assert '"id_0"' in kept
    assert '"id_10"' not in kept
    assert f'"id_{KEPT + 19}"' in kept


# What they give


def test_all_values_pass_as_they_do_without(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    for text in (
        "",
        "it's",
        "a \\ b",
        "\\'",
        "100%",
        "%s",
        "$1",
        "'; DROP TABLE notes; --",
        "ünï\u2028code 😀",
        '"',
        "\\''",
    ):
        note = notes.create(Note(text=text, number=-(2**31)))
        assert notes.find_by_id(note.id) == note
        assert notes.update(note.id, {"text": text + text, "number": -1}).text == text + text
    assert len(prepared(postgresql_notebook)) == 3


def test_their_errors_are_those_of_the_statements(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    note, *_ = [notes.create(Note()) for _ in range(3)]
    for _ in range(3):
        with pytest.raises(DuplicateKeyError) as caught:
            notes.create(note)
        assert (caught.value.table, caught.value.columns) == ("notes", ("id",))
        with pytest.raises(InvalidDataError):
            notes.create(Note(number=2**31))
    assert len(prepared(postgresql_notebook)) == 1


def test_threads_share_connections_with_prepared_statements(postgresql_notebook: Database) -> None:
    def work(thread: int) -> None:
        notes = Notes(database)
        for number in range(20):
            note = notes.create(Note(text=f"{thread}/{number}"))
            assert notes.update(note.id, {"number": number}).text == note.text
            found = notes.find_by_id_or_raise(note.id)
            assert (found.text, found.number) == (note.text, number)

    with reopened(postgresql_notebook, pool_size=3) as database, ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
        assert Notes(database).count() == 160


# What can happen to them


def test_what_was_prepared_in_a_transaction_outlives_its_rollback(postgresql_notebook: Database) -> None:
    notes = Notes(postgresql_notebook)
    with suppress(ZeroDivisionError), postgresql_notebook.transaction():
        lost, *_ = [notes.create(Note()) for _ in range(3)]
        with suppress(ZeroDivisionError), postgresql_notebook.transaction():
            twice(lambda: notes.find_by_id(lost.id))
            raise ZeroDivisionError
        raise ZeroDivisionError
    assert len(prepared(postgresql_notebook)) == 2
    assert notes.find_by_id(lost.id) is None
    note = notes.create(Note())
    assert notes.find_by_id(note.id) == note
    assert len(prepared(postgresql_notebook)) == 2


def test_an_error_in_a_transaction_does_not_lose_them(postgresql_notebook: Database) -> None:
    notes, note = with_prepared_statements(postgresql_notebook)
    with postgresql_notebook.transaction():
        with pytest.raises(DuplicateKeyError), postgresql_notebook.transaction():
            notes.create(note)
        assert notes.find_by_id(note.id) == note
    assert len(prepared(postgresql_notebook)) == 3


def test_a_session_that_ended_takes_them_along(postgresql_notebook: Database) -> None:
    notes, note = with_prepared_statements(postgresql_notebook)
    end_sessions(postgresql_notebook)
    assert notes.find_by_id(note.id) == note
    assert prepared(postgresql_notebook) == []
    assert notes.find_by_id(note.id) == note
    assert len(prepared(postgresql_notebook)) == 1


def test_a_push_goes_unnoticed(own_notebook: Database) -> None:
    notes, note = with_prepared_statements(own_notebook)
    push(own_notebook, [WideNoteRow])
    assert notes.find_by_id(note.id) == note
    assert notes.update(note.id, {"number": 2}).number == 2
    assert notes.create(Note(number=3)).number == 3


@pytest.mark.parametrize(
    "change",
    [
        WIDEN,
        "ALTER TABLE notes ALTER text TYPE VARCHAR(40)",
        "CREATE TYPE said AS ENUM ('a note', 'changed'); ALTER TABLE notes ALTER text TYPE said USING text::said",
        "ALTER TABLE notes ADD extra INT DEFAULT 1",
        "ALTER TABLE notes RENAME TO old_notes; CREATE TABLE notes (LIKE old_notes INCLUDING ALL);"
        " INSERT INTO notes SELECT * FROM old_notes",
        "DISCARD ALL; SET TIME ZONE 'UTC'",
        "DEALLOCATE ALL",
    ],
)
def test_a_change_by_others_goes_unnoticed(own_notebook: Database, change: str) -> None:
    notes, note = with_prepared_statements(own_notebook)
    for statement in change.split("; "):
        own_notebook.change(statement)
    for _ in range(3):
        assert notes.find_by_id(note.id) == note
        assert notes.update(note.id, {"text": "changed"}).number == 1
        notes.create(Note())
    assert len(prepared(own_notebook)) == 3


def test_a_change_that_a_transaction_meets_has_it_run_again(own_notebook: Database) -> None:
    notes, note = with_prepared_statements(own_notebook)
    with reopened(own_notebook) as administrator:
        administrator.change(WIDEN)

    def in_a_transaction() -> Note:
        with own_notebook.transaction():
            return notes.update(note.id, {"text": "again"})

    with pytest.raises(RetryableTransactionError, match="prepared statement"):
        in_a_transaction()
    assert notes.find_by_id(note.id) == note
    assert in_a_transaction().text == "again"


def test_a_transaction_that_may_be_run_again_does_not_notice_a_change(own_notebook: Database) -> None:
    notes, note = with_prepared_statements(own_notebook)
    with reopened(own_notebook) as administrator:
        administrator.change(WIDEN)
    runs = []

    def change() -> Note:
        runs.append("one")
        notes.find_by_id(note.id)
        return notes.update(note.id, {"number": 2})

    assert with_transaction(change, own_notebook).number == 2
    assert len(runs) == 2


def test_a_table_that_is_gone_is_an_error_as_ever(own_notebook: Database) -> None:
    notes, note = with_prepared_statements(own_notebook)
    own_notebook.change("DROP TABLE notes")
    for _ in range(3):
        with pytest.raises(QueryError, match="cream-store db push"):
            notes.find_by_id(note.id)


# Poolers


@contextmanager
def pooler_before(server: PrivateServer) -> Iterator[int]:
    """The port of what, like PgBouncer, lies between clients and a server and greets them with a number of its own."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))

        def copy(source: socket.socket, target: socket.socket, replace: Callable[[bytes], bytes]) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(replace(data))
                target.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client = sockets.enter_context(closing(listener.accept()[0]))
                    upstream = sockets.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                    threading.Thread(target=copy, args=(client, upstream, bytes), daemon=True).start()
                    threading.Thread(target=copy, args=(upstream, client, _with_own_number), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _with_own_number(data: bytes) -> bytes:
    head = b"K" + struct.pack(">i", 12)  # BackendKeyData: the number of the process, and a key
    before, found, after = data.partition(head)
    return before + head + struct.pack(">i", 4242) + after[4:] if found else data


def test_behind_a_pooler_nothing_is_prepared() -> None:
    server = private_server(available_servers()[0].name)
    with templates(server.name, (), Environment.TEST).copy() as store, pooler_before(server) as port:
        push(store.database, [NoteRow])
        url = server.tcp_url(store.database.url.name).replace(f":{server.port}/", f":{port}/")
        database = open_database(f"{url}?sslmode=disable&gssencmode=disable", Environment.TEST)
        with closing(database.pool):
            notes = Notes(database)
            note = notes.create(Note())
            for _ in range(3):
                assert notes.find_by_id(note.id) == note
            assert prepared(database) == []
