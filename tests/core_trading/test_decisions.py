from __future__ import annotations

from decimal import Decimal

import pytest

from cream_plugins.core_trading import Cycle, CycleRow, Decision, DecisionsRepository
from cream_store import Environment, Store, Repository

def test_try(store: Store) -> None:
    d = store[DecisionsRepository]
    print(d.get_decision_analytics())
    print(d.get_confidence_calibration(), d.get_strategy_breakdown(), d.count_by_status(), d.search("a_b%"))
