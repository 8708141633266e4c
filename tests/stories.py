"""Stories for tests of what the plugins add to the demo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cream_plugins.vocabulary.demo import Bar, RoundTrip, Story
from cream_store import Environment, new_id


def a_story(**values: Any) -> Story:
    """A story of GOOG with three daily bars and a trade that won."""
    usual: dict[str, Any] = {
        "environment": Environment.PAPER,
        "symbol": "GOOG",
        "cycle_id": new_id(),
        "bars": some_bars(3),
        "trades": (a_round_trip(),),
    }
    return Story(**{**usual, **values})


def a_round_trip(**values: Any) -> RoundTrip:
    """Ten shares that went from 100 to 112.5, beyond their target."""
    usual: dict[str, Any] = {
        "quantity": Decimal("10.0000"),
        "confidence": Decimal("0.4"),
        "entry_price": Decimal("100.0000"),
        "entry_bar": "2024-01-01",
        "stop": Decimal("95.0000"),
        "target": Decimal("110.0000"),
        "exit_price": Decimal("112.5000"),
        "exit_bar": "2024-01-03",
        "exit_signal": "TARGET_REACHED",
    }
    return RoundTrip(**{**usual, **values})


def some_bars(count: int, apart: timedelta = timedelta(days=1)) -> tuple[Bar, ...]:
    """Bars from 2024 on."""
    numbers = [Decimal(text) for text in ("100.00005", "101.5", "99", "100.123451", "1000")]
    times = [datetime(2024, 1, 1, tzinfo=UTC) + number * apart for number in range(count)]
    return tuple(Bar(str(time), *numbers) for time in times)
