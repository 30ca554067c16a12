"""What events are made of: identities, types, and the bytes of their bodies."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.events import ALARM, NOON, judged
from tocsin.deliver.alarmdata import AlarmData, EvidenceData
from tocsin.deliver.event import (
    DetectorData,
    Event,
    EventType,
    ImpairmentData,
    StreamData,
    TrialData,
)
from tocsin.deliver.notation import make_id, new_id
from tocsin.deliver.verdict import Verdict
from tocsin.errors import Degradation


def body_of(event: Event, seq: int = 17) -> dict[str, object]:
    body: dict[str, object] = json.loads(event.render(seq))
    return body


def test_the_body_of_an_alarm_is_the_documented_one():
    """The body has exactly the documented keys, with numbers rounded to what they are worth."""
    assert body_of(Event("msg_1", EventType.ALARM_RAISED, NOON, ALARM)) == {
        "type": "alarm.raised",
        "timestamp": "2026-11-21T12:00:00.418Z",
        "data": {
            "alarm_id": "alarm_1",
            "seq": 17,
            "stream": "entrance",
            "rule": "intruder",
            "severity": "critical",
            "tier": "alarm",
            "class": "person",
            "score": 0.81,
            "box": [0.41, 0.33, 0.47, 0.52],
            "zone": "doorway",
            "first_seen": "2026-11-21T12:00:00.418Z",
            "confirmed_by": {"hits": 5, "of": 10},
            "pixels": [31, 64],
            "test": False,
            "light": {"mean": 188, "contrast": 71, "correction": "darken+clahe"},
            "model": "nanodet-coco-416",
            "config": "sha256:0000",
            "clock_synchronized": True,
            "verdict": None,
            "judged": None,
            "picture": None,
            "silenced": False,
            "respond": None,
            "ended": None,
        },
    }


def test_the_body_is_compact_ascii():
    """A body holds no blanks between its parts and no byte beyond ASCII, whatever the names in it."""
    body = Event("msg_1", EventType.ALARM_RAISED, NOON, replace(ALARM, class_name="Messer \udcff Ü")).render(
        1
    )
    assert body.isascii()
    assert b'": ' not in body


def test_times_are_sent_in_utc():
    """A time in another zone is the same moment in the body."""
    at = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert (
        body_of(Event("msg_1", EventType.TOCSIN_TEST, at, TrialData()))["timestamp"]
        == "2026-11-21T12:00:00.418Z"
    )


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), np.float32("nan")])
def test_numbers_that_are_none_become_null(strange: float):
    """No NaN reaches JSON, and an alarm with one in it is sent all the same."""
    data = body_of(
        Event("m", EventType.ALARM_RAISED, NOON, replace(ALARM, score=strange, light_mean=strange))
    )["data"]
    assert isinstance(data, dict)
    assert data["score"] is None
    assert data["light"]["mean"] is None


def test_numbers_of_numpy_are_sent_as_numbers():
    """Scores and boxes straight from the detector's arrays can be sent."""
    scores = np.array([0.5, 0.25, 0.75, 1.0], dtype=np.float32)
    data = replace(ALARM, score=scores[0], box=tuple(scores), pixels=(scores[0], scores[1]))
    sent = body_of(Event("m", EventType.ALARM_RAISED, NOON, data))["data"]
    assert isinstance(sent, dict)
    assert (sent["score"], sent["box"]) == (0.5, [0.5, 0.25, 0.75, 1.0])


def test_alarm_data_survive_their_payload():
    """What was remembered of an alarm is what was said about it."""
    told = replace(ALARM, judged=judged(Verdict.REJECTED), tier="review", ended=NOON, respond={"url": "x"})
    rounded = replace(told, pixels=(31, 64), light_mean=188, contrast=71)
    assert AlarmData.from_payload(json.loads(json.dumps(told.payload()))) == rounded


def test_an_alarm_stored_before_contrast_was_told_is_read():
    """What a database of that time holds is read, and goes on with a contrast of null."""
    stored = json.loads(json.dumps(ALARM.payload()))
    del (
        stored["light"]["contrast"],
        stored["verdict"],
        stored["judged"],
        stored["tier"],
        stored["picture"],
        stored["silenced"],
        stored["respond"],
        stored["ended"],
    )
    data = AlarmData.from_payload(stored)
    assert (data.alarm_id, data.light_mean, data.correction) == ("alarm_1", 188, ALARM.correction)
    sent = body_of(Event("m", EventType.ALARM_ENDED, NOON, data))["data"]
    assert isinstance(sent, dict)
    assert sent["light"] == {"mean": 188, "contrast": None, "correction": "darken+clahe"}


def test_news_of_a_stream_that_cannot_be_seen_tell_its_light():
    """Both events have the same data: why, how the picture is now, and how long it has lasted."""
    data = ImpairmentData("yard", "too_dark", 3.26, 8.71, 12.3456)
    assert data.payload() == {
        "stream": "yard",
        "reason": "too_dark",
        "light": {"mean": 3, "contrast": 9},
        "lasted_seconds": 12.346,
    }
    assert Event("m", EventType.STREAM_IMPAIRED, NOON, data).stream == "yard"


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("alarm.raised", {"alarm.raised"}),
        ("alarm.*", {"alarm.raised", "alarm.repeated", "alarm.ended", "alarm.verdict"}),
        ("outbox.*", {"outbox.overflow", "outbox.reset"}),
        ("alarm", set()),
        ("al*", set()),
    ],
)
def test_patterns_select_types(pattern: str, selected: set[str]):
    """A pattern is a whole type, or a first part and all that belongs to it."""
    assert {kind for kind in EventType if kind.matches(pattern)} == selected


@pytest.mark.parametrize(
    ("pattern", "severity", "wanted"),
    [
        ("alarm.raised", "info", True),
        ("alarm.raised/critical", "critical", True),
        ("alarm.*/critical", "critical", True),
        ("alarm.*/critical", "info", False),
        ("alarm.ended/critical", "critical", False),
        ("stream.*/critical", "critical", False),
    ],
)
def test_patterns_select_alarms_by_severity(pattern: str, severity: str, wanted: bool):
    """What follows a slash must be the alarm's."""
    event = Event("m", EventType.ALARM_RAISED, NOON, replace(ALARM, severity=severity))
    assert event.wanted(pattern) is wanted
    down = Event("m", EventType.STREAM_DOWN, NOON, StreamData("yard", "stall"))
    assert down.wanted("stream.*")
    assert not down.wanted("stream.*/critical")


@pytest.mark.parametrize("pattern", ["alarm.raised", "alarm.*", "alarm.*/critical", "evidence.*"])
def test_nobody_wants_to_hear_of_a_silenced_alarm(pattern: str):
    """Whatever is told of it: its raise and end, a verdict, a picture that cannot be made."""
    for silenced in (False, True):
        alarm = Event("m", EventType.ALARM_RAISED, NOON, replace(ALARM, silenced=silenced))
        data = EvidenceData(replace(ALARM, silenced=silenced), ("frame",), "the disk is full")
        failure = Event("m", EventType.EVIDENCE_FAILED, NOON, data)
        assert (alarm.wanted(pattern) or failure.wanted(pattern)) is not silenced


def test_events_tell_what_they_are_about():
    """An event knows its stream and alarm from its data."""
    about = [
        (Event("m", EventType.ALARM_RAISED, NOON, ALARM), ("entrance", "alarm_1")),
        (Event("m", EventType.STREAM_DOWN, NOON, StreamData("yard", "stall")), ("yard", None)),
        (
            Event("m", EventType.DETECTOR_DEGRADED, NOON, DetectorData(Degradation.PROVIDER, "m", "CPU")),
            (None, None),
        ),
    ]
    for event, expected in about:
        assert (event.stream, event.alarm_id) == expected


def test_news_of_the_detector_name_whom_they_concern():
    """A body about the detector holds the stream and the rule that it concerns, null where it concerns all."""
    data = DetectorData(Degradation.TOO_SLOW, "m", "CPU", "yard", rule="intruder")
    assert data.payload() == {
        "reason": "too_slow",
        "model": "m",
        "provider": "CPU",
        "stream": "yard",
        "rule": "intruder",
    }
    everybody = DetectorData(Degradation.PROVIDER, "m", "CPU").payload()
    assert (everybody["stream"], everybody["rule"]) == (None, None)


def test_an_identity_is_a_uuid_of_version_7():
    """The bits are where RFC 9562 wants them: its own example has this time and this randomness."""
    at = datetime.fromtimestamp(0x017F22E279B0 / 1000, UTC)
    randomness = (0xCC3 << 68 | 0b01 << 60 | 0x8C4DC0C0C07398F & ((1 << 62) - 1)).to_bytes(10, "big")
    assert make_id(at, randomness) == "msg_017f22e279b07cc398c4dc0c0c07398f"


@given(
    first=st.datetimes(datetime(1971, 1, 1), datetime(2900, 1, 1)),  # noqa: DTZ001 - hypothesis adds the zone itself
    gap=st.timedeltas(timedelta(milliseconds=1), timedelta(days=900)),
    randomness=st.tuples(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10)),
)
@example(datetime(2243, 1, 1), timedelta(milliseconds=1), (bytes(10), bytes(10)))  # noqa: DTZ001 - as above
def test_identities_sort_by_time(first: datetime, gap: timedelta, randomness: tuple[bytes, bytes]):
    """An identity of a later millisecond is greater as text, whatever chance brings."""
    at = first.replace(tzinfo=UTC, microsecond=0)
    assert make_id(at, randomness[0]) < make_id(at + gap, randomness[1])


def test_identities_are_fit_for_the_header():
    """Identities differ, and hold no full stop, which the signature uses as its separator."""
    made = {new_id(NOON) for _ in range(1000)}
    assert len(made) == 1000
    assert not any("." in identity for identity in made)
