"""What is kept of the light over time: spans, changes, and things from all over a recording."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.frame import Correction, Light
from tocsin.lightcard.facts import light_of
from tocsin.lightcard.timeline import CHANGES_LISTED, Moment, Steadiness, Thinned, Timeline, spread

NONE, STRETCH, CLAHE = Correction.NONE, Correction.STRETCH, Correction.CLAHE


def light(luma: int) -> Light:
    """The light of a picture of one luma value."""
    return light_of(np.full((6, 4), luma, np.uint8))


GREY, DARK = light(128), light(40)


def moment(at: float, correction: Correction = NONE, seen: Light = GREY) -> Moment:
    return Moment(at, seen, correction, "")


def test_a_short_recording_keeps_each_picture() -> None:
    """As long as there is room, a span is one picture and lasts to the next."""
    timeline = Timeline(limit=4)
    for at in (0.0, 0.5, 2.0):
        timeline.add(moment(at))
    assert [(span.begins, span.ends, span.pictures) for span in timeline.spans()] == [
        (0.0, 0.5, 1),
        (0.5, 2.0, 1),
        (2.0, 3.5, 1),
    ]


def test_joined_spans_hold_averages() -> None:
    """Two pictures in one span give the mean of their light, and both corrections are counted."""
    timeline = Timeline(limit=2)
    for at, correction, seen in ((0.0, NONE, GREY), (1.0, STRETCH, DARK), (2.0, NONE, GREY)):
        timeline.add(moment(at, correction, seen))
    first = timeline.spans()[0]
    assert first.mean == pytest.approx((GREY.mean + DARK.mean) / 2)
    assert (first.begins, first.ends) == (0.0, 2.0)
    assert first.corrections == {NONE: 1, STRETCH: 1}
    assert first.reasons == {(NONE, ""): 1, (STRETCH, ""): 1}


@given(count=st.integers(1, 3000), limit=st.sampled_from([2, 6, 40]))
def test_a_timeline_is_bounded_and_loses_nothing(count: int, limit: int) -> None:
    """However many pictures come, there are at most so many spans, without gaps, and every picture is in one."""
    timeline = Timeline(limit)
    for number in range(count):
        timeline.add(moment(number / 10, STRETCH if number % 3 else NONE))
    spans = timeline.spans()
    assert len(spans) <= limit
    assert all(early.ends == late.begins for early, late in pairwise(spans))
    total = sum((Counter(span.corrections) for span in spans), Counter[Correction]())
    assert total == Counter(STRETCH if number % 3 else NONE for number in range(count))


def test_two_hours_take_no_more_room_than_minutes() -> None:
    """72000 pictures of two hours leave at most 1200 spans that reach to the end."""
    timeline = Timeline()
    for number in range(72000):
        timeline.add(moment(number / 10))
    spans = timeline.spans()
    assert 600 <= len(spans) <= 1200
    assert spans[-1].ends == pytest.approx(7200.0)


@given(count=st.integers(1, 2000), wanted=st.integers(2, 20))
def test_what_is_kept_comes_from_everywhere(count: int, wanted: int) -> None:
    """At no time more than twice as many are kept; the first and the last are there, and no gap is out of line."""
    thinned: Thinned[int] = Thinned(wanted)
    for number in range(count):
        thinned.add(number)
    kept = thinned.kept()
    assert len(kept) <= 2 * wanted + 1
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(set(kept)) == len(kept)
    assert max(np.diff(kept), default=0) <= max(1, 2 * count / wanted)


@pytest.mark.parametrize(
    ("count", "wanted", "chosen"),
    [
        pytest.param(0, 3, [], id="nothing"),
        pytest.param(2, 3, [0, 1], id="fewer than wanted"),
        pytest.param(9, 3, [0, 4, 8], id="the ends and the middle"),
        pytest.param(9, 1, [0], id="one"),
    ],
)
def test_things_are_spread_evenly(count: int, wanted: int, chosen: list[int]) -> None:
    """The first and the last are among what is chosen, the others lie evenly between."""
    assert spread(list(range(count)), wanted) == chosen


def test_changes_are_counted_and_told() -> None:
    """The first picture is no change; each later one with another correction is."""
    steadiness = Steadiness()
    told = [
        steadiness.changes_with(moment(at, correction))
        for at, correction in enumerate((STRETCH, STRETCH, NONE, NONE, CLAHE))
    ]
    assert told == [False, False, True, False, True]
    assert steadiness.count == 2
    assert [(change.at, change.before, change.after) for change in steadiness.changes] == [
        (2, STRETCH, NONE),
        (4, NONE, CLAHE),
    ]


def test_the_busiest_ten_seconds_are_found() -> None:
    """Changes ten seconds apart are not counted together; those within ten seconds are."""
    steadiness = Steadiness()
    changes = (1.0, 5.0, 10.9, 11.0, 40.0)
    steadiness.changes_with(moment(0.0, NONE))
    for number, at in enumerate(changes):
        steadiness.changes_with(moment(at, NONE if number % 2 else STRETCH))
    assert (steadiness.count, steadiness.busiest) == (5, 3)


def test_a_flickering_recording_stays_bounded() -> None:
    """Changes beyond the first thousand are counted but not listed."""
    steadiness = Steadiness()
    for number in range(3000):
        steadiness.changes_with(moment(number / 8, NONE if number % 2 else STRETCH))
    assert steadiness.count == 2999
    assert len(steadiness.changes) == CHANGES_LISTED
    assert steadiness.busiest == 80
