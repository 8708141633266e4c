"""Portfolio snapshots: what an environment's portfolio was worth, and how it was exposed, from time to time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple, TypedDict

from peewee import SQL, Node, Select, Window, fn

from cream_store import (
    Environment,
    EnvironmentField,
    IntegerField,
    InvalidDataError,
    NumericField,
    Param,
    Record,
    Repository,
    Row,
    SerialField,
    Statement,
    TimestampField,
    field,
    index,
    query,
    record,
    since,
    unique,
    until,
    utc_now,
)

LONGEST_WINDOW_DAYS: Final = 366 * 100


class PortfolioSnapshotRow(Row):
    """Table `portfolio_snapshots`."""

    id = SerialField()
    timestamp = TimestampField()
    environment = EnvironmentField()
    nav = NumericField(16, 2)
    cash = NumericField(16, 2)
    equity = NumericField(16, 2)
    gross_exposure = NumericField(8, 4)
    net_exposure = NumericField(8, 4)
    long_exposure = NumericField(8, 4, null=True)
    short_exposure = NumericField(8, 4, null=True)
    open_positions = IntegerField(null=True)
    day_pnl = NumericField(14, 2, null=True)
    day_return_pct = NumericField(8, 4, null=True)
    total_return_pct = NumericField(8, 4, null=True)
    max_drawdown = NumericField(8, 4, null=True)

    class Meta:
        table_name = "portfolio_snapshots"
        constraints = [unique("portfolio_snapshots_timestamp_env", "timestamp", "environment")]
        indexes = [index("idx_portfolio_snapshots_environment", "environment")]


@record
class PortfolioSnapshot(Record):
    """A portfolio at one moment. An environment has one snapshot of a moment at most."""

    id: int | None = None  # None until stored
    timestamp: datetime = field(default_factory=utc_now)
    environment: Environment
    nav: Decimal  # net asset value, in dollars as all amounts
    cash: Decimal
    equity: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    long_exposure: Decimal | None = None
    short_exposure: Decimal | None = None
    open_positions: int | None = None
    day_pnl: Decimal | None = None
    day_return_pct: Decimal | None = None  # percent
    total_return_pct: Decimal | None = None  # percent
    max_drawdown: Decimal | None = None  # percent


class PortfolioSnapshotFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `timestamp`."""

    environment: Environment | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class PortfolioSnapshotChanges(TypedDict, total=False):
    """What `update` can change. The moment and the environment stay."""

    nav: Decimal
    cash: Decimal
    equity: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    long_exposure: Decimal | None
    short_exposure: Decimal | None
    open_positions: int | None
    day_pnl: Decimal | None
    day_return_pct: Decimal | None
    total_return_pct: Decimal | None
    max_drawdown: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """A point of the equity curve."""

    timestamp: datetime
    nav: Decimal
    pnl_pct: Decimal  # the snapshot's total return in percent; 0 when it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceMetrics:
    """How net asset value developed over a window; all 0 when it holds no snapshot. Percentages are unrounded."""

    start_nav: Decimal
    end_nav: Decimal
    period_return: Decimal  # end - start
    period_return_pct: Decimal  # of the start; 0 when that is not positive
    max_nav: Decimal
    min_nav: Decimal
    max_drawdown: Decimal  # the largest fall from a peak to a later value, in percent of the peak
    snapshot_count: int


_NOTHING: Final = PerformanceMetrics(
    start_nav=Decimal(0),
    end_nav=Decimal(0),
    period_return=Decimal(0),
    period_return_pct=Decimal(0),
    max_nav=Decimal(0),
    min_nav=Decimal(0),
    max_drawdown=Decimal(0),
    snapshot_count=0,
)


class _Stretch(NamedTuple):
    """The snapshots of a window from one peak of net asset value until the next higher one."""

    peak: Decimal
    lowest: Decimal
    end: Decimal  # the last value of the whole window
    snapshot_count: int


def _select_stretches() -> Node:
    """A window's stretches. There are few of them, so that a long window with many snapshots costs no memory here."""
    snapshot = PortfolioSnapshotRow
    until_then = {"order_by": [snapshot.timestamp]}
    whole_window = {**until_then, "start": Window.preceding(), "end": Window.following()}
    series = snapshot.select(
        snapshot.nav,
        fn.MAX(snapshot.nav).over(**until_then).alias("peak"),
        fn.LAST_VALUE(snapshot.nav).over(**whole_window).alias("end"),
    ).where(
        snapshot.environment == Param("environment", snapshot.environment),
        snapshot.timestamp >= Param("start", snapshot.timestamp),
    )
    columns = [series.c.peak, fn.MIN(series.c.nav), fn.MAX(series.c.end), fn.COUNT(SQL("*"))]
    # Peaks only rise: their order is that of time.
    return Select([series], columns).group_by(series.c.peak).order_by(series.c.peak)


_STRETCHES: Final = Statement(_select_stretches)


class PortfolioSnapshotsRepository(Repository[PortfolioSnapshot, PortfolioSnapshotFilters, PortfolioSnapshotChanges]):
    """The snapshots of the portfolio.

    `upsert` overwrites every value of the snapshot that has the same timestamp and environment, so a snapshot job
    can be run again.
    """

    row = PortfolioSnapshotRow
    default_order = ("-timestamp",)
    default_limit = 50
    filter_rules = {"from_date": since("timestamp"), "to_date": until("timestamp")}
    conflict_target = ("timestamp", "environment")

    def get_latest(self, environment: Environment | str | None = None) -> PortfolioSnapshot | None:
        """The newest snapshot of one environment."""
        return self.first({"environment": self.one_environment_of(environment)})

    def get_first(self, environment: Environment | str | None = None) -> PortfolioSnapshot | None:
        """The oldest snapshot of one environment."""
        return self.first({"environment": self.one_environment_of(environment)}, order_by="timestamp")

    def find_by_date(self, environment: Environment | str | None, date: date) -> PortfolioSnapshot | None:
        """The newest snapshot of one environment on a day in UTC.

        Raises InvalidDataError for a datetime: whose day it means is for the caller to say.
        """
        of_environment = query().equals("environment", self.one_environment_of(environment))
        return self._first(of_environment.on_day("timestamp", date).order_by("-timestamp"))

    def get_equity_curve(
        self,
        environment: Environment | str | None = None,
        from_date: date | datetime | None = None,
        to_date: date | datetime | None = None,
        limit: int = 1000,
    ) -> list[EquityPoint]:
        """The newest `limit` points of one environment in a range, oldest first.

        A `date` as the upper bound includes its whole day in UTC.
        """
        environment = self.one_environment_of(environment)
        newest_first = self.find_all(
            {"environment": environment, "from_date": from_date, "to_date": to_date}, limit=limit
        )
        return [
            EquityPoint(
                timestamp=snapshot.timestamp,
                nav=snapshot.nav,
                pnl_pct=Decimal(0) if snapshot.total_return_pct is None else snapshot.total_return_pct,
            )
            for snapshot in reversed(newest_first)
        ]

    def get_performance_metrics(
        self, environment: Environment | str | None = None, days: int = 30
    ) -> PerformanceMetrics:
        """Figures over one environment's snapshots from `days` days of 24 hours ago on, from one state of the table.

        `days`: a whole number from 0 to 36,600. Raises InvalidDataError otherwise.
        """
        if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= LONGEST_WINDOW_DAYS:
            raise InvalidDataError(f"days is a whole number from 0 to {LONGEST_WINDOW_DAYS:,}, got {days!r}")
        stretches = self._stretches(self.one_environment_of(environment), utc_now() - timedelta(days=days))
        if not stretches:
            return _NOTHING
        start_nav, end_nav, max_nav = stretches[0].peak, stretches[-1].end, stretches[-1].peak
        period_return = end_nav - start_nav
        return PerformanceMetrics(
            start_nav=start_nav,
            end_nav=end_nav,
            period_return=period_return,
            period_return_pct=_percent_of(start_nav, period_return),
            max_nav=max_nav,
            min_nav=min(stretch.lowest for stretch in stretches),
            max_drawdown=max(_percent_of(stretch.peak, stretch.peak - stretch.lowest) for stretch in stretches),
            snapshot_count=sum(stretch.snapshot_count for stretch in stretches),
        )

    def delete_older_than(self, cutoff: date | datetime, environment: Environment | str | None = None) -> int:
        """Deletes the snapshots from before the cutoff, in batches, and returns how many they were.

        A `date` means its first moment in UTC.
        """
        return self._delete_older_than("timestamp", cutoff, self._filtered({"environment": environment}))

    def _stretches(self, environment: Environment, start: datetime) -> list[_Stretch]:
        """The stretches since a moment, in the order of time."""
        rows = _STRETCHES.fetch_all(self.database, {"environment": environment, "start": start})
        amount = PortfolioSnapshotRow.nav.decoder(self.database.kind) or Decimal
        return [_Stretch(amount(peak), amount(lowest), amount(end), count) for peak, lowest, end, count in rows]


def _percent_of(whole: Decimal, part: Decimal) -> Decimal:
    """100 part / whole, unrounded; 0 when the whole is not positive."""
    return 100 * part / whole if whole > 0 else Decimal(0)
