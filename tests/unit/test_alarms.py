"""What is committed and counted when a rule finds something."""

import math
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from support.events import stated
from support.pictures import grey, view
from tocsin.alarm.episode import Resumed
from tocsin.alarm.hours import WEEK, Hours, Span
from tocsin.alarm.memory import NOTHING, Memory
from tocsin.alarm.rule import Tier
from tocsin.alarm.watch import Rule, Watch
from tocsin.alarm.withheld import Withheld
from tocsin.alarm.zone import Zones
from tocsin.alarms import Alarms, Origin, Watched, memory_of
from tocsin.custody.archive import Raised
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.event import EventType
from tocsin.deliver.notation import stamp
from tocsin.deliver.recall import Recall
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.errors import OutboxError
from tocsin.frame import Detections, Frame

LABELS = ("person", "dog")
RULE = Rule("visit", ("person",), 0.5, hits=2, of=3, within=1.0, end_after=0.5, repeat_every=1.0)


class Ledger:
    """Hears what alarms report, and keeps what they commit."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.active: dict[tuple[str, str], int] = {}
        self.changes: list[Change] = []
        self.kept: list[Raised] = []

    def take(self, _alarm: str, change: Change) -> None:
        self.changes.append(change)

    def sighted(self, stream: str, rule: str) -> None:
        self.counts["sighted"] += 1

    def alarm_raised(self, stream: str, rule: str, label: str, delay_seconds: float) -> None:
        self.counts[f"raised {label}"] += 1
        self.delay = delay_seconds

    def alarm_silenced(self, stream: str, rule: str) -> None:
        self.counts["silenced"] += 1

    def alarm_tested(self, stream: str, rule: str) -> None:
        self.counts["tested"] += 1

    def alarm_withheld(self, stream: str, rule: str, reason: Withheld) -> None:
        self.counts[f"withheld {reason}"] += 1

    def alarms_active(self, stream: str, rule: str, n: int) -> None:
        self.active[stream, rule] = n

    def keep(self, raised: Raised) -> None:
        self.kept.append(raised)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def _alarms(ledger: Ledger, resumed: tuple[object, ...] = (), rule: Rule = RULE) -> Alarms:
    watch = Watch("yard", rule, Zones({}), LABELS)
    watched = {"yard": [Watched(watch, "visit", "warning")]}
    origin = Origin("a-model", "sha256:0", test=True)
    return Alarms(watched, resumed, ledger.changes.append, ledger, origin, ledger.keep)  # type: ignore[arg-type]


def _frame(at: float, silence: float = 0.1) -> Frame:
    return Frame("yard", int(at * 10), at, 0.1, silence, 640, 480, (view(grey(4, 4)),))


def _seen(score: float) -> Detections:
    return Detections(
        np.array([[0.1, 0.2, 0.3, 0.4]], np.float32),
        np.array([score], np.float32),
        np.array([0]),
        np.array([[20.0, 40.0]], np.float32),
        np.array([0]),
        LABELS,
    )


def _nothing() -> Detections:
    return Detections(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        np.zeros((0, 2), np.float32),
        np.zeros(0, np.int64),
        LABELS,
    )


def _visit(alarms: Alarms) -> None:
    """Raise at 0.1, repeat at 1.1, end at 1.7."""
    for tenth in range(13):
        alarms.analysed(_frame(tenth / 10), _seen(0.6 + tenth / 100))
    for tenth in range(13, 20):
        alarms.analysed(_frame(tenth / 10), _nothing())


def test_a_visit_is_a_raise_a_repeat_and_an_end_of_one_alarm(ledger: Ledger) -> None:
    """Each is one change: the event together with what a restart must know."""
    _visit(_alarms(ledger))
    kinds = [change.events[0].type for change in ledger.changes]
    assert kinds == [EventType.ALARM_RAISED, EventType.ALARM_REPEATED, EventType.ALARM_ENDED]
    raised, repeated, ended = ledger.changes
    assert (
        raised.alarms[0].alarm.alarm_id == repeated.alarms[0].alarm.alarm_id == ended.alarms[0].alarm.alarm_id
    )
    assert len({change.events[0].id for change in ledger.changes}) == 3
    assert ledger.counts == {"sighted": 13, "raised person": 1}
    assert ledger.delay == pytest.approx(0.1)
    assert ledger.active == {("yard", "visit"): 0}


def test_each_event_tells_how_to_answer_and_the_last_one_when_it_was_over(ledger: Ledger) -> None:
    """The link is made once, at the raise; where there is no key there is no link, and the alarm all the same."""
    watched = {"yard": [Watched(Watch("yard", RULE, Zones({}), LABELS), "visit", "warning")]}
    asked: list[str] = []

    def offer(alarm_id: str) -> dict[str, str]:
        asked.append(alarm_id)
        return {"url": f"http://box/{alarm_id}"}

    origin = Origin("m", "c", test=True)
    _visit(Alarms(watched, (), ledger.changes.append, ledger, origin, respond=offer))
    told = [change.events[0].data.payload() for change in ledger.changes]
    assert asked == [told[0]["alarm_id"]]
    assert [one["respond"] for one in told] == [{"url": f"http://box/{asked[0]}"}] * 3
    assert [one["ended"] for one in told] == [None, None, stamp(ledger.changes[-1].events[0].at)]
    assert [change.alarms[0].ended for change in ledger.changes[:2]] == [None, None]
    without = Ledger()
    _visit(_alarms(without))
    assert [change.events[0].data.payload()["respond"] for change in without.changes] == [None] * 3


def test_an_event_tells_what_was_last_seen(ledger: Ledger) -> None:
    """The raise tells the sighting that confirmed it, the end the last sighting before it."""
    _visit(_alarms(ledger))
    assert [(one.score, one.shown) for one in ledger.kept] == [(pytest.approx(0.61), True)]
    scores = [change.events[0].data.payload()["score"] for change in ledger.changes]
    assert scores == pytest.approx([0.61, 0.71, 0.72])
    payload = ledger.changes[0].events[0].data.payload()
    assert payload["severity"] == "warning"
    assert payload["test"] is True
    assert payload["confirmed_by"] == {"hits": 2, "of": 3}


def test_what_keeps_an_alarm_is_told_and_no_sighting(ledger: Ledger) -> None:
    """Between `keep_score` and `min_score` an alarm lives on, and its end tells the score that was last seen."""
    alarms = _alarms(ledger, rule=replace(RULE, keep_score=0.3))
    for tenth in range(2):
        alarms.analysed(_frame(tenth / 10), _seen(0.6))
    for tenth in range(2, 9):
        alarms.analysed(_frame(tenth / 10), _seen(0.4))
    assert len(alarms.open()) == 1
    for tenth in range(9, 15):
        alarms.analysed(_frame(tenth / 10), _nothing())
    assert alarms.open() == []
    assert ledger.counts == {"sighted": 2, "raised person": 1}
    assert ledger.changes[-1].events[0].data.payload()["score"] == pytest.approx(0.4)


def test_open_alarms_are_known_until_they_end(ledger: Ledger) -> None:
    """For the status, and for metrics after a restart."""
    alarms = _alarms(ledger)
    alarms.analysed(_frame(0.0), _seen(0.9))
    assert alarms.open() == []
    alarms.analysed(_frame(0.1), _seen(0.9))
    (known,) = alarms.open()
    assert known.alarm.stream == "yard"
    resumed = Ledger()
    assert _alarms(resumed, (known,)).open() == [known]
    assert resumed.active == {("yard", "visit"): 1}


def test_a_review_raises_nothing_that_an_alarm_tells_of(ledger: Ledger) -> None:
    """While the graver alarm is open it is withheld, after a restart too, and raised when that has ended."""
    review = replace(RULE, name="maybe", min_score=0.3)

    def both(resumed: tuple[AlarmRecord, ...]) -> Alarms:
        watch = Watch("yard", RULE, Zones({}), LABELS, Resumed(0.0, 0.0) if resumed else None)
        watched = [
            Watched(watch, "visit", "critical"),
            Watched(Watch("yard", review, Zones({}), LABELS), "maybe", "info", Tier.REVIEW, ("visit",)),
        ]
        return Alarms({"yard": watched}, resumed, ledger.changes.append, ledger, Origin("m", "c", test=True))

    alarms = both(())
    for tenth in range(10):
        alarms.analysed(_frame(tenth / 10), _seen(0.9 if tenth < 4 else 0.4))
    told = [
        (one.type.value, one.data.payload()["rule"]) for change in ledger.changes for one in change.events
    ]
    assert told == [("alarm.raised", "visit"), ("alarm.ended", "visit"), ("alarm.raised", "maybe")]
    assert [change.events[0].data.payload()["tier"] for change in ledger.changes] == [
        "alarm",
        "alarm",
        "review",
    ]
    known = ledger.changes[0].alarms
    ledger.changes.clear()
    again = both(known)
    for tenth in range(3):
        again.analysed(_frame(tenth / 10), _seen(0.4))
    assert ledger.changes == []


def test_an_alarm_waits_for_the_light_to_settle(ledger: Ledger) -> None:
    """A lamp that goes on withholds it; it comes within two seconds, also when nothing is seen by then."""
    alarms = _alarms(ledger)
    for tenth in range(30):
        frame = _frame(tenth / 10)
        dark = replace(frame.views[0], light=replace(frame.views[0].light, mean=20.0, p50=20.0))
        lit = replace(dark, light=replace(dark.light, mean=120.0, p50=110.0))
        seen = replace(_seen(0.9), views=np.array([1]))
        views = (dark, dark) if tenth < 10 else (lit, lit) if tenth < 13 else (lit,)
        alarms.analysed(replace(frame, views=views), seen if 10 <= tenth < 13 else _nothing())
    kinds = [change.events[0].type for change in ledger.changes]
    assert kinds == [EventType.ALARM_RAISED, EventType.ALARM_ENDED]
    assert ledger.delay == pytest.approx(1.0), (
        "sighted and lit at 1.0, settled at 2.0, when there is one view"
    )
    assert ledger.changes[0].events[0].data.payload()["light"]["mean"] == 120
    assert [(one.class_name, one.shown) for one in ledger.kept] == [("person", False)], (
        "nobody learns from a picture without it"
    )


def test_a_verdict_is_told_kept_and_releases_a_latched_alarm(ledger: Ledger) -> None:
    """It is an event of the alarm, stands in all that follow, and lets the alarm end."""
    alarms = _alarms(ledger, rule=replace(RULE, latch=True, repeat_every=0.0))
    for tenth in range(30):
        alarms.analysed(_frame(tenth / 10), _seen(0.9) if tenth < 2 else _nothing())
    (known,) = alarms.open()
    assert alarms.judge("alarm_x", stated(Verdict.REJECTED), ledger.take) is None
    said = stated(Verdict.ACKNOWLEDGED)
    taken = alarms.judge(known.alarm.alarm_id, said, ledger.take)
    assert taken is not None
    told = ledger.changes[-1]
    assert told is taken.change
    assert told.events[0].type is EventType.ALARM_VERDICT
    assert alarms.open() == list(told.alarms) == [taken.record]
    alarms.analysed(_frame(3.0), _nothing())
    ended = ledger.changes[-1].events[0]
    assert (ended.type, ended.data.payload()["verdict"]) == (EventType.ALARM_ENDED, "acknowledged")
    assert alarms.open() == []
    assert alarms.judge(known.alarm.alarm_id, stated(Verdict.REJECTED), ledger.take) is None


def test_a_verdict_that_cannot_be_kept_is_none(ledger: Ledger) -> None:
    """Where the outbox refuses it the alarm stays as it was, and so latched."""
    alarms = _alarms(ledger, rule=replace(RULE, latch=True, repeat_every=0.0))
    for tenth in range(30):
        alarms.analysed(_frame(tenth / 10), _seen(0.9) if tenth < 2 else _nothing())
    (known,) = alarms.open()

    def refuse(_alarm: str, _change: Change) -> None:
        raise OutboxError("full")

    with pytest.raises(OutboxError):
        alarms.judge(known.alarm.alarm_id, stated(Verdict.REJECTED), refuse)
    alarms.analysed(_frame(3.0), _nothing())
    assert alarms.open() == [known]


def _still(ledger: Ledger, seconds: range, rule: Rule, memory: Memory = NOTHING) -> Alarms:
    """Show for those seconds something that does not move, twice a second."""
    watch = Watch("yard", rule, Zones({}), LABELS, memory=memory)
    watched = {"yard": [Watched(watch, "visit", "warning")]}
    alarms = Alarms(watched, (), ledger.changes.append, ledger, Origin("m", "c", test=True))
    began = time.monotonic() - seconds.stop
    for half in range(2 * seconds.start, 2 * seconds.stop):
        alarms.analysed(replace(_frame(began + half / 2, 0.5), period=0.5), _seen(0.75))
    return alarms


def test_what_stands_still_is_kept_for_a_restart(ledger: Ledger) -> None:
    """As soon as it is learned, and again while it is seen; a watch that remembers it raises nothing."""
    rule = replace(RULE, still_after=20.0)
    alarms = _still(ledger, range(1300), rule)
    kinds = [[event.type.value for event in change.events] for change in ledger.changes]
    assert kinds == [["alarm.raised"], *[["alarm.repeated"]] * 19, ["alarm.ended"], [], []]
    kept = [change.recalled[0] for change in ledger.changes if change.recalled]
    assert [round((one.at - kept[0].at).total_seconds()) for one in kept] == [0, 600, 1200]
    (box, seen), *others = kept[-1].still
    assert (box, others) == (pytest.approx((0.1, 0.2, 0.3, 0.4)), [])
    assert abs((seen - kept[-1].at).total_seconds()) < 0.5
    assert alarms.withheld() == {("yard", "visit", Withheld.STATIONARY): 1}
    assert ledger.counts["withheld stationary"] == 1
    again = Ledger()
    _still(again, range(60), rule, memory_of(kept[-1]))
    assert again.counts == {"withheld stationary": 1}
    assert [bool(change.events) for change in again.changes] == [False], "seen anew: that is kept"


def _watching_still(rule: Rule) -> dict[str, list[Watched]]:
    return {"yard": [Watched(Watch("yard", rule, Zones({}), LABELS), "visit", "warning")]}


def test_what_stands_still_is_known_over_a_reload_and_not_of_another_camera(ledger: Ledger) -> None:
    """A rule that changed goes on ignoring it; where the stream shows something else it is news, and kept so."""
    rule = replace(RULE, still_after=20.0)
    alarms = _still(ledger, range(60), rule)
    assert len(ledger.changes[-1].recalled[0].still) == 1, "nothing was learned"
    later = replace(_frame(time.monotonic(), 0.5), period=0.5)

    def raised_after(anew: tuple[str, ...]) -> int:
        before = ledger.counts["raised person"]
        alarms.adopt(_watching_still(replace(rule, min_score=0.6 if anew else 0.55)), anew)
        for half in range(4):
            alarms.analysed(replace(later, at=later.at + half / 2), _seen(0.75))
        return ledger.counts["raised person"] - before

    assert raised_after(()) == 0
    assert raised_after(("yard",)) == 1
    kept = [change.recalled[0].still for change in ledger.changes if change.recalled]
    assert [len(still) for still in kept] == [1, 0]


def test_what_a_rule_remembered_ends_with_it(ledger: Ledger) -> None:
    """Neither the status nor a restart knows of it, and one of its name that comes later learns and keeps anew."""
    rule = replace(RULE, still_after=20.0)
    alarms = _still(ledger, range(60), rule)
    assert alarms.withheld(), "nothing was withheld"
    alarms.adopt({"yard": []})
    assert alarms.withheld() == {}
    (gone,) = ledger.changes[-1].recalled
    assert (gone.stream, gone.rule, gone.ended, gone.still) == ("yard", "visit", None, ())
    ledger.changes.clear()
    alarms.adopt(_watching_still(rule))
    began = time.monotonic()
    for half in range(60):
        alarms.analysed(replace(_frame(began + half / 2, 0.5), period=0.5), _seen(0.75))
    assert [len(change.recalled[0].still) for change in ledger.changes if change.recalled] == [1]


def test_the_end_is_kept_with_the_event_where_a_cooldown_follows(ledger: Ledger) -> None:
    """In one change, so that no crash comes between them; nowhere else."""
    _visit(_alarms(ledger, rule=replace(RULE, cooldown=60.0)))
    assert [bool(change.recalled) for change in ledger.changes] == [False, False, True]
    ended, recall = ledger.changes[-1].events[0], ledger.changes[-1].recalled[0]
    assert recall.ended is not None
    assert abs((recall.ended - ended.at).total_seconds()) < 0.5
    assert (recall.stream, recall.rule, recall.still) == ("yard", "visit", ())


def test_a_clock_that_was_set_back_makes_nothing_last_longer() -> None:
    """What was remembered from a time to come counts as of now."""
    later = datetime.now(UTC) + timedelta(days=3)
    memory = memory_of(Recall("yard", "visit", later, later, (((0.0, 0.0, 1.0, 1.0), later),)))
    now = time.monotonic()
    assert now - 1 < memory.ended <= now
    assert now - 1 < memory.spots[0].seen <= now


def test_a_rule_knows_the_shape_and_the_time_of_day_of_a_frame(ledger: Ledger) -> None:
    """Limits are in pixels of the picture, and a schedule goes by the clock on the wall."""
    square = replace(RULE, max_aspect=1.2)  # 0.2 by 0.2 of 640 by 480 pixels is 1.33
    today = WEEK[datetime.now(UTC).weekday()]
    another = tuple(day for day in WEEK if day not in (today, WEEK[WEEK.index(today) - 6]))
    off = replace(RULE, schedule=Hours("UTC", (Span(another, 1, 1440),)))
    for rule, raised in ((square, 0), (off, 0), (RULE, 1)):
        told = Ledger()
        now = time.monotonic()
        watch = _alarms(told, rule=rule)
        for tenth in range(5):
            watch.analysed(_frame(now + tenth / 10), _seen(0.9))
        assert told.counts["raised person"] == raised


def test_an_alarm_tells_when_it_was_seen_first(ledger: Ledger) -> None:
    """On the wall clock, as long before the raise as it was."""
    alarms = _alarms(ledger, rule=replace(RULE, hits=3, of=5))
    for tenth in range(5):
        alarms.analysed(_frame(tenth / 10), _seen(0.9))
    event = ledger.changes[0].events[0]
    first = datetime.fromisoformat(event.data.payload()["first_seen"])
    assert (event.at - first).total_seconds() == pytest.approx(0.2, abs=0.01)


def test_a_verdict_is_on_one_alarm_alone(ledger: Ledger) -> None:
    """Another rule's alarm on the same stream stays latched."""
    rule = replace(RULE, latch=True, repeat_every=0.0)
    watched = {
        "yard": [
            Watched(Watch("yard", replace(rule, name=name), Zones({}), LABELS), name, "warning")
            for name in ("visit", "other")
        ]
    }
    alarms = Alarms(watched, (), ledger.changes.append, ledger, Origin("m", "c", test=True))
    for tenth in range(20):
        alarms.analysed(_frame(tenth / 10), _seen(0.9) if tenth < 3 else _nothing())
    one, other = alarms.open()
    assert alarms.judge(one.alarm.alarm_id, stated(Verdict.CONFIRMED), ledger.take)
    alarms.analysed(_frame(2.0), _nothing())
    assert alarms.open() == [other]


def test_a_frame_without_a_time_is_harmless(ledger: Ledger) -> None:
    """Nothing is raised, ended or kept by it."""
    alarms = _alarms(ledger, rule=replace(RULE, still_after=20.0, cooldown=9.0))
    for at in (math.nan, math.inf, 0.0, math.nan):
        alarms.analysed(replace(_frame(0.0), at=at), _seen(0.9))
    assert ledger.changes == []


def test_a_frame_of_a_stream_without_rules_changes_nothing(ledger: Ledger) -> None:
    """Such a stream is analysed for its metrics only."""
    frame = Frame("other", 1, 0.0, 0.1, 0.1, 640, 480, (view(grey(4, 4)),))
    _alarms(ledger).analysed(frame, _seen(0.9))
    assert ledger.changes == []


def _watching(*rules: Rule, stream: str = "yard", zones: Zones | None = None) -> dict[str, list[Watched]]:
    zones = zones or Zones({"door": [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]})
    return {stream: [Watched(Watch(stream, rule, zones, LABELS), rule.name, "info") for rule in rules]}


GOING_ON = {
    "end_after": replace(RULE, end_after=2.0),
    "repeat_every": replace(RULE, repeat_every=0.0),
    "cooldown": replace(RULE, cooldown=5.0),
    "latch": replace(RULE, latch=True),
    "keep_score": replace(RULE, keep_score=0.2),
    "nothing": RULE,
}
ANEW = {
    "classes": replace(RULE, classes=("dog", "person")),
    "min_score": replace(RULE, min_score=0.4),
    "hits": replace(RULE, hits=2, of=4),
    "within": replace(RULE, within=2.0),
    "exclude": replace(RULE, exclude=("door",)),
    "schedule": replace(RULE, max_area=0.9),
}


@pytest.mark.parametrize("rule", [*GOING_ON.values(), *ANEW.values()], ids=[*GOING_ON, *ANEW])
def test_an_open_alarm_goes_on_by_whatever_its_rule_becomes(rule: Rule, ledger: Ledger) -> None:
    """It is raised no second time, its repeat and its end follow the new rule, and it keeps its severity."""
    alarms = _alarms(ledger)
    for tenth in range(6):
        alarms.analysed(_frame(tenth / 10), _seen(0.6))
    assert alarms.adopt(_watching(rule)) == []
    for tenth in range(6, 12):
        alarms.analysed(_frame(tenth / 10), _seen(0.6))
    for tenth in range(12, 35):
        alarms.analysed(_frame(tenth / 10), _nothing())
    kinds = [change.events[0].type for change in ledger.changes]
    assert kinds.count(EventType.ALARM_RAISED) == 1
    assert (EventType.ALARM_REPEATED in kinds) is (rule.repeat_every > 0 and not rule.exclude)
    assert (kinds[-1] is EventType.ALARM_ENDED) is not rule.latch
    assert {change.events[0].data.payload()["severity"] for change in ledger.changes} == {"warning"}


@pytest.mark.parametrize(
    ("rule", "kept"),
    [*((rule, True) for rule in GOING_ON.values()), *((rule, False) for rule in ANEW.values())],
    ids=[*GOING_ON, *ANEW],
)
def test_sightings_count_on_where_they_are_of_the_same(rule: Rule, kept: bool, ledger: Ledger) -> None:
    """One before and one after confirm an alarm, but not by a rule that asks for something else."""
    alarms = _alarms(ledger)
    alarms.analysed(_frame(0.0), _seen(0.6))
    alarms.adopt(_watching(rule))
    alarms.analysed(_frame(0.1), _seen(0.6))
    assert (ledger.counts["raised person"] == 1) is kept


def test_an_alarm_ends_with_its_rule_or_stream_and_no_other_does(ledger: Ledger) -> None:
    """As at a restart: told once, counted, and forgotten; what comes later of the stream is nobody's concern."""
    other = replace(RULE, name="other")
    alarms = Alarms(_watching(RULE, other), (), ledger.changes.append, ledger, Origin("m", "sha256:0", False))
    for tenth in range(3):
        alarms.analysed(_frame(tenth / 10), _seen(0.6))
    (ended,) = alarms.adopt(_watching(other))
    assert ended.alarm.rule == "visit"
    assert [change.events[0].type for change in ledger.changes[2:]] == [EventType.ALARM_ENDED]
    assert [one.alarm.alarm_id for one in ledger.changes[-1].alarms] == [ended.alarm.alarm_id]
    assert ledger.active == {("yard", "visit"): 0, ("yard", "other"): 1}
    assert len(alarms.adopt(_watching(RULE, stream="gate"))) == 1
    alarms.analysed(_frame(0.4), _seen(0.6))
    assert alarms.open() == []


def test_sightings_begin_anew_with_a_zone_that_the_rule_names_and_with_no_other(ledger: Ledger) -> None:
    """Whoever draws one zone anew disturbs the rules of that zone alone; a mask concerns all."""
    half, most = (
        [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)],
        [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
    )
    rule = replace(RULE, zones=("a",))

    def raised_over(zones: Zones) -> bool:
        before = ledger.counts["raised person"]
        old = _watching(rule, zones=Zones({"a": most, "b": most}))
        alarms = Alarms(old, (), ledger.changes.append, ledger, Origin("m", "sha256:0", False))
        alarms.analysed(_frame(0.0), _seen(0.6))
        alarms.adopt(_watching(rule, zones=zones))
        alarms.analysed(_frame(0.1), _seen(0.6))
        return ledger.counts["raised person"] > before

    assert raised_over(Zones({"a": most, "b": half}))
    assert not raised_over(Zones({"a": half, "b": most}))
    assert not raised_over(Zones({"a": most, "b": most}, [[(0.9, 0.9), (1.0, 0.9), (1.0, 1.0)]]))
