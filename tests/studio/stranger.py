"""A plugin that the studio has never seen: with every kind of column, key and reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

import peewee

from cream_store import (
    BooleanField,
    Changes,
    EnumField,
    Environment,
    Filters,
    ForeignKey,
    IntegerField,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    Secret,
    SecretField,
    Store,
    TextField,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    record,
    unique,
    utc_now,
)
from cream_store.plugins import Plugin
from cream_store.row import table_of
from cream_store.studio.views import StudioView
from tests.conftest import templates


class Mood(StrEnum):
    """How a ship feels. The order is not that of the letters."""

    WELL = "well"
    GOOD = "good"
    BAD = "bad"


class HarbourRow(Row):
    """A text as key, which an address has to escape."""

    name = TextField(primary_key=True)

    class Meta:
        table_name = "harbours"


class ShipRow(Row):
    """One of everything."""

    id = UUIDv7Field(primary_key=True)
    name = TextField()
    code = TextField(null=True)
    harbour = ForeignKey(HarbourRow, column_name="harbour", object_id_name="harbour_name", null=True)
    tonnes = NumericField(10, 2, null=True)
    crew = IntegerField(null=True)
    mood = EnumField(Mood)
    afloat = BooleanField(null=True)
    papers = JSONField(null=True)
    password = SecretField(null=True)
    launched_at = TimestampField(null=True)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "ships"
        constraints = [unique("ships_code", "code"), check("some_crew", "crew IS NULL OR crew > 0")]
        indexes = [index("idx_ships_created_at", "created_at"), index("idx_ships_name", "name")]


class CargoRow(Row):
    """A key of two columns, no repository, and a reference to something that is no key."""

    ship_code = ForeignKey(ShipRow, field="code", column_name="ship_code", object_id_name="of_code")
    number = IntegerField()
    environment = TextField()  # a word like any other, not one of ours

    class Meta:
        table_name = "cargo"
        primary_key = peewee.CompositeKey("ship_code", "number")


class KeyRow(Row):
    """A secret as key: no address may name its rows."""

    key = SecretField(primary_key=True)
    note = TextField()

    class Meta:
        table_name = "ship_keys"


@record
class Harbour(Record):
    """A harbour."""

    name: str


@record
class Ship(Record):
    """A ship."""

    id: UUID = field(default_factory=new_id)
    name: str
    code: str | None = None
    harbour_name: str | None = None
    tonnes: Decimal | None = None
    crew: int | None = None
    mood: Mood = Mood.WELL
    afloat: bool | None = None
    papers: dict[str, Any] = field(default_factory=dict)
    password: Secret | None = None
    launched_at: datetime | None = None
    created_at: datetime = field(default_factory=utc_now)


class HarboursRepository(Repository[Harbour, Filters, Changes]):
    """The harbours."""

    row = HarbourRow


class ShipsRepository(Repository[Ship, Filters, Changes]):
    """The ships."""

    row = ShipRow
    default_order = ("-created_at",)


def plugin(*views: StudioView) -> Plugin:
    """The plugin, perhaps with something for the first page."""
    rows: Sequence[type[Row]] = (HarbourRow, ShipRow, CargoRow, KeyRow)
    return Plugin(
        name="ships",
        distribution="ships-dist",
        version="1.0",
        requires=(),
        rows=tuple(rows),
        repositories=(HarboursRepository, ShipsRepository),
        studio_views=views,
    )


@contextmanager
def strange_store(back_end: str, *views: StudioView) -> Iterator[Store]:
    """A PAPER database with nothing but the stranger's tables, which are empty: one for the session."""
    store = Store(_session_store(back_end).database, [plugin(*views)])
    store.push()
    with store.transaction():
        store.database.empty_tables([table_of(row) for row in reversed(store.rows)])
    yield store
    store.close()


@cache
def _session_store(back_end: str) -> Store:
    return session.enter_context(templates(back_end, (), Environment.PAPER).copy())


session = ExitStack()
"""What is to be closed at the session's end."""
