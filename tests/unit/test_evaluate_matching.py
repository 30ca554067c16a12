"""Detections are matched to labelled objects as a person would explain it.

That it is all of COCO's convention is shown against COCO's own code, among the integration tests.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.evaluate.matching import Checked, Found, Size, Truth, at, judge, overlaps
from tocsin.evaluate.scores import count

Box = tuple[float, float, float, float]
A: Box = (0, 0, 40, 40)
HALF_OF_A: Box = (0, 0, 40, 20)
BESIDE_A: Box = (4, 0, 44, 40)  # overlaps it by 36 of 44
FAR: Box = (200, 200, 240, 240)


def truth(*boxes: Box, classes: Sequence[int] = (), crowd: Sequence[bool] = ()) -> Truth:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    return Truth(
        boxes=array,
        classes=np.array(classes or [0] * len(boxes), np.int64),
        areas=np.prod(array[:, 2:] - array[:, :2], axis=1),
        crowd=np.array(crowd or [False] * len(boxes), np.bool_),
        tracks=np.full(len(boxes), -1),
    )


def found(*boxes: Box, scores: Sequence[float] = (), classes: Sequence[int] = ()) -> Found:
    return Found(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        scores=np.array(scores or [0.9] * len(boxes), np.float64),
        classes=np.array(classes or [0] * len(boxes), np.int64),
    )


@pytest.mark.parametrize(
    ("truth", "found", "counts"),
    [
        pytest.param(truth(A), found(A), (1, 0, 0), id="what lies where it is labelled is right"),
        pytest.param(
            truth(A), found(FAR), (0, 1, 1), id="what lies elsewhere is false, and the object missed"
        ),
        pytest.param(truth(A), found(HALF_OF_A), (1, 0, 0), id="an overlap of the threshold is enough"),
        pytest.param(truth(A), found(A, classes=[1]), (0, 1, 1), id="another class is false"),
        pytest.param(truth(A), found(A, BESIDE_A), (1, 1, 0), id="an object is found once"),
        pytest.param(truth(), found(A), (0, 1, 0), id="nothing is labelled"),
        pytest.param(truth(A, FAR), found(), (0, 0, 2), id="nothing is found"),
        pytest.param(truth(), found(), (0, 0, 0), id="nothing is labelled and nothing found"),
        pytest.param(truth(A, crowd=[True]), found(), (0, 0, 0), id="a box to ignore is not missed"),
        pytest.param(
            truth(A, crowd=[True]), found(HALF_OF_A, A, BESIDE_A), (0, 0, 0), id="it takes several detections"
        ),
        pytest.param(
            truth(A, A, crowd=[True, False]), found(A), (1, 0, 0), id="an object goes before a box to ignore"
        ),
    ],
)
def test_counts(truth: Truth, found: Found, counts: tuple[int, int, int]) -> None:
    """Right, false and missed are counted at an overlap of a half."""
    assert count(judge(truth, found).whole, 0.5) == counts


def test_what_nobody_looked_at_is_neither_right_nor_wrong() -> None:
    """A guard judged one box: another object beside it, or of another class there, is no mistake of the model."""
    checked = Checked(np.array([A], np.float64), np.array([0]))
    seen = found(A, BESIDE_A, FAR, A, classes=[0, 0, 0, 1])
    judged = at(checked, seen, 0.5)
    assert judged.boxes.tolist() == [list(A), list(BESIDE_A)]
    assert count(judge(truth(), judged).whole, 0.5) == (0, 2, 0)
    assert count(judge(truth(A), judged).whole, 0.5) == (1, 1, 0)
    nowhere = Checked(np.zeros((0, 4)), np.zeros(0, np.int64))
    assert len(at(nowhere, seen, 0.5)) == len(at(checked, found(), 0.5)) == 0


def test_the_better_score_chooses_first() -> None:
    """A detection with a better score takes the object even from one that lies closer."""
    matched = judge(truth(A), found(A, BESIDE_A, scores=[0.6, 0.8])).whole
    assert matched.truths.tolist() == [-1, 0]
    assert matched.takers.tolist() == [0.8]


def test_the_best_overlap_is_taken() -> None:
    """Of two free objects a detection takes the one that it overlaps more."""
    matched = judge(truth(BESIDE_A, A), found(A)).whole
    assert matched.truths.tolist() == [1]
    assert matched.takers.tolist() == [-np.inf, 0.9]


@pytest.mark.parametrize(
    ("side", "size"),
    [(31.9, Size.SMALL), (32.0, Size.MEDIUM), (95.9, Size.MEDIUM), (96.0, Size.LARGE), (5000.0, Size.LARGE)],
)
def test_an_object_has_one_size(side: float, size: Size) -> None:
    """An object counts in the size of its area, whose lower end belongs to it, and in no other."""
    box = (0.0, 0.0, side, side)
    judged = judge(truth(box), found())
    assert [one for one in Size if judged.by_size[one].counted.any()] == [size]


def test_other_sizes_are_ignored() -> None:
    """Where one size is looked at, neither the objects nor the strays of another count, found or not."""
    judged = judge(truth(A, (0, 100, 10, 110)), found(A, FAR, (300, 300, 310, 310)))
    small, large = (count(judged.by_size[size], 0.0) for size in (Size.SMALL, Size.LARGE))
    assert small == (0, 1, 1)
    assert large == (0, 0, 0)


def test_a_share_of_a_crowd_is_of_the_detection() -> None:
    """A detection inside a crowd overlaps it wholly, and an object of that size little."""
    inside, wide = np.array([[10.0, 10, 20, 20]]), np.array([[0.0, 0, 100, 100]] * 2)
    assert overlaps(inside, wide, np.array([True, False])).tolist() == [[1.0, 0.01]]


BOXES = st.lists(
    st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 60)] * 2).map(
        lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
    ),
    max_size=6,
)


@given(BOXES, BOXES, st.data())
def test_lower_scores_change_nothing_above_them(
    labelled: list[Box], seen: list[Box], data: st.DataObject
) -> None:
    """Cutting detections away before matching counts the same as a threshold afterwards."""
    crowd = data.draw(st.lists(st.booleans(), min_size=len(labelled), max_size=len(labelled)))
    scores = data.draw(
        st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.7]), min_size=len(seen), max_size=len(seen))
    )
    objects, everything = truth(*labelled, crowd=crowd), found(*seen, scores=scores)
    kept = everything.scores >= 0.5
    above = Found(everything.boxes[kept], everything.scores[kept], everything.classes[kept])
    after, before = (count(judge(objects, one).whole, 0.5) for one in (everything, above))
    assert after == before
