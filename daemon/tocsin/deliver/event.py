"""What is sent: events, their types, and the bytes of their bodies."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol

from tocsin.deliver.alarmdata import AlarmData, EvidenceData
from tocsin.deliver.notation import Json, number, stamp
from tocsin.deliver.override import Override
from tocsin.errors import Degradation


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
        lasted = None if self.lasted is None else number(self.lasted, 3)
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
            "light": {"mean": number(self.light_mean), "contrast": number(self.contrast)},
            "lasted_seconds": number(self.lasted, 3),
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
