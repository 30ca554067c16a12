"""What several views saw of one frame becomes one list of objects."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pictures import grey, view
from tocsin.capture.regions import tiles
from tocsin.detect.merge import merge
from tocsin.frame import WHOLE, Box, Detections, View

SIDE = 400
LEFT, RIGHT = tiles(1, 2, 0.2)
"""0 to 0.556 and 0.444 to 1 of the frame."""


def shown(*regions: Box) -> list[View]:
    return [view(grey(SIDE, SIDE), region) for region in regions]


def seen(
    number: int, region: Box, *boxes: Box, scores: Sequence[float] = (), classes: Sequence[int] = ()
) -> Detections:
    """What the view of that number saw, in coordinates of the frame; sure ones of class 0 unless told."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    size = np.array([region[2] - region[0], region[3] - region[1]], np.float32) / SIDE
    return Detections(
        boxes=corners,
        scores=np.array(scores or [0.9] * len(boxes), np.float32),
        classes=np.array(classes or [0] * len(boxes), np.int64),
        pixels=(corners[:, 2:] - corners[:, :2]) / size,
        views=np.full(len(boxes), number, np.int64),
        labels=("person", "dog"),
    )


def both(left: Sequence[Box], right: Sequence[Box]) -> Detections:
    """Merge what two tiles without the whole frame saw."""
    parts = [seen(0, LEFT, *left), seen(1, RIGHT, *right)]
    return merge(parts, shown(LEFT, RIGHT))


def test_what_one_view_saw_stays_as_it_is() -> None:
    """However close: its family has judged that these are two."""
    close = ((0.1, 0.1, 0.2, 0.5), (0.12, 0.1, 0.22, 0.5))
    found = both(close, [])
    assert found.boxes == pytest.approx(np.array(close))
    assert found.views.tolist() == [0, 0]


def test_what_one_view_saw_stays_apart_beside_others() -> None:
    """Someone half behind another and half out of the view is no piece of the other: one view saw both."""
    found = both([(0.4, 0.1, 0.549, 0.6), (0.5, 0.3, 0.5556, 0.5)], [(0.8, 0.3, 0.9, 0.5)])
    assert len(found) == 3


def test_an_object_in_the_seam_that_both_see_whole_counts_once() -> None:
    """A little difference of the boxes is none of the objects."""
    found = both([(0.46, 0.3, 0.53, 0.5)], [(0.465, 0.305, 0.535, 0.5)])
    assert len(found) == 1


def test_a_piece_goes_to_the_whole_of_it() -> None:
    """The box is that of the tile that saw all, though the piece has the better score, which counts."""
    found = merge(
        [
            seen(0, LEFT, (0.46, 0.3, 0.555, 0.5), scores=[0.95]),
            seen(1, RIGHT, (0.46, 0.3, 0.65, 0.5), scores=[0.6]),
        ],
        shown(LEFT, RIGHT),
    )
    assert found.boxes[0] == pytest.approx([0.46, 0.3, 0.65, 0.5])
    assert found.scores.tolist() == [np.float32(0.95)]
    assert found.views.tolist() == [1]


def test_pieces_on_both_sides_of_a_seam_become_one() -> None:
    """What is wider than the overlap is seen whole by nobody: its box is around both, its pixels to scale."""
    found = both([(0.3, 0.3, 0.5556, 0.5)], [(0.4444, 0.3, 0.8, 0.5)])
    assert found.boxes == pytest.approx(np.array([[0.3, 0.3, 0.8, 0.5]]), abs=1e-3)
    assert found.pixels[0] == pytest.approx([0.5 / 0.5556 * SIDE, 0.2 * SIDE], rel=0.01)


def test_pieces_in_four_tiles_become_one() -> None:
    """A piece leads on to the next, around a corner too."""
    regions = tiles(2, 2, 0.2)
    thing = (0.35, 0.4, 0.6, 0.65)
    parts = [seen(n, region, _within(thing, region)) for n, region in enumerate(regions)]
    found = merge(parts, shown(*regions))
    assert found.boxes == pytest.approx(np.array([thing]), abs=1e-3)


def test_a_row_of_pieces_becomes_one() -> None:
    """A bus through three tiles, of which the middle one is filled from side to side."""
    regions = tiles(1, 3, 0.2)
    thing = (0.1, 0.4, 0.9, 0.6)
    parts = [seen(n, region, _within(thing, region)) for n, region in enumerate(regions)]
    for order in ([0.9, 0.8, 0.7], [0.7, 0.8, 0.9], [0.7, 0.9, 0.8]):
        scored = [
            seen(n, region, _within(thing, region), scores=[order[n]]) for n, region in enumerate(regions)
        ]
        found = merge(scored, shown(*regions))
        assert found.boxes == pytest.approx(np.array([thing]), abs=1e-3)
    assert len(merge(parts, shown(*regions))) == 1


def test_a_person_that_fills_three_tiles_is_one() -> None:
    """The whole frame sees it as one; what the tiles make of its middle are pieces of it."""
    regions = (WHOLE, *tiles(3, 1, 0.1))
    person = (0.3, 0.05, 0.7, 0.95)
    parts = [seen(0, WHOLE, person, scores=[0.6])]
    for number, region in enumerate(regions[1:], 1):
        x1, y1, x2, y2 = _within(person, region)
        parts.append(seen(number, region, (x1 + 0.05, y1, x2, y2), scores=[0.8]))
    found = merge(parts, shown(*regions))
    assert found.boxes == pytest.approx(np.array([person]))
    assert found.views.tolist() == [0]
    assert found.pixels[0] == pytest.approx([0.4 * SIDE, 0.9 * SIDE])


def test_a_small_object_has_the_pixels_of_the_view_that_saw_it_best() -> None:
    """Seen by the whole and, larger, by a tile: the tile's score, box and pixels stand."""
    parts = [
        seen(0, WHOLE, (0.1, 0.1, 0.13, 0.2), scores=[0.4]),
        seen(1, LEFT, (0.1, 0.1, 0.128, 0.196), scores=[0.8]),
    ]
    found = merge(parts, shown(WHOLE, LEFT))
    assert found.views.tolist() == [1]
    assert found.pixels[0] == pytest.approx([0.028 * SIDE * 1.8, 0.096 * SIDE], rel=1e-4)


def test_classes_stay_apart() -> None:
    """A dog where a person is is another opinion and not the same object."""
    box = (0.46, 0.3, 0.53, 0.5)
    parts = [seen(0, LEFT, box), seen(1, RIGHT, box, classes=[1])]
    assert len(merge(parts, shown(LEFT, RIGHT))) == 2


@pytest.mark.parametrize("apart", [0.02, 0.03, 0.045, 0.06])
@pytest.mark.parametrize("start", np.linspace(0.35, 0.6, 11).round(3).tolist())
def test_two_persons_side_by_side_stay_two(start: float, apart: float) -> None:
    """Wherever the seam cuts them, seen by two tiles and the whole, whoever is cut and whoever is not."""
    people = [(start, 0.3, start + 0.045, 0.6), (start + apart, 0.31, start + apart + 0.045, 0.61)]
    regions = (WHOLE, LEFT, RIGHT)
    for whole_sees in (True, False):
        views = regions if whole_sees else regions[1:]
        parts = [
            seen(n, region, *(_within(one, region) for one in people if _overlaps(one, region)))
            for n, region in enumerate(views)
        ]
        found = merge(parts, shown(*views))
        assert len(found) == 2
        for one in people:
            assert np.abs(found.boxes - np.array(one)).max(axis=1).min() < 1e-3


def test_a_child_before_an_adult_stays() -> None:
    """Its box lies wholly within the other, and no edge has cut it: a smaller box alone is no piece."""
    adult, child = (0.1, 0.1, 0.2, 0.6), (0.13, 0.4, 0.18, 0.6)
    parts = [seen(0, WHOLE, adult), seen(1, LEFT, adult, child)]
    found = merge(parts, shown(WHOLE, LEFT))
    assert len(found) == 2


def test_tiles_of_a_classifier_stay_where_they_are() -> None:
    """What fills its view says where it is no nearer than that: the smallest stands, and far ones stay apart."""
    regions = (WHOLE, *tiles(1, 4, 0.1))
    parts = [seen(n, region, region, scores=[0.9 - n / 10]) for n, region in enumerate(regions) if n != 3]
    parts.insert(3, seen(3, regions[3]))
    found = merge(parts, shown(*regions))
    assert sorted(found.views.tolist()) == [1, 4]
    assert found.scores.max() == np.float32(0.9)


@given(st.data())
def test_nothing_is_invented_and_the_best_comes_first(data: st.DataObject) -> None:
    """Never more objects than boxes, none without a view that saw it, one at least of each class seen, in order."""
    regions = (WHOLE, *tiles(2, 2, 0.2))
    edge = st.floats(0, 1, width=32)
    parts, count, kinds = [], 0, set()
    for number, region in enumerate(regions):
        boxes = []
        for _ in range(data.draw(st.integers(0, 4))):
            (x1, x2), (y1, y2) = (sorted((data.draw(edge), data.draw(edge))) for _ in "xy")
            boxes.append(_within((x1, y1, x2, y2), region))
        scores = sorted((data.draw(st.floats(0.125, 1, width=32)) for _ in boxes), reverse=True)
        classes = [data.draw(st.integers(0, 1)) for _ in boxes]
        parts.append(seen(number, region, *boxes, scores=scores, classes=classes))
        count, kinds = count + len(boxes), kinds | set(classes)
    found = merge(parts, shown(*regions))
    assert len(found) <= count
    assert set(found.classes.tolist()) == kinds
    assert (np.diff(found.scores) <= 0).all()
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.pixels).all()


def _within(box: Box, region: Box) -> Box:
    """The part of a box that a view shows."""
    x1, y1, x2, y2 = box
    a, b, c, d = region
    return min(max(x1, a), c), min(max(y1, b), d), max(min(x2, c), a), max(min(y2, d), b)


def _overlaps(box: Box, region: Box) -> bool:
    x1, y1, x2, y2 = _within(box, region)
    return x2 - x1 > 0.004 and y2 > y1


@pytest.mark.parametrize(("beyond", "count"), [(0.9, 1), (3.0, 2)], ids=["a pixel", "three pixels"])
def test_a_sliver_beside_the_whole_belongs_to_it_within_a_pixel(beyond: float, count: int) -> None:
    """The view that saw all is no more exact than its pixels; what lies further away is somebody else."""
    whole, pixel = (0.46, 0.3, 0.65, 0.5), (RIGHT[2] - RIGHT[0]) / SIDE
    low = 0.5 + beyond * pixel
    sliver = (0.5, low - 0.25 * pixel, 0.5556, low)
    found = merge([seen(0, LEFT, sliver), seen(1, RIGHT, whole)], shown(LEFT, RIGHT))
    assert len(found) == count


@pytest.mark.parametrize(("short", "count"), [(3.0, 1), (6.0, 2)])
def test_what_ends_a_few_pixels_before_the_edge_is_cut_off_all_the_same(short: float, count: int) -> None:
    """A detector seldom draws a box to the last pixel of its view; one that ends well inside is whole."""
    end = LEFT[2] - short * LEFT[2] / SIDE
    found = both([(0.5, 0.3, end, 0.5)], [(0.46, 0.1, 0.9, 0.9)])
    assert len(found) == count
