"""External events: news, earnings, filings, words of the central bank - as they were understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_plugins.external.columns import symbols_in
from cream_plugins.external.retention import days_ago, hours_before
from cream_store import (
    ChoiceField,
    EnumField,
    Given,
    IntegerField,
    InvalidDataError,
    JSONField,
    NumericField,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SymbolsField,
    TextField,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    first_moment,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.aggregates import ExactSum, ratio


class ExternalEventSource(StrEnum):
    """Where an event was heard of. The macro source is `fed`."""

    NEWS = "news"
    EARNINGS = "earnings"
    SEC_FILING = "sec_filing"
    FED = "fed"


class Sentiment(StrEnum):
    """How an event reads."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class ExternalEventType(StrEnum):
    """What happened."""

    EARNINGS = "earnings"
    GUIDANCE = "guidance"
    MERGER_ACQUISITION = "merger_acquisition"
    PRODUCT_LAUNCH = "product_launch"
    REGULATORY = "regulatory"
    MACRO_RELEASE = "macro_release"
    ANALYST_RATING = "analyst_rating"
    INSIDER_TRADE = "insider_trade"
    DIVIDEND = "dividend"
    STOCK_SPLIT = "stock_split"
    LAYOFFS = "layoffs"
    EXECUTIVE_CHANGE = "executive_change"
    LEGAL = "legal"
    OTHER = "other"


class ExternalEventRow(Row):
    """Table `external_events`."""

    id = UUIDv7Field(primary_key=True)
    source_type = EnumField(ExternalEventSource)
    event_type = ChoiceField(ExternalEventType)
    event_time = TimestampField()
    processed_at = TimestampField()
    sentiment = EnumField(Sentiment)
    confidence = NumericField(4, 3)
    importance = IntegerField()
    summary = TextField()
    key_insights = JSONField(list)
    entities = JSONField(list)
    data_points = JSONField(list)
    sentiment_score = NumericField(5, 4)
    importance_score = NumericField(5, 4)
    surprise_score = NumericField(5, 4)
    related_instruments = SymbolsField()
    original_content = TextField()
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "external_events"
        constraints = [
            check("valid_confidence", "confidence >= 0 AND confidence <= 1"),
            check("valid_importance", "importance >= 1 AND importance <= 10"),
            check("valid_importance_score", "importance_score >= 0 AND importance_score <= 1"),
            check("valid_sentiment_score", "sentiment_score >= -1 AND sentiment_score <= 1"),
            check("valid_surprise_score", "surprise_score >= 0 AND surprise_score <= 1"),
        ]
        indexes = [
            index("idx_external_events_event_time", "event_time"),
            index("idx_external_events_event_type", "event_type"),
            index("idx_external_events_importance", "importance_score"),
            index("idx_external_events_processed_at", "processed_at"),
            index("idx_external_events_sentiment", "sentiment"),
            index("idx_external_events_source_type", "source_type"),
            index("idx_external_events_related_instruments", "related_instruments", using="gin"),
        ]


@record
class ExternalEvent(Record):
    """Something that happened, as it was understood."""

    id: UUID = field(default_factory=new_id)
    source_type: ExternalEventSource
    event_type: ExternalEventType | str  # plain text only when another program stored an undeclared value
    event_time: datetime
    processed_at: datetime
    sentiment: Sentiment
    confidence: Decimal  # 0..1
    importance: int  # 1..10
    summary: str
    key_insights: list[str] = field(default_factory=list)
    entities: list[dict[str, Any]] = field(default_factory=list)  # name, type, perhaps ticker
    data_points: list[dict[str, Any]] = field(default_factory=list)  # metric, value, unit, perhaps period
    sentiment_score: Decimal  # -1..1
    importance_score: Decimal  # 0..1
    surprise_score: Decimal  # 0..1
    related_instruments: list[str] = field(default_factory=list)
    original_content: str
    created_at: datetime = field(default_factory=utc_now)


class ExternalEventFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `event_time`. An empty list matches nothing."""

    source_type: ExternalEventSource | str | Sequence[ExternalEventSource | str] | None
    event_type: ExternalEventType | str | Sequence[ExternalEventType | str] | None
    sentiment: Sentiment | str | Sequence[Sentiment | str] | None
    symbol: str | None
    from_date: date | datetime | None
    to_date: date | datetime | None
    min_importance: Decimal | int | None


class ExternalEventChanges(TypedDict, total=False):
    """What `update` can change: how the event was understood."""

    event_type: ExternalEventType
    processed_at: datetime
    sentiment: Sentiment
    confidence: Decimal
    importance: int
    summary: str
    key_insights: list[str]
    entities: list[dict[str, Any]]
    data_points: list[dict[str, Any]]
    sentiment_score: Decimal
    importance_score: Decimal
    surprise_score: Decimal
    related_instruments: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSentiment:
    """The mean sentiment of some events; 0 of none, which only `count` tells from balanced ones."""

    avg_sentiment: Decimal
    count: int


def _about(builder: QueryBuilder, *symbols: str) -> QueryBuilder:
    return builder.has("related_instruments", *symbols_in(ExternalEventRow.related_instruments, list(symbols)))


class ExternalEventsRepository(Repository[ExternalEvent, ExternalEventFilters, ExternalEventChanges]):
    """The events, the newest first. `min_importance` is about the score from 0 to 1."""

    row = ExternalEventRow
    default_order = ("-event_time",)
    default_limit = 50
    filter_rules = {
        "symbol": _about,
        "from_date": since("event_time"),
        "to_date": until("event_time"),
        "min_importance": since("importance_score"),
    }

    @transactional
    def create_many(self, records: Given[ExternalEvent]) -> int:  # type: ignore[override]  # less those known
        """Stores all events or none, less those that are stored already, and returns how many are new.

        Events of one source, moment and original content are the same one.
        """
        new = {_identity(event): event for event in reversed(list(self._records(records)))}
        if not new:
            return 0
        # No key forbids a second one, so those who store many take turns.
        self.database.advisory_lock("external_events")
        moments = sorted({moment for _, moment, _ in new})
        for start in range(0, len(moments), _MOMENTS_AT_ONCE):
            for stored in self.find(query().one_of("event_time", moments[start : start + _MOMENTS_AT_ONCE])):
                new.pop(_identity(stored), None)
        return len(super().create_many(reversed(new.values())))

    def find_recent(
        self, hours: float = 24, limit: int = 100, as_of: date | datetime | None = None
    ) -> list[ExternalEvent]:
        """The events of the hours before now, the most important first, then the newest.

        `as_of`: before that moment instead, of those that were processed by then.
        """
        return self.find(_recent(hours, as_of).order_by("-importance_score", "-event_time").limit(limit))

    def find_by_symbol(self, symbol: str, limit: int = 50) -> list[ExternalEvent]:
        """The newest events about an instrument."""
        return self.find(_about(query(), symbol).limit(limit))

    def find_by_symbols(self, symbols: Sequence[str], limit: int = 100) -> list[ExternalEvent]:
        """The events about any of the instruments, the most important first, then the newest."""
        if isinstance(symbols, str):
            raise InvalidDataError("symbols: needs several symbols, got one text", columns=("related_instruments",))
        return self.find(_about(query(), *symbols).order_by("-importance_score", "-event_time").limit(limit))

    def find_macro_events(self, limit: int = 50) -> list[ExternalEvent]:
        """The newest events of the macro source, the Fed."""
        return self.find_all({"source_type": ExternalEventSource.FED}, limit=limit)

    def get_symbol_sentiment(
        self, symbol: str, hours: float = 24, as_of: date | datetime | None = None
    ) -> SymbolSentiment:
        """The unweighted, unrounded mean of the sentiment scores of an instrument's events of the hours before now.

        0 for no events as for balanced ones: look at `count`. `as_of`: before that moment instead, of those that were
        processed by then.
        """
        [(total, count)] = self._aggregate(
            "sentiment",
            _about(_recent(hours, as_of), symbol),
            [ExactSum(ExternalEventRow.sentiment_score), fn.COUNT(SQL("*"))],
        )
        return SymbolSentiment(avg_sentiment=ratio(total, count) or Decimal(0), count=count)

    def delete_older_than(self, days: int) -> int:
        """Deletes the events of more than so many times 24 hours ago, in batches, and returns how many they were."""
        return self._delete_older_than("event_time", days_ago(days, "days"), query())

    def count_by_source_type(self) -> dict[ExternalEventSource, int]:
        """How many events each source has; every source is listed."""
        return self._count_by("source_type")


_MOMENTS_AT_ONCE = 1_000


def _recent(hours: float, as_of: date | datetime | None) -> QueryBuilder:
    moment = utc_now() if as_of is None else first_moment(as_of)
    ExternalEventRow.event_time.encode(moment)
    within = query().at_least("event_time", hours_before(moment, hours)).as_of("event_time", moment)
    return within.as_of("processed_at", as_of)


def _identity(event: ExternalEvent) -> tuple[str, datetime, str]:
    ExternalEventRow.event_time.encode(event.event_time)
    return ExternalEventRow.source_type.encode(event.source_type), event.event_time, event.original_content
