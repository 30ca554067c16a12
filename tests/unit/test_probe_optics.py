"""How many pixels a thing has, by where it is and what looks at it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.order import ViewOrder
from tocsin.capture.regions import tiles
from tocsin.probe.optics import camera_pixels, scales

FULL = ViewOrder(416, 416, keep_aspect=True)
ZONE = replace(FULL, region=(0.4, 0.4, 0.5, 0.6), grow=True)


@pytest.mark.parametrize(
    ("distance", "angle", "width", "pixels"),
    [(5.0, 90.0, 1920, 48.0), (10.0, 90.0, 1920, 24.0), (3.0, 90.0, 3840, 160.0), (5.0, 53.13, 1920, 96.0)],
)
def test_a_quarter_of_a_metre_in_the_camera_s_pixels(
    distance: float, angle: float, width: int, pixels: float
) -> None:
    """48 at five metres for 1920 pixels over a right angle: half a picture is as wide as it is far."""
    assert camera_pixels(0.25, distance, angle, width) == pytest.approx(pixels, rel=1e-4)


def test_each_kind_of_view_shows_it_in_its_own_size() -> None:
    """48 pixels of the camera are 10 in the whole frame, 27 in a tile and 48 in a zone that fits the input."""
    tiled = (FULL, *(replace(FULL, region=region) for region in tiles(2, 3, 0.2)))
    assert 48 * max(scales((FULL,), 1920, 1080)) == pytest.approx(10.4)
    assert 48 * max(scales(tiled, 1920, 1080)) == pytest.approx(27, abs=0.1)
    assert 48 * max(scales((FULL, ZONE), 1920, 1080)) == pytest.approx(48)


def test_a_zone_larger_than_the_input_is_shrunk() -> None:
    """What does not fit has fewer pixels."""
    large = replace(ZONE, region=(0.2, 0.2, 0.7, 0.7))
    assert scales([large], 3840, 2160)[0] == pytest.approx(416 / 1920, rel=0.01)


@given(st.integers(64, 4096), st.integers(64, 4096))
def test_no_view_shows_less_than_the_whole_frame(width: int, height: int) -> None:
    """Further views only add pixels."""
    whole, *parts = scales(
        (FULL, ZONE, *(replace(FULL, region=region) for region in tiles(3, 2, 0.1))), width, height
    )
    assert min(parts) >= whole * 0.97  # sides are even
