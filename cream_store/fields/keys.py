"""Keys of rows, and references to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn
from uuid import UUID

import peewee
from uuid_utils.compat import uuid7

from cream_store.fields.column import ByKind, Column, Decoder
from cream_store.fields.numbers import IntegerField
from cream_store.readers import read_uuid
from cream_store.url import Kind

# A version 7 UUID (RFC 9562): 48 bits of milliseconds, the version, 74 random bits with the variant among them.
_UUIDV7 = ByKind(
    "DEFAULT uuidv7()",
    "DEFAULT (lower(substr(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), 1, 8) || '-'"
    " || substr(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), 9, 4) || '-7'"
    " || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1)"
    " || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))",
)


class SerialField(IntegerField, peewee.AutoField):
    """A primary key that the database numbers; None in a record until it is stored."""

    field_type = "AUTO"

    def __init__(self, **options: Any) -> None:
        super().__init__(primary_key=True, **options)


class UUIDField(Column):
    """A UUID. Text that spells one is accepted."""

    field_type = "UUID"
    python_type = UUID

    def sample(self, number: int) -> UUID:
        return uuid7()

    def encode(self, value: Any) -> str:
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, str):
            try:
                return str(UUID(value))
            except ValueError:
                self.refuse("not a UUID")
        return self.refuse(f"needs a UUID, got {type(value).__name__}")

    def encoder(self, kind: Kind) -> Callable[[Any], Any]:
        if kind == "sqlite":
            return self.encode
        # PostgreSQL does without the hyphens, which take twice the time of all the rest.
        return lambda value: value.hex if isinstance(value, UUID) else self.encode(value)

    def _decoder(self, kind: Kind) -> Decoder | None:
        return read_uuid if kind == "sqlite" else None


class UUIDv7Field(UUIDField):
    """A UUID that the database makes, ordered by time (version 7, RFC 9562), when a program supplies none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(constraints=[_UUIDV7], **options)


class ForeignKey(peewee.ForeignKeyField):
    """A reference to another table's row, named as every program that shares the schema names it."""

    def __init__(self, to: type[peewee.Model], **options: Any) -> None:
        super().__init__(to, index=False, backref="+", **options)

    def bind(self, model: type[peewee.Model], name: str, set_attribute: bool = True) -> None:
        super().bind(model, name, set_attribute)
        target = self.rel_model._meta.table_name
        self.constraint_name = f"{model._meta.table_name}_{self.column_name}_{target}_{self.rel_field.column_name}_fk"

    @property
    def record_name(self) -> str:
        """What records call the column: the key of the referenced row, not the row itself."""
        name: str = self.object_id_name
        return name

    @property
    def value_type(self) -> type:
        """The Python type of the column's values."""
        value_type: type = self.rel_field.value_type
        return value_type

    @property
    def compared(self) -> ForeignKey:
        """What encodes the values that conditions compare the column with."""
        return self

    def sort_key(self, value: peewee.ColumnBase) -> peewee.ColumnBase:
        """What the column's values are sorted by: those of the referenced one."""
        return self.as_column().sort_key(value)

    def encode(self, value: Any) -> Any:
        return self.as_column().encode(value)

    def encoder(self, kind: Kind) -> Callable[[Any], Any]:
        return self.as_column().encoder(kind)

    def decoder(self, kind: Kind) -> Decoder | None:
        return self.as_column().decoder(kind)

    def refuse(self, reason: str) -> NoReturn:
        """Raises the InvalidDataError that names the column."""
        self.as_column().refuse(reason)

    def as_column(self) -> Column:
        """A column of the referenced type that belongs to this table, so that errors name the right one."""
        column: Column = self.rel_field.clone()
        column.model, column.column_name, column.null = self.model, self.column_name, self.null
        return column
