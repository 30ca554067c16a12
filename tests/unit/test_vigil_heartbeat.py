"""The sign of life: when it beats, when it does not, and what it tells."""

from pathlib import Path

import pytest

from tocsin.capture.status import StreamState, StreamStatus
from tocsin.config.load import loads, warnings
from tocsin.deliver.event import Data, EventType
from tocsin.vigil.heartbeat import Heartbeat

LIVE, WAITING = (StreamStatus("yard", state, 0.0) for state in (StreamState.LIVE, StreamState.WAITING))
CONFIG = """
streams: [{{name: yard, source: /dev/video0, rules: [any]}}]
rules: [{{name: any, classes: [person]}}]
heartbeat: {every}
webhooks:
  - {{name: room, url: "https://h/", secret: {{env: ROOM}}, events: [{events}]}}
"""


def beats(every: float, times: list[float], *, stuck: bool = False) -> list[tuple[EventType, Data]]:
    said: list[tuple[EventType, Data]] = []
    heart = Heartbeat(every, lambda kind, data: said.append((kind, data)))
    for now in times:
        heart.turn(now, [LIVE, WAITING], stuck=stuck)
    return said


def test_it_beats_at_once_and_then_at_its_pace():
    """The first beat tells that the daemon has come, the others follow; each holds what the receiver waits by."""
    said = beats(60.0, [1000.0, 1000.5, 1059.9, 1060.0, 1060.5, 1200.0])
    assert [kind for kind, _ in said] == [EventType.TOCSIN_HEARTBEAT] * 3
    assert said[0][1].payload() == {"every_seconds": 60.0, "streams": 2, "streams_up": 1}


def test_it_is_off_unless_asked_for():
    """Without an interval nothing is said."""
    assert beats(0.0, [1000.0, 2000.0]) == []


def test_a_part_that_is_stuck_keeps_it_from_beating():
    """A daemon that does not watch gives no sign of life."""
    assert beats(60.0, [1000.0, 2000.0], stuck=True) == []


def test_another_pace_counts_from_the_last_beat():
    """A reload makes it beat sooner, later, not at all, or for the first time."""
    said: list[EventType] = []
    times: list[float] = []
    heart = Heartbeat(60.0, lambda kind, _: said.append(kind))
    paces = {1000.0: 60.0, 1010.0: 20.0, 1019.0: 20.0, 1020.0: 20.0, 1040.0: 60.0, 1080.0: 0.0, 2000.0: 30.0}
    for now, every in paces.items():
        heart.adopt(every)
        heart.turn(now, [LIVE], stuck=False)
        times += [now] * (len(said) - len(times))
    assert times == [1000.0, 1020.0, 2000.0]


@pytest.mark.parametrize(
    ("every", "events", "said"),
    [
        ("1m", "alarm.*, tocsin.heartbeat", None),
        ("0", "alarm.*", None),
        ("1m", "alarm.*", "heartbeat: no webhook's events hold tocsin.heartbeat, so nobody gets it"),
        ("0", "tocsin.heartbeat", "webhooks[0].events: tocsin.heartbeat is never sent, for heartbeat is 0"),
    ],
)
def test_a_heartbeat_for_nobody_is_a_warning(every: str, events: str, said: str | None):
    """What is sent to nobody, and what is waited for and never sent, is told by the check."""
    found = warnings(loads(CONFIG.format(every=every, events=events).encode(), name="f", folder=Path("/")))
    assert [text for text in found if "heartbeat" in text] == (
        [] if said is None else [f"{where(said)} {said}"]
    )


def where(said: str) -> str:
    return "f:4:" if said.startswith("heartbeat") else "f:6:"
