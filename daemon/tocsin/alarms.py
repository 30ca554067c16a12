"""From analysed frames to committed events: what every rule makes of a frame, and what is said about it."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import structlog

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.episode import Decision
from tocsin.alarm.memory import NOTHING, Memory, Spot
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Tier
from tocsin.alarm.settling import Settling
from tocsin.alarm.watch import Finding, Watch
from tocsin.alarm.withheld import Withheld
from tocsin.clock import monotonic_time, synchronized, wall_time
from tocsin.custody.archive import Raised
from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.judging import Statement, Taken, take
from tocsin.deliver.notation import new_id
from tocsin.deliver.recall import Recall
from tocsin.deliver.store import Change
from tocsin.frame import Detections, Frame, View
from tocsin.overrides import PLAIN, Treatment

KEEP_EVERY = 600.0
"""Seconds after which the places of what stands still are kept again: when something was seen there last is part of
them, and what was not seen for a day is forgotten."""

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Hears what alarms count."""

    def sighted(self, stream: str, rule: str) -> None: ...
    def alarm_raised(self, stream: str, rule: str, label: str, delay_seconds: float) -> None: ...
    def alarm_silenced(self, stream: str, rule: str) -> None: ...
    def alarm_tested(self, stream: str, rule: str) -> None: ...
    def alarms_active(self, stream: str, rule: str, n: int) -> None: ...
    def alarm_withheld(self, stream: str, rule: str, reason: Withheld) -> None: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """A watch, and the severity and tier of its alarms.

    While an alarm of one of the `graver` rules is open on the stream, this one raises none.
    """

    watch: Watch
    rule: str
    severity: str
    tier: Tier = Tier.ALARM
    graver: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """What every alarm tells about the daemon that raised it."""

    model: str
    config: str
    test: bool


Keep = Callable[[Raised], Mapping[str, str] | None]
"""Has pictures of an alarm kept, without waiting for them, and returns what its event tells of them."""

Respond = Callable[[str], Mapping[str, str] | None]
"""Returns what an event tells of the way to answer the alarm of this identity."""

Treat = Callable[[str, str], Treatment]
"""Says of a stream and a rule what becomes of an alarm that is raised now."""


class Alarms:
    """The engine's sink: `analysed` is for the engine's thread alone, all else for any.

    `commit` hands a change to the outbox and returns at once. `origin` is what alarms tell that are raised from now
    on; it may be replaced, whole, at any time. `keep` and `treat` are asked once for each alarm. What is muted,
    silenced or of a walk test, is a matter of its own: it outranks nothing when it is silenced, withholds nothing
    once it is over, and ends with what muted it, for `heed`, so that what is still there is raised anew.
    """

    def __init__(
        self,
        watched: Mapping[str, Sequence[Watched]],
        resumed: Sequence[AlarmRecord],
        commit: Callable[[Change], object],
        observe: Observer,
        origin: Origin,
        keep: Keep | None = None,
        respond: Respond | None = None,
        *,
        treat: Treat = lambda *_: PLAIN,
    ) -> None:
        self._watched = watched
        self._treat = treat
        self._keep = keep
        self._respond = respond
        self._settling: dict[str, Settling] = {}
        self._commit = commit
        self._observe = observe
        self.origin = origin
        # Guards the watches and the open alarms. The engine's thread holds it for as long as the rules take for one
        # frame, whoever brings a verdict for a moment.
        self._turn = threading.Lock()
        self._open = {(alarm.alarm.stream, alarm.alarm.rule): alarm for alarm in resumed}
        self._withheld: Counter[tuple[str, str, Withheld]] = Counter()
        self._sighted: Counter[tuple[str, str]] = Counter()
        # how many changes of a watch's places are kept, and when that was, on the clock of the frames
        self._kept: dict[tuple[str, str], tuple[int, float]] = {}
        for (stream, rule), known in self._open.items():
            observe.alarms_active(stream, rule, not self._is_muted(known.alarm))

    def open(self) -> list[AlarmRecord]:
        """Return the alarms that were raised and have not ended; from any thread."""
        return list(self._open.values())

    def told(self) -> list[AlarmRecord]:
        """Return those of the open alarms that are not silenced; from any thread."""
        return [one for one in self.open() if not one.alarm.silenced]

    def withheld(self) -> dict[tuple[str, str, Withheld], int]:
        """Return how many alarms were not raised by stream, rule and reason; from any thread."""
        return dict(self._withheld)

    def sighted(self) -> dict[tuple[str, str], int]:
        """Return how many sightings there were by stream and rule; from any thread."""
        return dict(self._sighted)

    def adopt(
        self, watched: Mapping[str, Sequence[Watched]], anew: Collection[str] = ()
    ) -> list[AlarmRecord]:
        """Go on with other watches and return the alarms that ended, for none carries them on; from any thread.

        A watch of the same stream and a rule of the same name goes on where the one before is, as `Watch.revise`
        has it, to which `anew` names streams. What is told of an alarm is what it was raised with. What a rule
        remembered ends with it.
        """
        with self._turn:
            before = {(stream, one.rule): one.watch for stream, all_ in self._watched.items() for one in all_}
            now = {(stream, one.rule): one for stream, all_ in watched.items() for one in all_}
            for key in before.keys() & now.keys():
                before[key].revise(now[key].watch, anew=key[0] in anew)
                now[key] = replace(now[key], watch=before[key])
            self._watched = {
                stream: [now[stream, one.rule] for one in all_] for stream, all_ in watched.items()
            }
            same = watched.keys() - set(anew)
            self._settling = {stream: light for stream, light in self._settling.items() if stream in same}
            self._forget([key for key in before if key not in now and before[key].memory != NOTHING])
            self._withheld = Counter({key: n for key, n in self._withheld.items() if key[:2] in now})
            self._sighted = Counter({key: n for key, n in self._sighted.items() if key in now})
            self._kept = {key: kept for key, kept in self._kept.items() if key in now}
            ended = [self._open.pop(key) for key in list(self._open) if key not in now]
            for known in ended:
                self._close(known, datetime.now(UTC), "an alarm ends, for its stream or rule is gone")
        return ended

    def judge(
        self, alarm_id: str, said: Statement, commit: Callable[[str, Change], object], *, anew: bool = False
    ) -> Taken | None:
        """Take a person's verdict on an alarm, as `take` does; None where no such one is open. From any thread.

        `commit` gets the identity and the change while nothing else happens to the alarm; where it raises, nothing
        does.
        """
        with self._turn:
            place = next((key for key, one in self._open.items() if one.alarm.alarm_id == alarm_id), None)
            if place is None:
                return None
            taken = take(self._open[place], said, datetime.now(UTC), anew=anew)
            if taken.change is not None:
                commit(alarm_id, taken.change)
                self._open[place] = taken.record
                for watched in self._watched.get(taken.record.alarm.stream, ()):
                    if watched.rule == taken.record.alarm.rule:
                        watched.watch.judged()
            return taken

    def heed(self) -> None:
        """End what was raised silenced, or as a test, where that is over: what is still there is raised anew."""
        with self._turn:
            for (stream, rule), known in list(self._open.items()):
                treatment, alarm = self._treat(stream, rule), known.alarm
                is_tested = alarm.test and not (self.origin.test or treatment.test)
                if not is_tested and (treatment.silenced or not alarm.silenced):
                    continue
                for watched in self._watched.get(stream, ()):
                    if watched.rule == rule:
                        watched.watch.abandon()
                del self._open[stream, rule]
                self._close(known, datetime.now(UTC), "an alarm ends with what muted it")

    def analysed(self, frame: Frame, detections: Detections) -> None:
        """Show one analysed frame to every rule of its stream."""
        with self._turn:
            self._show(frame, detections)

    def _show(self, frame: Frame, detections: Detections) -> None:
        light = self._settling.setdefault(frame.stream, Settling())
        moment = Moment(
            frame.at,
            frame.period,
            frame.silence,
            shape=frame.width / frame.height,
            wall=wall_time(frame.at) if math.isfinite(frame.at) else None,
            unsettled=light.update(frame.views[0].light, frame.at, frame.period, frame.silence),
        )
        for watched in self._watched.get(frame.stream, ()):
            known = self._open.get((frame.stream, watched.rule))
            is_muted = known is not None and self._is_muted(known.alarm)
            shown = replace(moment, outranked=self._is_outranked(frame.stream, watched), muted=is_muted)
            finding = watched.watch.update(shown, detections)
            if finding.sighting:
                self._sighted[frame.stream, watched.rule] += 1
                self._observe.sighted(frame.stream, watched.rule)
            if finding.best is not None:
                self._remember(frame, finding, finding.best)
            for reason in finding.withheld:
                self._withheld[frame.stream, watched.rule, reason] += 1
                self._observe.alarm_withheld(frame.stream, watched.rule, reason)
            self._tell(frame, detections, finding, watched)
            if self._has_learned(frame, watched):
                self._commit(Change(recalled=(self._recall(frame, watched),)))

    def _is_outranked(self, stream: str, watched: Watched) -> bool:
        graver = (self._open.get((stream, name)) for name in watched.graver)
        return any(one is not None and not one.alarm.silenced for one in graver)

    def _is_muted(self, alarm: AlarmData) -> bool:
        """Whether nobody heard of an alarm as of one that is meant; where all are tests, each is as good."""
        return alarm.silenced or (alarm.test and not self.origin.test)

    def _forget(self, gone: Sequence[tuple[str, str]]) -> None:
        """Have a restart know nothing of what these remembered, by stream and rule."""
        if gone:
            at = datetime.now(UTC)
            self._commit(Change(recalled=tuple(Recall(stream, rule, at, None) for stream, rule in gone)))

    def _remember(self, frame: Frame, finding: Finding, best: Candidate) -> None:
        """Keep what was last seen of an open alarm: that is what its next event tells."""
        known = self._open.get((finding.stream, finding.rule))
        if known is not None:
            self._open[finding.stream, finding.rule] = replace(known, alarm=_seen(known.alarm, frame, best))

    def _tell(self, frame: Frame, detections: Detections, finding: Finding, watched: Watched) -> None:
        match finding.decision:
            case Decision.RAISED:
                self._raise(frame, detections, finding, watched)
            case Decision.REPEATED:
                self._repeat(frame, finding)
            case Decision.ENDED:
                self._end(frame, finding, watched)
            case Decision.QUIET | Decision.WITHHELD | Decision.HELD:
                pass

    def _raise(self, frame: Frame, detections: Detections, finding: Finding, watched: Watched) -> None:
        best, first_seen = finding.best, finding.first_seen
        assert best is not None, "an alarm is raised by a sighting"
        assert first_seen is not None, "a raised alarm has a first sighting"
        at = wall_time(frame.at)
        view = _view(frame, best)
        alarm_id = new_id(at, "alarm")
        treatment = self._treat(finding.stream, finding.rule)
        raised = Raised(
            *(finding.stream, alarm_id, frame.at, first_seen, best.box, best.class_name, best.score),
            shown=bool((detections.boxes == np.asarray(best.box, np.float32)).all(axis=1).any()),
        )
        alarm = AlarmData(
            alarm_id=alarm_id,
            stream=finding.stream,
            rule=finding.rule,
            severity=watched.severity,
            tier=watched.tier,
            class_name=best.class_name,
            score=best.score,
            box=best.box,
            zone=best.zone,
            first_seen=wall_time(first_seen),
            hits=finding.hits,
            of=finding.of,
            pixels=best.pixels,
            light_mean=view.light.mean,
            contrast=view.light.contrast,
            correction=view.correction,
            model=self.origin.model,
            config=self.origin.config,
            test=self.origin.test or treatment.test,
            silenced=treatment.silenced,
            clock_synchronized=synchronized(),
            picture=self._pictures(raised),
            respond=None if self._respond is None else self._respond(alarm_id),
        )
        opened = AlarmRecord(alarm, opened=at, reported=at)
        self._open[finding.stream, finding.rule] = opened
        self._commit(Change(events=(_event(EventType.ALARM_RAISED, at, alarm),), alarms=(opened,)))
        self._count(alarm, frame.at - first_seen)
        _log("alarm raised", alarm)

    def _count(self, alarm: AlarmData, delay: float) -> None:
        """Count an alarm that was raised so many seconds after its first sighting."""
        if alarm.silenced:
            self._observe.alarm_silenced(alarm.stream, alarm.rule)
        elif self._is_muted(alarm):
            self._observe.alarm_tested(alarm.stream, alarm.rule)
        else:
            self._observe.alarm_raised(alarm.stream, alarm.rule, alarm.class_name, delay)
            self._observe.alarms_active(alarm.stream, alarm.rule, 1)

    def _pictures(self, raised: Raised) -> Mapping[str, str] | None:
        return None if self._keep is None else self._keep(raised)

    def _repeat(self, frame: Frame, finding: Finding) -> None:
        """Tell an alarm again; not while it would be silenced, though what was told of it goes on."""
        if self._treat(finding.stream, finding.rule).silenced:
            return
        at = wall_time(frame.at)
        known = replace(self._open[finding.stream, finding.rule], reported=at)
        self._open[finding.stream, finding.rule] = known
        event = _event(EventType.ALARM_REPEATED, at, known.alarm)
        self._commit(Change(events=(event,), alarms=(known,)))
        _log("alarm repeated", known.alarm)

    def _end(self, frame: Frame, finding: Finding, watched: Watched) -> None:
        known = self._open.pop((finding.stream, finding.rule))
        cools_down = watched.watch.cools_down and not self._is_muted(known.alarm)
        learned = cools_down or self._has_learned(frame, watched)
        recalled = (self._recall(frame, watched),) if learned else ()
        self._close(known, wall_time(frame.at), "alarm ended", recalled)

    def _close(
        self, known: AlarmRecord, at: datetime, sentence: str, recalled: tuple[Recall, ...] = ()
    ) -> None:
        known = known.over(at)
        event = _event(EventType.ALARM_ENDED, at, known.alarm)
        self._commit(Change(events=(event,), alarms=(known,), recalled=recalled))
        self._observe.alarms_active(known.alarm.stream, known.alarm.rule, 0)
        _log(sentence, known.alarm)

    def _has_learned(self, frame: Frame, watched: Watched) -> bool:
        """Whether a restart would forget something of a watch's places."""
        changes, at = self._kept.get((frame.stream, watched.rule), (0, -math.inf))
        if watched.watch.changes != changes:
            return True
        return abs(frame.at - at) >= KEEP_EVERY and bool(watched.watch.memory.spots)

    def _recall(self, frame: Frame, watched: Watched) -> Recall:
        """Return what a restart has to know of a watch; it is taken for kept from now on."""
        self._kept[frame.stream, watched.rule] = watched.watch.changes, frame.at
        memory = watched.watch.memory
        ended = None if math.isinf(memory.ended) else wall_time(memory.ended)
        still = tuple((spot.box, wall_time(spot.seen)) for spot in memory.spots)
        return Recall(frame.stream, watched.rule, wall_time(frame.at), ended, still)


def memory_of(recall: Recall) -> Memory:
    """Return what a rule remembered; what is in the future, since the clock was set back, as of now."""
    now = datetime.now(UTC)
    ended = -math.inf if recall.ended is None else monotonic_time(min(recall.ended, now))
    return Memory(ended, tuple(Spot(box, monotonic_time(min(seen, now))) for box, seen in recall.still))


def _seen(alarm: AlarmData, frame: Frame, best: Candidate) -> AlarmData:
    view = _view(frame, best)
    return replace(
        alarm,
        class_name=best.class_name,
        score=best.score,
        box=best.box,
        zone=best.zone,
        pixels=best.pixels,
        light_mean=view.light.mean,
        contrast=view.light.contrast,
        correction=view.correction,
    )


def _view(frame: Frame, best: Candidate) -> View:
    """Return the view that something was seen in; the first where that was in an earlier frame with more views."""
    return frame.views[best.view if best.view < len(frame.views) else 0]


def _event(kind: EventType, at: datetime, alarm: AlarmData) -> Event:
    return Event(new_id(at), kind, at, alarm)


def _log(sentence: str, alarm: AlarmData) -> None:
    tell = log.warning if sentence == "alarm raised" else log.info
    tell(
        sentence,
        stream=alarm.stream,
        rule=alarm.rule,
        severity=alarm.severity,
        object=alarm.class_name,
        score=round(alarm.score, 2),
        zone=alarm.zone,
        alarm_id=alarm.alarm_id,
        verdict=None if alarm.judged is None else alarm.judged.verdict,
        **{word: True for word, holds in (("test", alarm.test), ("silenced", alarm.silenced)) if holds},
    )
