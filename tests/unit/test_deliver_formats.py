"""The shapes of a body: CloudEvents to the letter, an Alertmanager's alerts, and templates that stay texts."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.events import ALARM, NOON
from support.forms import fields
from tocsin.deliver.alarmdata import AlarmData, AlarmRecord, EvidenceData
from tocsin.deliver.attach import Attached, Picture
from tocsin.deliver.event import (
    Data,
    DeliveryData,
    DetectorData,
    Event,
    EventType,
    OutboxData,
    OverrideData,
    StreamData,
    TrialData,
)
from tocsin.deliver.formats import (
    FIELDS,
    Committed,
    as_alert,
    as_cloudevent,
    as_form,
    as_open_alerts,
    as_template,
    as_tocsin,
    beside,
    in_parts,
    summary,
    template_fault,
)
from tocsin.deliver.override import Override, OverrideKind
from tocsin.deliver.verdict import Judgement, Verdict
from tocsin.errors import Degradation

LINKS = {
    "url": "https://tocsin.example:9464/evidence/0?expires=1&signature=2",
    "crop": "https://tocsin.example:9464/evidence/1?expires=1&signature=3",
    "clip": "https://tocsin.example:9464/evidence/2?expires=1&signature=4",
    "expires": "2026-11-24T12:00:00Z",
}
RESPOND = {"url": "https://tocsin.example:9464/alarm/1?signature=5", "expires": "2026-11-24T12:00:00Z"}
SEEN = replace(ALARM, picture=LINKS, respond=RESPOND)
CROP = Picture("crop", "crop.jpg", "image/jpeg", b"\xff\xd8crop")
FRAME = Picture("frame", "frame.jpg", "image/jpeg", b"\xff\xd8frame")

SILENCE = Override(
    *("silence_1", OverrideKind.SILENCE, "entrance", "intruder"),
    *(NOON, NOON + timedelta(minutes=30), "anna", "a broken lock"),
)
EVERYTHING = [
    (EventType.ALARM_RAISED, ALARM),
    (EventType.ALARM_ENDED, replace(ALARM, zone=None, score=float("nan"))),
    (EventType.EVIDENCE_MADE, EvidenceData(SEEN, ("frame", "crop"))),
    (
        EventType.EVIDENCE_FAILED,
        EvidenceData(SEEN, ("clip",), "expected room on the disk, found it nearly full"),
    ),
    (EventType.STREAM_DOWN, StreamData("entrance", "stall")),
    (EventType.DETECTOR_DEGRADED, DetectorData(Degradation.TOO_SLOW, "m", "CPU")),
    (EventType.DELIVERY_EXHAUSTED, DeliveryData("hook", "msg_0", "alarm.raised", "alarm_1", 9, "timeout")),
    (EventType.OUTBOX_RESET, OutboxData("damaged", "outbox.corrupt")),
    (EventType.TOCSIN_TEST, TrialData()),
    (EventType.SILENCE_BEGUN, OverrideData(SILENCE)),
    (EventType.TEST_ENDED, OverrideData(replace(SILENCE, rule=None), "expired")),
]


def committed(kind: EventType, data: Data, late: float = 0.0, at: datetime = NOON) -> Committed:
    return Committed("msg_1", Event("msg_1", kind, at, data).render(7), at + timedelta(seconds=late), late)


def test_tocsin_is_what_was_committed() -> None:
    """The format of our own is the very bytes of the outbox, however late."""
    event = committed(EventType.ALARM_RAISED, ALARM, late=5000)
    assert as_tocsin(event).body is event.body


@pytest.mark.parametrize(("kind", "data"), EVERYTHING, ids=lambda value: str(value)[:20])
def test_a_cloudevent_keeps_the_specification(kind: EventType, data: Data) -> None:
    """Structured JSON of CloudEvents 1.0.2: what is required, of the right type and name, and nothing else.

    Section 3.1: names of lower-case letters and digits; id, source, specversion, type are non-empty; source is a
    URI-reference, time RFC 3339, datacontenttype RFC 2046. JSON format, section 3: the media type, data as JSON.
    """
    rendered = as_cloudevent(committed(kind, data, late=5000))
    told = json.loads(rendered.body)
    assert rendered.content_type == "application/cloudevents+json; charset=utf-8"
    attributes = {name: value for name, value in told.items() if name != "data"}
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in attributes)
    assert all(isinstance(value, str) and value for value in attributes.values())
    assert {"id", "source", "specversion", "type"} <= attributes.keys()
    assert attributes.keys() <= {"id", "source", "specversion", "type", "subject", "time", "datacontenttype"}
    assert (told["specversion"], told["id"], told["datacontenttype"]) == ("1.0", "msg_1", "application/json")
    assert re.fullmatch(r"/tocsin(/streams/[a-z0-9_-]+)?", told["source"])
    assert told["type"].startswith("tocsin.")
    assert told["type"].endswith(str(kind))
    assert datetime.fromisoformat(told["time"]) == NOON
    assert told["data"] == json.loads(committed(kind, data).body)["data"]
    assert as_cloudevent(committed(kind, data)).body == rendered.body, "the same at each attempt"


def alert(event: Committed) -> dict[str, Any]:
    (only,) = json.loads(as_alert(event).body)
    return dict(only)


def test_an_alarm_is_one_alert_from_its_raise_to_its_end() -> None:
    """Labels and start stay the same while class, score, zone and clock change; the end is that of the alarm."""
    later = NOON + timedelta(hours=3)
    seen_last = replace(ALARM, class_name="dog", score=0.5, zone=None)
    raised, ended = (
        alert(committed(EventType.ALARM_RAISED, ALARM)),
        alert(committed(EventType.ALARM_ENDED, seen_last, late=10_800, at=later)),
    )
    (open_,) = json.loads(as_open_alerts([AlarmRecord(seen_last, NOON, NOON)], later).body)
    assert raised["labels"] == ended["labels"] == open_["labels"]
    assert raised["labels"] == {
        "alertname": "intruder",
        "alarm_id": "alarm_1",
        "stream": "entrance",
        "rule": "intruder",
        "severity": "critical",
    }
    assert raised["startsAt"] == ended["startsAt"] == open_["startsAt"] == "2026-11-21T12:00:00.418Z"
    assert (raised["endsAt"], ended["endsAt"]) == ("2026-11-21T12:05:00.418Z", "2026-11-21T15:00:00.418Z")
    assert open_["annotations"]["summary"] == "alarm raised: dog 0.50 at entrance (intruder, critical)"
    assert (
        raised["annotations"]["summary"]
        == "alarm raised: person 0.81 at entrance/doorway (intruder, critical)"
    )
    assert "late" not in raised["annotations"]
    assert ended["annotations"]["late"] == "sent 3 h after it happened"


def test_a_test_can_be_routed_by_its_label() -> None:
    """It is there from the raise to the end, and in no alarm that is meant."""
    test = replace(ALARM, test=True)
    sent = [alert(committed(kind, test)) for kind in (EventType.ALARM_RAISED, EventType.ALARM_ENDED)]
    (open_,) = json.loads(as_open_alerts([AlarmRecord(test, NOON, NOON)], NOON).body)
    assert [one["labels"]["test"] for one in (*sent, open_)] == ["true"] * 3
    assert sent[0]["annotations"]["summary"].startswith("TEST: alarm raised: ")
    assert "test" not in alert(committed(EventType.ALARM_RAISED, ALARM))["labels"]


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (
            EventType.SILENCE_BEGUN,
            OverrideData(SILENCE),
            "silence begun: entrance/intruder for 30m, until 2026-11-21 12:30 UTC, by anna: a broken lock",
        ),
        (
            EventType.SILENCE_ENDED,
            OverrideData(SILENCE, "lifted", "bob"),
            "silence ended: entrance/intruder, lifted by bob",
        ),
        (EventType.TEST_ENDED, OverrideData(SILENCE, "expired"), "test ended: entrance/intruder, expired"),
    ],
)
def test_people_read_who_made_a_camera_mute(kind: EventType, data: OverrideData, line: str) -> None:
    """Whose alarms, until when and why; and why it is over."""
    assert summary(json.loads(committed(kind, data).body)) == line


def test_a_late_raise_is_active_all_the_same() -> None:
    """An alarm of yesterday fires when it is sent: its end, which waits behind it, resolves it."""
    fired = alert(committed(EventType.ALARM_RAISED, ALARM, late=86400))
    assert (fired["startsAt"], fired["endsAt"]) == ("2026-11-21T12:00:00.418Z", "2026-11-22T12:05:00.418Z")


def test_a_clock_that_went_back_does_not_lose_the_end() -> None:
    """An end that seems to lie before the first sighting still resolves: an Alertmanager refuses such an order."""
    ended = alert(committed(EventType.ALARM_ENDED, ALARM, at=NOON - timedelta(hours=1)))
    assert ended["startsAt"] == ended["endsAt"] == "2026-11-21T11:00:00.418Z"


@pytest.mark.parametrize(("kind", "data"), EVERYTHING, ids=lambda value: str(value)[:20])
def test_every_event_has_a_line_for_people(kind: EventType, data: Data) -> None:
    """Whatever the event, templates and alerts can be made of it, and all values are texts."""
    event = committed(kind, data, late=90)
    told = json.loads(event.body)
    assert summary(told).removeprefix("TEST: ").startswith(str(kind).replace(".", " "))
    full = as_template({name: "{" + name + "}" for name in FIELDS})
    assert all(isinstance(value, str) for value in json.loads(full(event).body).values())
    assert all(isinstance(text, str) for text in alert(event)["annotations"].values())


def test_a_template_fills_in_words() -> None:
    """Texts of an object and a plain text get the event's words, and say how late they are once they are."""
    event = committed(EventType.ALARM_RAISED, ALARM, late=750)
    as_object = as_template({"text": "{late}{summary}", "note": "{{{zone}}}"})(event)
    assert as_object.content_type == "application/json"
    assert json.loads(as_object.body) == {
        "text": "LATE by 12 min: alarm raised: person 0.81 at entrance/doorway (intruder, critical)",
        "note": "{doorway}",
    }
    as_text = as_template("{class} at {stream}, {time}{reason}")(event)
    assert as_text.content_type == "text/plain; charset=utf-8"
    assert as_text.body == b"person at entrance, 2026-11-21T12:00:00.418Z"
    in_time = as_template("{late}{stream}")(committed(EventType.ALARM_RAISED, ALARM, late=59))
    assert in_time.body == b"entrance"


@given(st.text(max_size=400))
def test_no_value_breaks_out_of_a_template(name: str) -> None:
    """A class with quotes, braces, line breaks or escapes in its name stays a short text in its place."""
    event = committed(EventType.ALARM_RAISED, replace(ALARM, class_name=name))
    told = json.loads(as_template({"a": "<{class}>", "b": "{{class}}"})(event).body)
    assert told.keys() == {"a", "b"}
    assert told["b"] == "{class}"
    assert told["a"][1:-1].isprintable()
    assert len(told["a"]) <= 258


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{late}{summary} {{x}}", None),
        ("", None),
        ("{secret}", "found {secret}"),
        ("{}", "found {}"),
        ("{0}", "found {0}"),
        ("{class.__mro__}", "found {class.__mro__}"),
        ("{class[0]}", "found {class[0]}"),
        ("{class!r}", "found {class}"),
        ("{score:9999}", "found {score}"),
        ("{", "found one alone"),
        ("a}", "found one alone"),
    ],
)
def test_a_template_knows_its_words_alone(text: str, fault: str | None) -> None:
    """A word that is none, a look inside one, a width or a conversion is refused with what it may be."""
    found = template_fault(text)
    assert (found is None) if fault is None else (found is not None and found.endswith(fault))


def test_all_are_in_ascii() -> None:
    """JSON is sent in ASCII, so that no receiver can misread it."""
    event = committed(EventType.ALARM_RAISED, replace(ALARM, class_name="b\u00e4r"), at=NOON.astimezone(UTC))
    for render in (as_tocsin, as_cloudevent, as_alert, as_template({"text": "{class}"})):
        assert render(event).body.isascii()


def judged(verdict: Verdict) -> AlarmData:
    return replace(SEEN, judged=Judgement(verdict, "anna", NOON, "the gardener"))


def test_an_alert_shows_the_picture_and_the_verdict() -> None:
    """The frame's link and where to answer, and who said what; the labels stay those of the raise."""
    raised = alert(committed(EventType.ALARM_RAISED, SEEN))
    assert raised["annotations"]["picture"] == LINKS["url"]
    assert raised["annotations"]["respond"] == RESPOND["url"]
    assert "verdict" not in raised["annotations"]
    (open_,) = json.loads(as_open_alerts([AlarmRecord(judged(Verdict.CONFIRMED), NOON, NOON)], NOON).body)
    assert open_["annotations"]["verdict"] == "confirmed by anna"
    assert open_["labels"] == raised["labels"]
    assert "picture" not in alert(committed(EventType.ALARM_RAISED, ALARM))["annotations"]


def test_what_was_rejected_is_resolved_and_what_may_be_over_is_not_revived() -> None:
    """A verdict may come when the alarm has ended: any but a rejection is told of an open one alone."""
    later = NOON + timedelta(minutes=9)
    rejected = alert(committed(EventType.ALARM_VERDICT, judged(Verdict.REJECTED), at=later))
    assert rejected["endsAt"] == "2026-11-21T12:09:00.418Z"
    assert rejected["annotations"]["summary"] == (
        "alarm verdict rejected by anna: person 0.81 at entrance/doorway (intruder, critical): the gardener"
    )
    for verdict in (Verdict.ACKNOWLEDGED, Verdict.CONFIRMED):
        event = committed(EventType.ALARM_VERDICT, judged(verdict))
        told = json.loads(event.body)
        for ended, is_told in ((None, True), ("2026-11-21T12:00:00.000Z", False)):
            told["data"]["ended"] = ended
            alerts = json.loads(as_alert(replace(event, body=json.dumps(told).encode())).body)
            assert [one["annotations"]["verdict"] for one in alerts] == [f"{verdict} by anna"] * is_told
        del told["data"]["ended"]
        assert as_alert(replace(event, body=json.dumps(told).encode())).body == b"[]", "nobody knows"


def test_a_template_has_the_links_whole() -> None:
    """They are longer than a word may be, and empty where there is nothing."""
    long = {**LINKS, "url": f"https://{'x' * 250}.example/evidence/0?expires=1&signature=2"}
    render = as_template("{picture} {crop} {clip} {respond}")
    told = render(committed(EventType.ALARM_RAISED, replace(SEEN, picture=long))).body.decode()
    assert told.split(" ") == [long["url"], LINKS["crop"], LINKS["clip"], RESPOND["url"]]
    assert render(committed(EventType.STREAM_DOWN, StreamData("entrance", "stall"))).body == b"   "


def bringing(*pictures: Picture, left_out: tuple[str, ...] = ()) -> Committed:
    event = committed(EventType.EVIDENCE_MADE, EvidenceData(SEEN, ("frame", "crop")))
    return replace(event, attached=Attached(pictures, left_out))


def test_base64_goes_into_a_cloudevent_s_data() -> None:
    """And nothing at all into an event that brings nothing."""
    told = json.loads(beside(as_cloudevent)(bringing(CROP, left_out=("frame",))).body)
    assert told["data"]["attached"] == [{"kind": "crop", "type": "image/jpeg", "base64": "/9hjcm9w"}]
    assert told["data"]["left_out"] == ["frame"]
    raised = committed(EventType.ALARM_RAISED, SEEN)
    assert beside(as_cloudevent)(raised) == as_cloudevent(raised)
    assert in_parts(as_tocsin)(raised) == as_tocsin(raised)


def test_a_form_has_the_event_and_each_picture() -> None:
    """The JSON first; the same bytes each time."""
    rendered = in_parts(as_tocsin)(bringing(CROP, FRAME, left_out=("first",)))
    found = fields(rendered.body, rendered.content_type)
    assert list(found) == ["event", "crop", "frame"]
    assert (found["event"].media_type, found["event"].file) == ("application/json", None)
    told = json.loads(found["event"].content)
    assert (told["type"], told["data"]["left_out"]) == ("evidence.made", ["first"])
    assert (found["frame"].content, found["frame"].file) == (FRAME.content, "frame.jpg")
    assert in_parts(as_tocsin)(bringing(CROP, FRAME, left_out=("first",))) == rendered


def test_a_template_becomes_the_fields_of_a_form() -> None:
    """A field that is a picture's word alone is its file, else its link, and left out where there is neither."""
    render = as_form({"chat_id": "-100", "caption": "{late}{summary}", "photo": "{crop}", "more": "{clip}"})
    rendered = render(bringing(CROP))
    found = fields(rendered.body, rendered.content_type)
    assert {name: one.text for name, one in found.items() if one.file is None} == {
        "chat_id": "-100",
        "caption": "evidence made: person 0.81 at entrance/doorway (intruder, critical)",
        "more": LINKS["clip"],
    }
    assert (found["photo"].content, found["photo"].file) == (CROP.content, "crop.jpg")
    bare = render(bringing(left_out=("crop",)))
    assert fields(bare.body, bare.content_type)["photo"].text == LINKS["crop"]
    down = render(committed(EventType.STREAM_DOWN, StreamData("entrance", "stall")))
    assert list(fields(down.body, down.content_type)) == ["chat_id", "caption"]
