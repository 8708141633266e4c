"""Bulk writes: the same rows as one by one, whatever is given and however many; all or none."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from cream_plugins.auth import Account, AccountsRepository, User, UsersRepository
from cream_plugins.core_trading import PortfolioSnapshot, PortfolioSnapshotsRepository
from cream_plugins.external import EconomicCalendarEvent, EconomicCalendarRepository, ReleaseImpact
from cream_plugins.market_data import Candle, CandlesRepository, Timeframe
from cream_store import (
    Columns,
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    Record,
    Repository,
    Secret,
    Store,
    Written,
    clock_set_to,
    query,
    rounded,
)
from cream_store.bulk import merging
from tests.races import at_once

START = datetime(2024, 1, 1, tzinfo=UTC)
AWKWARD = ["", " ", "\\", "\\N", "\\.", "a\tb", "a\nb", "a\r\nb", "it's 100%", '"quoted", {x}', "é✓𝄞", "NULL"]
MANY = max(merging.FEW.values()) + 50
"""More than go in statements of their own."""


def candle(minute: int = 0, **fields: Any) -> Candle:
    price = Decimal("100.25")
    given = {"open": price, "high": price + 1, "low": price - 1, "close": price, "created_at": START, **fields}
    return Candle(symbol="AAPL", timeframe=Timeframe.MINUTE, timestamp=START + timedelta(minutes=minute), **given)


def candles(count: int, **fields: Any) -> list[Candle]:
    return [candle(minute, **fields) for minute in range(count)]


def unnumbered(stored: list[Candle]) -> list[Candle]:
    return sorted((one.replace(id=None) for one in stored), key=lambda one: one.timestamp)


@pytest.fixture
def repository(store: Store) -> CandlesRepository:
    return store[CandlesRepository]


def random_candle(choice: random.Random) -> Candle:
    low = Decimal(choice.randrange(1, 10**6)).scaleb(-choice.randrange(5))
    high = low + choice.choice([Decimal(0), Decimal(1), Decimal("0.0001")])
    return candle(
        choice.randrange(MANY),
        open=low,
        high=high,
        low=low,
        close=choice.choice([low, high]),
        volume=choice.choice([0, 1, 10**15 - 1]),
        vwap=choice.choice([None, low, Decimal(0), Decimal("-0.5")]),
        trade_count=choice.choice([None, 0, 2**31 - 1]),
        adjusted=choice.random() < 0.5,
        quality_flags=choice.sample(AWKWARD, choice.randrange(3)),
        provider=choice.choice(AWKWARD),
        created_at=START + timedelta(microseconds=choice.randrange(3)),
    )


def random_event(choice: random.Random) -> EconomicCalendarEvent:
    return EconomicCalendarEvent(
        release_id=choice.randrange(MANY // 2),
        release_name=choice.choice(AWKWARD),
        release_date=START.date(),
        release_time="08:30",
        impact=choice.choice(list(ReleaseImpact)),
        actual=choice.choice([None, *AWKWARD]),
        forecast=choice.choice([None, *AWKWARD]),
    )


def random_account(choice: random.Random, users: list[User]) -> Account:
    number = choice.randrange(MANY // 2)
    return Account(
        user_id=users[number % len(users)].id,
        provider_id="github",
        account_id=str(number),
        access_token=choice.choice([None, *map(Secret, AWKWARD)]),
        scope=choice.choice([None, *AWKWARD]),
        access_token_expires_at=choice.choice([None, START]),
    )


Key = Callable[[Any], object]


def key_of_candle(one: Candle) -> object:
    return one.timestamp


def key_of_event(one: EconomicCalendarEvent) -> object:
    return one.release_id


def key_of_account(one: Account) -> object:
    return one.account_id


class RollBack(Exception):
    """What was written is not wanted any more."""


def rows_after(repository: Repository[Any, Any, Any], key: Key, write: Callable[[], object]) -> dict[object, Record]:
    """The rows by their keys, as they are after writing, which is then undone. Without numbers of the database."""
    rows: dict[object, Record] = {}
    with suppress(RollBack), clock_set_to(START), repository.database.transaction():
        write()
        for one in repository.find_all():
            rows[key(one)] = one.replace(id=None) if isinstance(getattr(one, "id"), int) else one  # noqa: B009
        raise RollBack
    return rows


def assert_same_as_one_by_one(repository: Repository[Any, Any, Any], key: Key, rounds: list[list[Any]]) -> None:
    """Asserts that upserts of many leave the rows that upserts of the last record of each key leave, and count them."""

    def one_by_one() -> None:
        for given in rounds:
            for record in {key(record): record for record in given}.values():
                repository.upsert(record)

    def in_bulk() -> None:
        stored: set[object] = set()
        for given in rounds:
            keys = {key(record) for record in given}
            written = repository.upsert_many(iter(given))
            assert (written, written.inserted, written.updated) == (len(given), len(keys - stored), len(keys & stored))
            stored |= keys

    assert rows_after(repository, key, in_bulk) == rows_after(repository, key, one_by_one)


@pytest.mark.parametrize("seed", range(3))
class TestAsOneByOne:
    """Few records, many, and many again over those, with duplicates among them."""

    def test_candles(self, store: Store, seed: int) -> None:
        choice = random.Random(seed)
        rounds = [[random_candle(choice) for _ in range(count)] for count in (MANY // 4, 2 * MANY, 2 * MANY)]
        assert_same_as_one_by_one(store[CandlesRepository], key_of_candle, rounds)

    def test_what_is_left_out_stays(self, store: Store, seed: int) -> None:
        choice = random.Random(seed)
        rounds = [[random_event(choice) for _ in range(count)] for count in (MANY // 4, 2 * MANY, 2 * MANY)]
        assert_same_as_one_by_one(store[EconomicCalendarRepository], key_of_event, rounds)

    def test_secrets(self, store: Store, seed: int) -> None:
        choice = random.Random(seed)
        users = store[UsersRepository].create_many(User(name=str(i), email=f"{i}@example.com") for i in range(7))
        rounds = [[random_account(choice, users) for _ in range(count)] for count in (MANY // 4, 2 * MANY, 2 * MANY)]
        assert_same_as_one_by_one(store[AccountsRepository], key_of_account, rounds)


class TestRefused:
    """Nothing is stored, wherever the bad record stands, and the error says where that is."""

    @pytest.mark.parametrize("position", [1, MANY])
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("open", Decimal("1.23456")),
            ("open", Decimal("NaN")),
            ("open", 1.5),
            ("close", Decimal(10**9)),
            ("volume", 10**18),
            ("volume", True),
            ("trade_count", 2**31),
            ("timestamp", datetime(2024, 1, 1)),  # noqa: DTZ001  # naive on purpose
            ("timeframe", "2m"),
            ("provider", "\x00"),
            ("provider", "\ud800"),
            ("symbol", " "),
            ("quality_flags", {}),
            ("adjusted", 1),
        ],
    )
    def test_impossible_values(self, repository: CandlesRepository, column: str, value: object, position: int) -> None:
        given = candles(MANY)
        given[position - 1] = given[position - 1].replace(**{column: value})
        for write in (repository.upsert_many, repository.create_many):
            with pytest.raises(InvalidDataError, match=rf"candles.{column}.* \(record {position}\)") as refused:
                write(iter(given))
            assert refused.value.columns == (column,)
        assert repository.count_of(query()) == 0

    @pytest.mark.parametrize("count", [3, MANY])
    def test_what_the_table_forbids(self, repository: CandlesRepository, count: int) -> None:
        repository.create(candle(1))
        given = [*candles(count), candle(count, high=Decimal(1))]
        with pytest.raises(ConstraintViolationError):
            repository.upsert_many(given)
        with pytest.raises(ConstraintViolationError):
            repository.create_many(given[2:])
        with pytest.raises(DuplicateKeyError):
            repository.create_many(given[:-1])
        assert len(repository.find_all()) == 1

    @pytest.mark.parametrize("count", [3, MANY])
    def test_other_environments(self, paper_store: Store, count: int) -> None:
        snapshots = paper_store[PortfolioSnapshotsRepository]
        given = [snapshot(hour) for hour in range(count)]
        given[-1] = given[-1].replace(environment=Environment.LIVE)
        with pytest.raises(EnvironmentMismatchError, match=rf"\(record {count}\)"):
            snapshots.upsert_many(given)
        assert snapshots.count() == 0

    @pytest.mark.parametrize("count", [3, MANY])
    def test_what_may_not_be_overwritten(self, repository: CandlesRepository, count: int) -> None:
        repository.create(candle(1, split_adjusted=True))
        with pytest.raises(ConstraintViolationError, match="a raw bar would replace a split-adjusted one"):
            repository.bulk_upsert(candles(count) * 2, on_adjustment_mismatch="reject")
        assert len(repository.find_all()) == 1
        assert repository.bulk_upsert(candles(count, split_adjusted=True), on_adjustment_mismatch="reject") == count

    def test_an_error_of_the_iterator(self, repository: CandlesRepository) -> None:
        def failing() -> Iterator[Candle]:
            yield from candles(MANY)
            raise RollBack

        with pytest.raises(RollBack):
            repository.upsert_many(failing())
        assert repository.find_all() == []


def snapshot(hour: int) -> PortfolioSnapshot:
    amount, share = Decimal(hour), Decimal(0)
    return PortfolioSnapshot(
        timestamp=START + timedelta(hours=hour),
        environment=Environment.PAPER,
        nav=amount,
        cash=amount,
        equity=amount,
        gross_exposure=share,
        net_exposure=share,
    )


class TestCreateMany:
    @pytest.mark.parametrize("count", [3, MANY])
    def test_returns_the_records_as_stored_in_their_order(self, repository: CandlesRepository, count: int) -> None:
        given = candles(count)[::-1]
        stored = repository.create_many(given)
        assert [one.replace(id=None) for one in stored] == given
        assert sorted(stored, key=lambda one: one.id or 0) == stored
        assert {one.id for one in repository.find_all()} == {one.id for one in stored}

    def test_numbers_are_honoured(self, repository: CandlesRepository) -> None:
        given = [
            candle(
                i,
            ).replace(id=None if i % 3 else 10_000 + i)
            for i in range(MANY)
        ]
        stored = repository.create_many(given)
        assert [one.timestamp for one in stored] == [one.timestamp for one in given]
        assert all(one.id == ours.id for one, ours in zip(stored, given, strict=True) if ours.id)
        written = repository.upsert_many([candle(i).replace(id=None if i % 2 else 20_000 + i) for i in range(2 * MANY)])
        assert (written.inserted, written.updated) == (MANY, MANY)


class TestWhatIsGiven:
    @pytest.mark.parametrize("count", [3, MANY])
    def test_dicts(self, repository: CandlesRepository, count: int) -> None:
        given = candles(count)
        dicts = [{name: value for name, value in one.as_dict().items() if name not in ("id", "vwap")} for one in given]
        assert repository.upsert_many([*dicts[:-1], given[-1]]).inserted == count
        assert unnumbered(repository.find_all()) == given
        assert len(repository.create_many({**one, "symbol": "MSFT"} for one in dicts)) == count

    @pytest.mark.parametrize("count", [3, MANY])
    def test_columns(self, repository: CandlesRepository, count: int) -> None:
        given = candles(count)
        part = Columns((name, [getattr(one, name) for one in given]) for name in given[0].as_dict())
        assert repository.upsert_many([part, part]).inserted == count
        assert unnumbered(repository.find_all()) == given

    def test_unknown_and_missing_fields(self, repository: CandlesRepository) -> None:
        good = candle().as_dict()
        with pytest.raises(InvalidDataError, match=r"candles has no field 'opne'; it has: .* \(record 2\)"):
            repository.upsert_many([good, {**good, "opne": 1}])
        with pytest.raises(InvalidDataError, match="candles has no field 'opne'"):
            repository.upsert_many([Columns((name, [value]) for name, value in {**good, "opne": 1}.items())])
        without = {name: value for name, value in good.items() if name != "open"}
        with pytest.raises(InvalidDataError, match=r"candles: open is missing \(record 2\)"):
            repository.upsert_many([good, without])

    @pytest.mark.parametrize("count", [3, MANY])
    def test_keys_in_two_spellings(self, store: Store, count: int) -> None:
        users = [User(name="A", email=f"{i}@example.com") for i in range(count)]
        spelt = [{**one.as_dict(), "id": str(one.id), "name": "B"} for one in users]
        written = store[UsersRepository].upsert_many([*users, *spelt])
        assert (written, written.inserted, written.updated) == (2 * count, count, 0)
        assert {one.name for one in store[UsersRepository].find_all()} == {"B"}

    def test_nothing(self, repository: CandlesRepository) -> None:
        assert repository.upsert_many([]) == 0
        assert repository.create_many(iter([])) == []

    def test_an_iterator_that_reads_and_writes_the_table(self, repository: CandlesRepository) -> None:
        repository.create_many(candles(3))

        def doubled() -> Iterator[Candle]:
            for one in repository.iterate(query().order_by("timestamp")):
                yield one.replace(open=one.low)
            assert repository.upsert_many(candles(MANY + 3)[MANY:]).inserted == 3
            yield from candles(2 * MANY)[MANY + 3 :]

        assert repository.upsert_many(doubled()).inserted == MANY - 3
        assert [one.open for one in unnumbered(repository.find_all())][:4] == [*[candle().low] * 3, candle().open]

    def test_inside_a_transaction(self, repository: CandlesRepository) -> None:
        with suppress(RollBack), repository.database.transaction():
            for start in (0, MANY):
                assert repository.upsert_many(candles(start + MANY)).inserted == MANY
            raise RollBack
        assert repository.find_all() == []


def table_of(given: list[Candle], **columns: pa.Array) -> pa.Table:
    leave_out = {"id", "created_at", *columns}
    rows = [{**one.as_dict(), "timeframe": str(one.timeframe)} for one in given]
    table = pa.Table.from_pylist([{name: row[name] for name in row if name not in leave_out} for row in rows])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def to_polars(table: pa.Table) -> Any:
    return pytest.importorskip("polars").from_arrow(table)


def to_pandas(table: pa.Table) -> Any:
    pytest.importorskip("pandas")
    return table.to_pandas()


class TestTables:
    @pytest.mark.parametrize("count", [3, MANY])
    @pytest.mark.parametrize("convert", [pa.Table.to_reader, to_polars, to_pandas, pa.table])
    def test_every_kind(self, repository: CandlesRepository, convert: Any, count: int) -> None:
        choice = random.Random(count)
        given = [random_candle(choice).replace(timestamp=START + timedelta(minutes=i)) for i in range(count)]
        with clock_set_to(START):
            written = repository.bulk_upsert(rounded(convert(table_of(given))))
        assert (written, written.inserted) == (count, count)
        assert unnumbered(repository.find_all()) == [one.replace(created_at=START) for one in given]

    @pytest.mark.parametrize("count", [3, MANY])
    def test_floats_need_to_be_rounded(self, repository: CandlesRepository, count: int) -> None:
        floats = pa.array([100.00005, 100.00015, 100.1][:3] + [100.2] * (count - 3))
        table = table_of(candles(count), open=floats)
        with pytest.raises(InvalidDataError, match=r"candles.open: needs a Decimal, got float .*\(record 1\)"):
            repository.upsert_many(table)
        repository.upsert_many(rounded(table))
        opens = [one.open for one in unnumbered(repository.find_all())]
        assert opens[:3] == [Decimal("100.0000"), Decimal("100.0002"), Decimal("100.1")]
        assert [one.open for one in repository.create_many(rounded([{**candle(-1).as_dict(), "open": 100.00015}]))] == [
            Decimal("100.0002")
        ]

    @pytest.mark.parametrize("count", [3, MANY])
    @pytest.mark.parametrize(
        ("column", "values", "reason"),
        [
            ("open", pa.array([Decimal("1.23456")]), "more than 4 decimals"),
            ("open", pa.array([float("nan")]), "floats"),
            ("timestamp", pa.array([datetime(2024, 1, 1)]), "naive"),  # noqa: DTZ001
            ("timestamp", pa.array([1], pa.timestamp("ns", "UTC")), "finer than microseconds"),
            ("timeframe", pa.array(["2m"]), "is not one of"),
            ("provider", pa.array(["a\x00"]), "NUL"),
            ("symbol", pa.array([" "]), "blank"),
            ("trade_count", pa.array([2**31]), "outside"),
            ("adjusted", pa.array([1]), "needs True or False"),
            ("quality_flags", pa.array(["{"]), "not a JSON document"),
        ],
    )
    def test_impossible_values(
        self, repository: CandlesRepository, count: int, column: str, values: pa.Array, reason: str
    ) -> None:
        table = table_of(candles(count), **{column: pa.concat_arrays([values] * count)})
        with pytest.raises(InvalidDataError, match=rf"candles.{column}: .*{reason}"):
            repository.upsert_many(table)
        assert repository.find_all() == []

    def test_unknown_and_missing_columns(self, repository: CandlesRepository) -> None:
        table = table_of(candles(3))
        with pytest.raises(InvalidDataError, match="candles has no field 'colour'; it has: id, symbol"):
            repository.upsert_many(table.append_column("colour", table["provider"]))
        with pytest.raises(InvalidDataError, match="candles: open is missing"):
            repository.upsert_many(table.drop_columns(["open"]))

    def test_a_frame_with_a_filtered_index(self, repository: CandlesRepository) -> None:
        frame = to_pandas(table_of(candles(3)))
        assert repository.upsert_many(frame[frame["timestamp"] > START]).inserted == 2


def test_what_was_written_shows() -> None:
    written = Written(3, 1, 2)
    assert (written + 1, str(written), repr(written)) == (4, "3", "Written(3, inserted=1, updated=2)")
    assert pickle.loads(pickle.dumps(written)).updated == 2


def test_writers_of_the_same_rows_queue(postgresql_store: Store) -> None:
    """Whatever the order in which they are given, and even if the rows come from an iterator."""
    repository = postgresql_store[CandlesRepository]
    orders = [candles(MANY), candles(MANY)[::-1], candles(50)[::-1], candles(90)]

    def write(given: list[Candle]) -> None:
        for _ in range(5):
            repository.upsert_many(iter(given))

    assert at_once(*(partial(write, given) for given in orders)) == [None] * len(orders)
    assert repository.upsert_many(candles(MANY)).updated == MANY


class TestStatistics:
    """Without them PostgreSQL guesses that a condition leaves few of the millions of rows that came."""

    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(merging, "_STATISTICS_FROM", MANY)

    def believed_rows(self, store: Store) -> int:
        """How many candles PostgreSQL plans with; -1 when it has never looked."""
        [(count,)] = store.database.fetch_all("SELECT reltuples::bigint FROM pg_class WHERE oid = 'candles'::regclass")
        return int(count)

    def test_are_gathered_after_many_new_rows(self, postgresql_store: Store) -> None:
        postgresql_store[CandlesRepository].upsert_many(candles(MANY))
        assert self.believed_rows(postgresql_store) == MANY

    def test_are_left_alone_by_updates(self, postgresql_store: Store) -> None:
        repository = postgresql_store[CandlesRepository]
        repository.upsert_many(candles(MANY // 2 + 1))
        repository.upsert_many(candles(MANY))
        assert self.believed_rows(postgresql_store) == -1

    def test_nobody_waits_who_gathers_them_too(self, postgresql_store: Store) -> None:
        database, repository = postgresql_store.database, postgresql_store[CandlesRepository]
        with database.atomic():
            database.change("ANALYZE candles")
            written: list[Written] = []
            writer = threading.Thread(target=lambda: written.append(repository.upsert_many(candles(MANY))))
            writer.start()
            writer.join(timeout=30)
            assert [one.inserted for one in written] == [MANY]
