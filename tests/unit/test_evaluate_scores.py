"""Counts become figures, by light, size and class, and what is undefined has none."""

import numpy as np
import pytest

from tocsin.evaluate.matching import Found, Judged, Size, Truth, judge
from tocsin.evaluate.scores import (
    Counts,
    LightClass,
    Sheet,
    average_precision,
    light_class,
    score,
    tally,
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


def test_figures() -> None:
    """Precision is of what was found, recall of what is there, and F1 their harmonic mean."""
    counts = tally([one.whole for one in (picture(3, 2, strays=1), picture(1, 1))], 0.5).total()
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
    judged = [picture(2, 1, strays=1, score=0.5).whole]
    assert tally(judged, 0.5).total() == Counts(1, 1, 1, 1)
    assert tally(judged, 0.501).total() == Counts(1, 0, 0, 2)


def test_groups() -> None:
    """Pictures count in their light, objects in their size and class, and the groups add up to the whole."""
    judged = [picture(3, 2, strays=1), picture(2, 2, side=10.0), picture(1, 0, side=200.0, index=4)]
    lights = [LightClass.HIGH, LightClass.HIGH, LightClass.LOW]
    scores = score(judged, lights, 0.5)
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
    scores = score([], [], 0.5)
    assert (scores.overall, scores.by_light, scores.ap) == (Counts(0, 0, 0, 0), {}, None)
    assert scores.by_size == dict.fromkeys(Size, Counts(0, 0, 0, 0))


def test_a_sheet_is_cut_by_pictures() -> None:
    """The counts of chosen pictures are theirs alone."""
    sheet = Sheet(*np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert sheet.where(np.array([True, False, True])).total() == Counts(2, 4, 10, 16)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        pytest.param([picture(2, 2)], 1.0, id="all found and nothing false"),
        pytest.param([picture(2, 0, strays=3)], 0.0, id="nothing found"),
        pytest.param([picture(2, 1)], 51 / 101, id="half found: recalls 0 to 0.5 have precision 1"),
        pytest.param([picture(1, 1, score=0.3), picture(0, 0, 1)], 0.5, id="a stray scores better"),
        pytest.param([picture(1, 1), picture(0, 0, 1, score=0.3)], 1.0, id="a stray scores worse"),
        pytest.param([picture(0, 0, 2)], None, id="nothing to find"),
        pytest.param([picture(1, 1), picture(1, 0, index=2)], 0.5, id="the mean over classes"),
    ],
)
def test_average_precision(pictures: list[Judged], expected: float | None) -> None:
    """The average precision is read at 101 recalls and averaged over the classes that have objects."""
    assert average_precision([one.whole for one in pictures]) == pytest.approx(expected)


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
