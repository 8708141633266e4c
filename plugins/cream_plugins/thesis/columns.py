"""Column types that only the thesis tables need."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from cream_store import IntegerField, JSONField
from cream_store.fields import Decoder
from cream_store.url import Kind


class FlagField(IntegerField):
    """True or false in an integer column: 1 means true, any other number false."""

    @property
    def value_type(self) -> type:
        return bool

    def encode(self, value: Any) -> int:
        if not isinstance(value, bool):
            self.refuse(f"needs True or False, got {type(value).__name__}")
        return int(value)

    def _decoder(self, kind: Kind) -> Decoder | None:
        return _is_one


class JSONTextField(JSONField):
    """A JSON document in a text column. Text that is no such document reads as an empty one, as NULL does."""

    field_type = "TEXT"

    def _decoder(self, kind: Kind) -> Decoder | None:
        return self._read

    def python_value(self, value: Any) -> Any:
        return self.of() if value is None else self._read(value)

    def _read(self, text: str) -> Any:
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return self.of()
        return document if isinstance(document, self.of) else self.of()


def _is_one(number: int) -> bool:
    return number == 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is Python's, not JSON")
