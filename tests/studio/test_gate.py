"""Nobody but the browser that was let in gets an answer, and nothing is read or written for anybody else.

Whether something was read is seen from the statements that reach the database.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cream_store import Store
from cream_store.backend import Database
from cream_store.studio.server import Server
from tests.studio.stranger import HarboursRepository, Ship, ShipsRepository
from tests.studio.visitor import OWN_ORIGIN, PORT, Visitor, words

PAGES = ["/", "/tables/ships", "/tables/ships/export.csv", "/tables/ships/row?key=1", "/tables/ships/new", "/nowhere"]


@pytest.fixture
def statements(sqlite_ships: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that the database is asked for, from now on."""
    seen: list[str] = []
    run = Database.run

    def spy(self: Database, sql: str, *rest: Any, **options: Any) -> Any:
        seen.append(sql)
        return run(self, sql, *rest, **options)

    monkeypatch.setattr(Database, "run", spy)
    return seen


class TestToken:
    @pytest.mark.parametrize("path", PAGES)
    def test_without_it_nothing_is_read(self, sqlite_ships: Store, statements: list[str], path: str) -> None:
        response = Visitor(sqlite_ships, enters=False).get(path)
        assert response.status_code == 403
        assert statements == []

    @pytest.mark.parametrize("token", ["", "wrong", "é", "x" * 43])
    def test_a_wrong_one_is_refused(self, sqlite_ships: Store, statements: list[str], token: str) -> None:
        visitor = Visitor(sqlite_ships, enters=False)
        response = visitor.get(f"/?token={token}")
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
        assert statements == []

    def test_it_lets_one_browser_in(self, sqlite_ships: Store) -> None:
        visitor = Visitor(sqlite_ships)
        assert visitor.get("/").status_code == 200

    def test_it_works_once(self, sqlite_ships: Store) -> None:
        visitor = Visitor(sqlite_ships)
        somebody_else = visitor.app.test_client()
        again = somebody_else.get(f"/?token={visitor.gate.token}", base_url=OWN_ORIGIN)
        assert again.status_code == 403
        assert "works once" in words(again)
        assert somebody_else.get("/", base_url=OWN_ORIGIN).status_code == 403

    def test_the_browser_that_came_with_it_may_come_again(self, sqlite_ships: Store) -> None:
        visitor = Visitor(sqlite_ships)
        assert visitor.get(f"/?token={visitor.gate.token}").status_code == 200
        assert visitor.get("/tables/ships").status_code == 200

    @pytest.mark.parametrize("header", ["Sec_Purpose", "Purpose"])
    def test_a_browser_that_looks_ahead_does_not_use_it_up(self, sqlite_ships: Store, header: str) -> None:
        visitor = Visitor(sqlite_ships, enters=False)
        assert visitor.get(f"/?token={visitor.gate.token}", **{header: "prefetch"}).status_code == 403
        assert visitor.client.head(f"/?token={visitor.gate.token}", base_url=OWN_ORIGIN).status_code == 403
        assert visitor.get(f"/?token={visitor.gate.token}").status_code == 200

    def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(self, sqlite_ships: Store) -> None:
        visitor = Visitor(sqlite_ships, enters=False)
        cookie = visitor.get(f"/?token={visitor.gate.token}").headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert visitor.gate.token not in cookie

    def test_another_studio_s_cookie_is_none(self, sqlite_ships: Store) -> None:
        visitor, other = Visitor(sqlite_ships), Visitor(sqlite_ships)
        stolen = visitor.client.get_cookie(visitor.gate.cookie, domain="127.0.0.1")
        assert stolen is not None
        other.client.set_cookie(other.gate.cookie, stolen.value, domain="127.0.0.1")
        assert other.get("/").status_code == 403


class TestOrigin:
    @pytest.mark.parametrize("path", PAGES)
    @pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
    def test_another_page_s_request_reads_nothing(
        self, sqlite_ships: Store, statements: list[str], path: str, site: str
    ) -> None:
        visitor = Visitor(sqlite_ships)
        assert visitor.get(path, Sec_Fetch_Site=site).status_code == 403
        assert statements == []

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_own_links_and_typed_addresses_are_answered(self, sqlite_ships: Store, site: str) -> None:
        assert Visitor(sqlite_ships).get("/tables/ships", Sec_Fetch_Site=site).status_code == 200

    def test_the_token_may_be_followed_from_anywhere(self, sqlite_ships: Store) -> None:
        """From a terminal in a browser, for one; and what it gives then is no redirect, which would lose the cookie."""
        visitor = Visitor(sqlite_ships, enters=False)
        assert visitor.get(f"/?token={visitor.gate.token}", Sec_Fetch_Site="cross-site").status_code == 200

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}", ""]
    )
    def test_another_page_s_form_writes_nothing(self, sqlite_ships: Store, statements: list[str], origin: str) -> None:
        visitor = Visitor(sqlite_ships, write=True)
        assert visitor.post("/tables/harbours/new", {"value.name": "Hull"}, Origin=origin).status_code == 403
        assert statements == []

    def test_a_form_that_tells_no_origin_writes_nothing(self, sqlite_ships: Store, statements: list[str]) -> None:
        visitor = Visitor(sqlite_ships, write=True)
        fields = {"value.name": "Hull", "form_token": visitor.gate.form_token}
        assert visitor.client.post("/tables/harbours/new", base_url=OWN_ORIGIN, data=fields).status_code == 403
        assert statements == []

    @pytest.mark.parametrize("token", ["", "wrong", "é"])
    def test_a_form_of_nobody_s_writes_nothing(self, sqlite_ships: Store, statements: list[str], token: str) -> None:
        visitor = Visitor(sqlite_ships, write=True)
        response = visitor.post("/tables/harbours/new", {"value.name": "Hull", "form_token": token})
        assert response.status_code == 403
        assert statements == []

    def test_an_own_form_writes(self, sqlite_ships: Store) -> None:
        visitor = Visitor(sqlite_ships, write=True)
        assert visitor.post("/tables/harbours/new", {"value.name": "Hull"}).status_code == 303
        assert sqlite_ships[HarboursRepository].find_by_id("Hull") is not None


class TestHeaders:
    @pytest.mark.parametrize("path", [*PAGES, "/static/studio.css"])
    def test_every_answer_forbids_scripts_frames_and_other_origins(self, sqlite_ships: Store, path: str) -> None:
        headers = Visitor(sqlite_ships).get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers

    @pytest.mark.parametrize("path", ["/", "/tables/ships", "/tables/ships/new"])
    def test_pages_load_nothing_from_elsewhere_and_have_no_scripts(self, sqlite_ships: Store, path: str) -> None:
        page = Visitor(sqlite_ships, write=True).get(path).text
        assert "<script" not in page
        assert "style=" not in page
        assert "://" not in page.replace(sqlite_ships.database.url.display, "")

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "POST", "TRACE"])
    def test_no_other_method_does_anything(self, sqlite_ships: Store, statements: list[str], method: str) -> None:
        visitor = Visitor(sqlite_ships, write=True)
        fields = {"form_token": visitor.gate.form_token}
        response = visitor.client.open(
            "/tables/ships", base_url=OWN_ORIGIN, method=method, headers={"Origin": OWN_ORIGIN}, data=fields
        )
        assert response.status_code in (200, 405)
        assert response.text == "" or response.status_code == 405
        assert statements == []


class TestHost:
    """Over a real socket: what the server makes of the header counts."""

    @pytest.fixture
    def server(self, sqlite_ships: Store) -> Iterator[Server]:
        sqlite_ships[ShipsRepository].create(Ship(name="Beagle"))
        server = Server(sqlite_ships)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server
        server.stop()
        thread.join()

    def ask(self, server: Server, path: str, *hosts: str, cookie: str = "") -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.putrequest("GET", path, skip_host=True)
        for host in hosts:
            connection.putheader("Host", host)
        if cookie:
            connection.putheader("Cookie", cookie)
        connection.endheaders()
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text, (response.getheader("Set-Cookie") or "").partition(";")[0]

    def test_its_own_addresses_are_answered(self, server: Server) -> None:
        own = f"127.0.0.1:{server.port}"
        status, _, cookie = self.ask(server, f"/?token={server.gate.token}", own)
        assert status == 200
        status, page, _ = self.ask(server, "/tables/ships", own, cookie=cookie)
        assert (status, "Beagle" in page) == (200, True)
        status, page, _ = self.ask(server, "/tables/ships", f"localhost:{server.port}", cookie=cookie)
        assert (status, "Beagle" in page) == (200, True)

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example:{port}",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:1",
            "127.0.0.1:{port}.evil.example",
            "",
            "[::1]:{port}",
        ],
    )
    def test_any_other_is_refused_even_with_the_cookie(self, server: Server, host: str) -> None:
        _, _, cookie = self.ask(server, f"/?token={server.gate.token}", f"127.0.0.1:{server.port}")
        status, page, _ = self.ask(server, "/tables/ships", host.format(port=server.port), cookie=cookie)
        assert (status, "Beagle" in page) == (403, False)

    def test_another_host_does_not_use_the_token_up(self, server: Server) -> None:
        token = f"/?token={server.gate.token}"
        assert self.ask(server, token, "evil.example")[0] == 403
        assert self.ask(server, token, f"127.0.0.1:{server.port}")[0] == 200

    def test_no_host_or_two_are_refused(self, server: Server) -> None:
        own = f"127.0.0.1:{server.port}"
        _, _, cookie = self.ask(server, f"/?token={server.gate.token}", own)
        assert self.ask(server, "/tables/ships", cookie=cookie)[0] in (400, 403)
        assert self.ask(server, "/tables/ships", own, "evil.example", cookie=cookie)[0] in (400, 403)
        assert self.ask(server, "/tables/ships", "evil.example", own, cookie=cookie)[0] in (400, 403)

    def test_a_forwarded_host_changes_nothing(self, server: Server) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        headers = {"Host": "evil.example", "X-Forwarded-Host": f"127.0.0.1:{server.port}"}
        connection.request("GET", f"/?token={server.gate.token}", headers=headers)
        assert connection.getresponse().status == 403
        connection.close()

    def test_it_can_be_stopped_at_any_moment_and_again(self, sqlite_ships: Store) -> None:
        for has_answered in (False, True):
            server = Server(sqlite_ships)
            thread = threading.Thread(target=server.run)
            thread.start()
            if has_answered:
                assert self.ask(server, "/", f"127.0.0.1:{server.port}")[0] == 403
            server.stop()
            thread.join()
            server.stop()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port), timeout=10)

    def test_no_other_machine_reaches_it(self, server: Server) -> None:
        assert server._socket.getsockname()[0] == "127.0.0.1"
