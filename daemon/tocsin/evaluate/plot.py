"""The figures of a run as a picture: recall over light, and over false alarms."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.style import context
from numpy.typing import NDArray

from tocsin.evaluate.look import Lane
from tocsin.evaluate.outcome import Column, Outcome
from tocsin.evaluate.report import Head
from tocsin.evaluate.scores import THRESHOLDS

Floats = NDArray[np.float64]

# Okabe and Ito's colours, which people who confuse red and green tell apart, each with a marker of its own.
_LOOKS = {
    "off": ("#000000", "o"),
    "guided": ("#0072B2", "s"),
    "dacot": ("#D55E00", "D"),
    "clahe2": ("#009E73", "^"),
    "clahe4": ("#56B4E9", "v"),
    "gamma100": ("#E69F00", "<"),
    "stretch": ("#CC79A7", ">"),
    "placebo": ("#8c8c8c", "X"),
}

_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}

_MARKED = (0.1, 0.3, 0.5, 0.7)
"""The thresholds that are written beside a curve."""

_TOGETHER = 5.0
"""Points of recall: texts that are nearer would lie on one another."""

_KEY, _LETTERS = 1.25, 12
"""Inches that one entry of the legend takes, and letters of the title that one inch does."""

_SPREAD, _APART = 0.6, 0.1
"""How much of the room of one condition all its variants take at most, and each of them."""


def draw(head: Head, outcome: Outcome) -> bytes:
    """Return a PNG: recall in each light, and where rules watched also over false alarms."""
    watched = any(rates is not None for rates in outcome.false_per_hour.values())
    left_wide = max(6.5, 1.5 + (0.35 + 0.13 * len(head.variants)) * len(head.conditions))
    with context(_STYLE):
        figure = Figure(figsize=(left_wide + (5.5 if watched else 0.0), 6.2), layout="constrained")
        FigureCanvasAgg(figure)
        if watched:
            left, right = figure.subplots(1, 2, width_ratios=[left_wide, 5.5])
            _over_false_alarms(right, head, outcome)
        else:
            left = figure.subplots()
        _over_light(left, head, outcome)
        wide = figure.get_figwidth()
        figure.legend(handles=_keys(head.variants), loc="outside lower center", ncols=int(wide / _KEY))
        figure.suptitle(
            "\n".join(_title(head, outcome, int(wide * _LETTERS))), fontsize=10, x=0.01, ha="left"
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _title(head: Head, outcome: Outcome, wide: int) -> list[str]:
    """Say what was measured, with what, and against whose labels."""
    footage = ", ".join(Path(one.name).name for one in outcome.footage if not one.negative)
    counts = next(iter(outcome.columns.values())).scores.overall
    what = head.classes[0] if len(head.classes) == 1 else "object"
    asked = (
        f"How many labelled objects ({what}) {head.model} finds in {footage}: {counts.frames} pictures,"
        f" {counts.positives} objects, score {head.score:g}, IoU {head.iou:g}"
    )
    lines = [asked, f"labels: {'; '.join(head.labels)}"]
    if len(head.conditions) > 1:
        lines.append("All light but the first is simulated.")
    if outcome.interrupted:
        lines.append("Interrupted: only a part was looked at.")
    return [part for line in lines for part in textwrap.wrap(line, wide)]


def _keys(variants: Sequence[str]) -> list[Line2D]:
    """Return the entries of the legend, which stands for both sides."""
    return [
        Line2D([], [], color=_LOOKS[variant][0], marker=_LOOKS[variant][1], markersize=6, label=variant)
        for variant in variants
    ]


def _over_light(axes: Axes, head: Head, outcome: Outcome) -> None:
    for number, variant in enumerate(head.variants):
        columns = [outcome.columns[Lane(condition, variant)] for condition in head.conditions]
        shift = min(_SPREAD / len(head.variants), _APART) * (number + 0.5 - len(head.variants) / 2)
        places = [place + shift for place in range(len(columns))]
        recalls = [_percent(column.scores.overall.recall) for column in columns]
        colour, marker = _LOOKS[variant]
        # the line only leads the eye: there is nothing between two kinds of light
        axes.plot(places, recalls, color=colour, linewidth=1, alpha=0.4)
        axes.errorbar(
            places,
            recalls,
            yerr=_errors(columns, recalls),
            color=colour,
            marker=marker,
            markersize=5,
            linestyle="none",
            elinewidth=1,
            capsize=2,
        )
    axes.set_xticks(
        range(len(head.conditions)), head.conditions, rotation=30, ha="right", rotation_mode="anchor"
    )
    axes.set_xlim(-0.5, len(head.conditions) - 0.5)
    axes.set_ylim(top=100.5)
    axes.grid(visible=False, axis="x")
    for place in range(1, len(head.conditions)):
        axes.axvline(place - 0.5, color="#e4e4e4", linewidth=0.8)
    axes.set_ylabel("recall in %, with its 95 % interval")
    axes.set_title("in each light", loc="left", fontsize=11)


def _errors(columns: Sequence[Column], recalls: Sequence[float]) -> list[list[float]]:
    """Return how far the intervals reach below and above; not at all where there is none."""
    reach = []
    for column, recall in zip(columns, recalls, strict=True):
        low, high = column.recall.low, column.recall.high
        reach.append((0.0, 0.0) if low is None or high is None else (recall - 100 * low, 100 * high - recall))
    return [[max(below, 0.0) for below, _ in reach], [max(above, 0.0) for _, above in reach]]


def _percent(share: float | None) -> float:
    return float("nan") if share is None else 100 * share


def _over_false_alarms(axes: Axes, head: Head, outcome: Outcome) -> None:
    condition = head.conditions[0]
    for number, variant in enumerate(head.variants):
        lane = Lane(condition, variant)
        rates = outcome.false_per_hour[lane]
        if rates is None:
            continue
        colour, marker = _LOOKS[variant]
        recalls = 100 * outcome.columns[lane].scores.at_thresholds()[0]
        # curves that lie on one another stay visible: the first are the widest
        wide = 1.2 + 0.8 * (len(head.variants) - 1 - number)
        axes.plot(rates, recalls, color=colour, linewidth=wide, alpha=0.8, solid_capstyle="round")
        marked = [THRESHOLDS.index(threshold) for threshold in _MARKED]
        axes.plot(rates[marked], recalls[marked], color=colour, marker=marker, markersize=5, linestyle="none")
        if variant == ("guided" if "guided" in head.variants else head.variants[0]):
            _write_thresholds(axes, rates, recalls, colour)
    negative = any(footage.negative for footage in outcome.footage)
    hours = _hours(outcome, Lane(condition, head.variants[0]), negative=negative)
    where = "on negative footage" if negative else "beside labelled objects"
    axes.set_xlabel(f"false alarms an hour {where} (one in {hours * 3600:.0f} s is {1 / hours:.3g})")
    axes.set_ylabel("recall in %")
    widest = max(float(rates.max()) for rates in outcome.false_per_hour.values() if rates is not None)
    widest = max(widest, 1 / hours)  # where none was raised, what one would have been gives the scale
    axes.set_xlim(-0.05 * widest, 1.25 * widest)
    axes.set_ylim(top=100.5)
    axes.set_title(f"over the score threshold, {condition}", loc="left", fontsize=11)


def _hours(outcome: Outcome, lane: Lane, *, negative: bool) -> float:
    """Return for how long a rule could have raised a false alarm."""
    alarms = outcome.columns[lane].alarms.values()
    return max(one.negative_hours if negative else one.hours for one in alarms)


def _write_thresholds(axes: Axes, rates: Floats, recalls: Floats, colour: str) -> None:
    """Write the marked thresholds beside their points; those that lie together share one text."""
    texts: list[tuple[float, float, str]] = []
    for threshold in _MARKED:
        index = THRESHOLDS.index(threshold)
        rate, recall = float(rates[index]), float(recalls[index])
        if texts and texts[-1][0] == rate and abs(texts[-1][1] - recall) < _TOGETHER:
            texts[-1] = rate, texts[-1][1], f"{texts[-1][2]}, {threshold:g}"
        else:
            texts.append((rate, recall, f"{threshold:g}"))
    for rate, recall, text in texts:
        axes.annotate(
            text, (rate, recall), xytext=(8, -14), textcoords="offset points", color=colour, fontsize=9
        )
