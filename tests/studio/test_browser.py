"""In a real browser: what a person does, what the browser keeps others from doing, and whether everybody can use it."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cream_plugins.auth import Session, SessionsRepository, User, UsersRepository
from cream_plugins.core_trading import (
    DecisionsRepository,
    PortfolioSnapshot,
    PortfolioSnapshotsRepository,
)
from cream_plugins.core_trading.demo.prices import SAMPLE, read_bars
from cream_plugins.core_trading.demo.worker import Worker
from cream_store import Environment, Secret, Store, utc_now
from cream_store.studio.server import Server
from tests.conftest import templates

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
SECRET = "never-show-this-0123456789-0123456789"
WIDE = 1280
SHAPES: tuple[tuple[int, Literal["light", "dark"]], ...] = ((WIDE, "light"), (360, "dark"))

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": WIDE, "height": 800})
    context.set_default_timeout(20_000)
    yield context
    context.close()


@contextmanager
def running(store: Store, *, write: bool = False) -> Iterator[Server]:
    server = Server(store, write=write)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@contextmanager
def traded(environment: Environment = Environment.PAPER) -> Iterator[Store]:
    """A database with a cycle, an equity curve, a long text, and a secret."""
    with templates("sqlite", None, environment).copy() as store:
        Worker(store, environment, "GOOG", read_bars(SAMPLE)).run()
        nothing = Decimal(0)
        store[PortfolioSnapshotsRepository].create_many(
            PortfolioSnapshot(
                environment=environment,
                timestamp=utc_now() - timedelta(days=20 - i),
                nav=Decimal(100_000 + 700 * i - 90 * i * i),
                cash=nothing,
                equity=nothing,
                gross_exposure=nothing,
                net_exposure=nothing,
            )
            for i in range(12)
        )
        [decision] = store[DecisionsRepository].find_recent(environment, 1)
        long = "\n".join(["A line that says why, at some length. " * 5] * 20 + ["x" * 400])
        store[DecisionsRepository].update(decision.id, {"rationale": long})
        user = store[UsersRepository].create(User(name="Ada", email="ada@example.org"))
        store[SessionsRepository].create(
            Session(user_id=user.id, token=Secret(SECRET), expires_at=utc_now() + timedelta(days=1))
        )
        yield store


def enter(context: BrowserContext, server: Server) -> Page:
    """A page that came in by the printed address. Whatever it asks another server for is an error."""
    page = context.new_page()
    own = f"http://127.0.0.1:{server.port}/"
    page.on("request", lambda request: None if request.url.startswith(own) else pytest.fail(request.url))
    page.goto(server.gate.entrance)
    page.wait_for_url(own)
    return page


def test_a_person_looks_around(context: BrowserContext) -> None:
    with traded() as store, running(store) as server:
        page = enter(context, server)
        expect(page.locator(".banner strong")).to_have_text("PAPER")
        expect(page.get_by_role("img", name="Equity curve: net asset value")).to_be_visible()
        expect(page.get_by_role("img", name="Decisions by status")).to_be_visible()
        expect(page.get_by_text("one percent of the equity at risk")).to_be_visible()

        page.get_by_role("link", name="decisions", exact=True).first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("decisions")
        expect(page.locator("tbody tr")).to_have_count(13)

        page.get_by_label("Search", exact=True).fill("goog")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("Rows whose symbol is what you searched.")).to_be_visible()

        page.get_by_label("Filter", exact=True).select_option("action")
        page.get_by_label("Value", exact=True).fill("BUY")
        page.get_by_role("button", name="Add").click()
        expect(page.locator("tbody tr")).to_have_count(7)
        page.get_by_role("link", name="size", exact=True).click()
        expect(page.locator("th[aria-sort=ascending]")).to_contain_text("size")
        page.get_by_role("link", name="Remove the filter action is BUY").click()
        expect(page.locator("tbody tr")).to_have_count(13)

        page.locator("tbody tr").first.locator("td a").first.click()
        expect(page.get_by_role("heading", name="What refers to this row")).to_be_visible()
        page.get_by_role("link", name="cycle_events").last.click()
        expect(page.locator("tbody tr")).to_have_count(50)
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_role("link", name="Previous")).to_be_visible()

        with page.expect_download() as download:
            page.get_by_role("link", name="Download as CSV").click()
        lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("id,cycle_id,")
        assert len(lines) > 100


def test_a_person_edits_in_paper(context: BrowserContext) -> None:
    with traded() as store, running(store, write=True) as server:
        page = enter(context, server)
        expect(page.get_by_text("changes are allowed")).to_be_visible()
        [decision] = store[DecisionsRepository].find_recent(Environment.PAPER, 1)
        page.goto(f"http://127.0.0.1:{server.port}/tables/decisions/row?key={decision.id}")
        page.get_by_role("link", name="Edit", exact=True).click()
        page.get_by_label("stop_price", exact=True).fill("wrong")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("needs a number")).to_be_visible()
        page.get_by_label("stop_price", exact=True).fill("12.5")
        page.get_by_label("strategy_family", exact=True).fill("by hand")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_have_text("Saved.")
        stored = store[DecisionsRepository].find_by_id_or_raise(decision.id)
        assert (stored.stop_price, stored.strategy_family) == (Decimal("12.5"), "by hand")
        assert stored.replace(
            stop_price=decision.stop_price, strategy_family=decision.strategy_family, updated_at=decision.updated_at
        ) == decision, "nothing else, not even a line's end"  # fmt: skip


def test_live_is_refused(context: BrowserContext) -> None:
    with traded(Environment.LIVE) as store, running(store, write=True) as server:
        page = enter(context, server)
        expect(page.locator(".banner")).to_contain_text("read-only")
        background = page.locator(".banner").evaluate("one => getComputedStyle(one).backgroundColor")
        assert background == "rgb(160, 29, 22)"
        [decision] = store[DecisionsRepository].find_recent(Environment.LIVE, 1)
        own = f"http://127.0.0.1:{server.port}"
        page.goto(f"{own}/tables/decisions/row?key={decision.id}")
        expect(page.get_by_role("link", name="Edit", exact=True)).to_have_count(0)
        answer = page.goto(f"{own}/tables/decisions/row/edit?key={decision.id}")
        assert answer
        assert answer.status == 403
        expect(page.get_by_text("LIVE is read-only.")).to_be_visible()
        assert store[DecisionsRepository].find_by_id(decision.id) == decision


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A page of another origin: another port of the same machine, which even shares the studio's cookies."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def elsewhere(body: str) -> Iterator[str]:
    handler = type("Page", (Elsewhere,), {"body": body.encode()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_another_origin_s_page_reads_and_writes_nothing(context: BrowserContext) -> None:
    with traded() as store, running(store, write=True) as server:
        enter(context, server)
        [decision] = store[DecisionsRepository].find_recent(Environment.PAPER, 1)
        own = f"http://127.0.0.1:{server.port}"
        form = f"{own}/tables/decisions/row/edit?key={decision.id}"
        body = f"""
            <form id=f method=post action="{form}">
              <input name=value.symbol value=EVIL><input name=form_token value="{server.gate.form_token}"></form>
            <a id=a href="{own}/tables/decisions">look</a><iframe id=i src="{own}/tables/decisions"></iframe>"""
        with elsewhere(body) as address:
            page = context.new_page()
            page.goto(address)
            read = page.evaluate(
                "async url => { try { return await (await fetch(url, {credentials: 'include'})).text() }"
                " catch (error) { return String(error) } }",
                f"{own}/tables/decisions",
            )
            assert "Failed to fetch" in read
            blind = page.evaluate(
                "async ([url, token]) => { try {"
                " const body = new URLSearchParams({'value.symbol': 'EVIL', form_token: token});"
                " await fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body})"
                " } catch (error) { return String(error) } }",
                [form, server.gate.form_token],
            )
            assert "Failed to fetch" in blind
            framed = [frame.evaluate("document.documentElement.innerHTML") for frame in page.frames[1:]]
            assert "GOOG" not in str(framed)
            page.locator("#a").click()
            expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
            page.goto(address)
            page.locator("#f").evaluate("form => form.submit()")
            expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
        assert store[DecisionsRepository].find_by_id(decision.id) == decision


def test_another_browser_is_not_let_in(browser: Browser, context: BrowserContext) -> None:
    with traded() as store, running(store) as server:
        enter(context, server)
        other = browser.new_context()
        page = other.new_page()
        answer = page.goto(server.gate.entrance)
        assert answer
        assert answer.status == 403
        expect(page.get_by_text("works once")).to_be_visible()
        other.close()


def test_everybody_can_use_every_page(context: BrowserContext) -> None:
    """No fault that axe knows, no sideways scrolling of a page, no message of a blocked style: wide, narrow, dark."""
    with traded() as store, running(store, write=True) as server:
        page = enter(context, server)
        [decision] = store[DecisionsRepository].find_recent(Environment.PAPER, 1)
        complaints: list[str] = []
        page.on(
            "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
        )
        paths = (
            "/",
            "/tables/decisions?where=symbol+is+GOOG&search=executed&size=25",
            "/tables/alerts",
            "/tables/cycle_events?size=25",
            f"/tables/decisions/row?key={decision.id}",
            f"/tables/decisions/row/edit?key={decision.id}",
            "/tables/alerts/new",
            "/nowhere",
        )
        for path in paths:
            for width, scheme in SHAPES:
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                page.goto(f"http://127.0.0.1:{server.port}{path}")
                sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert sideways <= 0, (path, width)
                assert SECRET not in page.content()
                page.evaluate(AXE)
                found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
                faults = [(one["impact"], one["id"], [node["html"] for node in one["nodes"]]) for one in found]
                assert faults == [], (path, width, scheme)
        assert complaints == []


def test_the_keyboard_is_enough(context: BrowserContext) -> None:
    with traded() as store, running(store) as server:
        page = enter(context, server)
        page.goto(f"http://127.0.0.1:{server.port}/tables/decisions")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "search"
        page.keyboard.type("GOOG")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Rows whose symbol is what you searched.")).to_be_visible()
