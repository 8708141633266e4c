"""Samples: a valid record of any table of any plugin."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.config import (
    AgentConfigsRepository,
    ConstraintsConfigRepository,
    TradingConfigRepository,
    UniverseConfigsRepository,
)
from cream_plugins.core_trading import CyclesRepository, Decision, ExecutionRecoveryStateRepository, Order
from cream_plugins.dashboard import SystemStateRepository
from cream_plugins.thesis import Thesis
from cream_store import (
    DuplicateKeyError,
    Environment,
    InvalidDataError,
    PluginError,
    Store,
    load_plugins,
    new_id,
    query,
)
from cream_store.plugins import discover
from cream_store.testing import Samples
from tests.conftest import templates

ONE_OF_A_KIND = {
    AgentConfigsRepository,
    ConstraintsConfigRepository,
    ExecutionRecoveryStateRepository,
    SystemStateRepository,
    TradingConfigRepository,
    UniverseConfigsRepository,
}
"""Of these an environment has one that is new, or one at all."""

REPOSITORIES = [repository for plugin in load_plugins(discover()) for repository in plugin.repositories]


@pytest.mark.parametrize("repository", [pytest.param(one, id=one.__name__) for one in REPOSITORIES])
def test_every_record_can_be_stored(store: Store, repository: Any) -> None:
    samples = Samples(store)
    stored = samples.create(repository.record)
    assert store[repository].find(query()) == [stored]
    if repository in ONE_OF_A_KIND:
        with pytest.raises(DuplicateKeyError):
            samples.create(repository.record)
    else:
        samples.create(repository.record)
        assert store[repository].count_of(query()) == 2


def test_what_the_test_says_is_kept(store: Store) -> None:
    decision = Samples(store).create(Decision, symbol="AAPL", size=Decimal("12.5"))
    assert (decision.symbol, decision.size) == ("AAPL", Decimal("12.5"))


def test_what_a_record_refers_to_is_stored_unless_it_is_given(store: Store) -> None:
    samples = Samples(store)
    decision = samples.create(Decision)
    order = samples.create(Order, decision_id=decision.id)
    assert order.decision_id == decision.id
    assert store[CyclesRepository].count() == 1


def test_a_built_record_is_not_stored(store: Store) -> None:
    cycle_id = new_id()
    assert Samples(store).build(Decision, cycle_id=cycle_id).cycle_id == cycle_id
    assert store[CyclesRepository].count() == 0


def test_records_belong_to_the_environment_of_the_store(back_end: str) -> None:
    with templates(back_end, ("core-trading",), Environment.LIVE).copy() as store:
        assert Samples(store).create(Decision).environment is Environment.LIVE


def test_a_field_that_does_not_exist_is_named(store: Store) -> None:
    with pytest.raises(InvalidDataError, match="Decision has no field colour"):
        Samples(store).build(Decision, colour="red")


def test_a_record_of_no_loaded_plugin_is_refused() -> None:
    with (
        templates("sqlite", ("core-trading",), Environment.TEST).copy() as store,
        pytest.raises(PluginError, match="Thesis belongs to no loaded plugin; loaded: core-trading"),
    ):
        Samples(store).build(Thesis)
