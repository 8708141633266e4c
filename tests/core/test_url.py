"""Database URLs: what they mean, which are refused, and that no password of one is ever shown."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from cream_store import ConfigurationError, Environment, StoreError, open_database
from cream_store.url import DatabaseURL, PoolSettings, mask_password, sqlite_url
from tests.conftest import server_url

SECRET = "h0rse:b@ttery/st@ple?100%#[x]&y=z 'q\" \\+"


def everything_said(error: BaseException) -> str:
    """The message and the whole traceback, causes and locals' representations included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)


class TestPostgresql:
    def test_the_url_goes_to_the_driver_as_it_is(self) -> None:
        url = DatabaseURL.parse("postgresql://user:word@host:5433/name?sslmode=require")
        assert url.kind == "postgresql"
        assert url.target == "postgresql://user:word@host:5433/name?sslmode=require"
        assert url.name == "name"

    @pytest.mark.parametrize("scheme", ["postgres", "POSTGRESQL", "Postgres"])
    def test_other_spellings_of_the_scheme_are_known(self, scheme: str) -> None:
        assert DatabaseURL.parse(f"{scheme}://host/name").target == "postgresql://host/name"

    @pytest.mark.parametrize(
        "hosts", ["", "host", "host:5432", "10.0.0.1", "[::1]", "[::1]:5432", "one:5432,two:5433", "host:"]
    )
    def test_hosts_are_names_and_addresses_one_or_several(self, hosts: str) -> None:
        assert DatabaseURL.parse(f"postgresql://user:word@{hosts}/name").target.endswith(f"@{hosts}/name")

    @pytest.mark.parametrize("url", ["postgresql:///name", "postgresql:///name?sslmode=require", "postgresql://"])
    def test_what_a_url_leaves_out_libpq_finds_by_itself(self, url: str) -> None:
        assert DatabaseURL.parse(url).target == url
        open_database(url, Environment.TEST).close_pool()  # libpq takes it

    def test_settings_reach_the_server_exactly(self, postgresql: str) -> None:
        url = server_url(postgresql)
        database = open_database(
            f"{url}{'&' if '?' in url else '?'}options=-c%20search_path%3Dsome_schema&application_name=a+b%20%26%2B",
            Environment.TEST,
        )
        assert database.fetch_all("SHOW search_path") == [("some_schema",)]
        assert database.fetch_all("SHOW application_name") == [("a+b &+",)]
        database.close_pool()

    def test_a_password_may_hold_anything_if_it_is_escaped(self) -> None:
        url = DatabaseURL.parse(f"postgresql://user:{quote(SECRET, safe='')}@host/name")
        assert quote(SECRET, safe="") in url.target


class TestSqlite:
    def test_a_relative_path_is_one_of_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        url = DatabaseURL.parse("sqlite:///data/store.db")
        monkeypatch.chdir("/")
        assert Path(url.target) == tmp_path / "data" / "store.db"
        assert url.name == "store.db"

    def test_an_absolute_path_has_four_slashes(self) -> None:
        assert DatabaseURL.parse("sqlite:////var/store.db").target == "/var/store.db"

    def test_a_private_database_has_no_file(self) -> None:
        assert DatabaseURL.parse("sqlite:///:memory:").target == ":memory:"

    @pytest.mark.parametrize("name", ["store.db", "a b.db", "50%.db", "a#b?c=d&e.db", "%41.db", "[x]@:+.db", "café.db"])
    def test_any_file_name_can_be_meant(self, tmp_path: Path, name: str) -> None:
        assert Path(DatabaseURL.parse(sqlite_url(tmp_path / name)).target) == tmp_path / name

    @pytest.mark.parametrize("name", ["pool size=3", "timeout=5", "mode=ro", "pool_sizes=3", "x"])
    def test_an_unknown_setting_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"unknown setting .*known: pool_size, pool_idle_timeout"):
            DatabaseURL.parse(f"sqlite:///store.db?pool_size=2&{name}")


class TestPoolSettings:
    @pytest.mark.parametrize("base", ["postgresql://host/name", "sqlite:///store.db"])
    def test_they_stand_in_the_query_string(self, base: str) -> None:
        url = DatabaseURL.parse(f"{base}?pool_size=3&pool_idle_timeout=0.5&pool_timeout=7&connect_timeout=4.5")
        assert url.pool == PoolSettings(3, 0.5, 7.0, 4.5)
        assert "pool" not in url.target
        assert "timeout" not in url.target

    def test_they_have_defaults(self) -> None:
        assert DatabaseURL.parse("postgresql://host/name").pool == PoolSettings(10, 20.0, 10.0, 10.0)

    @pytest.mark.parametrize("name", ["pool_size", "pool_idle_timeout", "pool_timeout", "connect_timeout"])
    @pytest.mark.parametrize("value", ["0", "-1", "", "many", "nan", "inf", "1e99", "-0.0", "10 s"])
    def test_only_sensible_numbers_are_taken(self, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(f"{name}={value} in postgresql://user:***@host/name")):
            DatabaseURL.parse(f"postgresql://user:word@host/name?{urlencode({name: value}, quote_via=quote)}")

    @pytest.mark.parametrize("value", ["1.5", "1001"])
    def test_a_pool_has_a_whole_number_of_connections_and_not_too_many(self, value: str) -> None:
        with pytest.raises(ConfigurationError, match="pool_size"):
            DatabaseURL.parse(f"sqlite:///store.db?pool_size={value}")


class TestPreparing:
    def test_it_is_on_unless_the_url_says_off(self) -> None:
        assert DatabaseURL.parse("postgresql://host/name").prepared
        assert DatabaseURL.parse("postgresql://host/name?prepared=on").prepared
        off = DatabaseURL.parse("postgresql://host/name?prepared=off&sslmode=require")
        assert not off.prepared
        assert off.target == "postgresql://host/name?sslmode=require"

    @pytest.mark.parametrize("value", ["", "no", "OFF", "0"])
    def test_nothing_else_is_taken(self, value: str) -> None:
        with pytest.raises(ConfigurationError, match=f"prepared={value} in .*: say on or off"):
            DatabaseURL.parse(f"postgresql://host/name?prepared={value}")

    def test_sqlite_has_no_such_setting(self) -> None:
        with pytest.raises(ConfigurationError, match="unknown setting prepared"):
            DatabaseURL.parse("sqlite:///store.db?prepared=off")


MALFORMED = [
    "",
    " ",
    "store.db",
    "/var/store.db",
    "mysql://user:word@host/name",
    "postgresql",
    "postgresql:",
    "postgresql:/host/name",
    "postgresql:user:word@host/name",
    "postgresql+psycopg2://host/name",
    "host=localhost user=me password=word",
    "://host/name",
    " postgresql://host/name",
    "postgresql://[::1/name",
    "postgresql://host:port/name",
    "postgresql://host/name#fragment",
    "postgresql://host/name?nonsense=1",
    "postgresql://user:%zz@host/name",
    "sqlite:store.db",
    "sqlite:/var/store.db",
    "sqlite://store.db",
    "sqlite://",
    "sqlite:///",
    "sqlite:///a#b.db",
    "sqlite:///a%00b.db",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_refused_before_anything_connects(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database URL"):
        open_database(url, Environment.TEST)


def test_the_error_names_what_the_driver_does_not_know() -> None:
    with pytest.raises(ConfigurationError, match='"nonsense"'):
        open_database("postgresql://user:word@host/name?nonsense=1", Environment.TEST)


# Passwords as people write them, unescaped too: refused or not, they are not shown.
PASSWORDS = [
    "Kx7Qz9",
    "Kx7@Qz9",
    "Kx7:Qz9",
    "@Kx7Qz9@",
    "Kx7/Qz9",
    "99/Kx7",
    "Kx7?Qz9",
    "99?Kx7",
    "99?Kx7=Qz9",
    "Kx7#Qz9",
    "Kx7[Qz9",
    "[Kx7]",
    "Kx7%Qz9",
    "Kx7%00Qz9",
    'Kx7"Qz9%zz',
    "Kx7 Qz9",
    "Kx7://Qz9@",
    "Kx7%26Qz9",
]
PIECES = ("Kx7", "Qz9")


class TestPasswords:
    @pytest.mark.parametrize("password", PASSWORDS)
    def test_no_url_shows_its_password(self, password: str) -> None:
        for url in (
            f"postgresql://user:{password}@127.0.0.1:1/name",
            f"postgres://user:{password}@[::1]:1/name?sslmode=disable",
            f"postgresql://user@127.0.0.1:1/name?password={password}",
            f"postgresql://user@127.0.0.1:1/name?sslmode=disable&PassWord={password}&connect_timeout=2",
            f"mysql://user:{password}@host/name",
            f"postgresql:user:{password}@host/name",
            f"user:{password}@host/name",
            f"host=127.0.0.1 port=1 user=user password={password}",
            f"host=127.0.0.1 port=1 user=user password = '{password}' dbname=name",
        ):
            said = self._everything_said_about(url)
            for piece in PIECES:
                assert piece not in said, url

    def _everything_said_about(self, url: str) -> str:
        try:
            database = open_database(url, Environment.TEST)
        except ConfigurationError as error:
            return everything_said(error)
        said = f"{database!r} {database.url!r} {database.location!r} {database.pool.name} {database.url.name}"
        with pytest.raises(StoreError) as refused:
            database.fetch_all("SELECT 1")
        return said + everything_said(refused.value)

    def test_the_rest_of_the_url_is_shown(self) -> None:
        url = f"postgresql://user:{quote(SECRET, safe='')}@host:5432/name?sslmode=require&sslpassword=word&pool_size=3"
        assert DatabaseURL.parse(url).display == (
            "postgresql://user:***@host:5432/name?sslmode=require&sslpassword=***&pool_size=3"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://user@host/name",
            "sqlite:////var/store.db",
            'FATAL: database "a@b" does not exist',
            "connection to server at 10.0.0.1, port 5432 failed: timeout expired",
        ],
    )
    def test_text_without_a_password_stays_as_it_is(self, text: str) -> None:
        assert mask_password(text) == text
