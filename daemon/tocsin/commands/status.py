"""`tocsin status`: streams, detector, active alarms and queues of the running daemon."""

import json
from typing import Any

from rich.console import Console

from tocsin.asking import DEFAULT_CONFIG, ConfigOption, JsonOption, ask, console_of, local, table_of, tail
from tocsin.footage.shown import shown

_SHOWN = 500  # characters of a cell

_TABLES = {
    "streams": {
        "stream": "stream",
        "state": "state",
        "for_seconds": "for (s)",
        "picture": "picture",
        "last_frame_age_seconds": "age (s)",
        "fps": "fps",
        "frames_analysed": "analysed",
        "why": "why",
    },
    "alarms": {
        "stream": "stream",
        "rule": "rule",
        "severity": "severity",
        "class": "class",
        "score": "score",
        "zone": "zone",
        "opened": "since",
        "verdict": "verdict",
        "marks": "",
        "alarm_id": "id",
    },
    "silences and walk tests": {
        "kind": "kind",
        "stream": "stream",
        "rule": "rule",
        "until": "until",
        "by": "by",
        "why": "why",
        "id": "id",
    },
    "withheld": {
        "stream": "stream",
        "rule": "rule",
        "reason": "reason",
        "count": "alarms not raised",
    },
    "queues": {
        "webhook": "webhook",
        "configured": "configured",
        "queued": "waiting",
        "oldest_age_seconds": "oldest (s)",
        "dead": "given up",
    },
}
"""The columns of each table, and their headings."""

_ALWAYS = ("streams", "alarms", "queues")
"""The tables that are missed where they are empty."""


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show streams, detector, active alarms and queues of the running daemon.

    Example: tocsin status --config /etc/tocsin/tocsin.yaml
    """
    answer = ask(config, "status")
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        show(console_of(), answer)


def show(console: Console, answer: dict[str, Any]) -> None:
    """Print an answer of the daemon, be it of this version or of the one before."""
    detector = answer["detector"]
    accelerated = detector["accelerated"]
    share = f", {accelerated} of {detector['nodes']} nodes on it" if accelerated else ""
    console.print(f"detector  {detector['model']} on {detector['provider']} ({detector['device']}{share})")
    for one in detector["degraded"]:
        where = "".join(f", {one[word]}" for word in ("stream", "rule") if one[word])
        console.print(f"          degraded ({one['reason']}{where}): {shown(one['why'], _SHOWN)}")
    console.print(f"metrics   port {answer['port']}")
    answer = answer | {
        "streams": [one | _in_words(one) for one in answer["streams"]],
        "alarms": [
            one
            | {
                "opened": local(one["opened"]),
                "marks": _marks(one),
                "alarm_id": tail(one["alarm_id"]),
                "score": None if one["score"] is None else f"{one['score']:.2f}",
            }
            for one in answer["alarms"]
        ],
        "silences and walk tests": [
            one | {"until": local(one["until"]), "id": tail(one["id"])} for one in answer.get("overrides", [])
        ],
        "queues": [one | {"configured": "yes" if one["configured"] else "no"} for one in answer["queues"]],
    }
    for title, columns in _TABLES.items():
        if answer.get(title):  # a daemon from before an update does not know all
            console.print()
            console.print(table_of(answer[title], columns, _SHOWN, title))
        elif title in _ALWAYS:
            console.print(f"\nno {title}")


def _marks(alarm: dict[str, Any]) -> str:
    return "silenced" if alarm.get("silenced") else "test" if alarm.get("test") else ""


def _in_words(stream: dict[str, Any]) -> dict[str, str]:
    """Return what the table says in fewer columns than the stream has values."""
    known = (stream[word] for word in ("codec", "size", "transport", "decoder"))
    retry = stream["retry_in_seconds"]
    word = f"{stream['fault']}: " if stream["fault"] else ""  # as metrics, log and runbook have it
    again = "" if retry is None else f"; next try in {retry:.0f} s"
    return {"picture": " ".join(one for one in known if one), "why": f"{word}{stream['why']}{again}"}
