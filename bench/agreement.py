"""Before anything is measured, the peers must agree: a faster one that does less work proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.peer import Peer
from bench.sql import COLUMN_NAMES
from bench.workload import Workload


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


def _compare(peer: Peer, rows: Sequence[Any], reference: Peer, expected_rows: Sequence[Any]) -> None:
    if len(rows) != len(expected_rows):
        raise DisagreementError(f"{peer.name} gives {len(rows)} rows, {reference.name} {len(expected_rows)}")
    for row, expected_row in zip(rows, expected_rows, strict=True):
        values, expected_values = peer.values_of(row), reference.values_of(expected_row)
        for column, value, expected in zip(COLUMN_NAMES, values, expected_values, strict=True):
            # An enum's member and its text are equal, and psycopg2 gives the text.
            if value != expected or not (isinstance(value, type(expected)) or isinstance(expected, type(value))):
                raise DisagreementError(f"{column}: {peer.name} gives {value!r}, {reference.name} {expected!r}")
