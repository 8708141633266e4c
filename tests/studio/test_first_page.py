"""The first page: what plugins show there, how many rows there are, the pool."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cream_plugins.core_trading import PortfolioSnapshot, PortfolioSnapshotsRepository
from cream_plugins.core_trading.demo.prices import SAMPLE, read_bars
from cream_plugins.core_trading.demo.worker import Worker
from cream_store import Environment, InvalidDataError, Store
from cream_store.studio.charts import draw_bars, draw_line, number
from cream_store.studio.views import (
    Bar,
    BarChart,
    Block,
    Facts,
    LineChart,
    Link,
    Message,
    StudioView,
    Transcript,
)
from tests.studio.stranger import Ship, ShipsRepository, strange_store
from tests.studio.visitor import Visitor, words

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def first_page(*views: StudioView, back_end: str = "sqlite") -> str:
    with strange_store(back_end, *views) as store:
        return Visitor(store).get("/").text


def view(*blocks: Block) -> StudioView:
    return StudioView("A view", lambda store, environment: list(blocks))


class TestTrading:
    def test_a_cycle_can_be_followed(self, paper_store: Store) -> None:
        story = Worker(paper_store, Environment.PAPER, "GOOG", read_bars(SAMPLE)).run()
        visitor = Visitor(paper_store)
        text = visitor.text("/")
        assert str(story.cycle_id) in text
        assert "completed, 100 %" in text
        assert "risk_manager complete confidence" in text, "what an agent said"
        assert "Decisions by status" in text
        assert re.search(r"executed 12 \b", text)
        assert "Confidence calibration" in text
        assert "Equity curve" in text
        assert "0 threads waiting" in text or "threads waiting 0" in text
        link = re.search(r'href="(/tables/cycles/row[^"]*)"', visitor.get("/").text)
        assert link
        assert str(story.cycle_id) in visitor.text(link[1])

    def test_an_empty_database_says_so(self, paper_store: Store) -> None:
        text = Visitor(paper_store).text("/")
        assert "cream-store demo runs one" in text
        assert "No portfolio snapshot has been taken." in text
        assert "Nothing has been decided." in text

    def test_the_equity_curve_is_of_the_environment(self, paper_store: Store) -> None:
        for i in range(3):
            paper_store[PortfolioSnapshotsRepository].create(
                PortfolioSnapshot(
                    environment=Environment.PAPER,
                    timestamp=NOON + timedelta(days=i),
                    nav=Decimal(100_000 + 500 * i),
                    cash=Decimal(0),
                    equity=Decimal(0),
                    gross_exposure=Decimal(0),
                    net_exposure=Decimal(0),
                )
            )
        html = Visitor(paper_store).get("/").text
        assert "3 values, from 100,000 at 2026-01-01 12:00:00Z to 101,000 at 2026-01-03 12:00:00Z." in html


class TestViews:
    def test_each_kind_of_block_shows(self) -> None:
        page = first_page(
            view(
                Facts({"plain": "a <fact>", "linked": Link("ships", text="all ships"), "gone": Link("nowhere", 7)}),
                BarChart("Bars", [Bar("one", 1, "of 2"), Bar("two", Decimal("2.50"))], unit=" t"),
                LineChart("Line", [(NOON, Decimal(1)), (NOON + timedelta(hours=1), Decimal(3))]),
                Transcript("Talk", [Message("somebody", "<b>hello</b>\nthere", "done")]),
                BarChart("No bars", [], nothing="no bars here"),
                LineChart("No line", [], nothing="no line here"),
                Transcript("No talk", [], nothing="no talk here"),
            )
        )
        assert "a &lt;fact&gt;" in page
        assert '<a href="/tables/ships">all ships</a>' in page
        assert "nowhere" not in re.findall(r'href="([^"]*)"', page)
        assert "&lt;b&gt;hello&lt;/b&gt;" in page
        for text in ("1 t (of 2)", "2.5 t", "no bars here", "no line here", "no talk here"):
            assert text in page
        assert page.count('role="img"') == 2
        assert page.count("<desc") == 2
        assert page.count("As a table") == 2

    @pytest.mark.parametrize("back_end", ["sqlite", "postgres18"])
    def test_a_view_that_fails_leaves_the_others(self, back_end: str) -> None:
        def mistaken(store: Store, environment: Environment) -> list[Block]:
            raise ZeroDivisionError

        def refused(store: Store, environment: Environment) -> list[Block]:
            raise InvalidDataError("this is why")

        def broken(store: Store, environment: Environment) -> list[Block]:
            store.database.fetch_all("SELECT * FROM nowhere")
            return []

        page = first_page(
            StudioView("First", mistaken),
            StudioView("Second", refused),
            StudioView("Third", broken),
            view(Facts({"still": "here"})),
            back_end=back_end,
        )
        assert "It failed with ZeroDivisionError" in page
        assert "this is why" in page
        assert "nowhere" in page
        assert "still" in page

    @pytest.mark.parametrize("back_end", ["sqlite", "postgres18"])
    def test_a_view_writes_nothing_and_ends_in_time(self, back_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def endless(store: Store, environment: Environment) -> list[Block]:
            store.database.fetch_all(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
            )
            return []

        def writing(store: Store, environment: Environment) -> list[Block]:
            store[ShipsRepository].create(Ship(name="Fram"))
            return []

        monkeypatch.setattr("cream_store.studio.app.VIEW_SECONDS", 0.2)
        with strange_store(back_end, StudioView("Endless", endless), StudioView("Writing", writing)) as store:
            page = Visitor(store).get("/").text
            assert "Left out: it takes more than" in page
            assert "read-only" in page or "readonly" in page
            assert store[ShipsRepository].count() == 0

    def test_it_is_told_the_environment(self) -> None:
        def told(store: Store, environment: Environment) -> list[Block]:
            return [Facts({"told": environment})]

        with strange_store("sqlite", StudioView("Told", told)) as store:
            assert "told PAPER" in Visitor(store).text("/")
            store.database.environment = Environment.TEST
            assert "told PAPER" in Visitor(store).text("/"), "a TEST database holds rows of both"
            store.database.environment = Environment.LIVE
            assert "told LIVE" in Visitor(store).text("/")
            store.database.environment = Environment.PAPER


class TestCounts:
    def test_every_table_is_counted_as_far_as_is_quick(self, ships: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        ships[ShipsRepository].create_many(Ship(name="x") for _ in range(12))
        assert "ships 12" in Visitor(ships).text("/")
        monkeypatch.setattr("cream_store.studio.app.MOST_COUNTED_AT_ONCE", 10)
        assert "ships more than 10" in Visitor(ships).text("/")

    def test_a_missing_table_is_said_to_be(self, ships: Store) -> None:
        ships.database.change("DROP TABLE ship_keys")
        assert "ship_keys not created" in Visitor(ships).text("/")

    def test_a_database_without_any_says_what_to_do(self, ships: Store) -> None:
        for table in ("ship_keys", "cargo", "ships", "harbours"):
            ships.database.change(f"DROP TABLE {table}")
        assert "cream-store db push creates them" in words(Visitor(ships).get("/"))


class TestCharts:
    def test_bars_are_as_long_as_their_values(self) -> None:
        drawn = draw_bars(BarChart("", [Bar("a", 0), Bar("b", 5), Bar("c", 10)]))
        assert [bar.width for bar in drawn.bars] == [0, drawn.bars[2].width / 2, drawn.bars[2].width]

    def test_a_scale_may_be_given(self) -> None:
        whole, half = (draw_bars(BarChart("", [Bar("a", 50)], top=top)).bars[0].width for top in (50, 100))
        assert half == whole / 2

    def test_nothing_but_zeros_has_no_length(self) -> None:
        assert [bar.width for bar in draw_bars(BarChart("", [Bar("a", 0)])).bars] == [0]

    def test_a_line_runs_from_edge_to_edge_between_round_values(self) -> None:
        points = [(NOON + timedelta(hours=i), Decimal(value)) for i, value in enumerate((103, 98, 121))]
        drawn = draw_line(LineChart("", points))
        assert [tick.text for tick in drawn.values] == ["90", "100", "110", "120", "130"]
        assert drawn.dots[0][0] == drawn.left
        assert drawn.dots[-1][0] == drawn.right
        assert drawn.dots[2][1] < drawn.dots[0][1] < drawn.dots[1][1], "more is higher"

    @pytest.mark.parametrize("values", [[0], [5, 5, 5], [-1, 1], [1e-9, 2e-9], [1e12, 1e12 + 1]])
    def test_any_values_have_a_place(self, values: list[float]) -> None:
        points = [(NOON + timedelta(hours=i), Decimal(repr(value))) for i, value in enumerate(values)]
        drawn = draw_line(LineChart("", points))
        assert all(0 <= y <= drawn.bottom for _, y in drawn.dots)
        assert len(drawn.values) >= 2

    def test_numbers_are_short(self) -> None:
        assert [number(Decimal(text)) for text in ("1234567.891", "0.10", "100", "-0.5")] == [
            "1,234,567.89",
            "0.1",
            "100",
            "-0.5",
        ]
