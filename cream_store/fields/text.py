"""Text, the symbols of instruments, and text that must not show."""

from __future__ import annotations

from typing import Any, ClassVar

from cream_store.fields.column import Column, Decoder
from cream_store.fields.keys import ForeignKey
from cream_store.secret import Secret
from cream_store.url import Kind


class TextField(Column):
    """Text of any length."""

    field_type = "TEXT"
    python_type: ClassVar[type] = str

    def sample(self, number: int) -> Any:
        return f"{self.record_name} {number}"

    def encode(self, value: Any) -> str:
        if not isinstance(value, str):
            self.refuse(f"needs text, got {type(value).__name__}")
        return checked_text(self, value)


class SymbolField(TextField):
    """The symbol of an instrument: stored and searched without surrounding space, in upper case; never blank."""

    def sample(self, number: int) -> str:
        return f"SYM{number}"

    def encode(self, value: Any) -> str:
        return checked_symbol(self, super().encode(value))


class SecretField(Column):
    """Text that must not show: a token, a password, a key. A `Secret` in records and all the way to the driver.

    Plain text is accepted. No error quotes the value.
    """

    field_type = "TEXT"
    python_type = Secret

    def sample(self, number: int) -> Secret:
        return Secret(f"{self.record_name}-{number:032}")  # as long as a token

    def encode(self, value: Any) -> Secret:
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str):
            self.refuse(f"needs a Secret, got {type(value).__name__}")
        return Secret(checked_text(self, text))

    def _decoder(self, kind: Kind) -> Decoder | None:
        return Secret


def checked_text(column: Column | ForeignKey, value: str) -> str:
    """The text, if a database can store it. A member of an enum becomes its value, whatever `str` makes of it."""
    if "\x00" in value:
        column.refuse("text with a NUL character can't be stored")
    if not (value.isascii() or _is_unicode(value)):
        column.refuse("text with half of a surrogate pair can't be stored")
    return str.__str__(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # which quotes the text, and so must not be the context of another error
        return False
    return True


def checked_symbol(column: Column, value: Any) -> str:
    if not isinstance(value, str):
        column.refuse(f"a symbol is text, got {type(value).__name__}")
    symbol = value.strip().upper()
    if not symbol:
        column.refuse("a symbol can't be blank")
    return symbol
