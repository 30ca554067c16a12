"""A rule sees what it is about, and nothing else."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.episode import Decision, Resumed
from tocsin.alarm.hours import Day, Hours, Span
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Per
from tocsin.alarm.settings import RuleSettings
from tocsin.alarm.watch import Finding, Rule, Watch, rule_from
from tocsin.alarm.zone import Zones
from tocsin.errors import ConfigError
from tocsin.frame import Detections

LABELS = ("person", "car", "knife")
ZONES = Zones({"door": ((0, 0), (0.5, 0), (0.5, 1), (0, 1)), "yard": ((0.5, 0), (1, 0), (1, 1), (0.5, 1))})
LEFT = (0.125, 0.25, 0.25, 0.75)
RIGHT = (0.75, 0.25, 0.875, 0.75)

Object = tuple[str, float, tuple[float, float, float, float]]


def rule(zones: tuple[str, ...] = (), classes: tuple[str, ...] = ("person", "knife"), hits: int = 1) -> Rule:
    return Rule(
        "intruder", classes, 0.7, hits, of=2 * hits, within=3.0, end_after=1.0, repeat_every=0, zones=zones
    )


def found(*objects: Object) -> Detections:
    return Detections(
        boxes=np.array([box for _, _, box in objects], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in objects], np.float32),
        classes=np.array([LABELS.index(label) for label, _, _ in objects], np.int64),
        pixels=np.array([(31, 64)] * len(objects), np.float32).reshape(-1, 2),
        views=np.arange(len(objects), dtype=np.int64),
        labels=LABELS,
    )


def look(asked: Rule, *objects: Object) -> Finding:
    return Watch("entrance", asked, ZONES, LABELS).update(Moment(1.0, 0.1, 0.1), found(*objects))


@pytest.mark.parametrize(
    ("zones", "objects", "best"),
    [
        pytest.param((), [("person", 0.8, LEFT)], (0, None), id="a class of the rule with enough score"),
        pytest.param((), [("car", 0.9, LEFT)], None, id="another class does not qualify"),
        pytest.param((), [("person", 0.69, LEFT)], None, id="too low a score does not"),
        pytest.param((), [("person", 0.7, LEFT)], (0, None), id="exactly the score asked for does"),
        pytest.param((), [("person", math.nan, LEFT)], None, id="a score that is no number never does"),
        pytest.param((), [("person", math.inf, LEFT)], None, id="an infinite score neither"),
        pytest.param((), [("person", 0.8, (0.1, math.nan, 0.2, 0.3))], None, id="nor a box with NaN"),
        pytest.param(("yard",), [("person", 0.8, LEFT)], None, id="outside the rule's zones it does not"),
        pytest.param(("yard",), [("person", 0.8, RIGHT)], (0, "yard"), id="inside it does"),
        pytest.param(("yard", "door"), [("person", 0.8, LEFT)], (0, "door"), id="any of the zones will do"),
        pytest.param(
            (), [("person", 0.8, LEFT), ("knife", 0.9, RIGHT)], (1, None), id="the highest score is the best"
        ),
        pytest.param(
            ("door",),
            [("car", 0.99, LEFT), ("knife", 0.9, RIGHT), ("person", math.nan, LEFT), ("person", 0.8, LEFT)],
            (3, "door"),
            id="the best is the best of those that qualify",
        ),
        pytest.param((), [], None, id="nothing found is no sighting"),
    ],
)
def test_qualifying(
    zones: tuple[str, ...], objects: list[Object], best: tuple[int, str | None] | None
) -> None:
    """Class, score, zone and finite numbers decide what is a sighting."""
    finding = look(rule(zones), *objects)
    assert finding.sighting is (best is not None)
    if best is None:
        assert finding.best is None
    else:
        assert finding.best is not None
        assert (finding.best.view, finding.best.zone) == best


FAR, NEAR, FLAT = (0.5, 0.5, 0.525, 0.55), (0.1, 0.1, 0.6, 0.9), (0.2, 0.7, 0.8, 0.75)


@pytest.mark.parametrize(
    ("asked", "box", "counts"),
    [
        pytest.param({"exclude": ("yard",)}, LEFT, True, id="beside an excluded zone"),
        pytest.param({"exclude": ("yard",)}, RIGHT, False, id="in an excluded zone"),
        pytest.param(
            {"zones": ("door",), "exclude": ("yard",)}, (0.25, 0, 0.75, 1), False, id="on the border of both"
        ),
        pytest.param({"min_area": 0.002}, FAR, False, id="too small"),
        pytest.param({"min_area": 0.001}, FAR, True, id="small"),
        pytest.param({"max_area": 0.25}, NEAR, False, id="too large"),
        pytest.param({"max_area": 0.5}, NEAR, True, id="large"),
        pytest.param({"max_aspect": 2.0}, FLAT, False, id="too flat: 24 times as wide as tall in this frame"),
        pytest.param({"max_aspect": 25.0}, FLAT, True, id="flat"),
        pytest.param({"min_aspect": 1.1}, FAR, False, id="too tall: as wide as tall in a frame of 2 by 1"),
        pytest.param({"min_aspect": 0.9, "max_aspect": 1.1}, FAR, True, id="in pixels it is a square"),
        pytest.param(
            {"min_area": 0.2}, (-3.0, 0.5, 0.5, 0.6), False, id="what lies beyond the frame has no area"
        ),
        pytest.param({}, (0.5, 0.5, 0.5, 0.5), True, id="without limits a box without an area counts"),
        pytest.param({}, (-0.1, -0.1, 1.1, 1.1), True, id="and so does one that fills the frame"),
        pytest.param({}, (0.0, 0.5, 1.0, 0.502), True, id="and one a thousand times as wide as tall"),
    ],
)
def test_limits(asked: dict[str, Any], box: tuple[float, float, float, float], counts: bool) -> None:
    """Where a box lies, how large it is and of which aspect decide whether it counts."""
    watch = Watch("entrance", replace(rule(), **asked), ZONES, LABELS)
    assert watch.update(Moment(1.0, 0.1, 0.1, shape=2.0), found(("person", 0.9, box))).sighting is counts


@pytest.mark.parametrize(
    ("knife", "others", "counts"),
    [
        pytest.param((0.4, 0.4, 0.42, 0.45), [], False, id="nobody is there"),
        pytest.param(
            (0.4, 0.4, 0.42, 0.45), [("person", 0.9, (0.3, 0.3, 0.5, 0.9))], True, id="in a person's box"
        ),
        pytest.param(
            (0.58, 0.4, 0.6, 0.45), [("person", 0.9, (0.3, 0.3, 0.4, 0.9))], False, id="two widths beside"
        ),
        pytest.param(
            (0.47, 0.4, 0.49, 0.45), [("person", 0.9, (0.3, 0.3, 0.4, 0.9))], True, id="at arm's length"
        ),
        pytest.param(
            (0.21, 0.4, 0.23, 0.45), [("person", 0.9, (0.3, 0.3, 0.4, 0.9))], True, id="in the left hand"
        ),
        pytest.param(
            (0.34, 0.1, 0.36, 0.15), [("person", 0.9, (0.3, 0.3, 0.4, 0.9))], True, id="above the head"
        ),
        pytest.param(
            (0.34, 0.0, 0.36, 0.15), [("person", 0.9, (0.3, 0.3, 0.4, 0.9))], False, id="far above it"
        ),
        pytest.param(
            (0.4, 0.4, 0.42, 0.45), [("person", 0.6, (0.3, 0.3, 0.5, 0.9))], False, id="a doubtful person"
        ),
        pytest.param(
            (0.4, 0.4, 0.42, 0.45), [("car", 0.9, (0.3, 0.3, 0.5, 0.9))], False, id="a car is no company"
        ),
        pytest.param(
            (0.4, 0.4, 0.42, 0.45),
            [("person", 0.9, (math.nan, 0.3, 0.5, 0.9))],
            False,
            id="a box that is none",
        ),
    ],
)
def test_near(knife: tuple[float, float, float, float], others: list[Object], counts: bool) -> None:
    """Only what is close to something of the other class counts; in a frame twice as wide as tall."""
    watch = Watch("entrance", replace(rule(classes=("knife",)), near="person"), ZONES, LABELS)
    finding = watch.update(Moment(1.0, 0.1, 0.1, shape=2.0), found(("knife", 0.9, knife), *others))
    assert finding.sighting is counts
    assert finding.best is None or finding.best.class_name == "knife"


@pytest.mark.parametrize(("keep", "counts"), [(0.5, False), (None, False)])
def test_company_must_be_sure(keep: float | None, counts: bool) -> None:
    """A person whose score would only keep an alarm alive is none to raise one with."""
    asked = replace(rule(classes=("knife",)), near="person", keep_score=keep)
    watch = Watch("entrance", asked, ZONES, LABELS)
    seen = found(("knife", 0.9, (0.4, 0.4, 0.42, 0.45)), ("person", 0.6, (0.3, 0.3, 0.5, 0.9)))
    assert watch.update(Moment(1.0, 0.1, 0.1), seen).sighting is counts


def test_a_masked_person_is_no_company() -> None:
    """Who is only painted on a wall, and masked, holds nothing."""
    mask = [((0.3, 0.3), (0.5, 0.3), (0.5, 0.9), (0.3, 0.9))]
    asked = replace(rule(classes=("knife",)), near="person")
    seen = found(("knife", 0.9, (0.51, 0.4, 0.53, 0.45)), ("person", 0.9, (0.3, 0.3, 0.5, 0.9)))
    for masks, counts in (([], True), (mask, False)):
        watch = Watch("entrance", asked, Zones({}, masks), LABELS)
        assert watch.update(Moment(1.0, 0.1, 0.1), seen).sighting is counts


def test_masks_hold_for_every_rule() -> None:
    """What lies in a mask by half counts for no rule, whatever its zones."""
    zones = Zones({"all": ((0, 0), (1, 0), (1, 1), (0, 1))}, [((0, 0), (0.5, 0), (0.5, 1), (0, 1))])
    for asked in (rule(), rule(("all",))):
        watch = Watch("entrance", asked, zones, LABELS)
        assert not watch.update(Moment(1.0, 0.1, 0.1), found(("person", 0.9, (0.2, 0.2, 0.75, 0.4)))).sighting
        assert watch.update(Moment(1.1, 0.1, 0.1), found(("person", 0.9, (0.4, 0.2, 0.75, 0.4)))).sighting


def test_finding() -> None:
    """A finding tells everything that an event needs, in plain numbers."""
    finding = look(rule(("yard",)), ("person", 0.75, RIGHT))
    assert (finding.stream, finding.rule, finding.decision) == ("entrance", "intruder", Decision.RAISED)
    assert (finding.first_seen, finding.hits, finding.of) == (1.0, 1, 2)
    assert finding.best is not None
    assert (finding.best.class_name, finding.best.score, finding.best.box) == ("person", 0.75, RIGHT)
    assert finding.best.pixels == (31.0, 64.0)
    assert {type(number) for number in (*finding.best.box, finding.best.score)} == {float}


def test_life() -> None:
    """Sightings confirm, hold and by their absence end the alarm."""
    watch = Watch("entrance", rule(hits=2), ZONES, LABELS)
    person, nobody = found(("person", 0.9, LEFT)), found()
    shown = [nobody, person, person, person, nobody, nobody, nobody]
    told = [
        watch.update(Moment(number / 2, 0.5, 0.5), each).decision.value for number, each in enumerate(shown)
    ]
    assert told == ["quiet", "quiet", "raised", "held", "held", "ended", "quiet"]


def test_two_objects_in_a_frame_are_one_sighting() -> None:
    """A crowd in one frame confirms no faster than one person."""
    assert look(rule(hits=2), ("person", 0.9, LEFT), ("person", 0.9, RIGHT)).decision is Decision.QUIET


def test_resumed() -> None:
    """A watch that resumes an alarm is active at once and does not raise it again."""
    watch = Watch("entrance", rule(), ZONES, LABELS, Resumed(first_seen=-9.0, told=-9.0))
    assert watch.active
    finding = watch.update(Moment(1.0, 0.1, math.inf), found(("person", 0.9, LEFT)))
    assert (finding.decision, finding.first_seen) == (Decision.HELD, -9.0)


def test_unknown_names() -> None:
    """A class that the model does not have and a zone that the stream does not have are both named."""
    asked = replace(rule(zones=("door", "attic"), classes=("person", "gnu")), exclude=("moat",), near="yak")
    with pytest.raises(ConfigError) as caught:
        Watch("entrance", asked, ZONES, LABELS)
    assert caught.value.faults == (
        "rule intruder: expected a class of the model, found gnu",
        "rule intruder: expected a class of the model, found yak",
        "rule intruder: expected a zone of stream entrance, found attic",
        "rule intruder: expected a zone of stream entrance, found moat",
    )


def test_rule_from_configuration() -> None:
    """A rule says what its section of the configuration says."""
    section = RuleSettings.model_validate(
        {
            "name": "blade",
            "classes": ("knife",),
            "min_score": 0.25,
            "confirm": {"hits": 3, "of": 4, "within": "2s", "per": "object"},
            "end_after": "7s",
            "repeat_every": "1m",
            "zones": ("door",),
            "keep_score": 0.125,
            "cooldown": "30s",
            "stationary": {"after": "1m"},
            "near": "person",
            "latch": True,
            "exclude": ("yard",),
            "min_area": 0.01,
            "max_area": 0.5,
            "min_aspect": 0.25,
            "max_aspect": 4.0,
            "schedule": {
                "time_zone": "UTC",
                "times": ({"days": ("tue",), "start": "18:30", "end": "07:00"},),
            },
        }
    )
    assert rule_from(section) == Rule(
        *("blade", ("knife",), 0.25, 3, 4, 2.0, 7.0, 60.0, ("door",)),
        keep_score=0.125,
        cooldown=30.0,
        exclude=("yard",),
        min_area=0.01,
        max_area=0.5,
        min_aspect=0.25,
        max_aspect=4.0,
        per=Per.OBJECT,
        still_after=60.0,
        near="person",
        latch=True,
        schedule=Hours("UTC", (Span((Day.TUE,), 1110, 420),)),
    )


NUMBERS = st.floats(width=32)


@given(st.lists(st.tuples(st.sampled_from(LABELS), NUMBERS, st.tuples(*[NUMBERS] * 4)), max_size=8))
def test_any_numbers(objects: list[Object]) -> None:
    """Whatever numbers a detector gives, the best is finite, of the rule's classes, and scored enough."""
    finding = look(rule(("door", "yard")), *objects)
    if finding.best is not None:
        assert finding.best.class_name in ("person", "knife")
        assert finding.best.score >= np.float32(0.7)
        assert all(math.isfinite(number) for number in (*finding.best.box, finding.best.score))
        assert finding.best.zone in ("door", "yard")


def test_a_model_with_other_labels_is_understood_from_its_first_frame() -> None:
    """The classes of a rule are found by name in the labels that detections carry; what was counted stays."""
    watch = Watch("entrance", rule(hits=2), ZONES, LABELS)
    assert watch.update(Moment(1.0, 0.1, 0.1), found(("knife", 0.8, LEFT))).decision is Decision.QUIET
    others = ("dog", "knife", "tree", "person")
    car = replace(found(("car", 0.8, LEFT)), labels=others)  # index 1, which is the knife of these labels
    raised = watch.update(Moment(1.1, 0.1, 0.1), car)
    assert raised.decision is Decision.RAISED
    assert raised.best is not None
    assert raised.best.class_name == "knife"
    dog = replace(found(("person", 0.8, LEFT)), labels=others)
    assert watch.update(Moment(1.2, 0.1, 0.1), dog).best is None
    back = watch.update(Moment(1.3, 0.1, 0.1), found(("person", 0.8, LEFT)))
    assert back.best is not None
    assert watch.active
