"""The example of a web service, as its clients see it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cream_plugins.core_trading import (
    Cycle,
    CycleEvent,
    CycleEventsRepository,
    CycleEventType,
    CycleResult,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionsRepository,
)
from cream_store import Store, new_id
from examples.dashboard_api.app import app


@pytest.fixture
def store(paper_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A PAPER database, which the service finds in its environment."""
    monkeypatch.setenv("DATABASE_URL_PAPER", paper_store.database.location.url)
    return paper_store


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def stored_decision(store: Store, cycle: Cycle, **values: Any) -> Decision:
    return store[DecisionsRepository].create(
        Decision(
            cycle_id=cycle.id,
            action=DecisionAction.BUY,
            direction=DecisionDirection.LONG,
            environment=cycle.environment,
            **{"symbol": "AAPL", "size": Decimal("12.3456"), **values},
        )
    )


@pytest.fixture
def cycle(store: Store) -> Cycle:
    return store[CyclesRepository].start(total_symbols=1)


def test_health_tells_whether_the_database_answers(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["database"] is True
    assert answer.json()["pool"]["size"] == 10


def test_health_of_a_dead_server_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL_PAPER", "postgresql://nobody@127.0.0.1:1/nowhere")
    with TestClient(app) as client:
        answer = client.get("/health")
    assert (answer.status_code, answer.json()["database"]) == (503, False)


def test_decisions_come_by_pages_with_exact_numbers(client: TestClient, store: Store, cycle: Cycle) -> None:
    stored = [stored_decision(store, cycle) for _ in range(5)]
    stored_decision(store, cycle, symbol="MSFT")
    seen: list[dict[str, Any]] = []
    parameters: dict[str, str | int] = {"symbol": "aapl", "limit": 2}
    while "after" not in parameters or parameters["after"]:
        page = client.get("/decisions", params=parameters).json()
        seen += page["data"]
        parameters["after"] = page["next_cursor"] or ""
    assert [decision["id"] for decision in seen] == [str(decision.id) for decision in reversed(stored)]
    assert {decision["size"] for decision in seen} == {"12.3456"}


@pytest.mark.parametrize("parameters", [{"after": "nonsense"}, {"limit": 0}, {"status": "unheard of"}])
def test_bad_parameters_are_refused(client: TestClient, parameters: dict[str, Any]) -> None:
    assert client.get("/decisions", params=parameters).status_code == 422


def test_an_approval_is_stored_with_its_event(client: TestClient, store: Store, cycle: Cycle) -> None:
    decision = stored_decision(store, cycle)
    answer = client.post(f"/decisions/{decision.id}/approve")
    assert answer.json()["status"] == "approved"
    assert store[CycleEventsRepository].find_by_cycle(cycle.id)[0].message == "approved by hand"


def test_an_approval_that_is_not_allowed_changes_nothing(client: TestClient, store: Store, cycle: Cycle) -> None:
    decision = stored_decision(store, cycle)
    store[DecisionsRepository].update_status(decision.id, "rejected")
    answer = client.post(f"/decisions/{decision.id}/approve")
    assert answer.status_code == 409
    assert "can't become approved" in answer.json()["message"]
    assert store[CycleEventsRepository].find_by_cycle(cycle.id) == []


def test_what_does_not_exist_is_404(client: TestClient) -> None:
    assert client.post(f"/decisions/{new_id()}/approve").status_code == 404
    assert client.get(f"/cycles/{new_id()}/events").status_code == 404


def test_the_events_of_a_cycle_come_as_they_happen(client: TestClient, store: Store, cycle: Cycle) -> None:
    events = store[CycleEventsRepository]
    first = events.create(CycleEvent(cycle_id=cycle.id, event_type=CycleEventType.PROGRESS, message="one"))

    async def tell_the_rest() -> None:
        await asyncio.sleep(0.3)
        events.create(CycleEvent(cycle_id=cycle.id, event_type=CycleEventType.PROGRESS, message="two"))
        store[CyclesRepository].complete(cycle.id, CycleResult(approved=True, iterations=1))

    with client.stream("GET", f"/cycles/{cycle.id}/events") as stream:
        assert client.portal is not None
        telling = client.portal.start_task_soon(tell_the_rest)
        lines = list(stream.iter_lines())
        telling.result()
    assert [line for line in lines if line.startswith("event:")] == ["event: progress", "event: progress"]
    assert '"message":"two"' in lines[-2]

    resumed = client.get(f"/cycles/{cycle.id}/events", headers={"Last-Event-ID": str(first.id)})
    assert '"message":"one"' not in resumed.text
    assert '"message":"two"' in resumed.text


def test_every_file_of_the_example_says_how_to_start_it() -> None:
    import examples.dashboard_api.app as module

    assert "uvicorn examples.dashboard_api.app:app" in (module.__doc__ or "")
    assert Path(module.__file__).exists()
