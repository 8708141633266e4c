"""What is measured against a database, one function for each row of the table."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Final

from bench.measuring import in_threads, one_by_one
from bench.peer import Peer
from bench.workload import Workload

Operation = Callable[[Peer, Workload, int], float]
"""Seconds of a call, over so many calls (fewer of the dear ones)."""


def find_by_id(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.find_by_id, workload.ids(calls))


def create(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.create, workload.new_decisions(calls))


def update(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.approve, workload.pending_ids(calls))


def find_many(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.find_many, workload.symbols(max(1, calls // 3)))


def keyset_first(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.find_keyset, [None] * max(1, calls // 3))


def keyset_deep(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.find_keyset, [workload.deep_position] * max(1, calls // 3))


def create_many(peer: Peer, workload: Workload, calls: int) -> float:
    return one_by_one(peer.create_many, [workload.new_decisions(20 * calls)])


def bulk_upsert_fresh(peer: Peer, workload: Workload, calls: int) -> float:
    workload.remove_candles()
    return one_by_one(peer.bulk_upsert, [workload.candles])


def bulk_upsert_stored(peer: Peer, workload: Workload, calls: int) -> float:
    workload.store_candles()
    return one_by_one(peer.bulk_upsert, [workload.candles])


def bulk_upsert_arrow(peer: Peer, workload: Workload, calls: int) -> float:
    table = workload.candle_table
    workload.remove_candles()
    return one_by_one(lambda table: peer.bulk_upsert_arrow(workload.candles, table), [table])


def range_records(peer: Peer, workload: Workload, calls: int) -> float:
    workload.store_candles()
    return one_by_one(peer.read_range, [workload.candle_range])


def range_arrow(peer: Peer, workload: Workload, calls: int) -> float:
    workload.store_candles()
    return one_by_one(peer.read_range_arrow, [workload.candle_range])


def pool_1_thread(peer: Peer, workload: Workload, calls: int) -> float:
    return in_threads(peer.check_out_and_return, 1, 20 * calls)


def pool_32_threads(peer: Peer, workload: Workload, calls: int) -> float:
    return in_threads(peer.check_out_and_return, 32, 20 * calls)


def lookups_10_threads(peer: Peer, workload: Workload, calls: int) -> float:
    return _lookups(peer, workload, 10, 20 * calls)


def lookups_32_threads(peer: Peer, workload: Workload, calls: int) -> float:
    return _lookups(peer, workload, 32, 20 * calls)


def _lookups(peer: Peer, workload: Workload, threads: int, calls: int) -> float:
    ids = cycle(workload.ids(calls))
    return in_threads(lambda: peer.find_by_id_pooled(next(ids)), threads, calls)


OPERATIONS: Final[dict[str, Operation]] = {
    "find_by_id": find_by_id,
    "create": create,
    "update": update,
    "find_many": find_many,
    "keyset_first": keyset_first,
    "keyset_deep": keyset_deep,
    "create_many": create_many,
    "bulk_upsert_fresh": bulk_upsert_fresh,
    "bulk_upsert_stored": bulk_upsert_stored,
    "bulk_upsert_arrow": bulk_upsert_arrow,
    "range_records": range_records,
    "range_arrow": range_arrow,
    "pool_1_thread": pool_1_thread,
    "pool_32_threads": pool_32_threads,
    "lookups_10_threads": lookups_10_threads,
    "lookups_32_threads": lookups_32_threads,
}

_FRAMES: Final = ("bulk_upsert_arrow", "range_arrow")
_MANY_ROWS: Final = ("create_many", "bulk_upsert_fresh", "bulk_upsert_stored", "range_records")
WITHOUT: Final = {
    **dict.fromkeys(_FRAMES, ("Peewee", "SQLAlchemy", "unprepared")),
    **dict.fromkeys(_MANY_ROWS, ("unprepared",)),  # nothing is prepared there anyway
}
"""Operations that some peers don't have, or that are no other work for them."""
