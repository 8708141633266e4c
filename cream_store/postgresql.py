"""PostgreSQL through psycopg2."""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, ClassVar
from uuid import UUID

import peewee
import psycopg2
import psycopg2.extensions

from cream_store import errors
from cream_store.backend import Connection, Database
from cream_store.cursors import Cursor
from cream_store.environment import DatabaseLocation, Environment
from cream_store.prepared import PreparedStatements
from cream_store.readers import read_json, read_uuid
from cream_store.secret import Secret
from cream_store.unique_keys import unique_keys
from cream_store.url import Kind, mask_password, without_secrets

_IDLE = psycopg2.extensions.TRANSACTION_STATUS_IDLE
_IN_TRANSACTION = psycopg2.extensions.TRANSACTION_STATUS_INTRANS
_IN_ERROR = psycopg2.extensions.TRANSACTION_STATUS_INERROR
_COPIED_AT_ONCE = 1 << 18  # bytes that go to the server in one message


class _Session(psycopg2.extensions.connection):
    """A connection, what is prepared on it, and how to see whether the server has said something unasked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.statements: PreparedStatements | None = None
        self.incoming = select.poll()
        self.incoming.register(self.fileno(), select.POLLIN)


def _uuid(text: Any, cursor: object) -> UUID | None:
    return None if text is None else read_uuid(text)


def _json(text: Any, cursor: object) -> Any:
    return None if text is None else read_json(text)


_READERS = (
    psycopg2.extensions.new_type((2950,), "UUID", _uuid),
    psycopg2.extensions.new_type((114, 3802), "JSON", _json),
)


class PostgresqlDatabase(Database, peewee.PostgresqlDatabase):
    """A pooled PostgreSQL database, version 15 or newer."""

    kind: ClassVar[Kind] = "postgresql"
    version_query = "SHOW server_version"
    driver_errors = (psycopg2.Error,)

    def __init__(self, environment: Environment, location: DatabaseLocation) -> None:
        super().__init__(environment, location)
        try:
            given = psycopg2.extensions.parse_dsn(self.url.target)
        except psycopg2.ProgrammingError as error:
            reason = without_secrets(str(error).strip(), self.url.display)
            raise errors.ConfigurationError(f"malformed database URL {self.url.display}: {reason}") from None
        self._connection_parameters = {
            "connect_timeout": str(max(2, round(self.url.pool.connect_timeout))),
            "application_name": "cream-store",
            # A server that vanished without a word is noticed within a minute, not after a quarter of an hour.
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": "60000",
            **given,
            "client_encoding": "UTF8",  # the one that has every character
        }

    def _connect_driver(self) -> Connection:
        connection = psycopg2.connect(connection_factory=_Session, **self._connection_parameters)
        connection.autocommit = True
        for reader in _READERS:
            psycopg2.extensions.register_type(reader, connection)
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'; SELECT pg_backend_pid()")
            # Is it another process than the one that greeted us? Then a pooler lies between, and leads each transaction
            # to any session.
            is_pooled = cursor.fetchone()[0] != connection.info.backend_pid
        if self.url.prepared and not is_pooled:
            connection.statements = PreparedStatements()
        if self.server_version is None:
            self.server_version = connection.server_version
        return connection

    def _read_stamp(self, connection: Connection) -> str | None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('cream_store.metadata') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return None
            cursor.execute("SELECT value FROM cream_store.metadata WHERE key = 'environment'")
            row = cursor.fetchone()
            return row[0] if row else None

    def _is_alive(self, connection: Connection) -> bool:
        if connection.closed:
            return False
        # A server that ends a session says so first. Only when an idle connection has something to read is a round
        # trip needed to learn whether that was the end.
        if not connection.incoming.poll(0):
            return True
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def _is_lost(self, connection: Connection) -> bool:
        return bool(connection.closed)

    def _is_in_transaction(self, connection: Connection) -> bool:
        return bool(connection.get_transaction_status() == _IN_TRANSACTION)

    def _is_undone(self, connection: Connection) -> bool:
        return bool(connection.get_transaction_status() == _IN_ERROR)

    def _make_clean(self, connection: Connection) -> bool:
        if connection.closed:
            return False
        status = connection.get_transaction_status()
        if status == _IDLE:
            return True
        if status not in (_IN_TRANSACTION, _IN_ERROR):
            return False
        try:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        except psycopg2.Error:
            return False
        return True

    def _feed(self, cursor: Cursor, sql: str, rows: Any) -> None:
        cursor.copy_expert(sql, BytesIO(rows), _COPIED_AT_ONCE)

    def interrupt(self, connection: Connection) -> None:
        if not connection.closed:
            connection.cancel()

    def _execute(self, connection: Connection, sql: str, parameters: Sequence[Any] | None, by_key: bool) -> Cursor:
        cursor = connection.cursor()
        may_prepare = by_key and parameters and connection.statements is not None
        if not (may_prepare and self._execute_prepared(connection, cursor, sql, parameters)):
            _send(cursor, sql, parameters)
        return cursor

    def _execute_prepared(self, connection: Connection, cursor: Cursor, sql: str, parameters: Any) -> bool:
        """Sends a statement by its name, if it is prepared. Returns whether that was done."""
        try:
            execution = connection.statements.execution_of(sql, len(parameters), cursor)
            if execution is None:
                return False
            cursor.execute(execution, parameters)
            return True
        except psycopg2.Error as error:
            if error.pgcode not in _OUTDATED:
                raise
        # Raised and repeated out here, without the driver's error as its context: that may quote values.
        connection.statements.forget()
        if connection.get_transaction_status() == _IN_ERROR:
            raise errors.RetryableTransactionError(
                "a prepared statement met a change of the schema, which undid the transaction; run it again"
            )
        return False

    def _begin_statement(self, snapshot: bool) -> str:
        return "BEGIN ISOLATION LEVEL REPEATABLE READ" if snapshot else "BEGIN"

    @contextmanager
    def read_only(self, seconds: float) -> Iterator[None]:
        self._refuse_nesting()
        with self.transaction(snapshot=True):
            self.fetch_all(
                "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', %s, true)",
                (f"{max(1, round(seconds * 1000))}ms",),  # 0 would mean no limit
            )
            yield

    def advisory_lock(self, name: str) -> None:
        self.fetch_all("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"cream_store {name}",))

    def _cannot_connect(self, error: Exception) -> errors.RepositoryError:
        reason = " ".join(mask_password(str(error)).split())
        return errors.DatabaseConnectionError(
            f"can't connect to {self.url.display}: {reason}. Is the server running, and are host, database, user and"
            " password right?",
            cause=error,
        )

    def limit_lock_waits(self, seconds: float) -> None:
        self.fetch_all("SELECT set_config('lock_timeout', %s, true)", (f"{round(seconds * 1000)}ms",))

    def describe_lock_holders(self, tables: Sequence[str]) -> list[str]:
        holders = self.fetch_all(
            """
            SELECT a.pid, a.usename, a.application_name, a.state, round(extract(epoch FROM now() - a.xact_start)),
                   string_agg(DISTINCT c.relname, ', ')
            FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.granted AND a.pid <> pg_backend_pid() AND c.relname = ANY(%s)
              AND c.relnamespace = current_schema()::regnamespace
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start ORDER BY a.xact_start
            """,
            (list(tables),),
        )
        return [
            f"process {pid} (user {user}, application {application!r}, {state}, in its transaction for {age or 0} s,"
            f" tables {held})"
            for pid, user, application, state, age, held in holders
        ]

    def end_sessions_on(self, tables: Sequence[str]) -> None:
        self.fetch_all(
            "SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_class c"
            " ON c.oid = l.relation WHERE l.pid <> pg_backend_pid() AND c.relname = ANY(%s)"
            " AND c.relnamespace = current_schema()::regnamespace"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS holders",
            (list(tables),),
        )

    def existing_tables(self, tables: Sequence[str]) -> list[str]:
        rows = self.fetch_all(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
            " AND relname = ANY(%s)",
            (list(tables),),
        )
        return [name for (name,) in rows]

    def empty_tables(self, tables: Sequence[str]) -> None:
        if tables:
            self.change(f"TRUNCATE {_quoted(tables)} RESTART IDENTITY")

    def translate(self, error: Exception) -> errors.RepositoryError:
        assert isinstance(error, psycopg2.Error)
        state = error.pgcode
        if state is None:
            message = (mask_password(str(error)).strip() or type(error).__name__).splitlines()[0]
            # The driver's base class is what a send to a crashed server may raise.
            if isinstance(error, _LOST) or type(error) is psycopg2.DatabaseError:
                return errors.ConnectionLostError(
                    f"the connection to {self.url.display} was lost: {message}", cause=error
                )
            return errors.QueryError(message, cause=error)
        diagnostics = error.diag
        message = diagnostics.message_primary or type(error).__name__
        cause = _without_values(error, message)
        if state == _UNDEFINED_TABLE:
            message += "; run `cream-store db push` to create the tables of the loaded plugins"
        return kind_of_state(state)(
            message,
            table=diagnostics.table_name,
            columns=_columns_of(diagnostics),
            constraint=diagnostics.constraint_name,
            cause=cause,
        )


def _send(cursor: Cursor, sql: str, parameters: Sequence[Any] | None) -> None:
    if parameters is None:
        cursor.execute(sql)
    else:
        cursor.execute(sql, parameters)


def _without_values(error: psycopg2.Error, message: str) -> psycopg2.Error:
    """The driver's error, less what may be secret: its DETAIL and CONTEXT quote the row, its cursor the statement."""
    bare = type(error)(message)
    state = {"pgerror": message, "pgcode": error.pgcode}
    bare.__setstate__(state)  # type: ignore[no-untyped-call]  # how pickle sets them; the stubs leave it untyped
    return bare.with_traceback(error.__traceback__)


def _secret_literal(secret: Secret) -> Any:
    return psycopg2.extensions.QuotedString(secret.reveal())


psycopg2.extensions.register_adapter(Secret, _secret_literal)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _columns_of(diagnostics: psycopg2.extensions.Diagnostics) -> tuple[str, ...]:
    """The columns of a violation. PostgreSQL names the constraint alone where it may be of several."""
    if diagnostics.column_name:
        return (diagnostics.column_name,)
    return unique_keys(diagnostics.table_name or "").get(diagnostics.constraint_name or "", ())


_OUTDATED = frozenset(
    {
        "0A000",  # "cached plan must not change result type": a column has another type now,
        "42804",  # which the types of the statement's parameters don't fit, in an assignment
        "42883",  # or in a comparison
        "26000",  # the statement is gone: DISCARD or DEALLOCATE
    }
)
"""What a prepared statement fails with, although its text is right as it stands."""

_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)
_UNDEFINED_TABLE = "42P01"

_KINDS: dict[str, type[errors.RepositoryError]] = {
    "23505": errors.DuplicateKeyError,
    "23502": errors.ConstraintViolationError,
    "23503": errors.ConstraintViolationError,
    "23514": errors.ConstraintViolationError,
    "23P01": errors.ConstraintViolationError,
    "40001": errors.RetryableTransactionError,
    "40P01": errors.RetryableTransactionError,
    "55P03": errors.TransactionError,
    "25P03": errors.ConnectionLostError,  # the server ends a session that is idle in a transaction for too long,
    "25P04": errors.ConnectionLostError,  # whose transaction lasts too long,
    "57P05": errors.ConnectionLostError,  # that is idle for too long
    "57014": errors.StatementCancelledError,
    "57P01": errors.ConnectionLostError,
    "57P02": errors.ConnectionLostError,
    "57P03": errors.DatabaseConnectionError,
    "53300": errors.DatabaseConnectionError,
    "28": errors.DatabaseConnectionError,
    "08": errors.ConnectionLostError,
    "22": errors.InvalidDataError,
    "25": errors.TransactionError,
}


def kind_of_state(state: str) -> type[errors.RepositoryError]:
    """The error kind of an SQLSTATE, by the code itself or else by its class (the first two characters)."""
    return _KINDS.get(state) or _KINDS.get(state[:2]) or errors.QueryError
