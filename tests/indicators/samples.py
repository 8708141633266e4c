"""Indicators to store, and days to store them for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cream_plugins.indicators import (
    CorporateActionsIndicators,
    FundamentalIndicators,
    SentimentIndicators,
    ShortInterestIndicators,
)

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MIDNIGHT = datetime(2024, 3, 15, tzinfo=UTC)
NOON = MIDNIGHT + DAY / 2
TODAY = date(2024, 3, 15)


def fundamentals(symbol: str = "AAPL", day: date = TODAY, **others: Any) -> FundamentalIndicators:
    return FundamentalIndicators(**{"symbol": symbol, "date": day, **others})


def short_interest(symbol: str = "AAPL", day: date = TODAY, **others: Any) -> ShortInterestIndicators:
    return ShortInterestIndicators(**{"symbol": symbol, "settlement_date": day, "short_interest": 1000, **others})


def sentiment(symbol: str = "AAPL", day: date = TODAY, score: str | None = None, **others: Any) -> SentimentIndicators:
    number = None if score is None else Decimal(score)
    return SentimentIndicators(**{"symbol": symbol, "date": day, "sentiment_score": number, **others})


def corporate_actions(symbol: str = "AAPL", day: date = TODAY, **others: Any) -> CorporateActionsIndicators:
    return CorporateActionsIndicators(**{"symbol": symbol, "date": day, **others})
