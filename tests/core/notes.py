"""A plain table for tests of what lies below the plugins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode
from uuid import UUID

from cream_store import (
    Changes,
    Database,
    Environment,
    Filters,
    IntegerField,
    Record,
    Repository,
    Row,
    TextField,
    UUIDv7Field,
    field,
    new_id,
    open_database,
    record,
)

DEADLINE = 60.0
"""Seconds after which a test gives up. Only a test that would hang comes near it."""


class NoteRow(Row):
    """Table `notes`."""

    id = UUIDv7Field(primary_key=True)
    text = TextField()
    number = IntegerField()

    class Meta:
        table_name = "notes"


@record
class Note(Record):
    """Anything worth remembering."""

    id: UUID = field(default_factory=new_id)
    text: str = "a note"
    number: int = 0


class Notes(Repository[Note, Filters, Changes]):
    """The notes."""

    row = NoteRow


@contextmanager
def reopened(database: Database, environment: Environment | None = None, **settings: object) -> Iterator[Database]:
    """The same database with a pool of its own, with other pool settings, perhaps for another environment."""
    url = database.location.url
    if settings:
        url += ("&" if "?" in url else "?") + urlencode(settings)
    other = open_database(url, environment or database.environment)
    try:
        yield other
    finally:
        other.close_pool()


def texts(database: Database) -> list[str]:
    """What the notes say, in order."""
    return sorted(note.text for note in Notes(database).find_all())


def wait_until(is_true: Callable[[], object]) -> None:
    """Returns as soon as something has come true. Fails when it does not."""
    end = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


_OTHER_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def other_sessions(administrator: Database) -> int:
    """How many sessions the PostgreSQL server has on the database beside the one that asks."""
    [(count,)] = administrator.fetch_all(f"SELECT count(*) {_OTHER_SESSIONS}")
    return int(count)


def end_sessions(database: Database) -> None:
    """Has the PostgreSQL server end the sessions that there are on a database, and waits until they are gone."""
    with reopened(database) as administrator:
        ended = [pid for (pid,) in administrator.fetch_all(f"SELECT pid {_OTHER_SESSIONS}")]
        administrator.fetch_all("SELECT pg_terminate_backend(pid) FROM unnest(%s) pid", (ended,))
        still_there = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: administrator.fetch_all(still_there, (ended,)) == [(0,)])
