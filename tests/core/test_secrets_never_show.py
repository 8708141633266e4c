"""Secrets show nowhere: not in a record, an error, what caused it, a traceback, a log.

One text is put into every secret column of every plugin, and then looked for wherever it must not be.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    ForeignKey,
    InvalidDataError,
    Repository,
    RepositoryError,
    Secret,
    SecretField,
    Store,
    load_plugins,
    new_id,
    utc_now,
)
from cream_store.plugins import discover
from cream_store.row import Row, columns_of, table_of
from cream_store.unique_keys import unique_keys

AnyRepository = Repository[Any, Any, Any]
Action = Callable[[], object]

MARKER = "$never-show-this$:0123456789abcdef0123456789abcdef"  # as a token or a password's hash may look

REPOSITORIES: dict[type[Row], type[AnyRepository]] = {
    repository.row: repository
    for plugin in load_plugins(discover())
    for repository in plugin.repositories
    if issubclass(repository, Repository)
}


def secret_columns(row: type[Row]) -> list[str]:
    return [name for name, column in columns_of(row).items() if isinstance(column, SecretField)]


SECRETIVE = [repository for row, repository in REPOSITORIES.items() if secret_columns(row)]


def anything(value_type: Any) -> object:
    """A value that a column of the type can store, whatever else it demands."""
    if issubclass(value_type, Enum):
        return next(iter(value_type))
    samples: dict[type, object] = {
        str: f"{new_id()}@example.org",
        UUID: new_id(),
        datetime: utc_now() + timedelta(days=1),
        Secret: Secret(f"{MARKER}{new_id()}"),
    }
    return samples[value_type] if value_type in samples else value_type()


def sample(store: Store, row: type[Row]) -> Any:
    """A record that can be stored, with what it refers to, and the marker in every secret."""
    record: Any = REPOSITORIES[row].record
    required = {one.name for one in dataclasses.fields(record) if _is_required(one)}
    values: dict[str, Any] = {}
    for name, column in columns_of(row).items():
        if isinstance(column, ForeignKey):
            values[name] = store[REPOSITORIES[column.rel_model]].create(sample(store, column.rel_model)).id
        elif name in required or isinstance(column, SecretField):
            values[name] = anything(column.value_type)
    return record(**values)


def _is_required(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def refused_by_the_database(store: Store, repository: type[AnyRepository]) -> Iterator[Action]:
    """Keys that are taken, references to nothing, missing values; each with all the secrets in the row."""
    row, columns = repository.row, columns_of(repository.row)
    stored, other = store[repository].create(sample(store, row)), sample(store, row)
    names = {column.column_name: name for name, column in columns.items()}
    taken: list[dict[str, Any]] = [
        {names[column]: getattr(stored, names[column]) for column in key} for key in unique_keys(table_of(row)).values()
    ]
    leading_nowhere: list[dict[str, Any]] = [
        {name: new_id()} for name, column in columns.items() if isinstance(column, ForeignKey)
    ]
    missing: list[dict[str, Any]] = [{name: None} for name in ("id", "created_at") if name in columns]
    for values in [*taken, *leading_nowhere, *missing]:
        refused = other.replace(**values)
        yield partial(store[repository].create_many, [refused])
        yield partial(row.insert(refused.as_dict()).execute, store.database)


def refused_before(store: Store, repository: type[AnyRepository]) -> Iterator[Action]:
    """Secrets that can't be stored."""
    record = sample(store, repository.row)
    for name in secret_columns(repository.row):
        for value in (Secret(f"{MARKER}\x00"), Secret(f"{MARKER}\ud800"), MARKER.encode(), [MARKER]):
            refused = record.replace(**{name: value})
            yield partial(store[repository].create, refused)
            yield partial(store[repository].upsert_many, [refused])


def error_of(action: Action) -> RepositoryError:
    with pytest.raises(RepositoryError) as raised:
        action()
    return raised.value


def shown(error: BaseException | None, seen: tuple[int, ...] = ()) -> Iterator[str]:
    """What an error, and what is behind it, can be made to say."""
    if error is None or id(error) in seen:
        return
    yield from (str(error), repr(error), repr(vars(error)), repr(getattr(error, "pgerror", None)))
    if diagnostics := getattr(error, "diag", None):
        yield from (str(getattr(diagnostics, name)) for name in dir(diagnostics) if not name.startswith("_"))
    if cursor := getattr(error, "cursor", None):
        yield str(cursor.query)
    yield from traceback.format_exception(error)
    for other in (error.__cause__, error.__context__, getattr(error, "cause", None)):
        yield from shown(other, (*seen, id(error)))


def shown_with_locals(error: BaseException) -> Iterator[str]:
    """What a tool that reports errors makes of one: the variables of every frame but those of this module."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    assert frames, "the error comes from elsewhere"
    return traceback.TracebackException.from_exception(error.with_traceback(frames), capture_locals=True).format()


def test_all_secrets_are_tested() -> None:
    with_secrets = {row for plugin in load_plugins(discover()) for row in plugin.rows if secret_columns(row)}
    assert with_secrets == {repository.row for repository in SECRETIVE}
    assert {"session", "account", "verification", "two_factor"} <= {table_of(row) for row in with_secrets}


@pytest.mark.parametrize("repository", SECRETIVE, ids=lambda repository: repository.__name__)
class TestEverySecretColumn:
    def test_is_not_shown_by_records(self, store: Store, repository: type[AnyRepository]) -> None:
        record = sample(store, repository.row)
        careless = record.replace(**dict.fromkeys(secret_columns(repository.row), MARKER))
        for one in (record, careless, copy.deepcopy(record), store[repository].create(record)):
            for text in (repr(one), str(one), f"{one}", f"{one!r:>9}", "%s" % one, repr([one])):  # noqa: UP031
                assert MARKER not in text
        assert MARKER not in repr(record.as_dict())
        assert MARKER not in repr(dataclasses.asdict(record))

    def test_is_stored_as_it_is(self, store: Store, repository: type[AnyRepository]) -> None:
        def revealed(one: object) -> list[str]:
            return [getattr(one, name).reveal() for name in secret_columns(repository.row)]

        first, second = sample(store, repository.row), sample(store, repository.row)
        [stored] = store[repository].create_many([first])
        store[repository].upsert_many([second])
        assert revealed(stored) == revealed(store[repository].find_by_id(first.id)) == revealed(first)
        assert revealed(store[repository].find_by_id(second.id)) == revealed(second)
        rows = repository.row.select().execute(store.database)
        assert sorted(map(revealed, rows)) == sorted(map(revealed, [first, second]))

    def test_is_not_shown_when_the_database_refuses_its_row(
        self, store: Store, repository: type[AnyRepository], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for action in refused_by_the_database(store, repository):
            error = error_of(action)
            assert isinstance(error, DuplicateKeyError | ConstraintViolationError)
            assert MARKER not in "\n".join(shown(error))
            assert MARKER not in "\n".join(shown_with_locals(error))
        assert MARKER not in caplog.text

    def test_is_not_shown_when_it_cant_be_stored(
        self, store: Store, repository: type[AnyRepository], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for action in refused_before(store, repository):
            error = error_of(action)
            assert isinstance(error, InvalidDataError)
            assert MARKER not in "\n".join(shown(error))
        assert MARKER not in caplog.text

    def test_is_not_shown_by_the_cursor_of_a_page(self, store: Store, repository: type[AnyRepository]) -> None:
        for name in secret_columns(repository.row):
            with pytest.raises(InvalidDataError, match="secret"):
                store[repository].find_keyset(order_by=name)

    def test_is_not_shown_by_queries(self, repository: type[AnyRepository]) -> None:
        for name in secret_columns(repository.row):
            column = columns_of(repository.row)[name]
            select = repository.row.select().where(column == Secret(MARKER))
            assert MARKER not in str(select)
            assert MARKER not in repr(select.sql())
