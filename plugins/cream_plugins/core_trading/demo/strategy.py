"""The demo's trading rule: a crossing of moving averages, with a stop as far away as the market usually moves.

Buy when the average close of 10 bars rises above that of 30, sell out when it falls below, when the stop is touched,
or when the target is reached. With ATR the average true range of 14 bars (J. Welles Wilder, "New Concepts in Technical
Trading Systems", 1978):

- stop = entry - 2 ATR, target = entry + 3 ATR,
- size = 1 % of the equity / (entry - stop), at most what the cash pays, in whole shares,
- confidence = the distance of the close from the slow average in units of 3 ATR, at most 1.

It shows the store at work. It is no advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from enum import Enum
from itertools import pairwise
from typing import Final

from cream_plugins.vocabulary.demo import Bar

FAST: Final = 10
SLOW: Final = 30
RANGE: Final = 14
STOP_RANGES: Final = 2
TARGET_RANGES: Final = 3
RISK_PER_TRADE: Final = Decimal("0.01")
STARTING_EQUITY: Final = Decimal(100_000)

_PRICE_STEP: Final = Decimal("0.0001")
_SCORE_STEP: Final = Decimal("0.001")


class Signal(Enum):
    """Why to act."""

    CROSSED_UP = "the fast average rose above the slow one"
    CROSSED_DOWN = "the fast average fell below the slow one"
    STOPPED = "the stop was touched"
    TARGET_REACHED = "the target was reached"


@dataclass(frozen=True, slots=True)
class Orientation:
    """What a bar looks like in the light of those before it."""

    close: Decimal
    fast: Decimal
    slow: Decimal
    true_range: Decimal  # ATR, in the instrument's currency

    @property
    def confidence(self) -> Decimal:
        """How far the price has gone from its average: 0..1."""
        if not self.true_range:
            return Decimal(0)
        distance = abs(self.close - self.slow) / (TARGET_RANGES * self.true_range)
        return min(distance, Decimal(1)).quantize(_SCORE_STEP, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Trade:
    """An open position's plan."""

    entry: Decimal
    stop: Decimal
    target: Decimal


def orient(bars: Sequence[Bar]) -> Orientation:
    """Averages and range at the last of the bars, of which there are at least `SLOW`."""
    return Orientation(
        close=bars[-1].close,
        fast=_mean([bar.close for bar in bars[-FAST:]]),
        slow=_mean([bar.close for bar in bars[-SLOW:]]),
        true_range=_mean([_true_range(bar, before) for before, bar in pairwise(bars[-RANGE - 1 :])]),
    )


def walk(bars: Sequence[Bar]) -> Iterator[tuple[int, Orientation, Orientation]]:
    """Every bar's index with the orientation before it and at it, as far as there is enough history."""
    before = orient(bars[:SLOW]) if len(bars) > SLOW else None
    for i in range(SLOW, len(bars)):
        now = orient(bars[max(0, i + 1 - SLOW) : i + 1])
        assert before is not None
        yield i, before, now
        before = now


def signal(bar: Bar, before: Orientation, now: Orientation, trade: Trade | None) -> Signal | None:
    """Whether the bar asks for a trade, given the position that is open."""
    if trade is None:
        crossed = before.fast <= before.slow and now.fast > now.slow
        return Signal.CROSSED_UP if crossed else None
    if bar.low <= trade.stop:
        return Signal.STOPPED
    if bar.high >= trade.target:
        return Signal.TARGET_REACHED
    return Signal.CROSSED_DOWN if now.fast < now.slow else None


def plan(bar: Bar, now: Orientation) -> Trade:
    """Entry at the close, stop and target by the average range."""
    return Trade(
        entry=price(bar.close),
        stop=price(max(bar.close - STOP_RANGES * now.true_range, _PRICE_STEP)),
        target=price(bar.close + TARGET_RANGES * now.true_range),
    )


def size(trade: Trade, equity: Decimal, cash: Decimal) -> Decimal:
    """Shares to buy so that the stop costs one percent of the equity; 0 when not one share fits."""
    risk = trade.entry - trade.stop
    if risk <= 0 or trade.entry <= 0:
        return Decimal(0)
    return min(RISK_PER_TRADE * equity / risk, cash / trade.entry).quantize(Decimal(1), ROUND_DOWN)


def price(value: Decimal) -> Decimal:
    """A price with the four decimals that the store keeps."""
    return value.quantize(_PRICE_STEP, ROUND_HALF_EVEN)


def _true_range(bar: Bar, before: Bar) -> Decimal:
    return max(bar.high - bar.low, abs(bar.high - before.close), abs(bar.low - before.close))


def _mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values) if values else Decimal(0)
