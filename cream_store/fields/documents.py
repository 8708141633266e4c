"""JSON documents."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import peewee

from cream_store.fields.column import ByKind, Column, Decoder, text_literal
from cream_store.fields.text import checked_symbol, checked_text
from cream_store.readers import read_json
from cream_store.url import Kind

_DEEPEST_LEVEL: Final = 200
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LEAVES: Final = frozenset((str, int, bool, type(None)))
# A document that contains itself is too deep already.
_write_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


class JSONField(Column):
    """A JSON document: dicts with text keys, lists, text, numbers, booleans, None; at most 200 levels deep.

    `of` is the type of the whole document (dict or list); a stored NULL then reads as an empty one, unless it is told
    apart with `null_as=None`.
    """

    field_type = "JSON"

    def __init__(self, of: type[dict[str, Any]] | type[list[Any]] = dict, **options: Any) -> None:
        self.of = of
        super().__init__(**{"null_as": of, **options})

    @property
    def value_type(self) -> type:
        return self.of

    def _default_clause(self, value: Any) -> peewee.Node:
        literal = text_literal(json.dumps(value))
        return ByKind(f"DEFAULT {literal}::jsonb", f"DEFAULT {literal}")

    def encode(self, value: Any) -> str:
        if not isinstance(value, self.of):
            self.refuse(f"needs a {self.of.__name__}, got {type(value).__name__}")
        try:
            text = _write_json(self._storable(value, 1))
        except ValueError as error:
            self.refuse(f"not storable as JSON: {error}")
        if "\\u0000" in text and _ESCAPED_NUL.search(text):
            self.refuse("text with a NUL character can't be stored")
        return checked_text(self, text)

    def _storable(self, value: Any, depth: int) -> Any:
        if isinstance(value, float):
            return self._storable_float(value)
        if value is None or isinstance(value, str | int):  # True and False are ints
            return value
        if not isinstance(value, dict | list):
            return self.refuse(f"{type(value).__name__} has no place in JSON")
        if depth > _DEEPEST_LEVEL:
            self.refuse(f"JSON deeper than {_DEEPEST_LEVEL} levels can't be stored")
        below = depth + 1
        if isinstance(value, list):
            return [item if type(item) in _LEAVES else self._storable(item, below) for item in value]
        for key in value:
            if not isinstance(key, str):
                self.refuse(f"JSON keys are text, got {type(key).__name__}")
        return {key: item if type(item) in _LEAVES else self._storable(item, below) for key, item in value.items()}

    def _storable_float(self, value: float) -> float | int:
        if not math.isfinite(value):
            self.refuse(f"{value} has no place in JSON")
        # jsonb writes large floats without an exponent, and such text reads back as the int of those digits, which
        # is not always the float's exact value: its exact value is stored instead.
        return int(value) if abs(value) >= 1e16 else value

    def _decoder(self, kind: Kind) -> Decoder | None:
        return read_json if kind == "sqlite" else None

    def python_value(self, value: Any) -> Any:
        if isinstance(value, str):
            value = read_json(value)
        return self.of() if value is None and self.null_as is not None else value


class SymbolsField(JSONField):
    """A JSON list of symbols, each spelt as a `SymbolField` spells it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(list, **options)

    def encode(self, value: Any) -> str:
        return super().encode([checked_symbol(self, item) for item in value] if isinstance(value, list) else value)
