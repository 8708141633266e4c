"""The plugin `indicators`: what is computed about instruments day by day, and the runs that fetch it."""

from __future__ import annotations

from typing import Any

from cream_plugins import indicators
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        indicators.CorporateActionsIndicatorsRow,
        indicators.FundamentalIndicatorsRow,
        indicators.IndicatorSyncRunRow,
        indicators.OptionsIndicatorsCacheRow,
        indicators.SentimentRow,
        indicators.ShortInterestRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        indicators.CorporateActionsIndicatorsRepository,
        indicators.FundamentalsRepository,
        indicators.IndicatorSyncRunsRepository,
        indicators.OptionsIndicatorsCacheRepository,
        indicators.SentimentRepository,
        indicators.ShortInterestRepository,
    ]
