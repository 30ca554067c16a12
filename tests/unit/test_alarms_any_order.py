"""Frames, damage, holds, verdicts, silences and new rules in any order: alarms are raised when they should be."""

import math
import time
from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.events import stated
from support.pictures import grey, view
from tocsin.alarm.confirm import interrupted
from tocsin.alarm.episode import Resumed
from tocsin.alarm.memory import NOTHING, Memory
from tocsin.alarm.rule import Per, Rule
from tocsin.alarm.settling import Settling
from tocsin.alarm.watch import Watch
from tocsin.alarm.withheld import Withheld
from tocsin.alarm.zone import Zones
from tocsin.alarms import Alarms, Origin, Watched
from tocsin.clock import monotonic_time
from tocsin.deliver.event import EventType
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.frame import Detections, Frame
from tocsin.overrides import PLAIN, Treatment

PERIOD = 0.1
HERE, THERE = (0.1, 0.2, 0.15, 0.3), (0.7, 0.2, 0.75, 0.3)
"""Too far apart for anybody to come from one to the other between two frames."""

PLACES = {"here": [HERE], "there": [THERE], "both": [HERE, THERE], "nobody": []}
SEEN = st.sampled_from(["here", "here", "there", "both", "nobody", "nobody", "nobody"])
STEPS = st.floats(0.02, 0.4)
RULES = st.builds(
    lambda hits, more, **asked: Rule("visit", ("person",), 0.5, hits, hits + more, **asked),
    st.sampled_from([1, 2, 2, 3, 4]),
    st.integers(0, 2),
    within=st.sampled_from([0.5, 1.5, 9.0]),
    end_after=st.sampled_from([0.0, 0.3, 1.0]),
    repeat_every=st.sampled_from([0.0, 0.5]),
    cooldown=st.sampled_from([0.0, 0.0, 1.5]),
    per=st.sampled_from(Per),
    latch=st.sampled_from([False, False, True]),
)


TREATMENTS = [PLAIN, PLAIN, *(Treatment(*each) for each in ((True, False), (False, True), (True, True)))]


class Deaf:
    """Hears what alarms count, and what was withheld last."""

    def __init__(self) -> None:
        self.withheld: list[Withheld] = []

    def sighted(self, stream: str, rule: str) -> None: ...
    def alarm_raised(self, stream: str, rule: str, label: str, delay_seconds: float) -> None: ...
    def alarm_silenced(self, stream: str, rule: str) -> None: ...
    def alarm_tested(self, stream: str, rule: str) -> None: ...
    def alarms_active(self, stream: str, rule: str, n: int) -> None: ...

    def alarm_withheld(self, stream: str, rule: str, reason: Withheld) -> None:
        self.withheld.append(reason)


class AnyOrder(RuleBasedStateMachine):
    """The sink of the engine beside a list of what was shown since the last gap, end or new rule."""

    @initialize(asked=RULES)
    def begin(self, asked: Rule) -> None:
        self.at = time.monotonic()
        self.lit, self.fresh = False, True
        self.open = self.pending = self.judged = False
        self.people = 0
        self.ended = -math.inf
        self.treatment = self.raised_as = PLAIN
        self.observe = Deaf()
        self.changes: list[Change] = []
        self.take(asked, NOTHING)

    def take(self, asked: Rule, memory: Memory) -> None:
        """Go on by a rule, as after a restart or a reload."""
        known = self.alarms.open() if hasattr(self, "alarms") else []
        resumed = None
        for one in known:
            judged = one.alarm.judged is not None
            resumed = Resumed(monotonic_time(one.alarm.first_seen), monotonic_time(one.reported), judged)
        self.asked = asked
        self.watch = Watch("yard", asked, Zones({}), ("person",), resumed, memory)
        origin, watched = Origin("m", "c", test=False), {"yard": [Watched(self.watch, "visit", "critical")]}
        treat = lambda *_: self.treatment  # noqa: E731 - it changes
        self.alarms = Alarms(watched, known, self.changes.append, self.observe, origin, treat=treat)
        self.light = Settling()
        self.shown: list[tuple[float, str]] = []
        self.pending = False
        self.last: float | None = None  # the time of the frame before

    @rule(shown=st.lists(SEEN, min_size=1, max_size=6), step=STEPS)
    def frames(self, shown: list[str], step: float) -> None:
        for seen in shown:
            self.show(seen, step, silence=step)

    @rule(seen=st.sampled_from(["here", "both"]), back=st.integers(0, 3), restarts=st.booleans())
    def visit(self, seen: str, back: int, restarts: bool) -> None:
        """Somebody stays for long enough, goes until the alarm has ended, and comes back at once."""
        self.nobody_until_it_ends()
        for _ in range(self.asked.hits):
            self.show(seen, PERIOD, silence=PERIOD)
        self.nobody_until_it_ends()
        if restarts:
            self.take(self.asked, self.watch.memory)
        for _ in range(back):
            self.show(seen, PERIOD, silence=PERIOD)

    def nobody_until_it_ends(self) -> None:
        if self.open and self.asked.latch and not self.judged:
            self.verdict(Verdict.REJECTED)
        for _ in range(12):
            if self.open:
                self.show("nobody", PERIOD, silence=PERIOD)
        assert not self.open, "looked for longer than any end_after without seeing anybody"

    @rule(seen=SEEN, step=STEPS)
    def frame_in_other_light(self, seen: str, step: float) -> None:
        self.lit = not self.lit
        self.show(seen, step, silence=step)

    @rule(seen=SEEN, seconds=st.floats(1.01, 90.0) | st.just(math.inf))
    def frame_after_damage(self, seen: str, seconds: float) -> None:
        """Nothing clean came for so long, or nothing at all; or it is the seam of a looped file."""
        self.show(seen, min(seconds, 90.0), silence=seconds)

    @rule(step=st.floats(0.02, 3.0))
    def frame_on_which_the_detector_fails(self, step: float) -> None:
        """It is shown to nobody, and the stream was not silent."""
        self.at += step

    @rule(seen=SEEN, jump=st.sampled_from([-90.0, -0.05]))
    def frame_from_the_past(self, seen: str, jump: float) -> None:
        self.show(seen, jump, silence=PERIOD)

    @precondition(lambda self: self.open)
    @rule(verdict=st.sampled_from(Verdict))
    def verdict(self, verdict: Verdict) -> None:
        (one,) = self.alarms.open()
        self.people += 1
        said = stated(verdict, by=f"person {self.people}")
        assert self.alarms.judge(one.alarm.alarm_id, said, lambda _, change: self.changes.append(change))
        told = [] if self.raised_as.silenced else [EventType.ALARM_VERDICT]
        assert [event.type for event in self.changes.pop().events] == told
        self.judged = True

    @rule(treatment=st.sampled_from(TREATMENTS))
    def silence_or_test_begins_or_ends(self, treatment: Treatment) -> None:
        """What was raised under one that is over ends with it, and is as if it had never been."""
        self.treatment, was = treatment, self.raised_as
        self.alarms.heed()
        told = [event.type for change in self.changes for event in change.events]
        self.changes.clear()
        over = (was.silenced and not treatment.silenced) or (was.test and not treatment.test)
        assert told == ([EventType.ALARM_ENDED] if self.open and over else [])
        if told:
            self.open = False
            self.shown.clear()

    @rule(asked=RULES)
    def rule_is_another(self, asked: Rule) -> None:
        """What is open goes on, and so does a cooldown; a confirmation begins anew."""
        self.take(asked, self.watch.memory)

    def show(self, seen: str, step: float, silence: float) -> None:
        self.at += step
        picture = view(grey(4, 4))
        luma = 140.0 if self.lit else 40.0
        picture = replace(picture, light=replace(picture.light, mean=luma, p50=luma))
        frame = Frame("yard", 1, self.at, PERIOD, silence, 640, 480, (picture,))
        self.alarms.analysed(frame, found(PLACES[seen]))
        told = [event.type for change in self.changes for event in change.events]
        self.changes.clear()
        unsettled = self.light.update(picture.light, self.at, PERIOD, silence)
        self.account(seen, silence, unsettled, told)

    def account(self, seen: str, silence: float, unsettled: bool, told: list[EventType]) -> None:
        self.ended += 0.0 if self.last is None else min(self.at - self.last, 0.0)
        self.ended, self.last = min(self.ended, self.at), self.at
        if interrupted(silence, PERIOD) or (self.shown and self.at < self.shown[-1][0]):
            self.shown.clear()
        self.shown.append((self.at, seen))
        if self.open:
            self.account_open(told)
            return
        confirmed = seen != "nobody" and self.hits() >= self.asked.hits
        free = self.at - self.ended >= self.asked.cooldown
        due = self.pending or (confirmed and free)
        self.pending = due and unsettled
        expected = [EventType.ALARM_RAISED] if due and not unsettled else []
        assert told == expected, f"{told} where {self.hits()} of {self.asked.hits} sightings confirm"
        if confirmed and not expected:
            assert self.observe.withheld, "nothing says why no alarm was raised"
        self.open, self.judged = bool(expected), False
        if self.open:
            self.raised_as = self.treatment
            (alarm,) = (one.alarm for one in self.alarms.open())
            assert Treatment(alarm.silenced, alarm.test) == self.treatment

    def account_open(self, told: list[EventType]) -> None:
        assert told in ([], [EventType.ALARM_REPEATED], [EventType.ALARM_ENDED])
        if told == [EventType.ALARM_ENDED]:
            assert self.shown[-1][1] == "nobody", "ended while it was seen"
            assert self.judged or not self.asked.latch, "a latched alarm ended without a verdict"
            self.open = False
            self.ended = self.at if self.raised_as == PLAIN else self.ended
            self.shown.clear()

    def hits(self) -> int:
        """How many of the frames that count show something; per object, the one thing that most of them show."""
        last = [seen for at, seen in self.shown[-self.asked.of :] if self.at - at <= self.asked.within + 1e-6]
        if self.asked.per is Per.FRAME:
            return sum(seen != "nobody" for seen in last)
        now = [place for place in ("here", "there") if self.shown[-1][1] in (place, "both")]
        return max((sum(seen in (place, "both") for seen in last) for place in now), default=0)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "alarms"):
            assert len(self.alarms.open()) == self.open == self.watch.active


def found(boxes: list[tuple[float, float, float, float]]) -> Detections:
    """Persons at some places."""
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, 0.75, np.float32),
        np.zeros(count, np.int64),
        np.full((count, 2), 32.0, np.float32),
        np.zeros(count, np.int64),
        ("person",),
    )


AnyOrder.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
