"""The shapes in which events are sent, each made of the body that was committed. Pure: time is an argument."""

import json
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.attach import Attached, Part, Picture, composed, with_base64, with_left_out
from tocsin.deliver.event import EventType
from tocsin.deliver.notation import Json, stamp
from tocsin.deliver.verdict import Verdict
from tocsin.fields import duration_text

LATE = 60.0  # seconds after which what people read says that it is late
ALIVE = timedelta(
    minutes=5
)  # for which an Alertmanager holds an alarm to be active unless it hears of it again
_LONGEST = 256  # characters of a value in a template: classes come from models, and those from strangers
_LONGEST_LINK = 2048


class Format(StrEnum):
    """The shape of a body: the word in the configuration."""

    TOCSIN = "tocsin"
    CLOUDEVENTS = "cloudevents"
    ALERTMANAGER = "alertmanager"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Committed:
    """An event as it stands in the outbox, now that it is sent `late` seconds after it happened.

    `attached` is what goes along, None where the receiver gets nothing along with such an event.
    """

    id: str
    body: bytes
    now: datetime
    late: float
    attached: Attached | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What goes over the wire."""

    content_type: str
    body: bytes


Render = Callable[[Committed], Rendered]


def as_tocsin(event: Committed) -> Rendered:
    """Return the committed bytes themselves."""
    return Rendered("application/json", event.body)


def as_cloudevent(event: Committed) -> Rendered:
    """Return the event in the structured mode of CloudEvents 1.0, the same bytes at each attempt."""
    told = json.loads(event.body)
    data = told["data"]
    stream, alarm = data.get("stream"), data.get("alarm_id")
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/tocsin/streams/{stream}" if stream else "/tocsin",
        "type": told["type"] if told["type"].startswith("tocsin.") else f"tocsin.{told['type']}",
        "time": told["timestamp"],
        "datacontenttype": "application/json",
        **({"subject": alarm} if alarm else {}),
        "data": data,
    }
    return Rendered("application/cloudevents+json; charset=utf-8", _compact(attributes))


def beside(render: Render) -> Render:
    """Return what `render` does, with the pictures as base64 in the event's data."""

    def rendered(event: Committed) -> Rendered:
        if event.attached is None:
            return render(event)
        return render(replace(event, body=with_base64(event.body, event.attached)))

    return rendered


def in_parts(render: Render) -> Render:
    """Return what `render` does as the field `event` of a form, and each picture as a file named by its kind."""

    def rendered(event: Committed) -> Rendered:
        if event.attached is None:
            return render(event)
        told = render(replace(event, body=with_left_out(event.body, event.attached)))
        files = [_file(one.kind, one) for one in event.attached.pictures]
        return Rendered(*composed(event.id, [Part("event", told.body, None, told.content_type), *files]))

    return rendered


def as_alert(event: Committed) -> Rendered:
    """Return the event for `POST /api/v2/alerts` of an Alertmanager: firing, or resolved once it has ended.

    The labels of an alarm are the same from its raise to its end. A verdict that rejects it resolves it, and any
    other says nothing where the alarm may be over, whose alert it would revive. Another event fires for a minute.
    """
    told = json.loads(event.body)
    kind, data, at = told["type"], told["data"], told["timestamp"]
    late = {"late": f"sent {_age(event.late)} after it happened"} if event.late >= LATE else {}
    if not kind.startswith("alarm."):
        ends = stamp(datetime.fromisoformat(at) + timedelta(minutes=1))
        return _alerts([_alert({"alertname": kind}, {"summary": summary(told), **late}, at, ends)])
    is_rejected = data.get("verdict") == Verdict.REJECTED
    may_be_over = data.get("ended", at) is not None
    if kind == EventType.ALARM_VERDICT and may_be_over and not is_rejected:
        return _alerts([])
    ends = at if kind == EventType.ALARM_ENDED or is_rejected else stamp(event.now + ALIVE)
    return _alerts([_alarm(data, summary(told), ends, late)])


def as_open_alerts(alarms: Iterable[AlarmRecord], until: datetime) -> Rendered:
    """Return alarms as alerts that are active until then, with the labels that `as_alert` gave them."""
    told: list[dict[str, Any]] = [
        {"type": EventType.ALARM_RAISED, "data": one.alarm.payload()} for one in alarms
    ]
    return _alerts([_alarm(one["data"], summary(one), stamp(until), {}) for one in told])


def as_template(template: str | Mapping[str, str]) -> Render:
    """Return what fills in a template at each sending: a mapping becomes a JSON object, a text plain text."""

    def render(event: Committed) -> Rendered:
        words = _words(event)
        if isinstance(template, str):
            return Rendered("text/plain; charset=utf-8", _filled(template, words).encode())
        return Rendered(
            "application/json", _compact({k: _filled(text, words) for k, text in template.items()})
        )

    return render


def as_form(template: Mapping[str, str]) -> Render:
    """Return what fills in the fields of a form; one that is a picture's word alone is that picture's file.

    A picture that does not come along is told by its link, and where there is none the field is left out.
    """

    def render(event: Committed) -> Rendered:
        words = _words(event)
        pictures = {one.kind: one for one in event.attached.pictures} if event.attached else {}
        parts = []
        for field, text in template.items():
            picture = pictures.get(picture_in(text) or "")
            filled = _filled(text, words)
            if picture is not None:
                parts.append(_file(field, picture))
            elif filled or picture_in(text) is None:
                parts.append(Part(field, filled.encode()))
        return Rendered(*composed(event.id, parts))

    return render


def picture_in(text: str) -> str | None:
    """Return the kind of picture that a text of a template is, with nothing beside it, or None."""
    return _PICTURES.get(text[1:-1]) if text[:1] == "{" and text[-1:] == "}" else None


def _file(field: str, picture: Picture) -> Part:
    return Part(field, picture.content, picture.name, picture.media_type)


_PICTURES = {"picture": "frame", "crop": "crop", "clip": "clip"}
"""The words for pictures, and their kinds."""

_LINKS = (*_PICTURES, "respond")

FIELDS = (
    *("summary", "late", "id", "type", "time", "stream", "rule", "severity", "class", "score", "zone"),
    *("alarm_id", "reason", *_LINKS),
)
"""The words in braces that a template may hold."""


def template_fault(text: str) -> str | None:
    """Return what is wrong with a template, or None."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return "expected braces in pairs, and {{ or }} for one that is meant, found one alone"
    for _, name, form, conversion in parts:
        if name is not None and (name not in FIELDS or form or conversion):
            return f"expected one of {', '.join(FIELDS)} in braces, found {{{name[:32]}}}"
    return None


def summary(told: Json) -> str:
    """Return an event, as its body tells it, in one line for people."""
    kind, data = str(told["type"]), told["data"]
    what = kind.replace(".", " ")
    if kind.startswith(("alarm.", "evidence.")):
        why = data.get("why")
        if kind == EventType.ALARM_VERDICT:
            judged = data.get("judged") or {}
            why = judged.get("why")
            what += f" {data['verdict']}" + (f" by {judged['by']}" if judged.get("by") else "")
        where = "/".join(part for part in (data["stream"], data.get("zone")) if part)
        score = "" if data.get("score") is None else f" {data['score']:.2f}"
        text = f"{what}: {data['class']}{score} at {where} ({data['rule']}, {data['severity']})"
        text += f": {why}" if why else ""
    elif kind.startswith(("silence.", "test.")):
        text = f"{what}: {_override(data)}"
    else:
        about = (data.get(key) for key in ("stream", "webhook", "event_type", "reason", "message"))
        text = ": ".join(part for part in (what, " ".join(str(one) for one in about if one)) if part)
    return f"TEST: {text}" if data.get("test") else text


def _override(data: Json) -> str:
    """Return whose alarms an override concerns, for how long and who wants it so, or why it is over."""
    where = "/".join(part for part in (data["stream"], data["rule"]) if part)
    if data["reason"]:
        return f"{where}, {data['reason']}" + (f" by {data['ended_by']}" if data["ended_by"] else "")
    since, until = (datetime.fromisoformat(data[word]) for word in ("since", "until"))
    lasts = f"for {duration_text((until - since).total_seconds())}, until {until:%Y-%m-%d %H:%M} UTC"
    return f"{where} {lasts}, by {data['by']}" + (f": {data['why']}" if data["why"] else "")


def _alarm(data: Json, line: str, ends: str, more: Mapping[str, str]) -> dict[str, Any]:
    # The alarm's id sets its episodes apart: the end of one that comes late would resolve the next one.
    labels = {"alertname": data["rule"], "alarm_id": data["alarm_id"]}
    labels |= {key: data[key] for key in ("stream", "rule", "severity")}
    if data["test"]:  # for its whole life, so that a route can divert it
        labels["test"] = "true"
    light = data["light"]["correction"]
    told = {"class": data["class"], "score": data["score"], "zone": data["zone"], "correction": light}
    notes = {key: str(value) for key, value in told.items() if value is not None}
    if judged := data.get("judged"):
        notes["verdict"] = _tame("", f"{data['verdict']} by {judged['by']}")
    found = {word: url for word, url in links(data).items() if word in ("picture", "respond")}
    return _alert(labels, {"summary": line, **notes, **found, **more}, data["first_seen"], ends)


def _alert(labels: Mapping[str, str], notes: Mapping[str, str], starts: str, ends: str) -> dict[str, Any]:
    # An end before its start, from a clock that was set in between, would be refused.
    return {
        "labels": dict(labels),
        "annotations": dict(notes),
        "startsAt": min(starts, ends),
        "endsAt": ends,
    }


def _alerts(alerts: list[dict[str, Any]]) -> Rendered:
    return Rendered("application/json", _compact(alerts))


def _words(event: Committed) -> dict[str, str]:
    told = json.loads(event.body)
    data = told["data"]
    words = {key: data.get(key) for key in FIELDS if key in data and key not in _LINKS}
    words |= {"id": event.id, "type": told["type"], "time": told["timestamp"], "summary": summary(told)}
    words["late"] = f"LATE by {_age(event.late)}: " if event.late >= LATE else ""
    words.update(links(data))
    return {key: "" if words.get(key) is None else _tame(key, str(words[key])) for key in FIELDS}


def links(data: Json) -> dict[str, str]:
    """Return where an event's data lead: to its pictures and clip, and to where a person answers."""
    pictures, respond = data.get("picture") or {}, data.get("respond") or {}
    found = {"picture": pictures.get("url"), "respond": respond.get("url")}
    found |= {kind: pictures.get(kind) for kind in ("crop", "clip")}
    return {word: url for word, url in found.items() if url}


def _tame(word: str, text: str) -> str:
    """Return a value without line breaks and control characters, and not too long; a link is of use as a whole."""
    return "".join(
        c if c.isprintable() else " " for c in text[: _LONGEST_LINK if word in _LINKS else _LONGEST]
    )


def _filled(text: str, words: Mapping[str, str]) -> str:
    parts = string.Formatter().parse(text)
    return "".join(before + (words[name] if name is not None else "") for before, name, _, _ in parts)


def _age(seconds: float) -> str:
    """Return `12 min` or `3 h`."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _compact(value: object) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
