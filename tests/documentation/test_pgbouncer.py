"""What docs/operations.md says of pgbouncer holds behind a real one, which gives each transaction another session."""

from __future__ import annotations

import configparser
import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cream_plugins.core_trading import CyclesRepository
from cream_plugins.market_data import Candle, CandlesRepository, Timeframe
from cream_store import Store, query
from cream_store.testing.servers import PrivateServer, available_servers, private_server
from tests.documentation.pages import DOCS, blocks_of

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(PROGRAM is None or not available_servers(), reason="needs pgbouncer and PostgreSQL")


@pytest.fixture(scope="module")
def server() -> PrivateServer:
    """A server whose time zone is not UTC."""
    return private_server(available_servers()[0].name)


@pytest.fixture(scope="module")
def store(server: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store behind pgbouncer, with more connections to it than it has to the server."""
    server.create_database("cream_bouncer")
    directory = tmp_path_factory.mktemp("pgbouncer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "pgbouncer.ini").write_text(configuration(server, port))
    identity = ["--user", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen(
        [str(PROGRAM), *identity, str(directory / "pgbouncer.ini")], stderr=subprocess.DEVNULL
    ) as bouncer:
        try:
            wait_for(port)
            url = f"postgresql://postgres@127.0.0.1:{port}/cream?pool_size=8"
            with Store.open(["core-trading", "market-data"], environment="PAPER", url=url) as store:
                store.push()
                yield store
        finally:
            bouncer.terminate()


def configuration(server: PrivateServer, port: int) -> str:
    """The page's own, with the addresses of this test, without passwords, and with fewer sessions than threads."""
    [block] = [block for block in blocks_of(DOCS / "operations.md") if block.file == "pgbouncer.ini"]
    settings = configparser.ConfigParser()
    settings.read_string(block.code)
    settings["databases"]["cream"] = f"host={server.directory} port={server.port} dbname=cream_bouncer user=postgres"
    ours = {"listen_port": str(port), "auth_type": "any", "default_pool_size": "3", "unix_socket_dir": ""}
    settings["pgbouncer"].update(ours)
    text = io.StringIO()
    settings.write(text)
    return text.getvalue()


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("pgbouncer did not start")


def test_a_push_through_it_is_complete(store: Store) -> None:
    assert store.push().steps == ()


def test_every_transaction_is_in_utc_whichever_session_it_gets(store: Store) -> None:
    def one(number: int) -> tuple[str, int]:
        with store.transaction():
            cycle = store[CyclesRepository].start(total_symbols=number)
            [(zone, session)] = store.database.fetch_all("SELECT current_setting('TimeZone'), pg_backend_pid()")
        found = store[CyclesRepository].find_by_id_or_raise(cycle.id)
        assert found.started_at == cycle.started_at
        return zone, session

    with ThreadPoolExecutor(12) as threads:
        seen = list(threads.map(one, range(200)))
    assert {zone for zone, _ in seen} == {"UTC"}
    assert len({session for _, session in seen}) > 1


def test_nothing_is_prepared(store: Store) -> None:
    cycle = store[CyclesRepository].start()
    for _ in range(10):
        assert store[CyclesRepository].find_by_id(cycle.id) == cycle
    assert store.database.fetch_all("SELECT name FROM pg_prepared_statements") == []


def test_many_rows_go_in_and_out(store: Store) -> None:
    first = datetime(2020, 1, 1, tzinfo=UTC)
    price = Decimal(1)
    candles = [
        Candle(
            symbol="SPY",
            timeframe=Timeframe.DAY,
            timestamp=first + timedelta(days=number),
            open=price,
            high=price,
            low=price,
            close=price,
        )
        for number in range(3000)
    ]
    repository = store[CandlesRepository]
    assert repository.bulk_upsert(candles) == len(candles)
    assert sum(1 for _ in repository.iterate(query().equals("symbol", "SPY").order_by("timestamp"))) == len(candles)
