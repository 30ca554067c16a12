"""What is sent: events, their types, and the bytes of their bodies."""

import json
import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self

from tocsin.deliver.override import Override
from tocsin.deliver.verdict import Judgement, Verdict
from tocsin.errors import Degradation
from tocsin.frame import Box, Correction

Json = Mapping[str, Any]
"""A JSON object: its values are texts, numbers, booleans, nulls, lists and further objects."""


SHORTEST = 6
"""Characters of an identity's end that a person may give instead."""


class EventType(StrEnum):
    """What happened: the `type` of a body and the word that `webhooks[].events` selects by."""

    ALARM_RAISED = "alarm.raised"
    ALARM_REPEATED = "alarm.repeated"
    ALARM_ENDED = "alarm.ended"
    ALARM_VERDICT = "alarm.verdict"
    EVIDENCE_MADE = "evidence.made"
    EVIDENCE_FILMED = "evidence.filmed"
    EVIDENCE_FAILED = "evidence.failed"
    STREAM_DOWN = "stream.down"
    STREAM_UP = "stream.up"
    STREAM_FROZEN = "stream.frozen"
    STREAM_COVERED = "stream.covered"
    STREAM_IMPAIRED = "stream.impaired"
    STREAM_RESTORED = "stream.restored"
    DETECTOR_DEGRADED = "detector.degraded"
    DETECTOR_RESTORED = "detector.restored"
    DELIVERY_EXHAUSTED = "delivery.exhausted"
    DELIVERY_PAUSED = "delivery.paused"
    DELIVERY_RESUMED = "delivery.resumed"
    OUTBOX_OVERFLOW = "outbox.overflow"
    OUTBOX_RESET = "outbox.reset"
    SILENCE_BEGUN = "silence.begun"
    SILENCE_ENDED = "silence.ended"
    TEST_BEGUN = "test.begun"
    TEST_ENDED = "test.ended"
    TOCSIN_HEARTBEAT = "tocsin.heartbeat"
    TOCSIN_TEST = "tocsin.test"

    def matches(self, pattern: str) -> bool:
        """Say whether `pattern`, a whole type or a first part with `.*`, selects this type."""
        if pattern.endswith(".*"):
            return self.startswith(pattern[:-1])
        return self == pattern


class Data(Protocol):
    """What an event tells beyond its type and time.

    `stream` and `alarm_id` say what it is about, if about any: events about one alarm, or about one stream
    and no alarm, reach a webhook in their order.
    """

    @property
    def stream(self) -> str | None: ...

    @property
    def alarm_id(self) -> str | None: ...

    def payload(self) -> Json: ...


@dataclass(frozen=True, slots=True)
class AlarmData:
    """The state of an alarm: the data of `alarm.*` events.

    `box` is relative to the frame, `pixels` the object's width and height as the detector saw it, `hits` and
    `of` what confirmed the alarm, `light_mean` and `contrast` (NaN where they are not known) those of the light
    from 0 (black) to 255, `config` the digest of the configuration. `clock_synchronized` is None where the
    machine does not tell, `judged` while nobody has given a verdict, and the last one then. `picture` has links
    to what was kept of the alarm, and until when they hold, `respond` the one by which a verdict is given. `ended`
    is None while it is open. `tier` says who is meant to look at it. One that is `silenced` is kept and told to
    nobody.
    """

    alarm_id: str
    stream: str
    rule: str
    severity: str
    class_name: str
    score: float
    box: Box
    zone: str | None
    first_seen: datetime
    hits: int
    of: int
    pixels: tuple[float, float]
    light_mean: float
    contrast: float
    correction: Correction
    model: str
    config: str
    test: bool = False
    clock_synchronized: bool | None = None
    judged: Judgement | None = None
    tier: str = "alarm"
    picture: Mapping[str, str] | None = None
    silenced: bool = False
    respond: Mapping[str, str] | None = None
    ended: datetime | None = None

    def payload(self) -> Json:
        return {
            "alarm_id": self.alarm_id,
            "stream": self.stream,
            "rule": self.rule,
            "severity": self.severity,
            "tier": self.tier,
            "class": self.class_name,
            "score": _number(self.score, 4),
            "box": [_number(edge, 4) for edge in self.box],
            "zone": self.zone,
            "first_seen": stamp(self.first_seen),
            "confirmed_by": {"hits": self.hits, "of": self.of},
            "pixels": [_number(side) for side in self.pixels],
            "test": self.test,
            "light": {
                "mean": _number(self.light_mean),
                "contrast": _number(self.contrast),
                "correction": self.correction,
            },
            "model": self.model,
            "config": self.config,
            "clock_synchronized": self.clock_synchronized,
            "verdict": None if self.judged is None else self.judged.verdict,
            "judged": None if self.judged is None else _told(self.judged),
            "picture": self.picture,
            "silenced": self.silenced,
            "respond": self.respond,
            "ended": None if self.ended is None else stamp(self.ended),
        }

    def facts(self) -> dict[str, Any]:
        """Return the payload without the links in it: whoever has one sees the alarm's pictures and answers it."""
        return {key: value for key, value in self.payload().items() if key not in ("picture", "respond")}

    @classmethod
    def from_payload(cls, payload: Json) -> Self:
        """Return the data that have this payload; the inverse of `payload`, but for its rounding."""
        x1, y1, x2, y2 = (_float(edge) for edge in payload["box"])
        width, height = (_float(side) for side in payload["pixels"])
        return cls(
            alarm_id=payload["alarm_id"],
            stream=payload["stream"],
            rule=payload["rule"],
            severity=payload["severity"],
            class_name=payload["class"],
            score=_float(payload["score"]),
            box=(x1, y1, x2, y2),
            zone=payload["zone"],
            first_seen=datetime.fromisoformat(payload["first_seen"]),
            hits=payload["confirmed_by"]["hits"],
            of=payload["confirmed_by"]["of"],
            pixels=(width, height),
            light_mean=_float(payload["light"]["mean"]),
            contrast=_float(payload["light"].get("contrast")),  # stored before it was told
            correction=Correction(payload["light"]["correction"]),
            model=payload["model"],
            config=payload["config"],
            test=payload["test"],
            clock_synchronized=payload["clock_synchronized"],
            # stored before there were any
            judged=_judgement(payload),
            tier=payload.get("tier", "alarm"),
            picture=payload.get("picture"),
            silenced=payload.get("silenced", False),
            respond=payload.get("respond"),
            ended=datetime.fromisoformat(ended) if (ended := payload.get("ended")) else None,
        )


_OF_EVIDENCE = frozenset(
    {
        "alarm_id",
        "stream",
        "rule",
        "severity",
        "class",
        "score",
        "zone",
        "test",
        "silenced",
        "picture",
        "respond",
    }
)
"""What an event about the evidence of an alarm tells of the alarm itself."""


@dataclass(frozen=True, slots=True)
class EvidenceData:
    """The data of `evidence.*`: of which `kinds` there are pictures or a clip of an alarm, or why there are none.

    `alarm` is as it was raised.
    """

    alarm: AlarmData
    kinds: tuple[str, ...]
    why: str | None = None

    @property
    def stream(self) -> str:
        return self.alarm.stream

    @property
    def alarm_id(self) -> str:
        return self.alarm.alarm_id

    @property
    def severity(self) -> str:
        return self.alarm.severity

    @property
    def silenced(self) -> bool:
        return self.alarm.silenced

    def payload(self) -> Json:
        told = {key: value for key, value in self.alarm.payload().items() if key in _OF_EVIDENCE}
        return {**told, "kinds": list(self.kinds), "why": self.why}


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm as it is remembered: while it is open, so that a restart carries it on, and then as history.

    `opened`, `reported` and `ended` are wall times: of the raise, of the last `alarm.raised` or `alarm.repeated`,
    and of the end, None while it is open. `alarm` is what was last said about it.
    """

    alarm: AlarmData
    opened: datetime
    reported: datetime
    ended: datetime | None = None

    def over(self, at: datetime) -> "AlarmRecord":
        """Return it as it is once it has ended."""
        return replace(self, alarm=replace(self.alarm, ended=at), ended=at)


@dataclass(frozen=True, slots=True)
class StreamData:
    """The data of `stream.down`, `stream.up` and their kin.

    `reason` is a word of a closed set, such as a `SourceFault`; `lasted` is for how many seconds the state
    that ends with this event had lasted.
    """

    stream: str
    reason: str | None = None
    lasted: float | None = None

    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        lasted = None if self.lasted is None else _number(self.lasted, 3)
        return {"stream": self.stream, "reason": self.reason, "lasted_seconds": lasted}


@dataclass(frozen=True, slots=True)
class ImpairmentData:
    """The data of `stream.impaired` and `stream.restored`.

    `reason` is a word of a closed set and the same in both; `light_mean` and `contrast`, from 0 to 255, are of
    the picture with which the event comes; `lasted` is how many seconds ago the bad pictures began.
    """

    stream: str
    reason: str
    light_mean: float
    contrast: float
    lasted: float

    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {
            "stream": self.stream,
            "reason": self.reason,
            "light": {"mean": _number(self.light_mean), "contrast": _number(self.contrast)},
            "lasted_seconds": _number(self.lasted, 3),
        }


@dataclass(frozen=True, slots=True)
class DetectorData:
    """The data of `detector.*` events; `stream`, and `rule`, are set where only that one is concerned.

    `reason` is the same in both.
    """

    reason: Degradation
    model: str
    provider: str
    stream: str | None = None
    rule: str | None = None

    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {
            "reason": self.reason,
            "model": self.model,
            "provider": self.provider,
            "stream": self.stream,
            "rule": self.rule,
        }


@dataclass(frozen=True, slots=True)
class DeliveryData:
    """The data of `delivery.exhausted`: which event could not be delivered to which webhook, and why.

    `of_alarm` is the alarm that the lost event was about. The notice itself is about no alarm, so that it
    does not wait behind that alarm's other events.
    """

    webhook: str
    event_id: str
    event_type: str
    of_alarm: str | None
    attempts: int
    outcome: str

    stream: ClassVar[None] = None
    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {
            "webhook": self.webhook,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "alarm_id": self.of_alarm,
            "attempts": self.attempts,
            "outcome": self.outcome,
        }


@dataclass(frozen=True, slots=True)
class PauseData:
    """The data of `delivery.paused` and `delivery.resumed`: which webhook is hardly tried any more, and why."""

    webhook: str
    reason: str

    stream: ClassVar[None] = None
    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {"webhook": self.webhook, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class OutboxData:
    """The data of `outbox.*` events: a closed-set reason; what the damaged database became; whose queue is full."""

    reason: str
    moved_to: str | None = None
    webhook: str | None = None

    stream: ClassVar[None] = None
    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {"reason": self.reason, "moved_to": self.moved_to, "webhook": self.webhook}


@dataclass(frozen=True, slots=True)
class OverrideData:
    """The data of `silence.*` and `test.*`: which it is and, where it is over, why and by whom, if by anybody."""

    override: Override
    reason: str | None = None
    ended_by: str | None = None

    alarm_id: ClassVar[None] = None

    @property
    def stream(self) -> str | None:
        return self.override.stream

    def payload(self) -> Json:
        one = self.override
        return {
            "id": one.id,
            "stream": one.stream,
            "rule": one.rule,
            "since": stamp(one.since),
            "until": stamp(one.until),
            "by": one.by,
            "why": one.why,
            "reason": self.reason,
            "ended_by": self.ended_by,
        }


@dataclass(frozen=True, slots=True)
class HeartbeatData:
    """The data of `tocsin.heartbeat`: after how many seconds the next one comes, and how many streams are up."""

    every: float
    streams: int
    streams_up: int

    stream: ClassVar[None] = None
    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {"every_seconds": self.every, "streams": self.streams, "streams_up": self.streams_up}


@dataclass(frozen=True, slots=True)
class TrialData:
    """The data of `tocsin.test`."""

    message: str = "a test event: nothing happened"

    stream: ClassVar[None] = None
    alarm_id: ClassVar[None] = None

    def payload(self) -> Json:
        return {"message": self.message, "test": True}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened at `at` (with a time zone); `id` is its identity at every receiver."""

    id: str
    type: EventType
    at: datetime
    data: Data

    @property
    def stream(self) -> str | None:
        return self.data.stream

    @property
    def alarm_id(self) -> str | None:
        return self.data.alarm_id

    def wanted(self, pattern: str) -> bool:
        """Say whether a pattern selects this event: by its type, and its severity where `/critical` follows.

        None selects what is about an alarm that is silenced.
        """
        if isinstance(self.data, AlarmData | EvidenceData) and self.data.silenced:
            return False
        kind, _, severity = pattern.partition("/")
        told = self.data.severity if isinstance(self.data, AlarmData | EvidenceData) else ""
        return self.type.matches(kind) and severity in ("", told)

    def render(self, seq: int) -> bytes:
        """Return the body of every delivery of this event: compact JSON in ASCII.

        `seq` counts the events of one stream, and apart from them those of no stream.
        """
        data = {"seq": seq, **self.data.payload()}
        body = {"type": self.type, "timestamp": stamp(self.at), "data": data}
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")


def new_id(at: datetime, prefix: str = "msg") -> str:
    """Return an identity that no other event has, drawn from the system's randomness."""
    return make_id(at, os.urandom(10), prefix)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_id(at: datetime, randomness: bytes, prefix: str = "msg") -> str:
    """Return `prefix`, an underscore and a UUID of version 7 (RFC 9562) in hexadecimal.

    Identities sort by time, in milliseconds. `randomness` is ten bytes, of which 74 bits are used.
    """
    # not by way of timestamp(), which as a float may fall short of the millisecond
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1) & ((1 << 48) - 1)
    bits = int.from_bytes(randomness, "big")
    number = milliseconds << 80 | 0x7 << 76 | (bits >> 68 & 0xFFF) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1)
    return f"{prefix}_{uuid.UUID(int=number).hex}"


def stamp(at: datetime) -> str:
    """Return a time as receivers read it: UTC to the millisecond, `2026-11-21T10:15:02.418Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(judged: Judgement) -> Json:
    return {"by": judged.by, "at": stamp(judged.at), "why": judged.why}


def _judgement(payload: Json) -> Judgement | None:
    if not (verdict := payload.get("verdict")):
        return None
    # before there was more than the word
    judged = payload.get("judged") or {"by": "", "at": payload["first_seen"], "why": ""}
    at = datetime.fromisoformat(judged["at"])
    return Judgement(Verdict(verdict), judged["by"], at, judged["why"])


def _number(value: float, digits: int | None = None) -> float | None:
    """Return a rounded built-in number (NumPy's are no JSON), null when it is not finite.

    An alarm with an unknown number in it is worth more to its receiver than none.
    """
    number = float(value)
    return round(number, digits) if math.isfinite(number) else None


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
