"""What a type checker knows: the types that calls give, and the mistakes that it finds before the program runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PREAMBLE = """
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from cream_plugins.core_trading import (
    Cycle, CyclesRepository, Decision, DecisionAction, DecisionChanges, DecisionDirection, DecisionFilters,
    DecisionRow, DecisionsRepository, DecisionStatus,
)
from cream_store import (
    Changes, Environment, Filters, Record, Repository, Row, Store, UUIDv7Field, get_db, query, record,
    transaction, with_transaction,
)

decisions = DecisionsRepository()
store = Store.open(["core-trading"])
key = UUID(int=1)
one = Decision(
    cycle_id=key, symbol="AAPL", action=DecisionAction.BUY, direction=DecisionDirection.LONG, size=Decimal(1),
    environment=Environment.PAPER,
)
"""

REVEAL = "reveal_type({})"
REVEALED = {
    "decisions.find_by_id(key)": "Decision | None",
    "decisions.find_by_id(str(key))": "Decision | None",
    "decisions.find_by_id_or_raise(key)": "Decision",
    "decisions.find_many()": "Page[Decision]",
    "decisions.find_many({'symbol': 'AAPL', 'status': ['pending']}, page=1, page_size=5)": "Page[Decision]",
    "decisions.find_many().data": "list[Decision]",
    "decisions.find_keyset()": "KeysetPage[Decision]",
    "decisions.find_all({'from_date': date(2024, 1, 1)})": "list[Decision]",
    "decisions.find(query().equals('symbol', 'AAPL'))": "list[Decision]",
    "decisions.first()": "Decision | None",
    "decisions.create(one)": "Decision",
    "decisions.create_many([one])": "list[Decision]",
    "decisions.upsert(one)": "Decision",
    "decisions.upsert_many(iter([one]))": "Written",
    "decisions.update(key, {'size': Decimal(2)})": "Decision",
    "decisions.update(key, {'entry_price': None})": "Decision",
    "decisions.delete(key)": "bool",
    "decisions.delete_many({'symbol': 'AAPL'})": "int",
    "decisions.exists()": "bool",
    "decisions.count()": "int",
    "decisions.count_by_status()": "dict[DecisionStatus, int]",
    "one.replace(size=Decimal(2))": "Decision",
    "one.size": "Decimal",
    "one.entry_price": "Decimal | None",
    "one.status": "DecisionStatus",
    "one.created_at": "datetime",
    "store[DecisionsRepository]": "DecisionsRepository",
    "store[CyclesRepository].find_by_id(key)": "Cycle | None",
    "store.database.environment": "Environment",
    "get_db()": "Database",
    "with_transaction(lambda: decisions.create(one))": "Decision",
    "transaction().__enter__()": "Transaction",
}

WRONG_ARGUMENTS = [
    "decisions.find_many({'colour': 'red'})",
    "decisions.find_many({'symbol': 5})",
    "decisions.find_many({'from_date': '2024-01-01'})",
    "decisions.find_many(symbol='AAPL')",
    "decisions.find_many(limit='5')",
    "decisions.find_all({'cycle_id': 5})",
    "decisions.count({'colour': 'red'})",
    "decisions.delete_many({'colour': 'red'})",
    "decisions.find_by_id(5.0)",
    "decisions.update(key, {'colour': 'red'})",
    "decisions.update(key, {'size': 5.0})",
    "decisions.update(key, {'size': None})",
    "decisions.update(key, {'status': 'pending'})",
    "decisions.update(key, {'environment': Environment.LIVE})",
    "decisions.update(key, {'created_at': datetime.now(UTC)})",
    "decisions.update_status(key, 5)",
    "decisions.create(Cycle(environment=Environment.PAPER))",
    "decisions.create({'symbol': 'AAPL'})",
    "Decision(symbol='AAPL')",
    "Decision(key, key)",
    "Cycle(environment='PAPER')",
]
OF_AN_ARGUMENT = ("arg-type", "call-arg", "typeddict-item", "typeddict-unknown-key")

OTHER_MISTAKES = {
    "one.replace(size=Decimal(2)).colour": "attr-defined",
    "one.size = Decimal(2)": "misc",
    "one.entry_price + 1": "operator",
    "decisions.find_by_id(key).symbol": "union-attr",
    "store[Decision]": "type-var",
    "class Bare(Repository): row = DecisionRow": "type-arg",
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says about each expression: the type of it, or the errors in it."""
    lines = [*PREAMBLE.splitlines(), *map(REVEAL.format, REVEALED), *WRONG_ARGUMENTS, *OTHER_MISTAKES]
    snippet = tmp_path_factory.mktemp("types") / "snippet.py"
    snippet.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", str(snippet)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    expression_of = dict(zip(map(REVEAL.format, REVEALED), REVEALED, strict=True))
    verdicts: dict[str, str] = {}
    for number, verdict in re.findall(r"snippet\.py:(\d+): (.*)", done.stdout):
        line = lines[int(number) - 1]
        expression = expression_of.get(line, line)
        verdicts[expression] = f"{verdicts.get(expression, '')}{verdict}\n"
    return verdicts


def test_the_preamble_is_right(verdicts: dict[str, str]) -> None:
    assert verdicts.keys() <= {*REVEALED, *WRONG_ARGUMENTS, *OTHER_MISTAKES}


@pytest.mark.parametrize("expression", REVEALED)
def test_the_type_of_an_expression_is_known(verdicts: dict[str, str], expression: str) -> None:
    without_modules = re.sub(r"(\w+\.)+(?=\w)", "", verdicts[expression])
    assert without_modules == f'note: Revealed type is "{REVEALED[expression]}"\n'


@pytest.mark.parametrize("call", WRONG_ARGUMENTS)
def test_a_wrong_argument_is_found(verdicts: dict[str, str], call: str) -> None:
    assert any(f"[{code}]" in verdicts.get(call, "nothing") for code in OF_AN_ARGUMENT)


@pytest.mark.parametrize("statement", OTHER_MISTAKES)
def test_another_mistake_is_found(verdicts: dict[str, str], statement: str) -> None:
    assert f"[{OTHER_MISTAKES[statement]}]" in verdicts.get(statement, "nothing")
