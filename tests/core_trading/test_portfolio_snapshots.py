"""Portfolio snapshots: order, figures over a window, days in UTC, retention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cream_plugins.core_trading import (
    PerformanceMetrics,
    PortfolioSnapshot,
    PortfolioSnapshotFilters,
    PortfolioSnapshotsRepository,
)
from cream_store import (
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    QueryBuilder,
    Store,
    clock_set_to,
)
from cream_store.queries import MAX_LIMIT
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
PAPER, LIVE = Environment.PAPER, Environment.LIVE


def snapshot(timestamp: datetime = NOW, nav: int | str = 100_000, **others: Any) -> PortfolioSnapshot:
    values: dict[str, Any] = {
        "timestamp": timestamp,
        "environment": PAPER,
        "nav": Decimal(nav),
        "cash": Decimal("20000.55"),
        "equity": Decimal("79999.45"),
        "gross_exposure": Decimal("0.8"),
        "net_exposure": Decimal("-0.3"),
    }
    return PortfolioSnapshot(**values | others)


def series(*navs: int | str, until: datetime = NOW, **others: Any) -> list[PortfolioSnapshot]:
    """Hourly snapshots with these values, the last one at `until`."""
    start = until - timedelta(hours=len(navs) - 1)
    return [snapshot(start + timedelta(hours=hour), nav, **others) for hour, nav in enumerate(navs)]


@pytest.fixture
def snapshots(store: Store) -> PortfolioSnapshotsRepository:
    return store[PortfolioSnapshotsRepository]


def metrics_of(
    snapshots: PortfolioSnapshotsRepository, environment: Environment = PAPER, days: int = 30
) -> PerformanceMetrics:
    with clock_set_to(NOW):
        return snapshots.get_performance_metrics(environment, days)


def test_every_value_comes_back_as_it_was_stored(snapshots: PortfolioSnapshotsRepository) -> None:
    given = snapshot(
        nav="99999999999.99",
        long_exposure=Decimal("9999.9999"),
        short_exposure=Decimal("-0.0001"),
        open_positions=7,
        day_pnl=Decimal("-1234.56"),
        day_return_pct=Decimal("-1.2346"),
        total_return_pct=Decimal("12.5"),
        max_drawdown=Decimal("3.1"),
    )

    stored = snapshots.create(given)

    assert stored.id is not None
    assert stored == given.replace(id=stored.id)
    assert snapshots.find_by_id_or_raise(stored.id) == stored


def test_zero_is_a_value_and_not_missing(snapshots: PortfolioSnapshotsRepository) -> None:
    zeros: dict[str, Any] = dict.fromkeys(
        ("long_exposure", "short_exposure", "day_pnl", "total_return_pct"), Decimal(0)
    )
    stored = snapshots.create(snapshot(nav=0, open_positions=0, **zeros))

    assert stored.nav == 0
    assert stored.open_positions == 0
    assert {name: getattr(stored, name) for name in zeros} == zeros
    assert stored.max_drawdown is None


def test_a_snapshot_is_of_now_unless_it_says_otherwise(snapshots: PortfolioSnapshotsRepository) -> None:
    with clock_set_to(NOW):
        stored = snapshots.create(
            PortfolioSnapshot(
                environment=PAPER,
                nav=Decimal(1),
                cash=Decimal(1),
                equity=Decimal(1),
                gross_exposure=Decimal(0),
                net_exposure=Decimal(0),
            )
        )
    assert stored.timestamp == NOW


def test_a_missing_snapshot_is_none_or_an_error(snapshots: PortfolioSnapshotsRepository) -> None:
    assert snapshots.find_by_id(1) is None
    assert snapshots.delete(1) is False
    with pytest.raises(NotFoundError, match="portfolio_snapshots"):
        snapshots.find_by_id_or_raise(1)
    with pytest.raises(NotFoundError):
        snapshots.update(1, {"nav": Decimal(1)})


def test_an_environment_has_one_snapshot_of_a_moment(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create(snapshot())
    snapshots.create(snapshot(environment=LIVE))
    with pytest.raises(DuplicateKeyError):
        snapshots.create(snapshot(NOW.astimezone(timezone(timedelta(hours=2)))))
    assert snapshots.count() == 2


def test_an_upsert_overwrites_all_values_of_the_same_moment(snapshots: PortfolioSnapshotsRepository) -> None:
    first = snapshots.upsert(snapshot(day_pnl=Decimal(5), open_positions=3))
    live = snapshots.upsert(snapshot(environment=LIVE))

    again = snapshots.upsert(snapshot(nav=7, gross_exposure=Decimal("1.5")))

    assert again == snapshot(nav=7, gross_exposure=Decimal("1.5"), id=first.id)
    assert snapshots.find_by_id(live.id or 0) == live
    assert snapshots.count() == 2


def test_many_upserts_meet_by_moment_and_environment(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many(series(1, 2, 3))
    in_another_zone = NOW.astimezone(timezone(timedelta(hours=-5)))

    given = [*series(10, 20, 30, 40), snapshot(in_another_zone, nav=50), snapshot(environment=LIVE, nav=60)]

    assert snapshots.upsert_many(given) == 6
    assert [one.nav for one in snapshots.find_all({"environment": PAPER})] == [50, 30, 20, 10]
    assert [one.nav for one in snapshots.find_all({"environment": LIVE})] == [60]


def test_a_correction_changes_only_what_it_names(snapshots: PortfolioSnapshotsRepository) -> None:
    stored = snapshots.create(snapshot(day_pnl=Decimal(5), open_positions=3))
    assert stored.id is not None

    corrected = snapshots.update(stored.id, {"nav": Decimal("1.23"), "day_pnl": None})

    assert corrected == stored.replace(nav=Decimal("1.23"), day_pnl=None)
    with pytest.raises(InvalidDataError, match="timestamp can't be changed"):
        snapshots.update(stored.id, {"timestamp": NOW})  # type: ignore[typeddict-unknown-key]  # what is being tested


def test_what_can_not_be_stored_exactly_is_refused(snapshots: PortfolioSnapshotsRepository) -> None:
    impossible: list[tuple[str, Any]] = [
        ("nav", Decimal("1.005")),
        ("nav", Decimal(10) ** 14),
        ("nav", Decimal("NaN")),
        ("gross_exposure", Decimal("0.00001")),
        ("day_pnl", 1.5),
        ("open_positions", 2**31),
        ("timestamp", datetime(2024, 3, 15)),  # noqa: DTZ001  # a naive time is what is refused
        ("environment", "TEST"),
    ]
    for name, value in impossible:
        with pytest.raises(InvalidDataError, match=rf"portfolio_snapshots\.{name}"):
            snapshots.create(snapshot(**{name: value}))
    assert snapshots.count() == 0


def test_pages_are_newest_first_with_moments_shared_by_environments_in_order_of_the_key(
    snapshots: PortfolioSnapshotsRepository,
) -> None:
    snapshots.create_many([*series(1, 2, 3), *series(4, 5, environment=LIVE)])

    pages = [snapshots.find_many(page=number, page_size=2) for number in (1, 2, 3, 4)]

    assert [[one.nav for one in page.data] for page in pages] == [[5, 3], [4, 2], [1], []]
    assert [(page.page, page.page_size, page.total, page.total_pages) for page in pages] == [
        (number, 2, 5, 3) for number in (1, 2, 3, 4)
    ]
    assert snapshots.find_many().page_size == 50


def test_pages_are_limited_to_an_environment_and_dates(snapshots: PortfolioSnapshotsRepository) -> None:
    last_moment = datetime(2024, 3, 14, 23, 59, 59, 999_999, tzinfo=UTC)
    snapshots.create_many(
        [
            snapshot(datetime(2024, 3, 13, 23, 59, tzinfo=UTC), 1),
            snapshot(datetime(2024, 3, 14, tzinfo=UTC), 2),
            snapshot(last_moment, 3),
            snapshot(last_moment, 4, environment=LIVE),
            snapshot(datetime(2024, 3, 15, tzinfo=UTC), 5),
        ]
    )

    def found(**dates: Any) -> list[Decimal]:
        filters: PortfolioSnapshotFilters = {"environment": PAPER, **dates}  # type: ignore[typeddict-item]  # dates by name
        return [one.nav for one in snapshots.find_many(filters).data]

    day = date(2024, 3, 14)
    assert found(from_date=day) == [5, 3, 2]
    assert found(to_date=day) == [3, 2, 1]
    assert found(from_date=day, to_date=day) == [3, 2]
    assert found(from_date=last_moment, to_date=last_moment) == [3]
    assert found(to_date=date.max) == found(to_date=None) == [5, 3, 2, 1]
    assert snapshots.find_many({"environment": "LIVE"}).total == 1
    with pytest.raises(InvalidDataError):
        snapshots.find_many({"environment": "STAGING"})
    with pytest.raises(InvalidDataError, match="naive"):
        snapshots.find_many({"from_date": datetime(2024, 3, 14)})  # noqa: DTZ001  # what is refused


def test_latest_and_first_are_of_one_environment(snapshots: PortfolioSnapshotsRepository) -> None:
    assert snapshots.get_latest(PAPER) is None
    assert snapshots.get_first(PAPER) is None
    snapshots.create_many(series(1, 2, 3))
    snapshots.create_many(series(7, 8, 9, until=NOW + timedelta(days=1), environment=LIVE))

    navs = {
        environment: [one.nav for one in (snapshots.get_first(environment), snapshots.get_latest(environment)) if one]
        for environment in (PAPER, LIVE)
    }

    assert navs == {PAPER: [1, 3], LIVE: [7, 9]}


def test_figures_never_mix_environments(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many([snapshot(), snapshot(environment=LIVE)])
    questions: list[Callable[[], object]] = [
        snapshots.get_latest,
        snapshots.get_first,
        snapshots.get_equity_curve,
        snapshots.get_performance_metrics,
        lambda: snapshots.find_by_date(None, NOW.date()),
    ]
    for question in questions:
        with pytest.raises(InvalidDataError, match="say which"):
            question()


def test_a_paper_database_means_its_own_environment(paper_store: Store) -> None:
    snapshots = paper_store[PortfolioSnapshotsRepository]
    snapshots.create(snapshot())
    assert snapshots.get_latest() == snapshots.get_first() == snapshots.find_by_date(None, NOW.date())
    assert [point.nav for point in snapshots.get_equity_curve()] == [100_000]
    with clock_set_to(NOW):
        assert snapshots.get_performance_metrics().snapshot_count == 1
    assert snapshots.get_latest(LIVE) is None
    with pytest.raises(EnvironmentMismatchError):
        snapshots.upsert(snapshot(environment=LIVE))


def test_a_day_is_one_in_utc_and_gives_its_newest_snapshot(snapshots: PortfolioSnapshotsRepository) -> None:
    day = date(2024, 1, 15)
    midnight = datetime(2024, 1, 15, tzinfo=UTC)
    snapshots.create_many(
        [
            snapshot(midnight - timedelta(microseconds=1), 1),
            snapshot(midnight + timedelta(days=1), 2),
            snapshot(midnight + timedelta(days=1, microseconds=-1), 3, environment=LIVE),
        ]
    )
    assert snapshots.find_by_date(PAPER, day) is None

    snapshots.create(snapshot(midnight, 4))
    at_midnight = snapshots.find_by_date(PAPER, day)
    snapshots.create(snapshot(midnight + timedelta(days=1, microseconds=-1), 5))
    in_the_end = snapshots.find_by_date(PAPER, date=day)

    assert at_midnight
    assert in_the_end
    assert [at_midnight.nav, in_the_end.nav] == [4, 5]
    assert snapshots.find_by_date(PAPER, date.max) is None
    assert snapshots.find_by_date(PAPER, date.min) is None


def test_a_day_is_a_date_and_nothing_else(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create(snapshot())
    no_dates: list[Any] = [NOW, "2024-03-15", None]
    for no_date in no_dates:
        with pytest.raises(InvalidDataError, match="timestamp: needs a date"):
            snapshots.find_by_date(PAPER, no_date)


def test_the_equity_curve_holds_the_newest_points_oldest_first(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many(series(1, 2, 3, 4))
    snapshots.create(snapshot(NOW + timedelta(hours=1), 5, total_return_pct=Decimal("-2.5")))
    snapshots.create(snapshot(NOW, 6, environment=LIVE))

    curve = snapshots.get_equity_curve(PAPER, limit=3)

    assert [point.timestamp for point in curve] == [NOW + timedelta(hours=hours) for hours in (-1, 0, 1)]
    assert [point.nav for point in curve] == [3, 4, 5]
    assert [point.pnl_pct for point in curve] == [0, 0, Decimal("-2.5")]
    assert [point.nav for point in snapshots.get_equity_curve(PAPER)] == [1, 2, 3, 4, 5]


def test_the_equity_curve_of_a_range(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many(series(1, 2, 3, 4))
    hours = [NOW - timedelta(hours=hours) for hours in (3, 2, 1, 0)]

    def navs(*range_and_limit: Any) -> list[Decimal]:
        return [point.nav for point in snapshots.get_equity_curve(PAPER, *range_and_limit)]

    assert navs(hours[1], hours[2]) == [2, 3]
    assert navs(hours[1], None) == [2, 3, 4]
    assert navs(None, hours[2], 2) == [2, 3]
    assert navs(None, NOW.date()) == [1, 2, 3, 4]
    assert navs(NOW.date() + timedelta(days=1)) == []
    with pytest.raises(InvalidDataError):
        navs(None, None, 0)
    with pytest.raises(InvalidDataError):
        navs(None, None, MAX_LIMIT + 1)


def test_metrics_of_a_window(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many(series("100.00", "120.00", "90.00", "130.00", "117.00", "125.50"))
    snapshots.create_many(series(1, 1000, environment=LIVE))

    assert metrics_of(snapshots) == PerformanceMetrics(
        start_nav=Decimal("100.00"),
        end_nav=Decimal("125.50"),
        period_return=Decimal("25.50"),
        period_return_pct=Decimal("25.5"),
        max_nav=Decimal("130.00"),
        min_nav=Decimal("90.00"),
        max_drawdown=Decimal(25),  # from 120 to 90
        snapshot_count=6,
    )


def test_a_steady_rise_has_no_drawdown(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many(series(100_000, 105_000, 110_000))
    metrics = metrics_of(snapshots)
    assert metrics.max_drawdown == 0
    assert [metrics.min_nav, metrics.max_nav] == [100_000, 110_000]


def test_the_drawdown_is_the_largest_in_percent_and_unrounded(snapshots: PortfolioSnapshotsRepository) -> None:
    # The fall by 400 is larger in dollars, the one by 100 in percent.
    snapshots.create_many(series(300, 200, 3000, 2600))
    metrics = metrics_of(snapshots)
    assert metrics.max_drawdown == Decimal(100) / 3
    assert metrics.period_return_pct == Decimal(100) * 2300 / 300


def test_the_window_begins_with_the_moment_so_many_days_ago(snapshots: PortfolioSnapshotsRepository) -> None:
    start = NOW - timedelta(days=2)
    snapshots.create_many(
        [
            snapshot(start - timedelta(microseconds=1), 999),
            snapshot(start, 10),
            snapshot(NOW, 30),
            snapshot(NOW + timedelta(days=400), 20),
        ]
    )

    metrics = metrics_of(snapshots, days=2)

    assert [metrics.start_nav, metrics.end_nav] == [10, 20]
    assert metrics.snapshot_count == 3


def test_a_day_of_the_window_has_24_hours_across_a_change_to_summer_time(
    snapshots: PortfolioSnapshotsRepository,
) -> None:
    after_the_change = datetime(2024, 3, 10, 20, tzinfo=UTC)  # New York left out an hour that morning
    snapshots.create_many(series(1, 2, until=after_the_change - timedelta(days=1)))
    with clock_set_to(after_the_change):
        assert snapshots.get_performance_metrics(PAPER, 1).start_nav == 2


def test_an_empty_window_is_all_zero_whatever_came_before(snapshots: PortfolioSnapshotsRepository) -> None:
    nothing = PerformanceMetrics(
        start_nav=Decimal(0),
        end_nav=Decimal(0),
        period_return=Decimal(0),
        period_return_pct=Decimal(0),
        max_nav=Decimal(0),
        min_nav=Decimal(0),
        max_drawdown=Decimal(0),
        snapshot_count=0,
    )
    assert metrics_of(snapshots) == nothing
    snapshots.create(snapshot(NOW - timedelta(seconds=1)))
    assert metrics_of(snapshots, days=0) == nothing
    assert metrics_of(snapshots, LIVE) == nothing


@pytest.mark.parametrize("navs", [(0, 0), (0, 50), (-100, -200), (-100, 50, 40)])
def test_percentages_of_nothing_are_zero(snapshots: PortfolioSnapshotsRepository, navs: tuple[int, ...]) -> None:
    snapshots.create_many(series(*navs))
    metrics = metrics_of(snapshots)
    assert metrics.period_return == navs[-1] - navs[0]
    assert metrics.period_return_pct == 0
    assert metrics.max_drawdown == (20 if len(navs) == 3 else 0)


def test_a_window_is_a_whole_number_of_days(snapshots: PortfolioSnapshotsRepository) -> None:
    impossible: list[Any] = [-1, 36_601, 1.5, True, "30", None]
    for days in impossible:
        with pytest.raises(InvalidDataError, match="days is a whole number"):
            snapshots.get_performance_metrics(PAPER, days)


def test_the_longest_window_holds_everything(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create(snapshot(datetime(1990, 1, 1, tzinfo=UTC)))
    assert metrics_of(snapshots, days=36_600).snapshot_count == 1


def drawdown(navs: Sequence[Decimal]) -> Decimal:
    """By the definition: how far each value lies under the highest until then."""
    falls = [(max(navs[: i + 1]), nav) for i, nav in enumerate(navs)]
    return max((100 * (peak - nav) / peak for peak, nav in falls if peak > 0), default=Decimal(0))


amounts = st.decimals(min_value=-1000, max_value=1000, places=2)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(amounts, min_size=1, max_size=12))
def test_metrics_are_what_their_definitions_say(snapshots: PortfolioSnapshotsRepository, navs: list[Decimal]) -> None:
    snapshots.delete_older_than(datetime.max.replace(tzinfo=UTC))
    given = series(*map(str, navs))
    snapshots.create_many(reversed(given))

    metrics = metrics_of(snapshots)

    assert (metrics.start_nav, metrics.end_nav, metrics.snapshot_count) == (navs[0], navs[-1], len(navs))
    assert (metrics.min_nav, metrics.max_nav) == (min(navs), max(navs))
    assert metrics.max_drawdown == drawdown(navs)


def test_retention_deletes_what_is_strictly_older(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create_many(
        [
            snapshot(NOW - timedelta(microseconds=1), 1),
            snapshot(NOW, 2),
            snapshot(NOW - timedelta(days=1), 3, environment=LIVE),
        ]
    )

    assert snapshots.delete_older_than(NOW, PAPER) == 1

    assert [one.nav for one in snapshots.find_all()] == [2, 3]
    assert snapshots.delete_older_than(NOW, PAPER) == 0
    assert snapshots.delete_older_than(NOW.date(), LIVE) == 1


def test_retention_without_an_environment_keeps_to_the_database_s_own(paper_store: Store) -> None:
    snapshots = paper_store[PortfolioSnapshotsRepository]
    snapshots.create_many(series(1, 2, 3))
    live = snapshot(NOW - timedelta(days=9), environment=LIVE)
    PortfolioSnapshotsRepository.row.insert(**{**live.as_dict(), "id": 99}).execute(paper_store.database)

    assert snapshots.delete_older_than(NOW) == 2

    assert snapshots.find_by_id(99) == live.replace(id=99)


def test_retention_needs_a_cutoff(snapshots: PortfolioSnapshotsRepository) -> None:
    snapshots.create(snapshot())
    naive = datetime(2030, 1, 1)  # noqa: DTZ001  # what is being tested
    impossible: list[Any] = [None, naive, "2030-01-01", 0]
    for cutoff in impossible:
        with pytest.raises(InvalidDataError):
            snapshots.delete_older_than(cutoff)
    assert snapshots.count() == 1


class InBatchesOfTwo(PortfolioSnapshotsRepository):
    """Tells, after each batch, how many rows were deleted and how many others see."""

    row = PortfolioSnapshotsRepository.row
    batches: ClassVar[list[tuple[int, int]]]

    def _delete_in_batches(self, builder: QueryBuilder, batch_size: int = 2) -> int:
        return super()._delete_in_batches(builder, batch_size)

    def _delete_batch(self, builder: QueryBuilder, batch_size: int) -> int:
        deleted = super()._delete_batch(builder, batch_size)
        with ThreadPoolExecutor(1) as another_thread:
            self.batches.append((deleted, another_thread.submit(self.count).result()))
        return deleted


@pytest.fixture
def in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> InBatchesOfTwo:
    monkeypatch.setattr(InBatchesOfTwo, "batches", [], raising=False)
    return InBatchesOfTwo(store.database)


def test_retention_commits_batch_by_batch(in_batches: InBatchesOfTwo) -> None:
    in_batches.create_many(series(1, 2, 3, 4, 5, 6))
    assert in_batches.delete_older_than(NOW) == 5
    assert in_batches.batches == [(2, 4), (2, 2), (1, 1), (0, 1)]


def test_retention_within_a_transaction_is_part_of_it(store: Store, in_batches: InBatchesOfTwo) -> None:
    in_batches.create_many(series(1, 2, 3))
    with store.transaction():
        assert in_batches.delete_older_than(NOW) == 2
    assert in_batches.batches == [(2, 3), (0, 3)]
    assert in_batches.count() == 1


def test_snapshot_jobs_that_run_at_once_leave_one_snapshot_of_a_moment(postgresql_store: Store) -> None:
    snapshots = postgresql_store[PortfolioSnapshotsRepository]

    stored = at_once(*(partial(snapshots.upsert, snapshot(nav=nav)) for nav in range(8)))

    assert {one.id for one in stored if isinstance(one, PortfolioSnapshot)} == {snapshots.find_all()[0].id}
    assert len(stored) == 8
    assert snapshots.count() == 1


def test_retention_jobs_that_run_at_once_share_the_work(postgresql_store: Store) -> None:
    snapshots = postgresql_store[PortfolioSnapshotsRepository]
    snapshots.create_many(series(*range(200)))

    deleted = at_once(*[partial(snapshots.delete_older_than, NOW)] * 4)

    assert sum(count for count in deleted if isinstance(count, int)) == 199
    assert snapshots.count() == 1
