"""The demo's part: the prices as candles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from itertools import pairwise
from typing import Final

from cream_plugins.market_data.candles import Candle, CandlesRepository
from cream_plugins.market_data.price_lines import CandleReader, moment_of
from cream_plugins.market_data.timeframe import Timeframe
from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import Bar, Section, Story
from cream_store import InvalidDataError, Store

PROVIDER: Final = "demo"


def tell(store: Store, story: Story) -> list[Section]:
    """The candles, but for those that somebody else has stored already: these stay as they are."""
    candles = store[CandlesRepository]
    read = _candles(story)
    timeframe = read[0].timeframe
    times = [candle.timestamp for candle in read]
    stored = candles.get_range(story.symbol, timeframe, min(times), max(times))
    foreign = {candle.timestamp for candle in stored if candle.provider != PROVIDER}
    written = candles.bulk_upsert(candle for candle in read if candle.timestamp not in foreign)
    kept = f", {len(foreign):,} were there from elsewhere and stay" if foreign else ""
    return [
        Section(
            phase=CyclePhase.OBSERVE,
            title=f"{story.symbol} {timeframe} candles",
            columns=("opens", "open", "high", "low", "close", "volume"),
            rows=[
                (candle.timestamp, candle.open, candle.high, candle.low, candle.close, candle.volume)
                for candle in candles.get_latest(story.symbol, timeframe, 3)
            ],
            note=f"the newest of {candles.count(story.symbol, timeframe):,}; {written:,} written{kept}",
        )
    ]


def _candles(story: Story) -> list[Candle]:
    """The bars as candles. Raises InvalidDataError for a bar that is none."""
    reader = CandleReader(Bar._fields, story.symbol, _timeframe(story.bars), PROVIDER, UTC, rounds=True)
    return [reader.candle(bar) for bar in story.bars]


def _timeframe(bars: Sequence[Bar]) -> Timeframe:
    """How long the bars last, by those that follow each other closest. Raises InvalidDataError for no timeframe."""
    times = sorted({moment_of(bar.time) for bar in bars})
    gap = min((after - before for before, after in pairwise(times)), default=None)
    for timeframe in Timeframe:
        if timeframe.length == gap:
            return timeframe
    raise InvalidDataError(f"the bars are {gap} apart; candles last {', '.join(Timeframe)}")
