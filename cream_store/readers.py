"""How stored text becomes a value: exactly what the standard library makes of it, in a fraction of the time."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID, SafeUUID

_decode_json = json.JSONDecoder().decode
# The same, less the two searches for space around the document.
_scan_json = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # the stubs leave it out

_new_object = object.__new__
_set_int = vars(UUID)["int"].__set__
_set_is_safe = vars(UUID)["is_safe"].__set__
_UNKNOWN: Final = SafeUUID.unknown


def read_uuid(text: str) -> UUID:
    """The UUID that the text spells. Raises ValueError, as `UUID(text)` does."""
    if len(text) != 36:
        return UUID(text)
    number = bytes.fromhex(text.replace("-", ""))
    if len(number) != 16:
        return UUID(text)
    value = _new_object(UUID)  # `UUID()` looks at all the ways that one can be written
    _set_int(value, int.from_bytes(number))
    _set_is_safe(value, _UNKNOWN)
    return value


def read_json(text: str) -> Any:
    """The JSON document. Raises ValueError when the text is none."""
    try:
        value, end = _scan_json(text, 0)
    except StopIteration:  # there is something else at the beginning, perhaps only space
        return _decode_json(text)
    return value if end == len(text) else _decode_json(text)
