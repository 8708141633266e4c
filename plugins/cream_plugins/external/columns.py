"""Column types that only the tables of external data need."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Final

from cream_store import IntegerField, JSONField, SymbolsField, TextField, utc_now
from cream_store.fields import Column, Decoder
from cream_store.url import Kind


class _DateOrMomentField(Column):
    """A calendar day in a text column; a moment stands for its day in UTC."""

    field_type = "TEXT"
    python_type: ClassVar[type] = date

    def sample(self, number: int) -> date:
        return utc_now().date() - timedelta(days=number)

    def encode(self, value: Any) -> str:
        if isinstance(value, datetime) and value.utcoffset() is not None:
            return value.astimezone(UTC).date().isoformat()
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, str) and _is_day(value):
            return value
        return self.refuse(f"needs a date, or text of the form YYYY-MM-DD; got {value!r}")

    def _decoder(self, kind: Kind) -> Decoder | None:
        return date.fromisoformat


class DateTextField(_DateOrMomentField):
    """A calendar day in a text column, as YYYY-MM-DD, so that text sorts by day."""

    def encode(self, value: Any) -> str:
        if isinstance(value, datetime):
            self.refuse("needs a date, got a datetime")
        return super().encode(value)

    @property
    def compared(self) -> Column:
        bound = _DateOrMomentField()
        bound.model, bound.column_name = self.model, self.column_name
        return bound


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class ClockTimeField(TextField):
    """A time of day in a text column, as HH:MM, so that text sorts by time."""

    def sample(self, number: int) -> str:
        return "13:30"

    def encode(self, value: Any) -> str:
        text = super().encode(value)
        if not CLOCK_TIME.fullmatch(text):
            self.refuse(f"needs a time of the form HH:MM, got {text!r}")
        return text


CLOCK_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class CounterField(IntegerField):
    """How many there are or were: 0 or more; a stored NULL reads as 0."""

    def __init__(self) -> None:
        super().__init__(null=True, null_as=0, server_default=0)

    def encode(self, value: Any) -> int:
        number = super().encode(value)
        if number < 0:
            self.refuse(f"a counter is never negative, got {number}")
        return number


class SectionsField(JSONField):
    """The sections of a newspaper: lists of texts by name; a missing section is an empty one."""

    names: ClassVar = ("macro", "universe", "predictionMarkets", "economicCalendar")

    def encode(self, value: Any) -> str:
        if not isinstance(value, dict):
            return super().encode(value)
        for name, texts in value.items():
            if name not in self.names:
                self.refuse(f"unknown section {name!r}; known: {', '.join(self.names)}")
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                self.refuse(f"section {name} needs a list of texts")
        return super().encode(self._complete(value))

    def _decoder(self, kind: Kind) -> Decoder | None:
        decode = super()._decoder(kind)
        return self._complete if decode is None else lambda text: self._complete(decode(text))

    def _complete(self, sections: dict[str, Any]) -> dict[str, Any]:
        return {name: [] for name in self.names} | sections


def symbols_in(column: Any, symbols: Sequence[str]) -> list[str]:
    """Symbols as the column spells them, for conditions. Raises InvalidDataError for what is no list of symbols."""
    field: SymbolsField = column
    spelt: list[str] = json.loads(
        field.encode(list(symbols) if isinstance(symbols, tuple | set | frozenset) else symbols)
    )
    return spelt
