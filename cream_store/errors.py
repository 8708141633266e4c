"""Every error of cream-store: what went wrong, where, and what to do about it.

Catch `StoreError` for anything, `RepositoryError` for anything a repository raises, or one of its kinds.
`RepositoryError.code` is a stable string that other programs of the system also use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class StoreError(Exception):
    """Base of all errors of cream-store."""


class ConfigurationError(StoreError):
    """The process is configured in a way that can't work: an unknown environment, a missing or malformed URL."""


class PluginError(StoreError):
    """A plugin is unknown, fails to import, lacks a requirement or collides with another one."""


class SchemaError(StoreError):
    """The database's schema can't be made to match the loaded plugins."""


class RepositoryError(StoreError):
    """An operation on the database failed.

    The driver's exception, if there was one, is the `cause` (and `__cause__`). Values never appear in the message
    when they come from the driver: a failing row may hold secrets.
    """

    code: ClassVar[str] = "QUERY_ERROR"

    def __init__(
        self,
        message: str,
        *,
        table: str | None = None,
        columns: Sequence[str] = (),
        constraint: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.table = table
        self.columns = tuple(columns)
        self.constraint = constraint
        self.cause = cause


class NotFoundError(RepositoryError):
    """No row has the given key."""

    code = "NOT_FOUND"


class ConstraintViolationError(RepositoryError):
    """A check, a foreign key, a NOT NULL or a rule of the domain forbids the change."""

    code = "CONSTRAINT_VIOLATION"


class DuplicateKeyError(RepositoryError):
    """A row with the same key exists already."""

    code = "DUPLICATE_KEY"


class InvalidDataError(RepositoryError):
    """A value can't be stored in its column, or an argument makes no sense. Nothing was written."""

    code = "INVALID_DATA"


class EnvironmentMismatchError(InvalidDataError):
    """A row or a database of one environment was about to be used in another. Nothing was read or written."""


class DatabaseConnectionError(RepositoryError):
    """The database can't be reached."""

    code = "CONNECTION_ERROR"


class ConnectionLostError(DatabaseConnectionError):
    """The connection broke during an operation.

    Whether a statement outside a transaction, or a commit, took effect is unknown.
    """


class PoolTimeoutError(DatabaseConnectionError):
    """All connections of the pool stayed in use for longer than the pool's timeout."""


class QueryError(RepositoryError):
    """The database refused a statement for a reason that has no kind of its own."""

    code = "QUERY_ERROR"


class StatementCancelledError(QueryError):
    """A statement was ended before it was done: it took longer than it may, or an operator cancelled it."""


class TransactionError(RepositoryError):
    """The transaction can't go on: a deadlock, a serialization failure, a lock not granted in time."""

    code = "TRANSACTION_ERROR"


class RetryableTransactionError(TransactionError):
    """A deadlock, a serialization failure or a busy SQLite file: running the transaction again may succeed."""
