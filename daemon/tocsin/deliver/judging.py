"""What becomes of an alarm when a person says something about it. Pure: time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.notation import Json, new_id, stamp
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Judgement, Verdict


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person says, before it is taken: `via` is what stands behind the name `by`."""

    verdict: Verdict
    by: str
    via: Via
    why: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """An alarm as a statement left it, what stood before, and what to commit: None where that was said already."""

    record: AlarmRecord
    before: Judgement | None
    change: Change | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a person is answered: what stood before, whether that was the same, and whether all is on the disk."""

    record: AlarmRecord
    before: Judgement | None
    repeated: bool
    durable: bool

    def as_json(self) -> Json:
        alarm = self.record.alarm
        told = {
            key: alarm.payload()[key] for key in ("alarm_id", "stream", "rule", "class", "verdict", "judged")
        }
        return {
            **told,
            "raised": stamp(self.record.opened),
            "ended": None if self.record.ended is None else stamp(self.record.ended),
            "before": None if self.before is None else self.before.as_json(),
            "repeated": self.repeated,
            "durable": self.durable,
        }


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict, and what stands behind its name where that is known."""

    judgement: Judgement
    via: Via | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """An alarm and what was said about it, the latest first."""

    record: AlarmRecord
    said: tuple[Said, ...]


def case_of(record: AlarmRecord, entries: Sequence[Entry]) -> Case:
    """Return a case from what is on record, newest first; the verdict that stands is in it in any case."""
    said = [Said(_judgement(entry), entry.via) for entry in entries]
    last = record.alarm.judged
    if last is not None and not any(stamp(one.judgement.at) == stamp(last.at) for one in said):
        said.insert(0, Said(last))
    return Case(record, tuple(said))


def _judgement(entry: Entry) -> Judgement:
    return Judgement(Verdict(entry.details["verdict"]), entry.by, entry.at, entry.details.get("why", ""))


def take(record: AlarmRecord, said: Statement, at: datetime, *, anew: bool = False) -> Taken:
    """Return what a statement makes of an alarm, be it open or not.

    Who says again what stands as the same person's word says nothing: a double click, or a request that is repeated
    since its answer was lost. With `anew` it counts all the same.
    """
    before = record.alarm.judged
    if before is not None and not anew and _says_nothing_new(said, before):
        return Taken(record, before, None)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as it is told
    judged = Judgement(said.verdict, said.by, at, said.why)
    record = replace(record, alarm=replace(record.alarm, judged=judged))
    event = Event(new_id(at), EventType.ALARM_VERDICT, at, record.alarm)
    events = () if record.alarm.silenced else (event,)  # who never heard of it has nothing to take back
    return Taken(record, before, Change(events=events, alarms=(record,), audited=(_entry(record, said, at),)))


def proof(record: AlarmRecord, said: Statement, entries: Sequence[Entry], at: datetime) -> Entry | None:
    """Return what goes on record where a statement that says nothing new proves a name that was merely given.

    `entries` are the verdicts on this alarm. None where the name proves nothing, or was proved since it was given.
    """
    stands = record.alarm.judged
    assert stands is not None, "who says something again says what stands"
    proved = any(one.via is not Via.LINK and one.by == said.by and one.at >= stands.at for one in entries)
    return None if proved or said.via is Via.LINK else _entry(record, said, at)


def _entry(record: AlarmRecord, said: Statement, at: datetime) -> Entry:
    about = {"stream": record.alarm.stream, "rule": record.alarm.rule}
    details = {"verdict": said.verdict.value, **about, "why": said.why}
    return Entry(at, Act.VERDICT, said.by, said.via, record.alarm.alarm_id, details)


def _says_nothing_new(said: Statement, before: Judgement) -> bool:
    return (said.verdict, said.by) == (before.verdict, before.by) and said.why in ("", before.why)
