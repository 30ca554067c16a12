"""Events, alarms and an observer for tests of delivery."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tocsin.deliver.act import Via
from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.event import Event, EventType, StreamData
from tocsin.deliver.judging import Statement
from tocsin.deliver.notation import new_id
from tocsin.deliver.schedule import Outcome, Settlement
from tocsin.deliver.trouble import DropReason, Trouble
from tocsin.deliver.verdict import Judgement, Verdict
from tocsin.frame import Correction

NOON = datetime(2026, 11, 21, 12, 0, 0, 418_000, tzinfo=UTC)

ALARM = AlarmData(
    alarm_id="alarm_1",
    stream="entrance",
    rule="intruder",
    severity="critical",
    class_name="person",
    score=0.81,
    box=(0.41, 0.33, 0.47, 0.52),
    zone="doorway",
    first_seen=NOON,
    hits=5,
    of=10,
    pixels=(31.2, 63.9),
    light_mean=187.6,
    contrast=71.4,
    correction=Correction.DARKEN_CLAHE,
    model="nanodet-coco-416",
    config="sha256:0000",
    clock_synchronized=True,
)


def alarm_event(kind: EventType = EventType.ALARM_RAISED, alarm_id: str = "alarm_1") -> Event:
    """Return a new event about an alarm, happening now."""
    now = datetime.now(UTC)
    return Event(new_id(now), kind, now, replace(ALARM, alarm_id=alarm_id))


def stream_event(kind: EventType = EventType.STREAM_DOWN, stream: str = "entrance") -> Event:
    """Return a new event about a stream, happening now."""
    now = datetime.now(UTC)
    return Event(new_id(now), kind, now, StreamData(stream, "stall"))


def open_alarm(alarm_id: str = "alarm_1") -> AlarmRecord:
    """Return an alarm that was raised at noon."""
    return AlarmRecord(replace(ALARM, alarm_id=alarm_id), NOON, NOON)


def ended_alarm(alarm_id: str = "alarm_1") -> AlarmRecord:
    """Return the same alarm, a minute later."""
    return open_alarm(alarm_id).over(NOON + timedelta(minutes=1))


def stated(verdict: Verdict, by: str = "anna", why: str = "a mop") -> Statement:
    """Return what a person says."""
    return Statement(verdict, by, Via.COMMAND, why)


def judged(verdict: Verdict, by: str = "anna", why: str = "a mop") -> Judgement:
    """Return what a person said at noon."""
    return Judgement(verdict, by, NOON, why)


@dataclass
class Notes:
    """Observes the outbox and the dispatcher, and keeps what it heard."""

    attempts: list[tuple[str, Outcome]] = field(default_factory=list)
    settlements: list[tuple[str, Settlement]] = field(default_factory=list)
    delays: list[tuple[str, float]] = field(default_factory=list)
    depths: dict[str, int] = field(default_factory=dict)
    ages: dict[str, float] = field(default_factory=dict)
    drops: list[tuple[DropReason, int]] = field(default_factory=list)
    pauses: list[tuple[str, bool]] = field(default_factory=list)
    degraded: list[bool] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    free: list[int] = field(default_factory=list)

    def attempted(self, webhook: str, outcome: Outcome) -> None:
        self.attempts.append((webhook, outcome))

    def settled(self, webhook: str, settlement: Settlement) -> None:
        self.settlements.append((webhook, settlement))

    def delivered_after(self, webhook: str, seconds: float) -> None:
        self.delays.append((webhook, seconds))

    def paused(self, webhook: str, is_paused: bool) -> None:
        self.pauses.append((webhook, is_paused))

    def queued(self, webhook: str, depth: int, oldest_age: float) -> None:
        self.depths[webhook] = depth
        self.ages[webhook] = oldest_age

    def outbox_dropped(self, reason: DropReason, count: int) -> None:
        self.drops.append((reason, count))

    def outbox_degraded(self, degraded: bool) -> None:
        self.degraded.append(degraded)

    def outbox_failed(self, trouble: Trouble) -> None:
        self.troubles.append(trouble)

    def committed_after(self, seconds: float) -> None:
        self.commits.append(seconds)

    def disk_free(self, free: int) -> None:
        self.free.append(free)
