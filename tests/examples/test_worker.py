"""The example of a worker: cycles that end well, badly, or because somebody stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cream_plugins.core_trading import CyclesRepository, CycleStatus, DecisionsRepository
from cream_store import Store, transaction
from examples import worker

ROOT = Path(__file__).parents[2]


def test_a_cycle_decides_about_every_symbol(paper_store: Store) -> None:
    cycle = worker.run_cycle(paper_store, ["AAPL", "MSFT"], threading.Event())
    assert cycle.status is CycleStatus.COMPLETED
    decisions = paper_store[DecisionsRepository].find_by_cycle(cycle.id)
    assert sorted(decision.symbol for decision in decisions) == ["AAPL", "MSFT"]


def test_a_cycle_that_fails_is_stored_with_its_error(paper_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no price")

    monkeypatch.setattr(worker, "decide", fail)
    with pytest.raises(ZeroDivisionError):
        worker.run_cycle(paper_store, ["AAPL"], threading.Event())
    [cycle] = paper_store[CyclesRepository].find_recent()
    assert (cycle.status, cycle.error_message) == (CycleStatus.FAILED, "ZeroDivisionError: no price")


def test_a_signal_ends_the_worker_between_two_cycles(paper_store: Store) -> None:
    environment = {**os.environ, "DATABASE_URL_PAPER": paper_store.database.location.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "examples.worker", "--every", "600", "--symbols", "AAPL"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "COMPLETED" in process.stdout.readline().upper()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with transaction(paper_store.database):
        assert paper_store[CyclesRepository].find_running() is None
