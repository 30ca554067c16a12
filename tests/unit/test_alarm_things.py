"""Sightings add up per object where they may be of one thing, and only there."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.episode import Decision
from tocsin.alarm.judge import Judge, Judgement
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Per, Rule
from tocsin.alarm.things import MOST, overlap
from tocsin.frame import Box

RULE = Rule(
    "visit", ("person",), 0.5, hits=3, of=5, within=3.0, end_after=1.0, repeat_every=0.0, keep_score=0.25
)
PER_OBJECT = replace(RULE, per=Per.OBJECT)
SHAPE = 16 / 9
HEIGHT = 0.25
WIDTH = 0.4 * HEIGHT / SHAPE
"""Of a person of a quarter of the picture's height: 1.7 m are 0.25."""


def person(
    x: float, y: float = 0.75, score: float = 0.75, size: float = 1.0, word: str = "person"
) -> Candidate:
    """Somebody who stands at x, y."""
    width, height = size * WIDTH, size * HEIGHT
    return Candidate(word, score, (x - width / 2, y - height, x + width / 2, y), None, (40.0, 100.0), 0)


def play(judge: Judge, frames: Sequence[Sequence[Candidate]], period: float = 0.1) -> list[Judgement]:
    """Show one frame after the other."""
    return [
        judge.update(Moment(number * period, period, period, SHAPE), sorted(frame, key=lambda c: -c.score))
        for number, frame in enumerate(frames)
    ]


def raised(judgements: Sequence[Judgement]) -> list[int]:
    """The numbers of the frames that raised an alarm."""
    return [number for number, one in enumerate(judgements) if one.decision is Decision.RAISED]


HERE, THERE = person(0.2), person(0.8)


@pytest.mark.parametrize(
    ("frames", "per_frame", "per_object"),
    [
        pytest.param([[HERE]] * 3, [2], [2], id="who stands there is raised by the third sighting"),
        pytest.param([[HERE], [THERE], [HERE]], [2], [], id="one here and one there do not add up"),
        pytest.param([[HERE], [THERE], [HERE], [THERE], [HERE]], [2], [4], id="but each by itself"),
        pytest.param([[HERE], [], [HERE], [], [HERE]], [4], [4], id="misses between are allowed"),
        pytest.param([[HERE, THERE]] * 3, [2], [2], id="two at once are two things"),
        pytest.param(
            [[HERE], [person(0.2, score=0.4)], [HERE], [HERE]],
            [3],
            [3],
            id="a low score is followed and no hit",
        ),
        pytest.param(
            [[person(0.2, size=2.0)], [person(0.2, size=0.5)], [person(0.2, size=2.0)]],
            [2],
            [],
            id="neither do boxes of which one is sixteen times as large",
        ),
        pytest.param(
            [[person(0.2)], [person(0.2, y=0.69, size=0.75)], [person(0.2)]],
            [2],
            [2],
            id="a box around the upper part is of the same",
        ),
        pytest.param(
            [[person(0.2)], [person(0.2, word="knife")], [person(0.2)]],
            [2],
            [2],
            id="two words are one thing",
        ),
    ],
)
def test_what_adds_up(frames: list[list[Candidate]], per_frame: list[int], per_object: list[int]) -> None:
    """Per frame everything adds up, per object only what may be of one thing, and then no frame later."""
    assert raised(play(Judge(RULE), frames)) == per_frame
    assert raised(play(Judge(PER_OBJECT), frames)) == per_object


@pytest.mark.parametrize(
    ("metres_a_second", "fps", "kept"),
    [(1.5, 10, True), (5.0, 10, True), (5.0, 2, True), (3.5, 1, True), (12.0, 2, False), (30.0, 10, False)],
)
def test_who_walks_and_runs_is_followed(metres_a_second: float, fps: int, kept: bool) -> None:
    """At ten frames a second and at one, and what jumps further than anybody runs is another thing."""
    step = metres_a_second / 1.7 * HEIGHT / SHAPE / fps
    rule = replace(PER_OBJECT, within=10.0)
    frames = [[person(0.1 + number * step, size=0.5)] for number in range(3)]
    assert raised(play(Judge(rule), [[person(0.1 + n * step)] for n in range(3)], 1 / fps)) == (
        [2] if kept else []
    )
    assert raised(play(Judge(rule), frames, 1 / fps)) in ([2], [])


def test_the_alarm_tells_of_the_thing_that_was_confirmed() -> None:
    """Not of another that scores higher in the same frame, and since when that thing was seen."""
    stranger = person(0.8, score=0.99)
    told = play(Judge(PER_OBJECT), [[], [HERE], [HERE], [HERE, stranger], [HERE, stranger]])
    assert raised(told) == [3]
    assert (told[3].best, told[3].first_seen) == (HERE, pytest.approx(0.1))
    assert told[4].best == stranger, "afterwards the best of what keeps the alarm alive"


def test_of_two_that_are_confirmed_the_surer_speaks() -> None:
    """In one frame, whichever of them was known first."""
    sure = person(0.8, score=0.99)
    for frame in ([HERE, sure], [sure, HERE]):
        assert play(Judge(PER_OBJECT), [frame] * 3)[2].best == sure


def test_two_boxes_around_one_thing_share_no_sightings() -> None:
    """Now this box and now that one, and once both: what is known longest is seen in each frame."""
    other = person(0.205, y=0.72, size=0.9)
    assert raised(play(Judge(PER_OBJECT), [[HERE], [HERE, other], [other]])) == [2]


def test_a_sighting_counts_for_one_alarm_only() -> None:
    """After an end each thing is confirmed anew."""
    rule = replace(PER_OBJECT, end_after=0.1)
    assert raised(play(Judge(rule), [[HERE]] * 3 + [[]] * 2 + [[HERE]] * 3)) == [2, 7]


def test_what_was_seen_long_ago_is_not_followed_across_the_picture() -> None:
    """After seconds without a sighting a thing has come no further than after one."""
    rule = replace(PER_OBJECT, hits=2, of=100, within=10.0)
    away = [[HERE], *[[]] * 40, [person(0.6)]]
    assert raised(play(Judge(rule), away)) == []
    assert raised(play(Judge(rule), [[HERE], *[[]] * 40, [person(0.25)]])) == [41]


def test_a_sighting_that_counts_is_not_forgotten() -> None:
    """A thing that is seen twice in six seconds is one as long as the rule's window holds its sightings."""
    rule = replace(PER_OBJECT, hits=2, of=100, within=10.0)
    assert raised(play(Judge(rule), [[HERE], *[[]] * 60, [HERE]])) == [61]


def test_a_silence_ends_what_was_counted() -> None:
    """Two sightings before a gap and one after it raise nothing."""
    judge = Judge(PER_OBJECT)
    play(judge, [[HERE], [HERE]])
    assert judge.update(Moment(9.0, 0.1, 8.9, SHAPE), [HERE]).decision is Decision.QUIET


@pytest.mark.parametrize(("at", "leaves"), [(math.nan, True), (math.inf, True), (-math.inf, False)])
def test_a_frame_without_a_time_counts_nothing(at: float, leaves: bool) -> None:
    """It leaves what was counted, unless it runs backwards."""
    judge = Judge(PER_OBJECT)
    play(judge, [[HERE], [HERE]])
    assert judge.update(Moment(at, 0.1, 0.1, SHAPE), [HERE]).decision is Decision.QUIET
    after = judge.update(Moment(0.2, 0.1, 0.1, SHAPE), [HERE]).decision
    assert after is (Decision.RAISED if leaves else Decision.QUIET)


def test_a_crowd_is_bounded() -> None:
    """Of thousands of boxes the best are followed; the alarm comes all the same."""
    crowd = [person(0.01 * n, y=0.3 + 0.05 * (n % 10), score=0.5 + n / 1000, size=0.1) for n in range(300)]
    judge = Judge(PER_OBJECT)
    assert raised(play(judge, [crowd] * 3)) == [2]
    assert len(judge._things.known) <= MOST
    elsewhere = [person(0.02 * n, y=0.95, score=0.5 + n / 1000, size=0.04) for n in range(MOST)]
    play(judge, [elsewhere])
    assert len(judge._things.known) == MOST, "who was not seen for longest makes room"


def test_a_crowd_that_is_gone_leaves_room() -> None:
    """Who comes after as many as are followed is followed at once."""
    crowd = [person(0.1 + 0.02 * n, y=0.3, score=0.6, size=0.05) for n in range(MOST)]
    others = [replace(one, box=(one.box[0], 0.8, one.box[2], 0.81)) for one in crowd[1:]]
    frames = [crowd, crowd, [HERE, *others], [HERE, *others], [HERE, *others]]
    assert raised(play(Judge(replace(PER_OBJECT, min_score=0.7)), frames)) == [4]


EDGES = st.tuples(st.floats(-0.1, 1.1), st.floats(-0.1, 1.1)).map(sorted)
BOXES = st.tuples(EDGES, EDGES).map(lambda edges: (edges[0][0], edges[1][0], edges[0][1], edges[1][1]))
CANDIDATES = st.lists(
    st.builds(lambda box, score: replace(HERE, box=box, score=score), BOXES, st.floats(0.25, 1)), max_size=4
)


@given(
    st.lists(st.tuples(CANDIDATES, st.sampled_from([0.1, 0.1, 0.1, 0.9, 3.0, -5.0, math.nan])), max_size=40)
)
def test_no_alarm_per_object_that_there_is_not_per_frame(steps: list[tuple[list[Candidate], float]]) -> None:
    """Whatever is shown, an alarm per object was due per frame by then, and is raised once until it ends."""
    frame, thing = Judge(replace(RULE, end_after=1e9)), Judge(replace(PER_OBJECT, end_after=1e9))
    now, due, came = 0.0, 0, 0
    for candidates, step in steps:
        now = now if math.isnan(step) else now + step
        moment = Moment(now if not math.isnan(step) else step, 0.1, abs(step), SHAPE)
        best_first = sorted(candidates, key=lambda one: -one.score)
        due += frame.update(moment, best_first).decision is Decision.RAISED
        came += thing.update(moment, best_first).decision is Decision.RAISED
        assert came <= due <= 1


@given(
    st.floats(-0.4, 0.4),
    st.floats(-0.1, 0.1),
    st.lists(st.sampled_from([0.75, 0.75, 0.4, None]), min_size=1, max_size=40),
)
def test_one_thing_alone_is_raised_as_per_frame(
    across: float, down: float, scores: list[float | None]
) -> None:
    """Of one thing that moves as things do, per object and per frame say the same in every frame."""
    frames = [
        [] if score is None else [person(0.5 + across * n / 10, 0.5 + down * n / 10, score)]
        for n, score in enumerate(scores)
    ]
    both = [[one.decision for one in play(Judge(rule), frames)] for rule in (RULE, PER_OBJECT)]
    assert both[0] == both[1]


@given(BOXES, BOXES)
def test_overlap(one: Box, other: Box) -> None:
    """It is a share, the same both ways, and whole for a box with itself."""
    assert 0 <= overlap(one, other) == overlap(other, one) <= 1 + 1e-9
    if one[2] > one[0] + 1e-3 and one[3] > one[1] + 1e-3:
        assert overlap(one, one) == pytest.approx(1)
