"""The plugin `external`: prediction markets, events, filings, the macro watch, the economic calendar."""

from __future__ import annotations

from typing import Any

from cream_plugins import external
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        external.PredictionMarketSnapshotRow,
        external.PredictionMarketSignalRow,
        external.PredictionMarketArbitrageRow,
        external.ExternalEventRow,
        external.FilingRow,
        external.FilingSyncRunRow,
        external.MacroWatchEntryRow,
        external.MorningNewspaperRow,
        external.EconomicCalendarRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        external.PredictionMarketsRepository,
        external.PredictionMarketSignalsRepository,
        external.PredictionMarketArbitrageRepository,
        external.ExternalEventsRepository,
        external.FilingsRepository,
        external.FilingSyncRunsRepository,
        external.MacroWatchRepository,
        external.MorningNewspapersRepository,
        external.EconomicCalendarRepository,
    ]
