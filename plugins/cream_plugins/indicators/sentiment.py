"""Sentiment: how news, social media and analysts speak of an instrument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from cream_plugins.indicators.bounds import BoundedIntegerField, BoundedNumericField
from cream_plugins.indicators.daily import Day, MeasuredRepository, on_day
from cream_store import (
    BooleanField,
    DayField,
    Page,
    Record,
    Row,
    SymbolField,
    TimestampField,
    UUIDv7Field,
    field,
    new_id,
    query,
    record,
    since,
    unique,
    until,
    utc_now,
)
from cream_store.queries import checked_limit
from cream_store.repository import Key


class SentimentRow(Row):
    """Table `sentiment_indicators`."""

    id = UUIDv7Field(primary_key=True)
    symbol = SymbolField()
    date = DayField()
    sentiment_score = BoundedNumericField(5, 4, lowest=-1, highest=1, null=True)
    sentiment_strength = BoundedNumericField(5, 4, lowest=0, highest=1, null=True)
    news_volume = BoundedIntegerField(null=True)
    sentiment_momentum = BoundedNumericField(5, 4, lowest=-2, highest=2, null=True)
    event_risk_flag = BooleanField(null=True, server_default=False, null_as=False)
    news_sentiment = BoundedNumericField(5, 4, lowest=-1, highest=1, null=True)
    social_sentiment = BoundedNumericField(5, 4, lowest=-1, highest=1, null=True)
    analyst_sentiment = BoundedNumericField(5, 4, lowest=-1, highest=1, null=True)
    computed_at = TimestampField(default_now=True)

    class Meta:
        table_name = "sentiment_indicators"
        constraints = [unique("sentiment_indicators_symbol_date", "symbol", "date")]


@record
class SentimentIndicators(Record):
    """The sentiment about an instrument on a day."""

    id: UUID = field(default_factory=new_id)
    symbol: str
    date: datetime  # stored as 00:00 UTC; a `date` will do
    sentiment_score: Decimal | None = None  # -1..1
    sentiment_strength: Decimal | None = None  # 0..1
    news_volume: int | None = None  # articles
    sentiment_momentum: Decimal | None = None  # -2..2, the change of the score
    event_risk_flag: bool = False  # an event is near that may move the price
    news_sentiment: Decimal | None = None  # -1..1
    social_sentiment: Decimal | None = None  # -1..1
    analyst_sentiment: Decimal | None = None  # -1..1
    computed_at: datetime = field(default_factory=utc_now)


class SentimentFilters(TypedDict, total=False):
    """What `find_many` can be limited to; bounds are included. A missing score is within no bounds."""

    symbol: str | Sequence[str] | None
    date: Day | None
    date_gte: Day | None
    date_lte: Day | None
    sentiment_score_gte: Decimal | None
    sentiment_score_lte: Decimal | None
    event_risk_flag: bool | None
    computed_at_gte: Day | None
    computed_at_lte: Day | None


class SentimentChanges(TypedDict, total=False):
    """What `update` can change. Symbol and day stay."""

    sentiment_score: Decimal | None
    sentiment_strength: Decimal | None
    news_volume: int | None
    sentiment_momentum: Decimal | None
    event_risk_flag: bool
    news_sentiment: Decimal | None
    social_sentiment: Decimal | None
    analyst_sentiment: Decimal | None


class SentimentRepository(MeasuredRepository[SentimentIndicators, SentimentFilters, SentimentChanges]):
    """The sentiment about all instruments.

    An upsert overwrites every number of the row with the same symbol and day (with `merge=True` only by numbers that
    are not None), and sets `computed_at` to now. It raises the event risk flag but never lowers it, so that no job
    clears a warning that another one set that day: `update` does.
    """

    row = SentimentRow
    default_order = ("-date", "symbol")
    default_limit = 50
    filter_rules = {
        "date": on_day("date"),
        "date_gte": since("date"),
        "date_lte": until("date"),
        "sentiment_score_gte": since("sentiment_score"),
        "sentiment_score_lte": until("sentiment_score"),
        "computed_at_gte": since("computed_at"),
        "computed_at_lte": until("computed_at"),
    }
    conflict_target = ("symbol", "date")
    has_rules_for_writing = True
    stamped_on_upsert = ("computed_at",)

    def find_latest_for_symbols(
        self, symbols: Iterable[str], as_of: Day | None = None, known_at: Day | None = None
    ) -> list[SentimentIndicators]:
        """The newest row of each symbol, by symbol, up to a day (`as_of`) and as far as it was known at a moment."""
        return self._latest(symbols, self._known(query(), as_of, known_at))

    def find_most_positive(
        self, limit: int = 10, date: Day | None = None, max_age_days: int | None = None
    ) -> list[SentimentIndicators]:
        """The rows of a day with the highest scores, the highest first; without a day, of each symbol's newest row.

        A row without a score is left out, and with it the symbol whose newest row it is. `max_age_days`, 1 or
        more, leaves out symbols whose newest row is older.
        """
        return self._by_score("-sentiment_score", limit, date, max_age_days)

    def find_most_negative(
        self, limit: int = 10, date: Day | None = None, max_age_days: int | None = None
    ) -> list[SentimentIndicators]:
        """As `find_most_positive`, the lowest scores first: positive ones too, when there are few rows."""
        return self._by_score("sentiment_score", limit, date, max_age_days)

    def find_with_event_risk(self, date: Day | None = None) -> list[SentimentIndicators]:
        """The rows of a day whose flag is set, the highest score first; without a day, of each symbol's newest row."""
        flagged = query().equals("event_risk_flag", True).order_by("-sentiment_score")
        return self._among_latest(flagged) if date is None else self._of_day(date, flagged)

    def find_by_computed_at_range(
        self, start: Day, end: Day, limit: int = 100, offset: int = 0
    ) -> Page[SentimentIndicators]:
        """The rows that were computed from start to end, both included, by symbol: a page of them, and how many."""
        computed: SentimentFilters = {"computed_at_gte": start, "computed_at_lte": end}
        return self.find_many(computed, limit=limit, offset=offset, order_by=("symbol", "date"))

    def update(  # type: ignore[override]  # None for a missing row
        self, id: Key, changes: SentimentChanges
    ) -> SentimentIndicators | None:
        """Writes the given columns, sets `computed_at` to now, and returns the row. Nothing given: nothing changes.

        None when there is no such row.
        """
        return self._update_one(id, self._remeasured(changes))

    def _by_score(
        self, order: str, limit: int, date: Day | None, max_age_days: int | None
    ) -> list[SentimentIndicators]:
        scored = query().is_null("sentiment_score", False).order_by(order).limit(limit)
        if date is not None:
            return self._of_day(date, scored)
        oldest = (
            None
            if max_age_days is None
            else utc_now().date() - timedelta(days=checked_limit(max_age_days, "max_age_days"))
        )
        return self._among_latest(scored, self._since(oldest))

    def _written(self, record: SentimentIndicators, merge: bool) -> tuple[str, ...]:
        written = super()._written(record, merge)
        return written if record.event_risk_flag else tuple(name for name in written if name != "event_risk_flag")
