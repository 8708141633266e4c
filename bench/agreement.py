"""Before anything is measured, the peers must agree: a faster one that does less work proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from bench.operations import WITHOUT
from bench.peer import Peer
from bench.sql import CANDLE_COLUMN_NAMES, COLUMN_NAMES
from bench.workload import Workload, range_of


class DisagreementError(Exception):
    """Two peers give different rows."""


def check_agreement(peers: Sequence[Peer], workload: Workload) -> None:
    """Raises DisagreementError unless all peers read and write the same values of the same types."""
    reference = peers[0]
    for peer in peers[1:]:
        for id in workload.ids(10):
            _compare(peer, [peer.find_by_id(id)], reference, [reference.find_by_id(id)])
        for symbol in workload.symbols(3):
            total, page = peer.find_many(symbol)
            expected_total, expected_page = reference.find_many(symbol)
            if total != expected_total:
                raise DisagreementError(f"{peer.name} counts {total} rows, {reference.name} {expected_total}")
            _compare(peer, page, reference, expected_page)
        for position in (None, workload.deep_position):
            _compare(peer, peer.find_keyset(position), reference, reference.find_keyset(position))
    for peer in peers:
        decisions = workload.new_decisions(4)
        stored = [peer.create(decisions[0]), *peer.create_many(decisions[1:])]
        _compare(peer, stored, reference, [reference.find_by_id(decision.id) for decision in decisions])
        (id,) = workload.pending_ids(1)
        _compare(peer, [peer.approve(id)], reference, [reference.find_by_id(id)])
    _check_candles(peers, workload, reference)


def _check_candles(peers: Sequence[Peer], workload: Workload, reference: Peer) -> None:
    candles = workload.candles[:500]
    span = range_of(candles)
    expected: list[Any] | None = None
    for peer in peers:
        workload.remove_candles()
        for _ in range(2):  # as new ones, and over stored ones
            peer.bulk_upsert(candles)
        stored = reference.read_range(span)
        _compare(peer, peer.read_range(span), reference, stored, CANDLE_COLUMN_NAMES)
        if peer.name not in WITHOUT["range_arrow"] and len(peer.read_range_arrow(span)) != len(stored):
            raise DisagreementError(f"{peer.name} does not give all candles as an Arrow table")
        written = [reference.values_of(row)[1:] for row in stored]  # less their numbers
        expected = expected or written
        if written != expected:
            raise DisagreementError(f"{peer.name} does not store the candles that {peers[0].name} stores")


def _compare(
    peer: Peer,
    rows: Sequence[Any],
    reference: Peer,
    expected_rows: Sequence[Any],
    names: Sequence[str] = COLUMN_NAMES,
) -> None:
    if len(rows) != len(expected_rows):
        raise DisagreementError(f"{peer.name} gives {len(rows)} rows, {reference.name} {len(expected_rows)}")
    for row, expected_row in zip(rows, expected_rows, strict=True):
        values, expected_values = peer.values_of(row), reference.values_of(expected_row)
        for column, value, expected in zip(names, values, expected_values, strict=True):
            if value != expected or not (_is_of_kind(value, expected) or _is_of_kind(expected, value)):
                raise DisagreementError(f"{column}: {peer.name} gives {value!r}, {reference.name} {expected!r}")


def _is_of_kind(value: Any, other: Any) -> bool:
    # An enum's member and its text are equal, and psycopg2 gives the text. Whole numerics are Decimals there.
    return isinstance(value, type(other)) or (type(value) is int and type(other) is Decimal)
