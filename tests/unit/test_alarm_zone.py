"""An object is in the zone in which it stands."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.zone import Zones

LEFT = ((0.0, 0.25), (0.5, 0.25), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.5, 0.25), (1.0, 0.25), (1.0, 1.0), (0.5, 1.0))
NOTCH = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.25), (0.0, 1.0))  # a roof with a notch from below
ZONES = Zones({"left": LEFT, "right": RIGHT, "notch": NOTCH})


def stand(x: float, y: float, width: float = 0.125, height: float = 0.25) -> list[float]:
    """A box whose lower edge has its middle at x, y."""
    return [x - width / 2, y - height, x + width / 2, y]


@pytest.mark.parametrize(
    ("box", "zone"),
    [
        pytest.param(stand(0.25, 0.5), "left", id="the middle of the lower edge is inside"),
        pytest.param(stand(0.25, 0.125), None, id="above every zone"),
        pytest.param([0.0, 0.0, 0.75, 0.5], "left", id="a box over two zones stands in one"),
        pytest.param([0.125, 0.25, 0.375, 1.0], "left", id="on the zone's border counts"),
        pytest.param(stand(0.25, 0.25), "left", id="on the upper border counts as well"),
        pytest.param(stand(0.5, 0.5), "left", id="on the border between two the first named counts"),
        pytest.param(stand(0.75, 1.2), "right", id="cut off by the frame's edge, it stands at the edge"),
        pytest.param(stand(-0.1, 0.5), "left", id="so it does at the side"),
        pytest.param([3e38, 0.2, 3e38, 0.5], "right", id="a box far outside stands at the edge, too"),
        pytest.param([0.2, np.nan, 0.3, 0.5], None, id="a box with NaN stands nowhere"),
        pytest.param([0.2, 0.2, np.inf, 0.5], None, id="an infinite one neither"),
    ],
)
def test_standing(box: list[float], zone: str | None) -> None:
    """What counts is the middle of the lower edge."""
    names = ("left", "right")
    index = int(ZONES.inside(np.array([box], np.float32), names)[0])
    assert (names[index] if index >= 0 else None) == zone


def test_only_named_zones_count() -> None:
    """A zone that is not asked for is as if it were not there, and the order asked for decides."""
    boxes = np.array([stand(0.25, 0.5), stand(0.5, 0.5), stand(0.75, 0.5)], np.float32)
    assert ZONES.inside(boxes, ("right",)).tolist() == [-1, 0, 0]
    assert ZONES.inside(boxes, ("right", "left")).tolist() == [1, 0, 0]


def test_not_convex() -> None:
    """A notch in a polygon is outside."""
    boxes = np.array([stand(0.5, 0.75), stand(0.5, 0.125), stand(0.0625, 0.75)], np.float32)
    assert ZONES.inside(boxes, ("notch",)).tolist() == [-1, 0, 0]


def test_no_boxes() -> None:
    """No boxes, no zones: an empty answer."""
    assert ZONES.inside(np.empty((0, 4), np.float32), ("left",)).shape == (0,)


def test_unknown_zone() -> None:
    """A zone that the stream does not have is an error, not an empty place."""
    with pytest.raises(KeyError, match="yard"):
        ZONES.inside(np.array([stand(0.5, 0.5)], np.float32), ("yard",))


@given(st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)), max_size=20))
def test_rectangle_equals_comparison(points: list[tuple[float, float]]) -> None:
    """For a rectangle the answer is what comparing coordinates gives."""
    boxes = np.array([[x, y, x, y] for x, y in points], np.float32).reshape(-1, 4)
    x, y = np.clip(boxes[:, 0], 0, 1), np.clip(boxes[:, 3], 0, 1)
    expected = np.where((x <= 0.5) & (y >= 0.25), 0, -1)
    np.testing.assert_array_equal(ZONES.inside(boxes, ("left",)), expected)


LEFT_HALF, TOP_RIGHT = [(0, 0), (0.5, 0), (0.5, 1), (0, 1)], [(0.5, 0), (1, 0), (1, 0.5), (0.5, 0.5)]


@pytest.mark.parametrize(
    ("box", "masked"),
    [
        pytest.param((0.1, 0.1, 0.4, 0.4), True, id="inside"),
        pytest.param((0.25, 0.6, 0.75, 0.8), True, id="by half"),
        pytest.param((0.26, 0.6, 0.76, 0.8), False, id="by less than half"),
        pytest.param((0.4, 0.1, 0.9, 0.4), True, id="by two masks together"),
        pytest.param((0.4, 0.6, 3.0, 0.8), False, id="only what the frame shows of it is weighed"),
        pytest.param((0.2, 0.6, 3.0, 0.8), False, id="to the frame's edge"),
        pytest.param((-3.0, 0.6, 0.9, 0.8), True, id="on either side"),
        pytest.param((math.nan, 0, 0.1, 0.1), False, id="no number"),
    ],
)
def test_masks(box: tuple[float, float, float, float], masked: bool) -> None:
    """A box is masked when masks hide half of it or more."""
    assert Zones({}, [LEFT_HALF, TOP_RIGHT]).masked(np.array([box], np.float32)).tolist() == [masked]
    assert not Zones({}).masked(np.array([box], np.float32)).any()
