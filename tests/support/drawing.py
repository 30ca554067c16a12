"""The dashboard as a picture: the same panels, places and queries, drawn from a Prometheus as Grafana would."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from support import grafana
from support.board import CAMERA
from support.panels import HEADINGS, Colour, Kind, Panel, Query, Row, asked
from support.prometheus import Prometheus

WIDTH, CELL, GAP, DPI = 1440, 36, 6, 100
"""Pixels: of the picture, of a unit of height, between panels; and of an inch."""
COLOURS = 96
"""Of the file, which is a fourth of the size of one with all."""
PAGE, PAPER, INK, FAINT = "#eceef1", "#ffffff", "#22252b", "#6b7280"
PAINTS = {Colour.FINE: "#3d9a50", Colour.LOOK: "#e8821e", Colour.ACT: "#d0312d", Colour.PLAIN: "#4a78c2"}
# Okabe and Ito's colours, which people who confuse red and green tell apart.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6b7280", "#F0E442")

Curve = list[tuple[float, float]]
Row_ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: the last `seconds` of a Prometheus, and the camera whose own row is drawn."""

    prometheus: Prometheus
    seconds: float
    stream: str
    interval: int = 15
    at: float = field(default_factory=lambda: float(int(time.time())))
    """When it is looked at: one time for all panels."""

    def history(self, query: Query, stream: str = ".*") -> list[tuple[str, Curve]]:
        """Return the name and curve of each series of a query."""
        found = self.prometheus.history(self._asked(query, stream), self.seconds, self.at)
        return sorted((named(query, labels), curve) for labels, curve in found)

    def now(self, query: Query) -> list[tuple[dict[str, str], float]]:
        """Return what a query says at this moment."""
        return self.prometheus.query(self._asked(query, ".*"), self.at)

    def _asked(self, query: Query, stream: str) -> str:
        every = f"{self.interval}s"
        return asked(
            query, rate_interval=every, interval=every, stream=stream, whole=f"{round(self.seconds)}s"
        )


def draw(rows: Sequence[Row], look: Look, to: Path) -> None:
    """Draw the rows one below the other into a PNG file."""
    placed = list(_placed(rows))
    height = max(place["y"] + place["h"] for _, place in placed) * CELL + GAP
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAGE)
    for what, place in placed:
        if isinstance(what, Row):
            top = 1 - (place["y"] + 0.55) * CELL / height
            title = what.title.replace("$stream", look.stream)
            figure.text(2 * GAP / WIDTH, top, title, size=13, weight="bold", color=INK, va="center")
        else:
            _panel(figure, what, place, height, look)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(COLOURS).save(to, optimize=True)


def _placed(rows: Sequence[Row]) -> Iterator[tuple[Row | Panel, dict[str, int]]]:
    y = 0
    for row in rows:
        yield row, {"x": 0, "y": y, "w": grafana.COLUMNS, "h": 1}
        y += 1
        for panel, place in grafana.places(row.panels, y):
            yield panel, place
            y = max(y, place["y"])
        y += row.panels[-1].height


def _panel(figure: Figure, panel: Panel, place: dict[str, int], height: float, look: Look) -> None:
    """Draw the paper, the title and what is on it."""
    column = (WIDTH - GAP) / grafana.COLUMNS
    x, w = GAP + place["x"] * column, place["w"] * column - GAP
    y, h = height - (place["y"] + place["h"]) * CELL, place["h"] * CELL - GAP

    def box(left: float, below: float, right: float, above: float) -> tuple[float, float, float, float]:
        return (
            (x + left) / WIDTH,
            (y + below) / height,
            (w - left - right) / WIDTH,
            (h - below - above) / height,
        )

    paper = figure.add_axes(box(0, 0, 0, 0), facecolor=PAPER)
    paper.set(xticks=[], yticks=[], xlim=(0, w), ylim=(0, h))
    for spine in paper.spines.values():
        spine.set_color("#d5d9df")
    paper.text(9, h - 9, panel.title, size=9.5, weight="bold", color=INK, va="top")
    if panel.kind in (Kind.STAT, Kind.TABLE):
        axes = figure.add_axes(box(8, 8, 8, 28))
        axes.set(xticks=[], yticks=[], xlim=(0, w - 16), ylim=(0, h - 36), frame_on=False)
    else:
        margin = 132 if panel.kind is Kind.STATES else 54
        axes = figure.add_axes(box(margin, 58 if panel.kind is Kind.CURVES else 24, 12, 30))
    _KINDS[panel.kind](axes, panel, look)


def _stat(axes: Axes, panel: Panel, look: Look) -> None:
    """Draw a tile for each series."""
    found = [(named(q, labels), value) for q in panel.queries for labels, value in look.now(q)]
    tiles = found or [("", math.nan)]
    width, height = axes.get_xlim()[1] / len(tiles), axes.get_ylim()[1]
    for number, (name, value) in enumerate(tiles):
        said, colour = judged(panel, value) if found else (panel.empty, Colour.FINE)
        left = number * width
        axes.add_patch(
            Rectangle((left, 0), width - (2 if len(tiles) > 1 else 0), height, color=PAINTS[colour])
        )
        size = min(24.0, 1.0 * width / max(len(said), 4), height / 3.2)
        axes.text(left + width / 2, height * (0.6 if name else 0.5), said, size=size, weight="bold", color="white",
                  ha="center", va="center")  # fmt: skip
        axes.text(left + width / 2, height * 0.2, name, size=9, color="white", ha="center", va="center")


def _curves(axes: Axes, panel: Panel, look: Look) -> None:
    """Draw lines, or what lies on each other, over time."""
    found = [pair for query in panel.queries for pair in look.history(query, _of(panel, look))]
    _time_axis(axes, look)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e6e8ec", linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, panel.unit)))
    if not found:
        axes.text(0.5, 0.5, panel.empty, transform=axes.transAxes, ha="center", color=FAINT, size=10)
        axes.set_yticks([])
        return
    grid, values = _aligned([curve for _, curve in found], look, look.interval if panel.bars else 1)
    floor = np.zeros(len(grid))
    for colour, (_, _), column in zip(cycle(PALETTE), found, values, strict=False):
        if panel.bars:
            axes.bar(grid, np.nan_to_num(column), look.interval * 0.8, floor, color=colour)
        elif panel.stacked:
            axes.fill_between(
                grid, floor, floor + np.nan_to_num(column), color=colour, alpha=0.75, linewidth=0
            )
        else:
            axes.plot(grid, column, color=colour, linewidth=1.5)
        floor = floor + np.nan_to_num(column) if panel.stacked else floor
    top = max(floor.max(), 0.0 if panel.stacked else float(np.nanmax(np.nan_to_num(np.array(values)))))
    axes.set_ylim(0, top * 1.1 or 1)
    _legend(axes, [name for name, _ in found], values)


def _states(axes: Axes, panel: Panel, look: Look) -> None:
    """Draw a bar for each series, in the colours of its states."""
    found = [pair for query in panel.queries for pair in look.history(query, _of(panel, look))]
    _time_axis(axes, look)
    for line, (_, curve) in enumerate(found):
        for begin, end, value in runs(curve):
            said, colour = judged(panel, value)
            axes.barh(line, end - begin, left=begin, height=0.7, color=PAINTS[colour])
            if end - begin > 0.011 * len(said) * look.seconds:
                axes.text((begin + end) / 2, line, said, color="white", size=8.5, ha="center", va="center")
    axes.set_yticks(range(len(found)), [name for name, _ in found], size=9, color=INK)
    axes.set_ylim(len(found) - 0.5, -0.5)


def _table(axes: Axes, panel: Panel, look: Look) -> None:
    """Draw the lines of a table, and a heading above them."""
    lines = joined(panel, look)
    width, height = axes.get_xlim()[1], axes.get_ylim()[1]
    if not lines:
        axes.text(width / 2, height / 2, panel.empty, ha="center", va="center", color=FAINT, size=11)
        return
    used = dict.fromkeys(name for line in lines for name in line)
    headings = [
        *(name for name in HEADINGS if name in used),
        *(name for name in used if name not in HEADINGS),
    ]
    titles = [HEADINGS.get(name, name) for name in headings]
    units = {query.legend: query.unit for query in panel.queries}
    texts = [[_cell(panel, units, name, line.get(name)) for name in headings] for line in lines]
    weights = [
        max(len(titles[n]) * 1.08, *(len(line[n][0]) for line in texts)) + 2.2 for n in range(len(headings))
    ]
    edges = np.cumsum([0, *weights]) * width / sum(weights)
    step = min(27.0, height / (len(lines) + 1))
    size = min(9.5, 1.45 * width / sum(weights))
    for n, name in enumerate(titles):
        axes.text(
            edges[n] + 4, height - step / 2, name, size=size, color="#2f5fa8", weight="bold", va="center"
        )
        for number, line in enumerate(texts):
            y = height - (number + 1.5) * step
            said, colour = line[n]
            if colour:
                axes.add_patch(
                    Rectangle(
                        (edges[n], y - step / 2 + 2),
                        edges[n + 1] - edges[n] - 6,
                        step - 4,
                        color=PAINTS[colour],
                    )
                )
            axes.text(edges[n] + 4, y, said, size=size, color="white" if colour else INK, va="center")
    for number in range(len(lines) + 1):
        axes.axhline(height - (number + 1) * step, color="#e6e8ec", linewidth=0.8)


_KINDS: dict[Kind, Callable[[Axes, Panel, Look], None]] = {
    Kind.STAT: _stat,
    Kind.CURVES: _curves,
    Kind.STATES: _states,
    Kind.TABLE: _table,
}


def _cell(panel: Panel, units: dict[str, str], name: str, value: Any) -> tuple[str, Colour | None]:
    if value is None:
        return "", None
    if name in units and not units[name]:
        return judged(panel, value)
    if name == "severity":
        return value, Colour.ACT if value == "critical" else Colour.LOOK
    return (written(value, units[name]) if name in units else value), None


def joined(panel: Panel, look: Look) -> list[Row_]:
    """Return the lines of a table, each made of the answers that agree in the labels which both have."""
    lines: list[tuple[dict[str, str], Row_]] = []
    for index, query in enumerate(panel.queries):
        name = query.legend or grafana.heading(panel, index)
        for carried, value in look.now(query):
            labels = {key: word for key, word in carried.items() if key not in panel.hidden}
            fit = next((one for one in lines if _agree(one[0], labels) and name not in one[1]), None)
            if fit is None:
                fit = labels, {}
                lines.append(fit)
            fit[0].update(labels)
            fit[1].update(labels)
            if name not in panel.hidden:
                fit[1][name] = value
    return [line for _, line in sorted(lines, key=lambda one: sorted(one[0].items()))]


def _agree(one: dict[str, str], other: dict[str, str]) -> bool:
    return all(one[key] == other[key] for key in one.keys() & other.keys())


def judged(panel: Panel, value: float) -> tuple[str, Colour]:
    """Return what is written for a value, and in which colour."""
    for word in panel.words:
        if word.low <= value <= word.high:
            return word.text, word.colour
    colour = Colour.FINE
    for step, above in panel.steps:
        colour = above if value >= step else colour
    return written(value, panel.unit), colour


def named(query: Query, labels: dict[str, str]) -> str:
    """Return the legend with the values of its labels."""
    text = query.legend
    for label, value in labels.items():
        text = text.replace("{{" + label + "}}", value)
    return text


def written(value: float, unit: str) -> str:
    """Return a number as Grafana writes it in this unit."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "dateTimeFromNow":
        return f"{written(time.time() - value / 1000, 's')} ago"
    for size, word in _SIZES.get(unit, ()):
        if abs(value) >= size:
            return f"{value / size:.3g} {word}"
    return "0" if value == 0 else f"{value:.3g}"


_SIZES = {
    "s": ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-9, "µs")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")),
    "short": ((1e6, "Mil"), (1e3, "K")),
}


def runs(curve: Curve) -> Iterator[tuple[float, float, float]]:
    """Yield begin, end and value of each stretch of a curve in which it does not change."""
    begin, last = curve[0]
    for at, value in curve[1:]:
        if value != last:
            yield begin, at, last
            begin, last = at, value
    yield begin, curve[-1][0], last


def _of(panel: Panel, look: Look) -> str:
    """Return the cameras that a panel is about: the one whose row it is in, or all."""
    return look.stream if panel in CAMERA.panels else ".*"


def _aligned(curves: Sequence[Curve], look: Look, step: int) -> tuple[Any, list[Any]]:
    """Return times `step` seconds apart up to now, and the value of each curve there, or NaN."""
    grid = look.at - np.arange(0, int(look.seconds), step)[::-1]
    tables = [{round(at): value for at, value in curve} for curve in curves]
    return grid, [np.array([table.get(round(at), math.nan) for at in grid]) for table in tables]


def _time_axis(axes: Axes, look: Look) -> None:
    now = look.at
    axes.set_xlim(now - look.seconds, now)
    narrow = axes.get_position().width < 0.2
    apart = 60 * math.ceil(look.seconds / 60 / (3 if narrow else 6))
    ticks = np.arange(math.ceil((now - look.seconds) / apart) * apart, now, apart)
    axes.set_xticks(ticks, [time.strftime("%H:%M", time.localtime(at)) for at in ticks], size=8, color=FAINT)
    axes.tick_params(length=0, labelsize=8, labelcolor=FAINT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#d5d9df")


def _legend(axes: Axes, names: Sequence[str], values: Sequence[Any]) -> None:
    """Name the curves below, those that are never more than 0 not."""
    worth = [np.nanmax(np.nan_to_num(column)) > 0 for column in values]
    handles = [
        Rectangle((0, 0), 1, 1, color=colour)
        for colour, name, told in zip(cycle(PALETTE), names, worth, strict=False)
        if told or len(names) < 4
    ]
    shown = [name for name, told in zip(names, worth, strict=True) if told or len(names) < 4]
    widest = max((len(name) for name in shown), default=1)
    columns = int(axes.get_position().width * WIDTH / (6 * widest + 24))
    axes.legend(handles, shown, loc="upper left", bbox_to_anchor=(-0.06, -0.1), ncols=max(1, columns),
                frameon=False, fontsize=8, labelcolor=INK, handlelength=0.9, handleheight=0.9, columnspacing=1.2,
                labelspacing=0.25)  # fmt: skip
