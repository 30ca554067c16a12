"""What becomes of alarms that are raised silenced or in a walk test, and of who is still there afterwards."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from support.pictures import grey, view
from tocsin.alarm.episode import Resumed
from tocsin.alarm.rule import Tier
from tocsin.alarm.watch import Rule, Watch
from tocsin.alarm.withheld import Withheld
from tocsin.alarm.zone import Zones
from tocsin.alarms import Alarms, Origin, Watched
from tocsin.custody.archive import Raised
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.store import Change
from tocsin.frame import Detections, Frame
from tocsin.overrides import PLAIN, Treatment

LABELS = ("person",)
RULE = Rule("visit", ("person",), 0.5, hits=2, of=3, within=1.0, end_after=0.5, repeat_every=0.0)
SILENCED, TEST = Treatment(silenced=True), Treatment(test=True)
BOTH = pytest.mark.parametrize("muted", [SILENCED, TEST], ids=["silenced", "test"])


class Guard:
    """A yard with a guard: what is committed and counted, what the guard is told, what pictures are kept."""

    def __init__(
        self,
        *rules: Rule,
        resumed: tuple[AlarmRecord, ...] = (),
        treatment: Treatment = PLAIN,
        demo: bool = False,
        graver: tuple[str, ...] = (),
    ) -> None:
        self.treatments: dict[str, Treatment] = {}
        self.treatment = treatment
        self.changes: list[Change] = []
        self.counts: Counter[str] = Counter()
        self.active: dict[str, int] = {}
        self.pictures: list[Raised] = []
        known = {one.alarm.rule: Resumed(0.0, 0.0) for one in resumed}
        watched = [
            Watched(
                Watch("yard", rule, Zones({}), LABELS, known.get(rule.name)),
                *(rule.name, "critical", Tier.REVIEW if number and graver else Tier.ALARM),
                graver if number else (),
            )
            for number, rule in enumerate(rules or (RULE,))
        ]
        origin = Origin("m", "c", test=demo)
        self.alarms = Alarms(
            {"yard": watched}, resumed, self.changes.append, self, origin, self.keep, treat=self.treat
        )
        self.at = 100.0

    def treat(self, _: str, rule: str) -> Treatment:
        return self.treatments.get(rule, self.treatment)

    def keep(self, raised: Raised) -> Mapping[str, str] | None:
        self.pictures.append(raised)
        return None

    def sighted(self, stream: str, rule: str) -> None: ...
    def alarm_withheld(self, stream: str, rule: str, reason: Withheld) -> None: ...

    def alarm_raised(self, stream: str, rule: str, label: str, delay_seconds: float) -> None:
        self.counts["raised"] += 1

    def alarm_silenced(self, stream: str, rule: str) -> None:
        self.counts["silenced"] += 1

    def alarm_tested(self, stream: str, rule: str) -> None:
        self.counts["tested"] += 1

    def alarms_active(self, stream: str, rule: str, n: int) -> None:
        self.active[rule] = n

    def show(self, frames: str, score: float = 0.9) -> "Guard":
        """Show a frame every tenth of a second: `x` with somebody in it, `.` with nobody."""
        for frame in frames:
            self.at += 0.1
            shown = Frame("yard", 1, self.at, 0.1, 0.1, 640, 480, (view(grey(4, 4)),))
            self.alarms.analysed(shown, _found(score) if frame == "x" else _found())
        return self

    def becomes(self, treatment: Treatment) -> "Guard":
        self.treatment = treatment
        self.alarms.heed()
        return self

    @property
    def told(self) -> list[str]:
        """What a webhook hears, in short; a test in brackets."""
        events = [event for change in self.changes for event in change.events if event.wanted("alarm.*")]
        words = [event.type.removeprefix("alarm.") for event in events]
        tests = [event.data.payload()["test"] for event in events]
        return [f"({word})" if test else word for word, test in zip(words, tests, strict=True)]

    @property
    def history(self) -> list[AlarmRecord]:
        """Every alarm as it was committed last, the oldest first."""
        return list({one.alarm.alarm_id: one for change in self.changes for one in change.alarms}.values())


def _found(*scores: float) -> Detections:
    count = len(scores)
    return Detections(
        np.array([[0.1, 0.2, 0.3, 0.4]] * count, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.zeros(count, np.int64),
        np.full((count, 2), 32.0, np.float32),
        np.zeros(count, np.int64),
        LABELS,
    )


def test_a_silenced_alarm_is_kept_and_told_to_nobody() -> None:
    """With its pictures, its mark, its end and a count of its own; no webhook hears of it."""
    guard = Guard(treatment=SILENCED).show("xxx")
    (known,) = guard.alarms.open()
    assert known.alarm.silenced
    assert known.alarm.payload()["silenced"] is True
    assert guard.alarms.told() == []
    guard.show("......")
    (ended,) = guard.history
    assert ended.ended is not None
    assert guard.told == []
    assert guard.counts == {"silenced": 1}
    assert not any(guard.active.values())
    (kept,) = guard.pictures
    assert kept.alarm_id == known.alarm.alarm_id


def test_an_alarm_of_a_walk_test_is_told_as_one() -> None:
    """From its raise to its end, and counted apart."""
    guard = Guard(treatment=TEST).show("xx......")
    assert guard.told == ["(raised)", "(ended)"]
    assert guard.counts == {"tested": 1}
    assert not any(guard.active.values())
    assert [one.alarm.test for one in guard.history] == [True]


@BOTH
@pytest.mark.parametrize(
    "rule",
    [RULE, replace(RULE, cooldown=60.0), replace(RULE, latch=True), replace(RULE, still_after=10.0)],
    ids=["plain", "with a cooldown", "latched", "heedless of what stands still"],
)
def test_who_is_still_there_when_it_ends_is_told_anew(rule: Rule, muted: Treatment) -> None:
    """Another alarm, by as many sightings as any, with pictures of its own; the one before has ended."""
    guard = Guard(rule, treatment=muted).show("x" * 300)
    before = list(guard.told)
    guard.becomes(PLAIN)
    (first,) = guard.history
    assert first.ended is not None
    assert guard.alarms.open() == []
    assert guard.told == [*before, *(["(ended)"] if muted is TEST else [])]
    guard.show("x")
    assert guard.alarms.open() == [], "one sighting confirms nothing"
    guard.show("x")
    assert guard.told[-1] == "raised"
    (known,) = guard.alarms.open()
    assert (known.alarm.silenced, known.alarm.test) == (False, False)
    assert known.alarm.alarm_id != first.alarm.alarm_id
    assert [one.alarm_id for one in guard.pictures] == [first.alarm.alarm_id, known.alarm.alarm_id]
    assert guard.counts["raised"] == guard.active["visit"] == 1


@BOTH
def test_what_has_gone_when_it_ends_raises_nothing_and_withholds_nothing(muted: Treatment) -> None:
    """Whoever comes next is told at once, whatever the cooldown."""
    guard = Guard(replace(RULE, cooldown=60.0), treatment=muted).show("xxx......")
    assert not any(change.recalled for change in guard.changes), "a restart would remember the cooldown"
    guard.becomes(PLAIN).show("....")
    assert guard.alarms.open() == []
    guard.show("xx")
    assert guard.told[-1] == "raised"
    assert guard.show("......xx").told[-1] == "ended", "the cooldown after an alarm that was meant is as ever"


def test_what_was_told_before_a_silence_goes_on_being_told() -> None:
    """Its end is; it is not repeated before the silence is over; and it is raised no second time."""
    guard = Guard(replace(RULE, repeat_every=0.5)).show("xx" + "x" * 6)
    assert guard.told == ["raised", "repeated"]
    guard.becomes(SILENCED).show("x" * 20)
    assert guard.told == ["raised", "repeated"]
    assert len(guard.alarms.told()) == 1
    guard.becomes(PLAIN).show("x" * 6)
    assert guard.told == ["raised", "repeated", "repeated"]
    guard.becomes(SILENCED).show("......")
    assert guard.told[-1] == "ended"
    assert guard.active == {"visit": 0}


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param([TEST, PLAIN], ["(raised)", "(ended)", "raised"], id="a test"),
        pytest.param([SILENCED, TEST], ["(raised)"], id="a silence, and then a test"),
        pytest.param([TEST, Treatment(silenced=True, test=True)], ["(raised)"], id="silenced within a test"),
        pytest.param(
            [TEST, Treatment(silenced=True, test=True), SILENCED],
            ["(raised)", "(ended)"],
            id="the silence outlasts the test",
        ),
        pytest.param([Treatment(silenced=True, test=True), TEST], ["(raised)"], id="the test outlasts it"),
        pytest.param([PLAIN, TEST, PLAIN], ["raised"], id="somebody was there before the test"),
        pytest.param([PLAIN, SILENCED, PLAIN], ["raised"], id="or before the silence"),
    ],
)
def test_one_after_the_other(steps: list[Treatment], told: list[str]) -> None:
    """Somebody who stays is told as what holds at the moment, and as meant only once."""
    guard = Guard()
    for step in steps:
        guard.becomes(step).show("xxx")
    assert guard.told == told


@BOTH
def test_a_restart_goes_on_with_a_muted_alarm(muted: Treatment) -> None:
    """While it is muted nothing is raised twice; where that has ended meanwhile, who is still there is told."""
    (known,) = Guard(treatment=muted).show("xx").alarms.open()
    guard = Guard(resumed=(known,), treatment=muted).show("xxx")
    guard.alarms.heed()
    assert guard.alarms.open()[0].alarm.alarm_id == known.alarm.alarm_id
    assert not any(guard.active.values())
    late = Guard(resumed=(known,))
    late.alarms.heed()
    assert late.alarms.open() == []
    assert late.show("xx").told == [*(["(ended)"] if muted is TEST else []), "raised"]


def test_what_is_silenced_outranks_nothing() -> None:
    """A review of the same is told while the graver rule is silenced, and withheld as ever when it is not."""
    review = replace(RULE, name="maybe", min_score=0.3)
    guard = Guard(RULE, review, graver=("visit",))
    guard.treatments["visit"] = SILENCED
    guard.show("xx")
    assert [(one.alarm.rule, one.alarm.silenced) for one in guard.alarms.open()] == [
        ("visit", True),
        ("maybe", False),
    ]
    assert guard.told == ["raised"]
    heard = Guard(RULE, review, graver=("visit",)).show("xx")
    assert [one.alarm.rule for one in heard.alarms.open()] == ["visit"]


def test_where_every_alarm_is_a_test_none_is_muted() -> None:
    """The demo's alarms are counted, shown and left open, whatever walk test begins or ends."""
    guard = Guard(demo=True).show("xx").becomes(TEST).show("xx").becomes(PLAIN).show("xx")
    assert guard.told == ["(raised)"]
    assert guard.counts == {"raised": 1}
    assert guard.active == {"visit": 1}


def test_sightings_are_counted() -> None:
    """So that who walks through a zone sees whether the rule sees them, before it raises anything."""
    guard = Guard(treatment=TEST).show("x.x..x")
    assert guard.alarms.sighted() == {("yard", "visit"): 3}
    guard.alarms.adopt({"yard": []})
    assert guard.alarms.sighted() == {}
