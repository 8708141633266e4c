"""A push that does not end well leaves no trace; one that has to wait does so, and says for whom."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cream_store import (
    ConnectionLostError,
    Database,
    Environment,
    SchemaError,
    TransactionError,
    open_database,
)
from cream_store.schema import reset
from tests.schema.conftest import Blank
from tests.schema.samples import (
    changed_shop,
    fill_shop,
    owners_of,
    plan_shop,
    push_everything,
    push_shop,
    shop,
)
from tests.schema.snapshots import everything_in

ROOT = Path(__file__).parents[2]


class Interruption(Exception):
    """What stops a push."""


@contextmanager
def interrupted_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of the statements that change tables and what we remember of them, that one is not executed but raises."""
    change, numbers = Database.change, count()

    def change_or_stop(self: Database, sql: str, parameters: Sequence[Any] | None = None) -> int:
        is_change = sql.startswith(("ALTER", "CREATE", "DROP", "INSERT", "DELETE", "TRUNCATE"))
        if is_change and "scratch" not in sql and next(numbers) == number:
            raise Interruption(sql)
        return change(self, sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "change", change_or_stop)
        yield


def was_interrupted(push: Callable[[], object], number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a push came as far as that statement."""
    with interrupted_at(number, monkeypatch):
        try:
            push()
        except Interruption:
            return True
    return False


def test_an_exception_at_any_statement_leaves_everything_as_it_was(
    blank: Blank, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = blank.database
    push_shop(database, shop())
    fill_shop(database)
    before = everything_in(database)
    lossy = [step.name for step in plan_shop(database, changed_shop()).refused]
    interruptions = 0
    while was_interrupted(lambda: push_shop(database, changed_shop(), *lossy), interruptions, monkeypatch):
        assert everything_in(database) == before
        interruptions += 1
    assert interruptions > 10
    assert plan_shop(database, changed_shop()).steps == ()


def test_an_exception_during_the_first_push_leaves_nothing(blank: Blank, monkeypatch: pytest.MonkeyPatch) -> None:
    database = blank.database
    before = everything_in(database)
    interruptions = 0
    while was_interrupted(lambda: push_shop(database, shop()), interruptions, monkeypatch):
        assert everything_in(database) == before
        interruptions += 1
    assert interruptions > 4
    assert plan_shop(database, shop()).steps == ()


def start_pusher(database: Database, *arguments: str) -> subprocess.Popen[str]:
    """Another process that pushes the changed shop."""
    command = [sys.executable, "-m", "tests.schema.pusher", database.location.url, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("statement", [20, 45])
def test_a_killed_process_leaves_everything_as_it_was(blank: Blank, statement: int) -> None:
    database = blank.database
    push_shop(database, shop())
    fill_shop(database)
    before = everything_in(database)
    pusher = start_pusher(database, str(statement))
    assert pusher.communicate()[0] == ""
    assert pusher.returncode == -9
    assert everything_in(database) == before
    push_everything(database, changed_shop())
    assert plan_shop(database, changed_shop()).steps == ()


def test_of_two_processes_one_does_it_and_the_other_finds_nothing_to_do(blank: Blank) -> None:
    database = blank.database
    push_shop(database, shop())
    fill_shop(database)
    steps = len(plan_shop(database, changed_shop()).steps)
    pushers = [start_pusher(database), start_pusher(database)]
    taken = sorted(int(pusher.communicate()[0]) for pusher in pushers)
    assert taken[0] == 0
    assert taken[1] >= steps
    assert plan_shop(database, changed_shop()).steps == ()


@contextmanager
def another_session(database: Database, *statements: str) -> Iterator[Database]:
    """Another program's transaction that has executed some statements and does not end."""
    separator = "&" if "?" in database.location.url else "?"
    name = "" if database.kind == "sqlite" else f"{separator}application_name=night-report"
    other = open_database(database.location.url + name, Environment.TEST)
    with other.transaction():
        for statement in statements:
            other.change(statement)
        yield other
    other.close_pool()


HOLD_ORDERS = "UPDATE orders SET note = note"


class TestAPushThatHasToWait:
    def test_gives_up_and_says_for_whom(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, shop())
        fill_shop(database)
        before = everything_in(database)
        rows = changed_shop()
        lossy = [step.name for step in plan_shop(database, rows).refused]
        with another_session(database, HOLD_ORDERS) as other:
            with pytest.raises(TransactionError, match="nothing was changed") as error:
                push_shop(database, rows, *lossy, lock_timeout=0.2)
            if database.kind == "postgresql":
                [(process,)] = other.fetch_all("SELECT pg_backend_pid()")
                assert f"process {process} " in str(error.value)
                assert "application 'night-report'" in str(error.value)
                assert "orders" in str(error.value)
            else:
                assert "another process kept writing" in str(error.value)
        assert everything_in(database) == before

    def test_goes_on_when_the_other_has_finished(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, shop())
        fill_shop(database)
        made = []
        pusher = threading.Thread(target=lambda: made.append(push_everything(database, changed_shop())))
        with another_session(database, HOLD_ORDERS):
            pusher.start()
            pusher.join(0.3)
            assert not made
        pusher.join()
        assert made[0].accepted
        assert plan_shop(database, changed_shop()).steps == ()

    def test_does_not_wait_when_there_is_nothing_to_do(self, blank: Blank) -> None:
        push_shop(blank.database, shop())
        with another_session(blank.database, HOLD_ORDERS):
            assert push_shop(blank.database, shop(), lock_timeout=0.2).steps == ()


class TestAReset:
    def test_is_refused_while_another_session_holds_a_table(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, shop())
        fill_shop(database)
        before = everything_in(database)
        with another_session(database, HOLD_ORDERS), pytest.raises(TransactionError, match="nothing was changed"):
            reset(database, shop(), lock_timeout=0.2)
        assert everything_in(database) == before

    def test_can_end_that_session(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, shop())
        fill_shop(database)
        other = open_database(database.location.url, Environment.TEST)
        with pytest.raises(ConnectionLostError), other.transaction():  # noqa: PT012  # the last statement fails
            other.change(HOLD_ORDERS)
            reset(database, shop(), terminate=True, lock_timeout=5)
            other.change(HOLD_ORDERS)
        other.close_pool()
        assert database.fetch_all("SELECT count(*) FROM orders") == [(0,)]

    def test_leaves_everything_as_it_was_when_it_fails(self, blank: Blank, monkeypatch: pytest.MonkeyPatch) -> None:
        database = blank.database
        push_shop(database, shop())
        fill_shop(database)
        before = everything_in(database)
        rows = changed_shop()
        with interrupted_at(10, monkeypatch), pytest.raises(Interruption):
            reset(database, rows, owners=owners_of(rows))
        assert everything_in(database) == before


def test_neither_is_possible_inside_a_transaction(blank: Blank) -> None:
    database = blank.database
    with database.transaction():
        with pytest.raises(SchemaError, match="inside a transaction"):
            push_shop(database, shop())
        with pytest.raises(SchemaError, match="inside a transaction"):
            reset(database, shop())
