"""Email addresses, spelt in one way."""

from __future__ import annotations

import re
from typing import Any, Final

from cream_store import TextField

_ADDRESS: Final = re.compile(r"[^\s@]+@[^\s@]+")


def email_address(text: str) -> str | None:
    """The email address that a text is, as it is stored and searched; None when it is none."""
    address = text.strip().lower()
    return address if _ADDRESS.fullmatch(address) else None


class EmailField(TextField):
    """An email address: stored and searched without surrounding space, in lower case."""

    def sample(self, number: int) -> str:
        return f"user{number}@example.org"

    def encode(self, value: Any) -> str:
        return email_address(super().encode(value)) or self.refuse("not an email address")
