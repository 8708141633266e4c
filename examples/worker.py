"""A worker that runs trading cycles at an interval, until it is told to stop.

    python -m examples.worker --every 60 --symbols AAPL,MSFT

SIGTERM and Ctrl-C end it between two symbols: the cycle is marked failed, with the reason, and nothing is half written.
"""

from __future__ import annotations

import argparse
import signal
import threading
from decimal import Decimal
from types import FrameType

from cream_plugins.core_trading import (
    Cycle,
    CyclePhase,
    CycleResult,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionsRepository,
)
from cream_store import Store

STOPPED = "the worker was stopped"


def run_cycle(store: Store, symbols: list[str], stop: threading.Event) -> Cycle:
    """Decides about each symbol. A cycle that does not come to its end is stored as failed, with its error."""
    cycles = store[CyclesRepository]
    cycle = cycles.start(total_symbols=len(symbols))
    try:
        for done, symbol in enumerate(symbols, start=1):
            if stop.is_set():
                return cycles.fail(cycle.id, STOPPED)
            with store.transaction():  # a decision and the progress that tells of it
                store[DecisionsRepository].create(decide(cycle, symbol))
                progress = Decimal(100 * done) / len(symbols)
                cycles.update_progress(cycle.id, CyclePhase.DECIDE, done, round(progress, 2), f"decided about {symbol}")
    except BaseException as error:
        cycles.fail(cycle.id, f"{type(error).__name__}: {error}")
        raise
    return cycles.complete(cycle.id, CycleResult(approved=False, iterations=1))


def decide(cycle: Cycle, symbol: str) -> Decision:
    """Holds whatever there is: the place for a strategy."""
    return Decision(
        cycle_id=cycle.id,
        symbol=symbol,
        action=DecisionAction.HOLD,
        direction=DecisionDirection.FLAT,
        size=Decimal(0),
        rationale="nothing has been seen yet that would be worth a trade",
        environment=cycle.environment,
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs cycles until a signal comes."""
    parser = argparse.ArgumentParser(description="Runs trading cycles at an interval.")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="from cycle to cycle (60)")
    parser.add_argument("--symbols", default="AAPL,MSFT", help="what to decide about, separated by commas")
    parser.add_argument("--cycles", type=int, help="end after so many cycles; without, run until a signal comes")
    given = parser.parse_args(arguments)
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with Store.open(plugins=["core-trading"]) as store:
        store[CyclesRepository].mark_orphaned_as_failed()  # of a worker that was killed
        left = given.cycles
        while not stop.is_set() and left != 0:
            cycle = run_cycle(store, given.symbols.split(","), stop)
            print(f"cycle {cycle.id}: {cycle.status}", flush=True)  # noqa: T201  # a program's output
            left = None if left is None else left - 1
            if left != 0:
                stop.wait(given.every)


if __name__ == "__main__":
    main()
