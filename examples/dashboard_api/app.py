"""A dashboard's API on the async store: health, decisions by pages, approval, the live events of a cycle.

    pip install cream-store fastapi uvicorn
    cream-store demo                       # something to look at
    uvicorn examples.dashboard_api.app:app

Decimals are text in its JSON, as exact as in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter

from cream_plugins.core_trading import (
    CycleEvent,
    CycleEventsRepository,
    CycleEventType,
    CyclesRepository,
    CycleStatus,
    Decision,
    DecisionsRepository,
    DecisionStatus,
)
from cream_store import (
    AsyncStore,
    ConstraintViolationError,
    InvalidDataError,
    KeysetPage,
    NotFoundError,
    PoolTimeoutError,
    RepositoryError,
)

POLLING_INTERVAL = 0.5
"""Seconds between two looks for new events of a cycle."""

_STATUS_CODES: dict[type[RepositoryError], int] = {
    NotFoundError: 404,
    ConstraintViolationError: 409,
    InvalidDataError: 422,
    PoolTimeoutError: 503,
}
_event_as_json = TypeAdapter(CycleEvent)


@asynccontextmanager
async def open_store(app: FastAPI) -> AsyncIterator[None]:
    """One store for the process, closed when the server stops."""
    async with AsyncStore.open(plugins=["core-trading"]) as store:
        app.state.store = store
        yield


app = FastAPI(title="Cream dashboard", lifespan=open_store)


def store_of(request: Request) -> AsyncStore:
    """The store of the process."""
    store: AsyncStore = request.app.state.store
    return store


OpenStore = Annotated[AsyncStore, Depends(store_of)]


@app.exception_handler(RepositoryError)
async def explain(request: Request, error: RepositoryError) -> JSONResponse:
    """What the store refused, with the code that HTTP has for it."""
    status = next((code for kind, code in _STATUS_CODES.items() if isinstance(error, kind)), 500)
    return JSONResponse({"code": error.code, "message": error.message}, status)


@app.get("/health")
async def health(store: OpenStore) -> JSONResponse:
    """Whether the database answers, and how busy its connections are."""
    is_healthy = await store.health_check()
    return JSONResponse({"database": is_healthy, "pool": asdict(store.pool_stats())}, 200 if is_healthy else 503)


@app.get("/decisions")
async def decisions(
    store: OpenStore,
    symbol: str | None = None,
    status: DecisionStatus | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> KeysetPage[Decision]:
    """The newest decisions; `next_cursor` is the `after` of the page that follows."""
    return await store.run(
        store[DecisionsRepository].find_keyset, {"symbol": symbol, "status": status}, after=after, limit=limit
    )


@app.post("/decisions/{id}/approve")
async def approve(store: OpenStore, id: UUID) -> Decision:
    """Approves a pending decision and tells those who watch its cycle: both, or neither."""
    async with store.transaction():
        decision = await store.run(store[DecisionsRepository].update_status, id, DecisionStatus.APPROVED)
        event = CycleEvent(
            cycle_id=decision.cycle_id,
            event_type=CycleEventType.DECISION,
            symbol=decision.symbol,
            message="approved by hand",
        )
        await store.run(store[CycleEventsRepository].create, event)
    return decision


@app.get("/cycles/{id}/events")
async def cycle_events(store: OpenStore, id: UUID, request: Request) -> StreamingResponse:
    """The events of a cycle as they come, as server-sent events, until the cycle ends. `Last-Event-ID` resumes."""
    await store.run(store[CyclesRepository].find_by_id_or_raise, id)
    last_seen = request.headers.get("last-event-id", "0")
    if not last_seen.isdecimal():
        raise HTTPException(422, "Last-Event-ID is the number of an event")
    return StreamingResponse(_events_of(store, id, int(last_seen)), media_type="text/event-stream")


async def _events_of(store: AsyncStore, cycle_id: UUID, last_seen: int) -> AsyncIterator[str]:
    while True:
        # Asked first: an event that comes in between is still sent.
        cycle = await store.run(store[CyclesRepository].find_by_id_or_raise, cycle_id)
        for event in await store.run(store[CycleEventsRepository].find_by_cycle, cycle_id, after_id=last_seen):
            last_seen = max(last_seen, event.id or 0)
            yield f"id: {event.id}\nevent: {event.event_type}\ndata: {_event_as_json.dump_json(event).decode()}\n\n"
        if cycle.status is not CycleStatus.RUNNING:
            return
        await asyncio.sleep(POLLING_INTERVAL)
