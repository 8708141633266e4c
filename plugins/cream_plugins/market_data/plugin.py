"""The plugin `market-data`: prices, and what is computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cream_plugins import market_data
from cream_store import Repository, Row, Store, hookimpl

if TYPE_CHECKING:
    from cream_plugins.vocabulary.demo import Section, Story


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


@hookimpl
def cream_store_demo(store: Store, story: Story) -> list[Section]:
    from cream_plugins.market_data.demo import tell

    return tell(store, story)
