from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cream_plugins.market_data import Candle, CandlesRepository, Timeframe
from cream_plugins.market_data.demo import tell
from cream_store import InvalidDataError, Store
from tests.stories import a_story, some_bars


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_the_bars_are_stored_in_the_timeframe_that_fits(store: Store, timeframe: Timeframe) -> None:
    [section] = tell(store, a_story(bars=some_bars(5, timeframe.length)))

    assert store[CandlesRepository].count("GOOG", timeframe) == 5
    assert section.title == f"GOOG {timeframe} candles"
    assert len(section.rows) == 3
    assert section.note == "the newest of 5; 5 written"


def test_prices_are_rounded_to_what_a_candle_holds(store: Store) -> None:
    tell(store, a_story())

    [*_, candle] = store[CandlesRepository].get_latest("GOOG", Timeframe.DAY)
    assert (candle.open, candle.close) == (Decimal("100.0000"), Decimal("100.1235"))


def test_telling_it_again_replaces_its_own_candles(store: Store) -> None:
    tell(store, a_story())
    [section] = tell(store, a_story(bars=some_bars(4)))

    assert section.note == "the newest of 4; 4 written"


def test_candles_from_elsewhere_stay_as_they_are(store: Store) -> None:
    real = Candle(
        symbol="GOOG",
        timeframe=Timeframe.DAY,
        timestamp=datetime(2024, 1, 2, tzinfo=UTC),
        open=Decimal(7),
        high=Decimal(7),
        low=Decimal(7),
        close=Decimal(7),
    )
    store[CandlesRepository].upsert(real)

    [section] = tell(store, a_story())

    assert section.note == "the newest of 3; 2 written, 1 were there from elsewhere and stay"
    assert [candle.open for candle in store[CandlesRepository].get_latest("GOOG", Timeframe.DAY)] == [100, 7, 100]


def test_bars_that_no_candle_fits_are_refused(store: Store) -> None:
    with pytest.raises(InvalidDataError, match=r"the bars are 4:00:00 apart; candles last 1m, 5m, 15m, 1h, 1d"):
        tell(store, a_story(bars=some_bars(3, timedelta(hours=4))))
    with pytest.raises(InvalidDataError, match="'17' is not a time"):
        tell(store, a_story(bars=tuple(bar._replace(time="17") for bar in some_bars(3))))
