"""The dashboard's file: it is what `support.board` says, and names only what the daemon has."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import grafana
from support.board import ROWS
from support.panels import Kind, Panel, Query, asked
from support.rules import RULES, promtool
from tocsin.metrics import COUNTERS, GAUGES, HISTOGRAMS

BOARD: dict[str, Any] = json.loads(grafana.FILE.read_text(encoding="utf-8"))
PANELS: dict[str, Panel] = {panel.title: panel for row in ROWS for panel in row.panels}
QUERIES: list[Query] = [query for row in ROWS for panel in row.panels for query in panel.queries]

PLAIN = {f"tocsin_{name}": frozenset(axis.labels) for name, axis, _ in (*GAUGES, *COUNTERS)}
BUCKETED = {f"tocsin_{name}": frozenset(axis.labels) for name, axis, *_ in HISTOGRAMS}
LABELS: Mapping[str, frozenset[str]] = {
    **PLAIN,
    **{f"{name}_{part}": labels for name, labels in BUCKETED.items() for part in ("sum", "count")},
    **{f"{name}_bucket": labels | {"le"} for name, labels in BUCKETED.items()},
}
OWN = {"instance", "job"}
"""What Prometheus puts to every series."""

NOT_SHOWN = {
    "tocsin_stream_connects_total": "each but the first follows a connection that broke, which is shown",
    "tocsin_stream_clock_offset_seconds": "nothing is decided by a camera's clock, and most tell none",
    "tocsin_light_infrared": "day or night, which calls for nothing",
    "tocsin_http_open_connections": "who reads this; their number has a bound",
    "tocsin_http_requests_total": "who reads this; who guesses passwords stands in the log",
    "tocsin_evidence_seconds": "how long a picture takes; that there is none is shown",
    "tocsin_evidence_removed_total": "what is removed in time is as it should be, a full disk is shown",
    "tocsin_light_seconds": "the mean of all cameras is shown as the stage light",
}
"""Metrics that no panel and no alert uses, and why nobody misses them there."""


def test_the_file_is_what_its_source_makes_of_it() -> None:
    """`python tests/dashboard.py` was run after the last change of the panels."""
    assert grafana.FILE.read_text(encoding="utf-8") == grafana.text()


def test_it_can_be_imported_into_grafana_10_and_11() -> None:
    """It asks for its data source, has no database id, and uses no type of panel that either has given up."""
    assert [one["name"] for one in BOARD["__inputs"]] == ["DS_PROMETHEUS"]
    assert BOARD["id"] is None
    assert BOARD["schemaVersion"] == 38
    assert {panel["type"] for panel in BOARD["panels"]} <= {*Kind, "row"}
    sources = {panel["datasource"]["uid"] for panel in BOARD["panels"] if panel["type"] != "row"}
    assert sources == {"${DS_PROMETHEUS}"}
    assert {one["name"] for one in BOARD["templating"]["list"]} == {"DS_PROMETHEUS", "instance", "stream"}


def test_no_panel_lies_on_another() -> None:
    """Panels have numbers of their own, and a place of their own within the 24 columns."""
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for one, other in combinations(BOARD["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), f"{one['title']} lies on {other['title']}"
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= grafana.COLUMNS for p in BOARD["panels"])


def test_each_row_of_cameras_is_that_of_one() -> None:
    """The last heading and what is below it comes once for each camera that is chosen."""
    headings = [panel for panel in BOARD["panels"] if panel["type"] == "row"]
    assert [one.get("repeat") for one in headings] == [None] * (len(headings) - 1) + ["stream"]


@pytest.mark.parametrize("title", PANELS)
def test_each_panel_explains_itself(title: str) -> None:
    """A sentence says what it shows, and every value of a state has a word."""
    panel = PANELS[title]
    assert re.fullmatch(r"[A-Z].{20,}\.", panel.description)
    assert panel.unit
    assert panel.words or panel.kind is not Kind.STATES


def test_titles_are_told_from_each_other() -> None:
    """A person who is asked on the telephone what a panel says can be understood."""
    assert len(PANELS) == sum(len(row.panels) for row in ROWS)


def test_each_query_is_understood(tmp_path: Path) -> None:
    """Prometheus' own parser takes every one."""
    rules = [{"record": f"query_{number}", "expr": asked(query)} for number, query in enumerate(QUERIES)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    assert f"{len(QUERIES)} rules found" in promtool("check", "rules", file)


@pytest.mark.parametrize("expr", sorted({query.expr for query in QUERIES}))
def test_each_query_names_what_the_daemon_has(expr: str) -> None:
    """Its metrics are declared, with the labels by which it chooses and sums."""
    chosen = dict(_selectors(expr))
    assert chosen.keys() <= {*LABELS, "up", "ALERTS", *_of_the_process(chosen)}
    for metric, labels in chosen.items():
        if metric in LABELS:
            assert labels <= LABELS[metric] | OWN, metric
    known = set().union(*(LABELS[metric] for metric in chosen if metric in LABELS)) | OWN
    summed = {
        word.strip() for words in re.findall(r"\b(?:by|on) \(([^)]+)\)", expr) for word in words.split(",")
    }
    assert summed <= known


def test_nothing_that_an_operator_needs_is_left_out() -> None:
    """Every metric is on a panel or in an alert, or there is a reason."""
    rules = RULES.read_text(encoding="utf-8")
    shown = {metric for query in QUERIES for metric, _ in _selectors(query.expr)}
    shown |= set(re.findall(r"\btocsin_\w+", rules))
    shown = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in shown}
    assert (PLAIN | BUCKETED).keys() - shown == NOT_SHOWN.keys()


def test_the_picture_is_small_enough_for_every_page_that_shows_it() -> None:
    """It is a PNG of less than 300 KB."""
    picture = grafana.FILE.with_suffix(".png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 300_000


def _selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric of an expression with the labels by which its series are chosen."""
    for metric, matchers in re.findall(r"\b([a-zA-Z_]\w*)\{(.*?)\}", expr):
        yield metric, set(re.findall(r"(\w+)(?:=~|!=|=)", matchers))


def _of_the_process(metrics: Mapping[str, set[str]]) -> set[str]:
    return {metric for metric in metrics if metric.startswith("process_")}


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
