"""The same repositories from asyncio: transactions over awaits, cancellation, many tasks on few connections."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar, assert_type

import pytest

from cream_store import (
    AsyncStore,
    Database,
    NotFoundError,
    PluginError,
    PoolTimeoutError,
    RetryableTransactionError,
    Store,
    TransactionError,
    new_id,
    query,
)
from tests.core.notes import DEADLINE, Note, Notes, end_sessions, reopened, texts, wait_until

T = TypeVar("T")

SLOW = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n LIMIT 1",
}
"""Statements that end only when they are interrupted, for all that a test can wait."""


def asynchronously(notebook: Database, function: Callable[[AsyncStore, Notes], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine with a store on the notebook, which must have come to rest at the end."""

    async def run() -> T:
        store = AsyncStore(Store(notebook, ()))
        result = await asyncio.wait_for(function(store, Notes(notebook)), DEADLINE)
        stats = store.pool_stats()
        assert stats.idle == stats.total, "a connection was not given back"
        await store.close()
        return result

    return asyncio.run(run())


async def until(is_true: Callable[[], object]) -> None:
    """Returns as soon as something has come true."""
    await asyncio.to_thread(wait_until, is_true)


class TestCalls:
    def test_give_what_the_repository_gives(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            note = await store.run(notes.create, Note(text="hello"))
            found = await store.run(notes.find_by_id, note.id)
            assert_type(found, Note | None)
            assert found == note
            page = await store.run(notes.find_many, {"text": "hello"}, limit=5)
            assert page.data == [note]

        asynchronously(notebook, scenario)

    def test_raise_what_the_repository_raises(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            with pytest.raises(NotFoundError):
                await store.run(notes.find_by_id_or_raise, new_id())

        asynchronously(notebook, scenario)

    def test_leave_the_event_loop_free(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            is_released = threading.Event()
            blocked = asyncio.create_task(store.run(is_released.wait, DEADLINE))
            assert await store.run(notes.count) == 0
            is_released.set()
            assert await blocked

        asynchronously(notebook, scenario)

    def test_run_on_one_connection_each(self, postgresql_notebook: Database) -> None:
        def sessions() -> set[int]:
            return {postgresql_notebook.fetch_all("SELECT pg_backend_pid()")[0][0] for _ in range(20)}

        async def scenario(store: AsyncStore, notes: Notes) -> None:
            several = await asyncio.gather(*(store.run(sessions) for _ in range(20)))
            assert {len(one) for one in several} == {1}

        asynchronously(postgresql_notebook, scenario)

    def test_come_back_after_the_server_ended_all_sessions(self, postgresql_notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            await store.run(notes.create, Note(text="before"))
            await asyncio.to_thread(end_sessions, postgresql_notebook)
            await store.run(notes.create, Note(text="after"))

        asynchronously(postgresql_notebook, scenario)
        assert texts(postgresql_notebook) == ["after", "before"]


class TestIteration:
    def test_gives_every_value_in_order(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> list[int]:
            await store.run(notes.create_many, [Note(number=number) for number in range(25)])
            in_order = notes.iterate(query().order_by("number"), chunk=7)
            return [note.number async for note in store.iterate(in_order, chunk=10)]

        assert asynchronously(notebook, scenario) == list(range(25))


async def fail_after_writing(store: AsyncStore, notes: Notes) -> None:
    """Writes a note in a transaction that fails."""
    async with store.transaction():
        await store.run(notes.create, Note(text="gone"))
        raise KeyError("a fault")


class TestTransactions:
    def test_commit_what_several_awaits_did(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            async with store.transaction():
                await store.run(notes.create, Note(text="one"))
                await asyncio.sleep(0)
                await store.run(notes.create, Note(text="two"))
                with reopened(notebook) as other:
                    assert texts(other) == []
                assert await store.run(notes.count) == 2

        asynchronously(notebook, scenario)
        assert texts(notebook) == ["one", "two"]

    def test_roll_back_when_an_exception_leaves_the_block(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            with pytest.raises(KeyError):
                await fail_after_writing(store, notes)

        asynchronously(notebook, scenario)
        assert texts(notebook) == []

    def test_are_savepoints_inside_others(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            async with store.transaction():
                await store.run(notes.create, Note(text="kept"))
                with pytest.raises(KeyError):
                    await fail_after_writing(store, notes)
                await store.run(notes.create, Note(text="kept, too"))

        asynchronously(notebook, scenario)
        assert texts(notebook) == ["kept", "kept, too"]

    def test_belong_to_their_task_and_the_tasks_that_it_starts(self, postgresql_notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            is_written = asyncio.Event()

            async def bystander() -> int:
                await is_written.wait()
                return await store.run(notes.count)

            watching = asyncio.create_task(bystander())
            async with store.transaction():
                await asyncio.gather(*(store.run(notes.create, Note(number=number)) for number in range(5)))
                is_written.set()
                assert await watching == 0
                assert await store.run(notes.count) == 5

        asynchronously(postgresql_notebook, scenario)
        assert len(texts(postgresql_notebook)) == 5

    def test_refuse_a_task_that_outlives_them(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            is_over = asyncio.Event()

            async def straggler() -> None:
                await is_over.wait()
                await store.run(notes.create, Note(text="too late"))

            async with store.transaction():
                late = asyncio.create_task(straggler())
                await store.run(notes.create, Note(text="in time"))
            is_over.set()
            with pytest.raises(TransactionError, match="inside a transaction that has ended"):
                await late

        asynchronously(notebook, scenario)
        assert texts(notebook) == ["in time"]

    def test_of_two_stores_in_one_another_keep_apart(self, notebook: Database, tmp_path: Any) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            with reopened(notebook) as other:
                reader = AsyncStore(Store(other, ()))
                async with store.transaction():
                    await store.run(notes.create, Note(text="one"))
                    async with reader.transaction(snapshot=True):
                        assert await reader.run(Notes(other).count) == 0
                        assert await store.run(notes.count) == 1

        asynchronously(notebook, scenario)

    def test_see_one_state_with_a_snapshot(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            async with store.transaction(snapshot=True):
                assert await store.run(notes.count) == 0
                with reopened(notebook) as other:
                    Notes(other).create(Note())
                assert await store.run(notes.count) == 0

        asynchronously(notebook, scenario)

    def test_are_repeated_after_a_conflict(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> int:
            attempts = 0

            async def work() -> int:
                nonlocal attempts
                attempts += 1
                await store.run(notes.create, Note(text=f"attempt {attempts}"))
                if attempts < 3:
                    raise RetryableTransactionError("a deadlock")
                return attempts

            return await store.with_transaction(work)

        assert asynchronously(notebook, scenario) == 3
        assert texts(notebook) == ["attempt 3"]

    def test_are_not_repeated_inside_another_one(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            attempts = 0

            async def work() -> None:
                nonlocal attempts
                attempts += 1
                raise RetryableTransactionError("a deadlock")

            async with store.transaction():
                with pytest.raises(RetryableTransactionError):
                    await store.with_transaction(work)
            assert attempts == 1

        asynchronously(notebook, scenario)


class TestCancellation:
    def test_interrupts_the_statement_and_gives_the_connection_back(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> float:
            slow = asyncio.create_task(store.run(notebook.fetch_all, SLOW[notebook.kind]))
            await asyncio.sleep(0.2)
            begin = time.monotonic()
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            stats = store.pool_stats()
            assert stats.idle == stats.total
            assert await store.run(notes.count) == 0
            return time.monotonic() - begin

        assert asynchronously(notebook, scenario) < DEADLINE / 4

    def test_ends_a_call_at_its_next_statement(self, notebook: Database) -> None:
        def many_statements() -> None:
            while True:
                notebook.fetch_all("SELECT 1")
                notebook.fetch_all(SLOW[notebook.kind])

        async def scenario(store: AsyncStore, notes: Notes) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await store.run(many_statements)

        asynchronously(notebook, scenario)

    def test_rolls_the_transaction_back(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            is_written = asyncio.Event()

            async def work() -> None:
                async with store.transaction():
                    await store.run(notes.create, Note(text="gone"))
                    is_written.set()
                    await store.run(notebook.fetch_all, SLOW[notebook.kind])

            working = asyncio.create_task(work())
            await is_written.wait()
            await asyncio.sleep(0.1)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            assert await store.run(notes.count) == 0

        asynchronously(notebook, scenario)

    def test_between_two_statements_rolls_the_transaction_back(self, notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            async def write_and_wait() -> None:
                async with store.transaction():
                    await store.run(notes.create, Note(text="gone"))
                    await asyncio.sleep(DEADLINE)

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(write_and_wait(), 0.2)

        asynchronously(notebook, scenario)
        assert texts(notebook) == []

    def test_of_one_call_leaves_the_others_of_a_transaction_alone(self, postgresql_notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> None:
            async with store.transaction():
                is_released = threading.Event()
                first = asyncio.create_task(store.run(is_released.wait, DEADLINE))
                second = asyncio.create_task(store.run(notes.create, Note(text="never begun")))
                await asyncio.sleep(0.1)
                second.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await second
                is_released.set()
                assert await first
                await store.run(notes.create, Note(text="after it"))

        asynchronously(postgresql_notebook, scenario)
        assert texts(postgresql_notebook) == ["after it"]

    @pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01])
    def test_at_any_moment_leaves_nothing_behind(self, postgresql_notebook: Database, delay: float) -> None:
        """Pairs of notes, of which one alone must never be seen."""

        async def scenario(store: AsyncStore, notes: Notes) -> None:
            async def pair(number: int) -> None:
                async with store.transaction():
                    await store.run(notes.create, Note(number=number))
                    await store.run(notes.create, Note(number=number))

            tasks = [asyncio.create_task(pair(number)) for number in range(40)]
            for task in tasks:
                await asyncio.sleep(delay)
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
            numbers = [note.number for note in await store.run(notes.find_all)]
            assert all(numbers.count(number) == 2 for number in set(numbers))
            done = [number for number, result in enumerate(results) if result is None]
            assert set(done) <= set(numbers)

        asynchronously(postgresql_notebook, scenario)


class TestLoad:
    def test_a_hundred_tasks_share_a_pool_of_ten(self, postgresql_notebook: Database) -> None:
        async def scenario(store: AsyncStore, notes: Notes) -> list[int]:
            served: list[int] = []

            async def client(number: int) -> None:
                for _ in range(10):
                    note = await store.run(notes.create, Note(number=number))
                    assert await store.run(notes.find_by_id, note.id) == note
                    assert store.pool_stats().total <= 10
                    served.append(number)

            await asyncio.gather(*(client(number) for number in range(100)))
            return served

        served = asynchronously(postgresql_notebook, scenario)
        assert sorted(set(served[:500])) == list(range(100)), "somebody waited while others were served again and again"
        assert len(texts(postgresql_notebook)) == 1000

    def test_waiting_in_vain_says_what_to_do(self, notebook: Database) -> None:
        with reopened(notebook, pool_size=1, pool_timeout=0.1) as small:

            async def scenario(store: AsyncStore, notes: Notes) -> None:
                is_held, is_over = asyncio.Event(), asyncio.Event()

                async def hold() -> None:
                    async with store.transaction(snapshot=True):
                        is_held.set()
                        await is_over.wait()

                holding = asyncio.create_task(hold())
                await is_held.wait()
                with pytest.raises(PoolTimeoutError, match="raise pool_size"):
                    await store.run(notes.count)
                assert not await store.health_check()
                is_over.set()
                await holding
                assert await store.health_check()

            asynchronously(small, scenario)


class TestStores:
    def test_opens_plugins_and_gives_their_repositories(self, tmp_path: Any) -> None:
        from cream_plugins.core_trading import CyclesRepository
        from cream_plugins.thesis import ThesisStateRepository

        async def scenario() -> int:
            url = f"sqlite:///{tmp_path / 'async.db'}"
            async with AsyncStore.open(["core-trading"], environment="PAPER", url=url) as store:
                await store.run(store.store.push)
                with pytest.raises(PluginError, match="belongs to no loaded plugin"):
                    store[ThesisStateRepository]
                return await store.run(store[CyclesRepository].count)

        assert asyncio.run(scenario()) == 0

    def test_threads_end_with_the_store(self, notebook: Database) -> None:
        def workers() -> Iterator[threading.Thread]:
            return (thread for thread in threading.enumerate() if thread.name.startswith("cream-store worker"))

        async def scenario(store: AsyncStore, notes: Notes) -> None:
            await asyncio.gather(*(store.run(notes.count) for _ in range(20)))
            assert any(workers())

        asynchronously(notebook, scenario)
        wait_until(lambda: not any(workers()))
