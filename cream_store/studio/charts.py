"""Where a chart's bars, lines and labels go, in the units of its drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from cream_store.studio.values import text_of
from cream_store.studio.views import Bar, BarChart, LineChart

WIDTH: Final = 400
_BAR_STEP: Final = 34
_LABELS: Final = 104  # width of the bars' labels
_VALUES: Final = 104  # width of what stands behind the longest bar
LONGEST_BAR: Final = WIDTH - _LABELS - _VALUES
_HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 14, 32
_LONGEST_LABEL: Final = 14  # characters
_MOST_DOTS: Final = 60


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """A bar, and the text behind it."""

    bar: Bar
    label: str
    y: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class DrawnBars:
    """A bar chart."""

    bars: Sequence[DrawnBar]
    height: float
    left: float = _LABELS


@dataclass(frozen=True, slots=True)
class Tick:
    """A value on an axis."""

    place: float
    text: str
    anchor: str = "end"


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """A line chart."""

    path: str
    area: str
    dots: Sequence[tuple[float, float]]
    values: Sequence[Tick]
    times: Sequence[Tick]
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = _HEIGHT - _BOTTOM


def draw_bars(chart: BarChart) -> DrawnBars:
    """The bars below each other, so that their labels have room."""
    top = float(chart.top if chart.top is not None else max((bar.value for bar in chart.bars), default=0)) or 1.0
    return DrawnBars(
        bars=[
            DrawnBar(
                bar=bar,
                label=_shortened(bar.label),
                y=i * _BAR_STEP + 4,
                width=round(LONGEST_BAR * min(max(float(bar.value) / top, 0), 1), 1),
                text=f"{number(bar.value)}{chart.unit}" + (f" ({bar.note})" if bar.note else ""),
            )
            for i, bar in enumerate(chart.bars)
        ],
        height=len(chart.bars) * _BAR_STEP + 4,
    )


def draw_line(chart: LineChart) -> DrawnLine:
    """The points in their places, between round values."""
    times = [moment.timestamp() for moment, _ in chart.points]
    values = [float(value) for _, value in chart.points]
    levels = _round_levels(min(values), max(values))
    first, span = times[0], times[-1] - times[0]

    def x(time: float) -> float:
        share = (time - first) / span if span else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - levels[0]) / ((levels[-1] - levels[0]) or 1.0)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    places = [(x(time), y(value)) for time, value in zip(times, values, strict=True)]
    path = " ".join(f"{'L' if i else 'M'}{place[0]} {place[1]}" for i, place in enumerate(places))
    bottom = _HEIGHT - _BOTTOM
    return DrawnLine(
        path=path,
        area=f"{path} L{places[-1][0]} {bottom} L{places[0][0]} {bottom} Z",
        dots=places if len(places) <= _MOST_DOTS else [],
        values=[Tick(y(level), number(Decimal(repr(level)))) for level in levels],
        times=_time_ticks([moment for moment, _ in chart.points], x),
    )


def number(value: Decimal | int) -> str:
    """A number as one reads it: thousands apart, at most two decimals, none that are zero."""
    rounded = round(Decimal(value), 2)
    text = f"{rounded:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _time_ticks(moments: Sequence[datetime], x: Callable[[float], float]) -> list[Tick]:
    """The first and the last moment, or the only one."""
    is_long = moments[-1] - moments[0] > timedelta(days=2)
    texts = [f"{moment:%Y-%m-%d}" if is_long else text_of(moment.replace(microsecond=0))[:16] for moment in moments]
    if moments[0] == moments[-1]:
        return [Tick(x(moments[0].timestamp()), texts[0], "middle")]
    return [
        Tick(x(moments[0].timestamp()), texts[0], "start"),
        Tick(x(moments[-1].timestamp()), texts[-1], "end"),
    ]


def _round_levels(least: float, most: float) -> list[float]:
    """Round numbers at equal distances, some five, from below the least value to above the most."""
    if least == most:
        margin = abs(least) * 0.05 or 1.0
        least, most = least - margin, most + margin
    rough = (most - least) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = math.floor(least / step)
    last = math.ceil(most / step)
    return [float(f"{level * step:.15g}") for level in range(first, last + 1)]
