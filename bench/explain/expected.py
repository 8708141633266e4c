"""The reads that go through a whole table, and why that is as it should be.

The data contract fixes the indexes, so a read can be mended by its form alone. Where no form would do, it stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from bench.explain.plans import TableScan


@dataclass(frozen=True, slots=True)
class Expectation:
    """Methods that may go through a whole table, and the reason. Names may have `*` in them."""

    reason: str
    methods: tuple[str, ...]
    arguments: tuple[str, ...] = ("*",)
    only_counted: bool = False

    def covers(self, method: str, arguments: str, scan: TableScan) -> bool:
        """Whether a method that was called with these optional arguments may do this."""
        return (
            (scan.is_counted or not self.only_counted)
            and any(fnmatchcase(method, name) for name in self.methods)
            and any(fnmatchcase(arguments, name) for name in self.arguments)
        )


_LISTS: Final = (
    "find",
    "find_all",
    "find_arrow",
    "find_keyset",
    "find_many",
    "find_with_filters",
    "first",
    "iterate_arrow",
)


def _lists_of(*repositories: str) -> tuple[str, ...]:
    return tuple(f"{repository}.{name}" for repository in repositories for name in _LISTS)


EXPECTED: Final = (
    Expectation(
        "a page's total counts every row that matches; `find_keyset` does without",
        ("*.find_many", "*.find_with_filters", "*.find_by_computed_at_range", "*.find_by_fetched_at_range"),
        only_counted=True,
    ),
    Expectation(
        "counts and figures are about every row",
        (
            "*.count",
            "*.count_by_*",
            "*.count_of",
            "*.get_confidence_calibration",
            "*.get_cycle_analytics",
            "*.get_decision_analytics",
            "*.get_overall_stats",
            "*.get_stats",
            "*.get_strategy_breakdown",
            "*.get_summary",
        ),
        only_counted=True,
    ),
    Expectation("a text is looked for anywhere within texts", ("*.search",)),
    Expectation(
        "no index has the order of these lists: unless a filter leaves few rows, they are sorted",
        _lists_of(
            "AccountsRepository",
            "AgentOutputsRepository",
            "AlertSettingsRepository",
            "ConstraintsConfigRepository",
            "CorporateActionsIndicatorsRepository",
            "ExecutionOrderSnapshotsRepository",
            "FundamentalsRepository",
            "RegimeLabelsRepository",
            "SentimentRepository",
            "SessionsRepository",
            "TradingConfigRepository",
            "UniverseCacheRepository",
            "UniverseConfigsRepository",
            "VerificationsRepository",
        ),
    ),
    Expectation(
        "no index has the column that is filtered by",
        (*_lists_of("*"), "*.exists", "*.find_arbitrage_alerts"),
        ("*: created_by", "*: cycle_id", "*: kalshi_ticker", "*: polymarket_token", "*: updated_at"),
    ),
    Expectation(
        "no index has the time at which rows of these tables became known",
        ("AgentOutputsRepository.exists", "SentimentRepository.exists", "ShortInterestRepository.exists"),
        ("*: computed_at_*", "*: fetched_at_*", "*: from_date", "*: to_date"),
    ),
    Expectation(
        "no index has version, activation time or, of two tables, creation time: a history is some hundred rows",
        ("*Config*Repository.get_history", "TradingConfigRepository.get_next_version"),
    ),
    Expectation(
        "no index has the time of completion, or of compilation: these tables get some rows a day",
        ("FilingSyncRunsRepository.get_last_successful", "MacroWatchRepository.get_newspaper_by_compiled_at_range"),
    ),
    Expectation(
        "no index has sector or industry",
        ("FundamentalsRepository.get_distinct_industries", "FundamentalsRepository.get_distinct_sectors"),
    ),
    Expectation(
        "the newest row of every group is asked for, and no index has group and time",
        ("ParityValidationRepository.find_failing", "PredictionMarketsRepository.get_latest_snapshots"),
    ),
    Expectation(
        "every row is asked for but those that are over, and all that other programs write counts as open",
        (
            "ExecutionOrderSnapshotsRepository.load_active",
            "ExecutionPositionSnapshotsRepository.load",
            "OptionsIndicatorsCacheRepository.get_all",
            "ThesisStateRepository.find_symbols_on_cooldown",
        ),
    ),
    Expectation(
        "expired alerts are left out and have no index; `delete_expired` removes them",
        (*_lists_of("AlertsRepository"), "AlertsRepository.exists"),
    ),
)
