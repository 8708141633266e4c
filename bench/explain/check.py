"""Calls every read on filled tables, and looks at the plans of what it executes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console

from bench.explain.calls import Call, NotCovered, reads_of, repositories
from bench.explain.expected import EXPECTED, Expectation
from bench.explain.plans import RecordingDatabase, TableScan, table_scans
from bench.progress import progressing
from cream_store import Store

_READING: Final = ("SELECT", "WITH")


@dataclass(slots=True)
class WholeScan:
    """A method that goes through the whole of a large table."""

    method: str
    arguments: list[str]  # with which it does, by the names of the optional ones
    scan: TableScan  # the first one that was seen
    reason: str | None  # why that is as it should be; None when nobody says so


@dataclass(slots=True)
class Findings:
    """What the reads of a store do to the server."""

    methods: set[str] = field(default_factory=set)
    statements: int = 0
    not_covered: list[NotCovered] = field(default_factory=list)
    scans: list[WholeScan] = field(default_factory=list)
    needless: list[Expectation] = field(default_factory=list)  # what is expected and never happens

    @property
    def unexpected(self) -> list[WholeScan]:
        """The scans that nobody gives a reason for."""
        return [scan for scan in self.scans if scan.reason is None]

    @property
    def is_as_expected(self) -> bool:
        """Whether every method was called, and none scans a table without a reason."""
        return not self.not_covered and not self.unexpected


class _Undo(Exception):
    """Ends a transaction without its changes."""


def check(store: Store, rows: Mapping[str, int], progress: Console) -> Findings:
    """Calls all reads of a store whose tables have so many rows, and explains their statements."""
    database = RecordingDatabase(store.environment, store.database.location)
    findings = Findings()
    try:
        recorded = Store(database, store.plugins)
        for repository in progressing(repositories(recorded), "explaining", progress, lambda one: type(one).__name__):
            for read in reads_of(repository):
                if isinstance(read, NotCovered):
                    findings.not_covered.append(read)
                else:
                    _explain(read, database, rows, findings)
    finally:
        database.close_pool()
    seen = {scan.reason for scan in findings.scans}
    findings.needless = [expectation for expectation in EXPECTED if expectation.reason not in seen]
    return findings


def _explain(call: Call, database: RecordingDatabase, rows: Mapping[str, int], findings: Findings) -> None:
    findings.methods.add(call.method)
    try:
        statements = _statements_of(call, database)
    except Exception as error:  # noqa: BLE001  # whatever it is, the method was not covered
        findings.not_covered.append(NotCovered(call.method, f"{call.arguments}: {error!r}"))
        return
    for sql, parameters in statements:
        findings.statements += 1
        for scan in table_scans(database, sql, parameters):
            if scan.is_whole(rows):
                _note(call, scan, findings.scans)


def _statements_of(call: Call, database: RecordingDatabase) -> list[tuple[str, Sequence[Any] | None]]:
    """The reads that a call executes. What it writes is undone."""
    database.statements.clear()
    try:
        with database.transaction():
            call.run()
            raise _Undo
    except _Undo:
        pass
    different = {repr(statement): statement for statement in database.statements}
    return [statement for statement in different.values() if statement[0].lstrip("( ").startswith(_READING)]


def _note(call: Call, scan: TableScan, scans: list[WholeScan]) -> None:
    reason = _reason(call, scan, EXPECTED)
    for known in scans:
        if (known.method, known.scan.table, known.reason) == (call.method, scan.table, reason):
            if call.arguments not in known.arguments:
                known.arguments.append(call.arguments)
            return
    scans.append(WholeScan(call.method, [call.arguments], scan, reason))


def _reason(call: Call, scan: TableScan, expected: Iterable[Expectation]) -> str | None:
    for expectation in expected:
        if expectation.covers(call.method, call.arguments, scan):
            return expectation.reason
    return None
