"""Values that a StrEnum declares."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import peewee
from peewee import SQL

from cream_store.environment import Environment
from cream_store.fields.column import ByKind, Column, Decoder, is_sqlite, text_literal
from cream_store.fields.text import TextField
from cream_store.url import Kind


class ChoiceField(TextField):
    """Text whose values a StrEnum declares, although the database does not check them.

    An undeclared value is refused on write; one that is stored already reads as plain text.
    """

    def __init__(self, enum: type[StrEnum], **options: Any) -> None:
        self.enum = enum
        self._texts = {member: member.value for member in enum}
        super().__init__(**options)

    @property
    def value_type(self) -> type:
        return self.enum

    def sample(self, number: int) -> StrEnum:
        return next(iter(self.enum))

    def encode(self, value: Any) -> str:
        try:
            return self._texts[value]  # a member and its text are equal
        except (KeyError, TypeError):
            self.refuse(f"{value!r} is not one of {', '.join(self.enum)}")

    def _decoder(self, kind: Kind) -> Decoder | None:
        by_value: dict[str, str] = {member.value: member for member in self.enum}
        return lambda text: by_value.get(text, text)


class EnumField(Column):
    """One value of a StrEnum: an enum type of the same values on PostgreSQL, checked text on SQLite.

    The type's name is the class's name in snake case, unless `type_name` says otherwise.
    """

    field_type = "TEXT"

    def __init__(self, enum: type[StrEnum], *, type_name: str | None = None, **options: Any) -> None:
        self.enum = enum
        self.type_name = type_name or re.sub(r"(?<!^)(?=[A-Z])", "_", enum.__name__).lower()
        self._texts = {member: member.value for member in self.members}
        super().__init__(**options)

    @property
    def value_type(self) -> type:
        return self.enum

    @property
    def members(self) -> tuple[StrEnum, ...]:
        """The members that can be stored, in the database type's order."""
        return tuple(self.enum)

    def ddl_datatype(self, context: Any) -> SQL:
        return ByKind(f'"{self.type_name}"', "TEXT")

    def ddl(self, context: Any) -> peewee.NodeList:
        definition = super().ddl(context)
        if not is_sqlite(context):
            return definition
        values = ", ".join(text_literal(member) for member in self.members)
        return peewee.NodeList((definition, SQL(f'CHECK ("{self.column_name}" IN ({values}))')))

    def sample(self, number: int) -> StrEnum:
        return self.members[0]

    def sort_key(self, value: peewee.ColumnBase) -> peewee.ColumnBase:
        return _DeclaredOrder(self, value)

    def encode(self, value: Any) -> str:
        try:
            return self._texts[value]  # a member and its text are equal
        except (KeyError, TypeError):
            self.refuse(f"{value!r} is not one of {', '.join(self.members)}")

    def decoder(self, kind: Kind) -> Decoder | None:
        by_value: dict[str | None, StrEnum | None] = {member.value: member for member in self.members}
        if self.null:
            by_value[None] = self.null_as
        return by_value.__getitem__


class _DeclaredOrder(peewee.ColumnBase):
    """What an enum's value is sorted by: PostgreSQL's enum types have an order, SQLite's texts are numbered."""

    def __init__(self, column: EnumField, value: peewee.ColumnBase) -> None:
        self._column = column
        self._value = value

    def __sql__(self, context: Any) -> Any:
        if not is_sqlite(context):
            return context.sql(self._value)
        context.literal("CASE ").sql(self._value)
        for place, member in enumerate(self._column.members):
            context.literal(f" WHEN {text_literal(member)} THEN {place}")
        return context.literal(" END")


class EnvironmentField(EnumField):
    """The environment that a row belongs to: PAPER or LIVE."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Environment, **options)

    @property
    def members(self) -> tuple[StrEnum, ...]:
        return (Environment.PAPER, Environment.LIVE)
