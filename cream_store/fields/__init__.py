"""Column types: which values a column holds, and the one place where PostgreSQL and SQLite differ in values.

Every type turns a value into the text (or number, or boolean) that both databases accept, and refuses, with an
InvalidDataError that names table and column, what the column can't hold exactly. Nothing is rounded, cut or guessed.
"""

from cream_store.fields.column import Column, Decoder, is_sqlite, text_literal
from cream_store.fields.documents import JSONField, SymbolsField
from cream_store.fields.enums import ChoiceField, EnumField, EnvironmentField
from cream_store.fields.keys import ForeignKey, SerialField, UUIDField, UUIDv7Field
from cream_store.fields.moments import DayField, TimestampField, TimestampTextField
from cream_store.fields.numbers import BigIntegerField, BooleanField, IntegerField, NumericField
from cream_store.fields.text import SecretField, SymbolField, TextField, checked_text

__all__ = [
    "BigIntegerField",
    "BooleanField",
    "ChoiceField",
    "Column",
    "DayField",
    "Decoder",
    "EnumField",
    "EnvironmentField",
    "ForeignKey",
    "IntegerField",
    "JSONField",
    "NumericField",
    "SecretField",
    "SerialField",
    "SymbolField",
    "SymbolsField",
    "TextField",
    "TimestampField",
    "TimestampTextField",
    "UUIDField",
    "UUIDv7Field",
    "checked_text",
    "is_sqlite",
    "text_literal",
]
