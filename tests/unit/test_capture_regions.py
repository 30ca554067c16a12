"""Which pixels of a frame are a view, whatever the frame's size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import Cut, around, cut, tiles
from tocsin.frame import WHOLE

SIZES = st.tuples(st.integers(1, 4500), st.integers(1, 3000))
INPUTS = st.tuples(st.integers(2, 1280), st.integers(2, 1280))
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[1] - pair[0] > 1e-3).map(sorted)


def order(region: tuple[float, float, float, float], side: int = 416, *, grow: bool = False) -> ViewOrder:
    return ViewOrder(side, side, keep_aspect=True, region=region, grow=grow)


def test_tiles_cover_the_frame_and_overlap_as_told() -> None:
    """Equal tiles from edge to edge, row by row."""
    found = tiles(2, 3, 0.2)
    assert len(found) == 6
    assert found[0][:2] == (0.0, 0.0)
    assert found[-1][2:] == (1.0, 1.0)
    widths, heights = (
        {round(x2 - x1, 9) for x1, _, x2, _ in found},
        {round(y2 - y1, 9) for _, y1, _, y2 in found},
    )
    assert widths == {round(1 / 2.6, 9)}
    assert heights == {round(1 / 1.8, 9)}
    first, second = found[0], found[1]
    assert (first[2] - second[0]) / (first[2] - first[0]) == pytest.approx(0.2)
    assert (first[3] - found[3][1]) / (first[3] - first[1]) == pytest.approx(0.2)


def test_a_single_column_is_as_wide_as_the_frame() -> None:
    """Tiles may be bands."""
    assert [(x1, x2) for x1, _, x2, _ in tiles(3, 1, 0.3)] == [(0.0, 1.0)] * 3


def test_a_zone_gets_room_above_it_and_beside_it() -> None:
    """Whoever stands at its edge is in the picture; the frame is the limit."""
    assert around([(0.4, 0.4), (0.6, 0.4), (0.5, 0.8)]) == pytest.approx((0.38, 0.3, 0.62, 0.84))
    assert around([(0.0, 0.1), (1.0, 0.1), (1.0, 1.0)]) == (0.0, 0.0, 1.0, 1.0)


@given(SIZES, st.integers(1, 8), st.integers(1, 8), st.floats(0.05, 0.5))
def test_the_pixels_of_tiles_leave_nothing_out(
    size: tuple[int, int], rows: int, columns: int, overlap: float
) -> None:
    """Each holds all pixels of its share, begins on an even one, and stays in the frame."""
    width, height = size
    for region in tiles(rows, columns, overlap):
        found = cut(order(region), width, height)
        _assert_sound(found, width, height)
        assert found.left <= region[0] * width + 1e-5
        assert found.right >= min(region[2] * width, width) - 1e-5
        assert found.top <= region[1] * height + 1e-5
        assert found.bottom >= min(region[3] * height, height) - 1e-5


@given(SIZES, INPUTS, SHARES, SHARES)
def test_a_part_that_grows_is_never_enlarged_and_wastes_no_room(
    size: tuple[int, int], takes: tuple[int, int], across: list[float], down: list[float]
) -> None:
    """It is as large as the input or larger, and has its shape, wherever the frame goes as far."""
    width, height = size
    asked = ViewOrder(*takes, keep_aspect=True, region=(across[0], down[0], across[1], down[1]), grow=True)
    found = cut(asked, width, height)
    _assert_sound(found, width, height)
    wide, high = (side - side % 2 for side in takes)
    assert found.width >= min(wide, width)
    assert found.height >= min(high, height)
    assert found.left <= across[0] * width + 2
    assert found.right >= across[1] * width - 2
    if found.width < width and found.height < height:
        assert found.width * high == pytest.approx(found.height * wide, abs=2 * (wide + high))


def _assert_sound(found: Cut, width: int, height: int) -> None:
    assert found.left % 2 == found.top % 2 == 0
    assert found.right % 2 == 0 or found.right == width
    assert found.bottom % 2 == 0 or found.bottom == height
    assert 0 <= found.left < found.right <= width
    assert 0 <= found.top < found.bottom <= height
    assert found.width >= min(2, width)
    assert found.height >= min(2, height)


def test_a_small_zone_is_seen_pixel_for_pixel() -> None:
    """In a large frame its view has just the size of the input, about the zone."""
    found = cut(order((0.5, 0.5, 0.55, 0.6), grow=True), 3840, 2160)
    assert (found.width, found.height) == (416, 416)
    assert found.left + 208 == pytest.approx(0.525 * 3840, abs=2)
    assert found.top + 208 == pytest.approx(0.55 * 2160, abs=2)


def test_a_zone_at_the_edge_is_moved_into_the_frame() -> None:
    """Its view keeps its size."""
    assert cut(order((0.97, 0.0, 1.0, 0.05), grow=True), 1919, 1079) == Cut(1502, 0, 1918, 416)


def test_the_whole_frame_is_whole() -> None:
    """Odd pixels at its end included."""
    assert cut(order(WHOLE), 1919, 1079) == Cut(0, 0, 1919, 1079)
    assert Cut(0, 0, 1919, 1079).region(1919, 1079) == WHOLE
