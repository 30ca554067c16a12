"""The dashboard as Grafana 10 and 11 read it: a function of `support.board`, and nothing else."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from support.board import ROWS
from support.panels import HEADINGS, Colour, Kind, Panel, Query, Row, Word

FILE = Path(__file__).parents[2] / "config" / "grafana" / "tocsin.json"
SCHEMA_VERSION = 38
"""Grafana 10.1's; later ones carry it over by themselves."""
COLUMNS = 24
LETTERS = "ABCDEFGHIJKL"
"""By which a panel's queries are called."""
SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}

Json = dict[str, Any]


def text() -> str:
    """Return the content of the file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def dashboard() -> Json:
    """Return the dashboard, with an input for the data source that is asked for when it is imported."""
    return {
        "__inputs": [
            {
                "name": "DS_PROMETHEUS",
                "label": "Prometheus",
                "description": "The Prometheus that scrapes Tocsin",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "__requires": _requires(),
        "id": None,
        "uid": "tocsin",
        "title": "Tocsin",
        "description": "Alarms, cameras, detector and delivery of Tocsin. Written by tests/dashboard.py.",
        "tags": ["tocsin"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "weekStart": "",
        "links": [],
        "annotations": {"list": []},
        "templating": {"list": list(_variables())},
        "panels": list(_panels(ROWS)),
    }


def places(panels: Sequence[Panel], y: int) -> Iterator[tuple[Panel, Json]]:
    """Yield each panel with its place: from left to right, and below where the line is full."""
    x = tallest = 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        yield panel, {"x": x, "y": y, "w": panel.width, "h": panel.height}
        x, tallest = x + panel.width, max(tallest, panel.height)


def _requires() -> list[Json]:
    kinds = sorted({panel.kind for row in ROWS for panel in row.panels})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.1.0"},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
    ]


def _variables() -> Iterator[Json]:
    # An import puts the source in place of every ${DS_PROMETHEUS}; a file that is provisioned is not asked, and
    # finds the default Prometheus by this variable.
    yield {
        "name": "DS_PROMETHEUS",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 2,
        "current": {},
        "options": [],
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "skipUrlSync": False,
    }
    yield _variable("instance", "Machine", 'label_values(up{job="tocsin"}, instance)')
    yield _variable("stream", "Camera", 'label_values(tocsin_stream_up{instance=~"$instance"}, stream)')


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*" if name == "instance" else None,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
        "skipUrlSync": False,
    }


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    number, y = 1, 0
    for row in rows:
        heading: Json = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        yield heading | ({"repeat": row.repeat, "repeatDirection": "h"} if row.repeat else {})
        number, y = number + 1, y + 1
        for panel, place in places(row.panels, y):
            yield _panel(number, panel, place)
            number, y = number + 1, max(y, place["y"] + place["h"])


def _panel(number: int, panel: Panel, place: Json) -> Json:
    shown: Json = {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            _target(letter, query, panel) for letter, query in zip(LETTERS, panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }
    if panel.bars:
        shown["interval"] = "1m"  # a bar is a minute at least
    if panel.kind is Kind.TABLE:
        shown["transformations"] = _joined(panel)
        shown["fieldConfig"]["overrides"] = [*_columns(panel)]
        del shown["fieldConfig"]["defaults"]["mappings"]
    return shown


def _target(letter: str, query: Query, panel: Panel) -> Json:
    now = panel.kind in (Kind.STAT, Kind.TABLE)
    return {
        "refId": letter,
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": now,
        "range": not now,
        "format": "table" if panel.kind is Kind.TABLE else "time_series",
    }


def _defaults(panel: Panel) -> Json:
    first = Colour.PLAIN if panel.kind is Kind.CURVES else Colour.FINE
    steps = [{"color": first, "value": None}, *({"color": c, "value": v} for v, c in panel.steps)]
    return {
        "unit": panel.unit,
        "noValue": panel.empty,
        "mappings": _mappings(panel.words),
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "palette-classic" if panel.kind is Kind.CURVES else "thresholds"},
        "custom": _custom(panel),
        **({"min": 0} if panel.kind is Kind.CURVES else {}),
    }


def _mappings(words: Sequence[Word]) -> list[Json]:
    return [
        {
            "type": "range",
            "options": {
                "from": word.low,
                "to": word.high,
                "result": {"text": word.text, "color": word.colour, "index": index},
            },
        }
        for index, word in enumerate(words)
    ]


def _custom(panel: Panel) -> Json:
    if panel.kind is Kind.CURVES:
        return {
            "drawStyle": "bars" if panel.bars else "line",
            "lineWidth": 0 if panel.bars else 2,
            "fillOpacity": 80 if panel.bars else 20 if panel.stacked else 5,
            "lineInterpolation": "linear",
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "axisPlacement": "auto",
            "axisSoftMin": 0,
        }
    if panel.kind is Kind.STATES:
        return {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
    if panel.kind is Kind.TABLE:
        return {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False}
    return {}


_OPTIONS: dict[Kind, Json] = {
    Kind.STAT: {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "value_and_name",
        "justifyMode": "auto",
        "orientation": "auto",
    },
    Kind.CURVES: {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Kind.STATES: {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "center",
        "rowHeight": 0.8,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single", "sort": "none"},
    },
    Kind.TABLE: {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "fields": ""},
    },
}


def heading(panel: Panel, index: int) -> str:
    """Return what Grafana calls the values of a table's query before it is renamed."""
    return "Value" if len(panel.queries) == 1 else f"Value #{LETTERS[index]}"


def _joined(panel: Panel) -> list[Json]:
    """Make one line of all queries' answers with the same labels."""
    names = {heading(panel, index): query.legend for index, query in enumerate(panel.queries) if query.legend}
    hidden = {own: True for own, name in names.items() if name in panel.hidden}
    hidden |= {name: True for name in panel.hidden if name not in names.values()}
    order = {name: index for index, name in enumerate((*HEADINGS, *names))}
    organize = {"excludeByName": hidden, "indexByName": order, "renameByName": HEADINGS | names}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]


def _columns(panel: Panel) -> Iterator[Json]:
    """Yield what is special about a column: its unit, or words in colour in place of its values."""
    yield _column(HEADINGS["severity"], _severity())
    for query in panel.queries:
        if query.legend and query.legend not in panel.hidden:
            yield _column(
                query.legend, [{"id": "unit", "value": query.unit}] if query.unit else _words(panel)
            )


def _severity() -> list[Json]:
    """Colour how bad an alert is."""
    words = {"critical": {"color": Colour.ACT, "index": 0}, "warning": {"color": Colour.LOOK, "index": 1}}
    return [{"id": "mappings", "value": [{"type": "value", "options": words}]}, _PAINTED]


def _column(name: str, properties: list[Json]) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _words(panel: Panel) -> list[Json]:
    return [
        {"id": "mappings", "value": _mappings(panel.words)},
        _PAINTED,
    ]


_PAINTED: Json = {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}}
