"""In which order a daemon may tell events, over all its lives."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

BEGINS = {
    "alarm.raised": "alarm.ended",
    "stream.down": "stream.up",
    "delivery.paused": "delivery.resumed",
    "detector.degraded": "detector.restored",
}
ABOUT = {
    "alarm": ("stream", "rule"),
    "stream": ("stream",),
    "delivery": ("webhook",),
    "detector": ("reason", "stream", "rule"),
}
"""The fields by which a beginning and its end find each other."""

Told = tuple[str, str | None, Mapping[str, Any]]
"""The type of an event, the alarm that it is about if there is one, and its data."""


def check_order(told: Sequence[Told], left: Collection[str]) -> None:
    """Fail unless what begins ends before it begins again; of an alarm that is the same one.

    `left` are the alarms that the daemon holds open after the last of the events.
    """
    lines: dict[tuple[str, ...], list[tuple[str, str | None]]] = {}
    for kind, alarm, data in told:
        if kind in BEGINS or kind in BEGINS.values():
            what = kind.partition(".")[0]
            about = what, *(str(data.get(word)) for word in ABOUT[what])
            lines.setdefault(about, []).append((kind, alarm))
    for about, events in lines.items():
        for before, after in pairwise([("", None), *events]):
            fits = after[0] in BEGINS if before[0] not in BEGINS else after == (BEGINS[before[0]], before[1])
            assert fits, f"{about}: {before} and then {after}"
    still = {events[-1][1] for events in lines.values() if events[-1][0] == "alarm.raised"}
    assert still == set(left), f"open are {left}, and told to be open {still}"
