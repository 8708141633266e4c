"""Secrets: values that never show by accident."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

_MASK: Final = "***"


class Secret:
    """A text that shows as `***`: in a repr, a log line, an f-string, an error.

    `reveal()` gives the text. Two secrets are compared in constant time. A secret is neither pickled nor turned into
    JSON, so it reaches a file or a socket only when somebody reveals it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | Secret) -> None:
        if not isinstance(text, str | Secret):
            raise TypeError(f"a secret is text, got {type(text).__name__}")
        self._text: str = text if isinstance(text, str) else text._text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return f"Secret({_MASK!r})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, specification: str) -> str:
        return format(_MASK, specification)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised; reveal it if that is what you mean")
