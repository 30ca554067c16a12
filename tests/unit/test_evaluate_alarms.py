"""The daemon's rules watch a recording: how late alarms come, which are false, what a threshold would change."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from support.footage import CELL, ELSEWHERE, boxes, seen
from support.scene import Box
from tocsin.alarm.hours import WEEK, Hours, Span
from tocsin.alarm.watch import Rule
from tocsin.alarm.zone import Zones
from tocsin.errors import ConfigError
from tocsin.evaluate.alarms import NOTHING_SHOWN, THRESHOLDS, Guarded, Patrol, Scene, Shown, left_out
from tocsin.evaluate.look import Lane
from tocsin.evaluate.meaning import sections
from tocsin.frame import Detections

LABELS = ("block", "other")
RULE = Rule("visit", ("block",), min_score=0.5, hits=3, of=5, within=1.0, end_after=1.0, repeat_every=0.0)
LANE = Lane("as-recorded", "off")
OTHER = Lane("as-recorded", "guided")
EVERYWHERE = Zones({})
SHAPE = 4 / 3
SHIFTED: Box = (CELL[0] + 0.06, CELL[1], CELL[2] + 0.06, CELL[3])
"""Half beside CELL: no match at an IoU of 0.5, but the same object."""


def shown(*objects: Box, tracks: tuple[int, ...] | None = None, ignored: tuple[int, ...] = ()) -> Shown:
    count = len(objects)
    return Shown(
        boxes(*objects),
        np.zeros(count, np.int64),
        np.isin(np.arange(count), ignored),
        np.array(tracks if tracks is not None else [-1] * count, np.int64),
    )


class Walk:
    """A recording of 10 frames a second, one frame after the other."""

    def __init__(
        self,
        rule: Rule = RULE,
        zones: Zones = EVERYWHERE,
        judged: frozenset[int] | None = frozenset({0}),
        lanes: tuple[Lane, ...] = (LANE,),
    ) -> None:
        self.at = 0.0
        self.patrol = Patrol("yard", rule, zones, LABELS, 0.1, lanes, judged, sweep=True)

    def go(
        self, seconds: float, there: Shown | None, found: Detections | Mapping[Lane, Detections]
    ) -> "Walk":
        """So many seconds of the same."""
        for _ in range(round(seconds * 10)):
            if there is not None:
                self.patrol.label(self.at, there, SHAPE)
            sights = {LANE: found} if isinstance(found, Detections) else found
            self.patrol.analyse(self.at, 0.1, SHAPE, there, sights)
            self.at = round(self.at + 0.1, 3)
        return self

    def end(self, lane: Lane = LANE) -> Guarded:
        return self.patrol.finish()[lane]


def test_the_delay_counts_from_visible_to_alarm() -> None:
    """Seen from the third frame on, confirmed by three: 0.4 s after it became visible, the first sighting 0.2 s."""
    walk = Walk().go(1, NOTHING_SHOWN, seen())
    guarded = walk.go(0.2, shown(CELL), seen()).go(1, shown(CELL), seen(CELL)).end()
    assert guarded.scenes == [Scene("yard", "visit", 1.0, pytest.approx(1.2), pytest.approx(1.4))]
    assert guarded.scenes[0].delay == pytest.approx(0.4)
    assert guarded.scenes[0].delay_unconfirmed == pytest.approx(0.2)
    assert (guarded.raised, guarded.false) == (1, 0)


@pytest.mark.parametrize(
    ("found", "sighted"),
    [
        pytest.param(0, None, id="never seen"),
        pytest.param(0.2, 0.0, id="seen too seldom to be confirmed"),
    ],
)
def test_a_missed_scene_has_no_delay(found: float, sighted: float | None) -> None:
    """It is counted as missed, and not as late."""
    guarded = Walk().go(found, shown(CELL), seen(CELL)).go(1, shown(CELL), seen()).end()
    assert guarded.scenes == [Scene("yard", "visit", 0.0, sighted, None)]
    assert guarded.scenes[0].delay is None


def test_a_short_pause_begins_no_scene_and_a_long_one_does() -> None:
    """The rule ends its alarm after a second: a pause as long begins another scene."""
    walk = Walk().go(1, shown(CELL), seen(CELL))
    walk.go(0.5, NOTHING_SHOWN, seen()).go(1, shown(CELL), seen(CELL))
    guarded = walk.go(1.5, NOTHING_SHOWN, seen()).go(1, shown(CELL), seen(CELL)).end()
    assert [scene.begun for scene in guarded.scenes] == [0.0, 4.0]


def test_each_track_is_a_scene_of_its_own() -> None:
    """A second object comes while the first one's alarm is open: the daemon raises one, and both have a delay."""
    walk = Walk().go(1, shown(CELL, tracks=(7,)), seen(CELL))
    guarded = walk.go(1, shown(CELL, ELSEWHERE, tracks=(7, 8)), seen(CELL, ELSEWHERE)).end()
    assert guarded.raised == 1
    assert [(scene.begun, scene.delay) for scene in guarded.scenes] == [
        (0.0, pytest.approx(0.2)),
        (1.0, pytest.approx(0.2)),
    ]


def test_what_is_seen_of_one_object_is_no_alarm_for_another() -> None:
    """Two objects with numbers, one of them never seen: its scene is missed."""
    guarded = Walk().go(1, shown(CELL, ELSEWHERE, tracks=(1, 2)), seen(CELL)).end()
    assert sorted(scene.raised is None for scene in guarded.scenes) == [False, True]


def test_an_alarm_beside_every_object_is_false() -> None:
    """It is told apart even while a true alarm is open, which hides it in the daemon."""
    guarded = Walk().go(1, shown(CELL), seen(CELL, ELSEWHERE)).end()
    assert (guarded.raised, guarded.false) == (1, 1)
    assert guarded.scenes[0].delay == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        pytest.param(shown(CELL), SHIFTED, id="a loose box"),
        pytest.param(shown(CELL, ignored=(0,)), CELL, id="an object to be ignored"),
        pytest.param(shown((0.3, 0.3, 1.0, 1.0), ignored=(0,)), CELL, id="a part of a crowd"),
    ],
)
def test_an_alarm_on_an_object_is_not_false(there: Shown, found: Box) -> None:
    """Whoever is sent finds something there."""
    assert Walk().go(1, there, seen(found)).end().false == 0


def test_an_object_to_be_ignored_is_no_scene() -> None:
    """Nobody is sure that it is there."""
    assert Walk().go(1, shown(CELL, ignored=(0,)), seen()).end().scenes == []


def test_on_negative_footage_everything_is_false() -> None:
    """An alarm that ended may be raised again; the hours are those of the footage."""
    walk = Walk(judged=None)
    for _ in range(2):
        walk.go(1, NOTHING_SHOWN, seen(CELL)).go(2, NOTHING_SHOWN, seen())
    guarded = walk.end()
    assert (guarded.false, guarded.raised, guarded.scenes) == (2, 2, [])
    assert guarded.hours == pytest.approx(6 / 3600)


def test_where_nobody_says_what_is_there_nothing_is_judged() -> None:
    """The daemon's alarm is counted; it is neither true nor false, and the time counts for no rate."""
    guarded = Walk().go(1, None, seen(CELL)).end()
    assert (guarded.raised, guarded.false, guarded.hours) == (1, 0, 0.0)


def test_hours_without_frames_are_no_hours_without_false_alarms() -> None:
    """After a break of an hour no more is counted than the daemon waits between two frames."""
    walk = Walk(judged=None).go(1, NOTHING_SHOWN, seen())
    walk.at += 3600
    assert walk.go(1, NOTHING_SHOWN, seen()).end().hours * 3600 == pytest.approx(2.9, abs=1.5)


def test_sightings_across_unlabelled_time_are_no_alarm() -> None:
    """What was there between nobody knows: sightings before and after are not confirmed by each other."""
    walk = Walk().go(0.2, shown(CELL), seen(CELL)).go(3, None, seen())
    guarded = walk.go(0.1, NOTHING_SHOWN, seen(ELSEWHERE)).end()
    assert guarded.false == 0
    rule = Rule(
        "visit", ("block",), min_score=0.5, hits=2, of=3, within=60.0, end_after=60.0, repeat_every=0.0
    )
    walk = Walk(rule).go(0.1, NOTHING_SHOWN, seen(ELSEWHERE)).go(5, None, seen())
    assert walk.go(0.1, NOTHING_SHOWN, seen(ELSEWHERE)).end().false == 0


def test_classes_that_the_labels_do_not_know_are_not_judged() -> None:
    """What is seen of them may be there."""
    guarded = Walk(judged=frozenset({1})).go(1, NOTHING_SHOWN, seen(CELL)).end()
    assert (guarded.raised, guarded.false, guarded.hours) == (1, 0, 0.0)


def test_only_what_stands_in_a_zone_is_a_scene() -> None:
    """An object outside all zones of the rule is none of its business, and its alarm is not missed."""
    zones = Zones({"left": ((0, 0), (0.6, 0), (0.6, 1), (0, 1))})
    rule = Rule("visit", ("block",), 0.5, 3, 5, 1.0, 1.0, 0.0, zones=("left",))
    walk = Walk(rule, zones).go(1, shown(CELL, tracks=(1,)), seen(CELL))
    guarded = walk.go(1, shown(ELSEWHERE, tracks=(2,)), seen(ELSEWHERE)).end()
    assert [(scene.begun, scene.delay) for scene in guarded.scenes] == [(0.0, pytest.approx(0.2))]
    assert guarded.false == 0


def test_every_threshold_is_counted_as_a_rule_with_that_score() -> None:
    """An alarm at 0.3 is raised by every rule that asks for no more, whatever this one asks for."""
    walk = Walk(judged=None).go(1, NOTHING_SHOWN, seen(CELL, scores=(0.3,))).go(2, NOTHING_SHOWN, seen())
    guarded = walk.go(1, NOTHING_SHOWN, seen(CELL, scores=(0.7,))).end()
    assert guarded.false == 1
    assert guarded.sweep.tolist() == [2 if t <= 0.3 else 1 if t <= 0.7 else 0 for t in THRESHOLDS]


def test_the_sweep_confirms_as_the_rule_does() -> None:
    """Two sightings are no alarm at any threshold."""
    guarded = Walk(judged=None).go(0.2, NOTHING_SHOWN, seen(CELL)).go(1, NOTHING_SHOWN, seen()).end()
    assert not guarded.sweep.any()


def test_lanes_are_watched_apart() -> None:
    """What one variant sees raises no alarm in another; the scenes are the same."""
    walk = Walk(lanes=(LANE, OTHER))
    done = walk.go(1, shown(CELL), {LANE: seen(), OTHER: seen(CELL)}).patrol.finish()
    assert (done[LANE].raised, done[OTHER].raised) == (0, 1)
    assert [scene.begun for scene in done[LANE].scenes] == [scene.begun for scene in done[OTHER].scenes]


def test_a_rule_for_a_class_that_the_model_lacks_is_refused() -> None:
    """With the sentence that the daemon has for it."""
    with pytest.raises(ConfigError, match="rule visit: expected a class of the model, found knife"):
        Walk(Rule("visit", ("knife",), 0.5, 3, 5, 1.0, 1.0, 0.0))


@pytest.mark.parametrize("asked", [{"exclude": ("all",)}, {"max_area": 1e-4}], ids=["excluded", "too large"])
def test_what_is_none_of_the_rule_s_concern_is_no_scene(asked: dict[str, Any]) -> None:
    """An object that a rule's zones and limits leave out is not counted as missed."""
    zones = Zones({"all": ((0, 0), (1, 0), (1, 1), (0, 1))})
    guarded = Walk(replace(RULE, **asked), zones).go(1, shown(CELL), seen(CELL)).end()
    assert (guarded.scenes, guarded.raised, guarded.false) == ([], 0, 0)
    assert Walk(RULE, zones).go(1, shown(CELL), seen(CELL)).end().raised == 1


BESIDE: Box = (CELL[2] + 0.02, CELL[1], CELL[2] + 0.12, CELL[3])


def test_company_is_seen_with_every_object() -> None:
    """A rule that asks for something close by gets to see it in scenes and beside them; alone nothing counts."""
    rule = replace(RULE, near="other")
    together = replace(seen(CELL, BESIDE), classes=np.array([0, 1]))
    assert Walk(rule).go(1, shown(CELL), seen(CELL)).end().scenes == [Scene("yard", "visit", 0.0, None, None)]
    (scene,) = Walk(rule).go(1, shown(CELL), together).end().scenes
    assert scene.raised == pytest.approx(0.2)
    assert Walk(rule).go(1, NOTHING_SHOWN, together).end().false == 1
    assert Walk(rule).go(1, NOTHING_SHOWN, seen(CELL)).end().false == 0


def test_changing_light_withholds_alarms_of_its_condition_alone() -> None:
    """As in the daemon: the alarm comes when the light has settled."""
    raised = []
    for unsettled in ((), ("veil",), ("as-recorded",)):
        walk = Walk()
        for number in range(10):
            walk.patrol.label(walk.at, shown(CELL), SHAPE)
            held = unsettled if number < 6 else ()
            walk.patrol.analyse(walk.at, 0.1, SHAPE, shown(CELL), {LANE: seen(CELL)}, held)
            walk.at = round(walk.at + 0.1, 3)
        (scene,) = walk.end().scenes
        raised.append(scene.raised)
    assert raised == pytest.approx([0.2, 0.2, 0.6])


def test_what_keeps_alarms_back_does_so_here() -> None:
    """Masks, a cooldown, and what stands still: as on a live camera."""
    masked = Zones({}, [((0, 0), (1, 0), (1, 1), (0, 1))])
    guarded = Walk(RULE, masked).go(1, shown(CELL), seen(CELL)).end()
    assert (guarded.scenes, guarded.raised) == ([], 0)
    for asked, raised in (({}, 2), ({"cooldown": 9.0}, 1)):
        walk = Walk(replace(RULE, **asked))
        for _ in range(2):
            walk.go(1, NOTHING_SHOWN, seen(CELL)).go(1.5, NOTHING_SHOWN, seen())
        guarded = walk.end()
        assert (guarded.raised, guarded.false, guarded.sweep[0]) == (raised, raised, raised)
    for asked, raised in (({}, 2), ({"still_after": 3.0}, 1)):
        walk = Walk(replace(RULE, **asked))
        walk.go(6, NOTHING_SHOWN, seen(CELL)).go(1.5, NOTHING_SHOWN, seen()).go(1, NOTHING_SHOWN, seen(CELL))
        guarded = walk.end()
        assert (guarded.raised, guarded.false, guarded.sweep[0]) == (raised, raised, raised)


def test_what_a_recording_cannot_tell_is_named() -> None:
    """A schedule and a latch, for the report; nothing of other rules."""
    hours = Hours("UTC", (Span(WEEK, 60, 120),))
    assert left_out(RULE) == ()
    assert left_out(replace(RULE, latch=True, schedule=hours)) == ("schedule", "latch")
    assert "schedule" in dict(dict(sections())["Alarms"])["of --rules"]


def test_nobody_gives_verdicts_on_a_recording() -> None:
    """A latched rule raises each alarm anew: with nobody there its first would hide all the others."""
    walk = Walk(replace(RULE, latch=True))
    for _ in range(3):
        walk.go(1, NOTHING_SHOWN, seen(CELL)).go(1.5, NOTHING_SHOWN, seen())
    guarded = walk.end()
    assert (guarded.raised, guarded.false) == (3, 3)
