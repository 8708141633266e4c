"""Features: what indicators say about an instrument at a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypedDict

from peewee import fn

from cream_plugins.market_data.series import series_of
from cream_plugins.market_data.timeframe import Timeframe
from cream_store import (
    EnumField,
    Given,
    JSONField,
    NumericField,
    Param,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SerialField,
    Statement,
    SymbolField,
    TextField,
    TimestampField,
    Written,
    check,
    field,
    first_moment,
    index,
    query,
    record,
    since,
    until,
    utc_now,
)

if TYPE_CHECKING:
    import pyarrow as pa


class FeatureRow(Row):
    """Table `features`."""

    id = SerialField()
    symbol = SymbolField()
    timestamp = TimestampField()
    timeframe = EnumField(Timeframe)
    indicator_name = TextField()
    raw_value = NumericField(18, 8)
    normalized_value = NumericField(8, 6, null=True)
    parameters = JSONField(dict, null=True, null_as=None)
    quality_score = NumericField(4, 3, null=True)
    computed_at = TimestampField(default_now=True)

    class Meta:
        table_name = "features"
        constraints = [
            check("valid_quality_score", "quality_score IS NULL OR (quality_score >= 0 AND quality_score <= 1)")
        ]
        indexes = [
            index("idx_features_indicator", "indicator_name"),
            index("idx_features_symbol_indicator_ts", "symbol", "indicator_name", "timestamp"),
            index(
                "idx_features_symbol_ts_indicator", "symbol", "timestamp", "timeframe", "indicator_name", unique=True
            ),
            index("idx_features_timestamp", "timestamp"),
        ]


@record
class Feature(Record):
    """The value of one indicator for one bar of an instrument."""

    id: int | None = None  # None until stored
    symbol: str
    timestamp: datetime  # when the bar opens
    timeframe: Timeframe
    indicator_name: str
    raw_value: Decimal
    normalized_value: Decimal | None = None
    parameters: dict[str, Any] | None = None  # what the indicator was computed with
    quality_score: Decimal | None = None  # 0..1
    computed_at: datetime = field(default_factory=utc_now)


class FeatureFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `timestamp`."""

    symbol: str | Sequence[str] | None
    timeframe: Timeframe | str | Sequence[Timeframe | str] | None
    indicator_name: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class FeatureChanges(TypedDict, total=False):
    """What `update` can change. Symbol, moment, timeframe and indicator stay."""

    raw_value: Decimal
    normalized_value: Decimal | None
    parameters: dict[str, Any] | None
    quality_score: Decimal | None


_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


def _select_newest() -> Any:
    """The features at the newest moment of a symbol and timeframe, up to a given moment."""
    newest = FeatureRow.alias()
    newest_timestamp = newest.select(fn.MAX(newest.timestamp)).where(
        newest.symbol == Param("symbol", FeatureRow.symbol),
        newest.timeframe == Param("timeframe", FeatureRow.timeframe),
        newest.timestamp <= Param("as_of", FeatureRow.timestamp),
    )
    return (
        FeatureRow.select()
        .where(
            FeatureRow.symbol == Param("symbol", FeatureRow.symbol),
            FeatureRow.timeframe == Param("timeframe", FeatureRow.timeframe),
            FeatureRow.timestamp == newest_timestamp,
        )
        .order_by(FeatureRow.indicator_name, FeatureRow.id)
    )


_NEWEST: Final = Statement(_select_newest)


class FeaturesRepository(Repository[Feature, FeatureFilters, FeatureChanges]):
    """The features of all instruments.

    An upsert overwrites every value of the feature with the same symbol, moment, timeframe and indicator, and sets
    `computed_at` to now.
    """

    row = FeatureRow
    default_order = ("-timestamp",)
    default_limit = 100
    filter_rules = {"from_date": since("timestamp"), "to_date": until("timestamp")}
    conflict_target = ("symbol", "timestamp", "timeframe", "indicator_name")
    stamped_on_upsert = ("computed_at",)

    def bulk_upsert(self, features: Given[Feature]) -> Written:
        """Upserts all features or none; of several with the same key, the last wins. Returns how many were given."""
        return self.upsert_many(features)

    def get_at_timestamp(self, symbol: str, timestamp: date | datetime, timeframe: Timeframe | str) -> list[Feature]:
        """The features of one bar, by indicator. A `date` means its first moment in UTC."""
        moment = FeatureRow.timestamp.encode(first_moment(timestamp))
        builder = series_of(FeatureRow, symbol, timeframe).equals("timestamp", datetime.fromisoformat(moment))
        return self.find(builder.order_by("indicator_name"))

    def get_indicator_range(
        self,
        symbol: str,
        indicator_name: str,
        timeframe: Timeframe | str,
        start: date | datetime,
        end: date | datetime,
        limit: int | None = None,
    ) -> list[Feature]:
        """An indicator's values from start to end, both included, oldest first: all, unless there is a limit.

        A `date` as the end includes its whole day in UTC.
        """
        return self.find(_in_range(symbol, indicator_name, timeframe, start, end).limit(limit))

    def iterate_indicator_range(
        self,
        symbol: str,
        indicator_name: str,
        timeframe: Timeframe | str,
        start: date | datetime,
        end: date | datetime,
    ) -> Iterator[Feature]:
        """The values of `get_indicator_range`, read a part at a time, so that a range of any length fits into memory.

        One state of the table only inside a transaction with `snapshot=True`.
        """
        return self.iterate(_in_range(symbol, indicator_name, timeframe, start, end))

    def get_indicator_range_arrow(
        self,
        symbol: str,
        indicator_name: str,
        timeframe: Timeframe | str,
        start: date | datetime,
        end: date | datetime,
        limit: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> pa.Table:
        """The values of `get_indicator_range` as an Arrow table, as `find_arrow` gives it."""
        builder = _in_range(symbol, indicator_name, timeframe, start, end)
        return self._arrow(builder, limit=limit, columns=columns, floats=floats)

    def iterate_indicator_range_arrow(
        self,
        symbol: str,
        indicator_name: str,
        timeframe: Timeframe | str,
        start: date | datetime,
        end: date | datetime,
        *,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """The values of `get_indicator_range` as a reader of record batches, as `iterate_arrow` gives it."""
        builder = _in_range(symbol, indicator_name, timeframe, start, end)
        return self._iterate_arrow(builder, columns=columns, floats=floats)

    def get_latest(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        indicator_names: Sequence[str] | None = None,
        *,
        same_timestamp: bool = True,
        as_of: date | datetime | None = None,
    ) -> list[Feature]:
        """The features at the newest moment that a symbol has any of, by indicator; only the named ones, if any are.

        With `same_timestamp=False`, each indicator's newest value, whenever that was. `as_of` leaves out later
        moments; a `date` means its first moment in UTC. When a value was computed plays no part: see `computed_at`.
        """
        if same_timestamp:
            given = {
                "symbol": FeatureRow.symbol.encode(symbol),
                "timeframe": timeframe,
                "as_of": _END_OF_TIME if as_of is None else first_moment(as_of),
            }
            found = self._fetch(_NEWEST, given)
            return [feature for feature in found if not indicator_names or feature.indicator_name in indicator_names]
        builder = (
            series_of(FeatureRow, symbol, timeframe)
            .one_of("indicator_name", indicator_names or None)
            .as_of("timestamp", as_of)
        )
        return self._latest_of_each(["indicator_name"], builder.order_by("-timestamp"))

    def list_indicators(self, symbol: str, timeframe: Timeframe | str) -> list[str]:
        """The names of the indicators that a symbol has values of, ascending."""
        return self._distinct("indicator_name", series_of(FeatureRow, symbol, timeframe))

    def delete_older_than(
        self, before: date | datetime, symbol: str | None = None, timeframe: Timeframe | str | None = None
    ) -> int:
        """Deletes the features from before a moment, of all symbols and timeframes unless one is named, in batches.

        Returns how many they were. A `date` means its first moment in UTC.
        """
        builder = query().equals("symbol", symbol).equals("timeframe", timeframe)
        return self._delete_older_than("timestamp", before, builder)


def _in_range(
    symbol: str, indicator_name: str, timeframe: Timeframe | str, start: date | datetime, end: date | datetime
) -> QueryBuilder:
    builder = series_of(FeatureRow, symbol, timeframe).equals(
        "indicator_name", FeatureRow.indicator_name.encode(indicator_name)
    )
    return builder.at_least("timestamp", start).at_most("timestamp", end).order_by("timestamp")
