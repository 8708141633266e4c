"""The plugin `market-data`: prices, and what is computed from them."""

from __future__ import annotations

from typing import Any

from cream_plugins import market_data
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        market_data.CandleRow,
        market_data.CorporateActionRow,
        market_data.FeatureRow,
        market_data.RegimeLabelRow,
        market_data.UniverseCacheRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        market_data.CandlesRepository,
        market_data.CorporateActionsRepository,
        market_data.FeaturesRepository,
        market_data.RegimeLabelsRepository,
        market_data.UniverseCacheRepository,
    ]
