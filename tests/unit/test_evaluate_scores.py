"""Counts become figures, by light, size and class, and what is undefined has none."""

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from tocsin.evaluate.matching import Found, Judged, Size, Truth, judge
from tocsin.evaluate.scores import (
    THRESHOLDS,
    Counts,
    LightClass,
    Scores,
    Sheet,
    Tally,
    light_class,
)


def picture(
    objects: int, seen: int, strays: int = 0, side: float = 50.0, score: float = 0.9, index: int = 0
) -> Judged:
    """A picture with so many objects in a row, the first of which are found, and strays elsewhere."""

    def row(count: int, top: float) -> np.ndarray:
        left = np.arange(count) * 2 * side
        return np.stack([left, np.full(count, top), left + side, np.full(count, top + side)], axis=1)

    boxes = row(objects, 0)
    truth = Truth(
        boxes=boxes,
        classes=np.full(objects, index),
        areas=np.full(objects, side * side),
        crowd=np.zeros(objects, np.bool_),
        tracks=np.full(objects, -1),
    )
    found = np.concatenate([boxes[:seen], row(strays, 1000)])
    return judge(truth, Found(found, np.full(len(found), score), np.full(len(found), index)))


def tallied(judged: Sequence[Judged], threshold: float, lights: Sequence[LightClass] | None = None) -> Scores:
    tally = Tally(threshold)
    for one, light in zip(judged, lights or [LightClass.HIGH] * len(judged), strict=True):
        tally.add(one, light)
    return tally.scores()


def test_figures() -> None:
    """Precision is of what was found, recall of what is there, and F1 their harmonic mean."""
    counts = tallied([picture(3, 2, strays=1), picture(1, 1)], 0.5).overall
    assert counts == Counts(frames=2, tp=3, fp=1, fn=1)
    assert (counts.positives, counts.precision, counts.recall, counts.f1) == (4, 0.75, 0.75, 0.75)


@pytest.mark.parametrize(
    ("counts", "figures"),
    [
        pytest.param(Counts(0, 0, 0, 0), (None, None, None), id="no pictures"),
        pytest.param(Counts(5, 0, 0, 0), (None, None, None), id="nothing to find and nothing found"),
        pytest.param(Counts(5, 0, 0, 3), (None, 0.0, 0.0), id="nothing found"),
        pytest.param(Counts(5, 0, 2, 0), (0.0, None, 0.0), id="nothing to find"),
    ],
)
def test_undefined(counts: Counts, figures: tuple[float | None, ...]) -> None:
    """A share of nothing is neither nought nor one: it is None."""
    assert (counts.precision, counts.recall, counts.f1) == figures


def test_the_threshold_belongs_to_what_counts() -> None:
    """What scores the threshold counts, what scores less is neither right nor false."""
    judged = [picture(2, 1, strays=1, score=0.5)]
    assert tallied(judged, 0.5).overall == Counts(1, 1, 1, 1)
    assert tallied(judged, 0.501).overall == Counts(1, 0, 0, 2)


def test_groups() -> None:
    """Pictures count in their light, objects in their size and class, and the groups add up to the whole."""
    judged = [picture(3, 2, strays=1), picture(2, 2, side=10.0), picture(1, 0, side=200.0, index=4)]
    lights = [LightClass.HIGH, LightClass.HIGH, LightClass.LOW]
    scores = tallied(judged, 0.5, lights)
    assert scores.overall == Counts(3, 4, 1, 2)
    assert scores.by_light == {LightClass.HIGH: Counts(2, 4, 1, 1), LightClass.LOW: Counts(1, 0, 0, 1)}
    assert scores.by_size == {
        Size.LARGE: Counts(3, 0, 0, 1),
        Size.MEDIUM: Counts(3, 2, 1, 1),
        Size.SMALL: Counts(3, 2, 0, 0),
    }
    assert scores.by_light_and_size[LightClass.HIGH, Size.SMALL] == Counts(2, 2, 0, 0)
    assert scores.by_class == {0: Counts(3, 4, 1, 1), 4: Counts(3, 0, 0, 1)}
    for groups in (scores.by_light, scores.by_size, scores.by_class):
        assert sum(one.tp for one in groups.values()) == scores.overall.tp
        assert sum(one.positives for one in groups.values()) == scores.overall.positives


def test_no_pictures() -> None:
    """Nothing scored gives nothing, not an error."""
    scores = tallied([], 0.5)
    assert (scores.overall, scores.by_light) == (Counts(0, 0, 0, 0), {})
    assert scores.by_size == dict.fromkeys(Size, Counts(0, 0, 0, 0))


def test_a_sheet_is_cut_by_pictures() -> None:
    """The counts of chosen pictures are theirs alone."""
    sheet = Sheet(*np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert sheet.where(np.array([True, False, True])).total() == Counts(2, 4, 10, 16)


def test_every_threshold() -> None:
    """Recall and precision at each threshold are those of a count at that threshold; without anything, none."""
    judged = [
        picture(3, 2, strays=1, score=0.5),
        picture(2, 1, strays=2, score=0.9),
        picture(1, 1, score=0.07),
    ]
    scores = tallied(judged, 0.5)
    for index, threshold in enumerate(THRESHOLDS):
        counts = tallied(judged, threshold).overall
        figures = [None if np.isnan(one[index]) else one[index] for one in scores.at_thresholds()]
        assert figures == [counts.recall, counts.precision], threshold
    assert np.isnan(tallied([picture(0, 0, strays=1)], 0.5).at_thresholds()[0]).all()


def test_what_is_kept_of_a_picture_does_not_grow_with_what_is_in_it() -> None:
    """A thousand pictures with twenty objects each take less than a tenth of a megabyte a lane."""
    crowded, tally = picture(20, 15, strays=10), Tally(0.5)
    tally.add(crowded, LightClass.HIGH)
    tracemalloc.start()
    try:
        for _ in range(1000):
            tally.add(crowded, LightClass.HIGH)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
    assert tally.scores().overall.tp == 1001 * 15


@pytest.mark.parametrize(
    ("mean", "grey", "labelled", "expected"),
    [
        (150.0, False, None, LightClass.HIGH),
        (149.9, False, None, LightClass.MEDIUM),
        (70.0, False, None, LightClass.MEDIUM),
        (69.9, False, None, LightClass.LOW),
        (200.0, True, None, LightClass.ARTIFICIAL),
        (200.0, True, LightClass.LOW, LightClass.LOW),
        (200.0, False, LightClass.ARTIFICIAL, LightClass.ARTIFICIAL),
    ],
)
def test_light_classes(mean: float, grey: bool, labelled: LightClass | None, expected: LightClass) -> None:
    """The labels decide, then the want of colour, then the mean luma."""
    assert light_class(mean, grey, labelled) is expected


def test_the_curve_of_a_class_is_its_own() -> None:
    """What is found of one class says nothing about another, also where that was labelled nowhere."""
    both = tallied([picture(4, 3, score=0.9), picture(2, 0, strays=1, score=0.6, index=7)], 0.5)
    at = THRESHOLDS.index(0.5)
    assert [curve[at] for curve in both.at_thresholds({0})] == [0.75, 1.0]
    assert [curve[at] for curve in both.at_thresholds({7})] == [0.0, 0.0]
    assert [curve[at] for curve in both.at_thresholds()] == [0.5, 0.75]
    assert np.isnan(both.at_thresholds({5})).all()
