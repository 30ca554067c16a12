"""What panels are made of: queries, words for their values, and the expressions that recur.

`support.board` has the panels, `support.grafana` turns them into JSON, `support.drawing` into a picture.
"""

from dataclasses import dataclass
from enum import StrEnum

I = 'instance=~"$instance"'  # noqa: E741 - short, since every query has it
S = f'{I}, stream=~"$stream"'


HEADINGS = {
    "severity": "how bad",
    "alertname": "alert",
    "stream": "camera",
    "rule": "rule",
    "webhook": "webhook",
    "instance": "machine",
}
"""What the columns of a table are called that are labels, in their order before all others."""


class Kind(StrEnum):
    """Grafana's types of panels that are used here."""

    STAT = "stat"
    CURVES = "timeseries"
    STATES = "state-timeline"
    TABLE = "table"


class Colour(StrEnum):
    """Few, and always with the same meaning: fine, look at it, act, and a thing without a judgement."""

    FINE = "green"
    LOOK = "orange"
    ACT = "red"
    PLAIN = "blue"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and how one of its series is called; in a table the heading of its column."""

    expr: str
    legend: str = ""
    unit: str = ""
    """The column's own, in a table."""


@dataclass(frozen=True, slots=True)
class Word:
    """What is written, in which colour, in place of a value from `low` to `high`."""

    low: float
    high: float
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; `width` of 24 columns, `height` of 30 pixels, `steps` where the colour of a value"
    " changes."""

    title: str
    kind: Kind
    description: str
    queries: tuple[Query, ...]
    width: int = 6
    height: int = 7
    unit: str = "short"
    steps: tuple[tuple[float, Colour], ...] = ()
    words: tuple[Word, ...] = ()
    empty: str = "nothing"
    """What stands there when the query has no answer."""
    bars: bool = False
    stacked: bool = False
    hidden: tuple[str, ...] = ()
    """Labels of a table that are no column."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, from left to right; `repeat` is the variable with a row for each of its"
    " values."""

    title: str
    panels: tuple[Panel, ...]
    repeat: str = ""


def asked(
    query: Query,
    *,
    rate_interval: str = "10s",
    interval: str = "1m",
    stream: str = ".*",
    whole: str = "3h",
) -> str:
    """Return the expression as Grafana sends it for all machines and these choices; `whole`: all that is shown."""
    chosen = {
        "$__range": whole,
        "$__rate_interval": rate_interval,
        "$__interval": interval,
        "$instance": ".*",
        "$stream": stream,
    }
    expr = query.expr
    for variable, value in chosen.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, f"a variable is left in {expr}"
    return expr


def quantile(q: float, metric: str, by: str, labels: str) -> str:
    """Return the expression of a quantile of a histogram."""
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def mean(metric: str, by: str, labels: str) -> str:
    """Return the expression of the mean of a histogram; none where nothing was observed."""
    total, count = (
        f"sum by ({by}) (rate({metric}_{part}{{{labels}}}[$__rate_interval]))" for part in ("sum", "count")
    )
    return f"{total} / ({count} > 0)"


def rate(metric: str, by: str, labels: str) -> str:
    """Return the expression of the increase a second."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def increase(metric: str, by: str, labels: str) -> str:
    """Return the expression of whole events, each counted in one bar."""
    return f"round(sum by ({by}) (increase({metric}{{{labels}}}[$__interval])))"
