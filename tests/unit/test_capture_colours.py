"""Pictures of high definition come to the colours that all that follows expects."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.colours import Recolourer

VALUES = st.floats(0.0, 1.0)
WEIGHTS = {709: (0.2126, 0.7152, 0.0722), 601: (0.299, 0.587, 0.114)}


def encoded(rgb: tuple[float, float, float], standard: int) -> tuple[float, float, float]:
    """Luma and the two differences of a colour from 0 to 1, as the standard defines them."""
    red, green, blue = WEIGHTS[standard]
    y = red * rgb[0] + green * rgb[1] + blue * rgb[2]
    return (
        16 + 219 * y,
        128 + 224 * (rgb[2] - y) / (2 * (1 - blue)),
        128 + 224 * (rgb[0] - y) / (2 * (1 - red)),
    )


@given(VALUES, VALUES, VALUES)
def test_every_colour_stays_what_it_is(red: float, green: float, blue: float) -> None:
    """Within the steps that rounding twice costs: a plain picture of any colour."""
    y, u, v = (round(one) for one in encoded((red, green, blue), 709))
    luma, few = np.full((4, 6), y, np.uint8), [np.full((2, 3), one, np.uint8) for one in (u, v)]
    Recolourer().recolour(luma, *few)
    wanted = encoded((red, green, blue), 601)
    for plane, one in zip((luma, *few), wanted, strict=True):
        assert np.ptp(plane) == 0
        assert abs(float(plane.flat[0]) - one) <= 1.3


def test_the_colour_of_a_pixel_moves_its_own_luma() -> None:
    """Half a picture red and half grey: luma rises in the red half and stays in the grey one, at any size."""
    recolourer = Recolourer()
    for width, height in ((64, 32), (32, 64)):
        luma = np.full((height, width), 100, np.uint8)
        blue, red = (np.full((height // 2, width // 2), 128, np.uint8) for _ in range(2))
        red[:, : width // 4] = 200
        recolourer.recolour(luma, blue, red)
        assert (luma[:, : width // 2 - 2] == 114).all()
        assert (luma[:, width // 2 + 2 :] == 100).all()
        assert (blue[:, width // 4 :] == 128).all()


def test_what_leaves_the_range_ends_at_its_ends() -> None:
    """A luma that would pass 255 stays there."""
    luma, blue, red = (np.full(size, 255, np.uint8) for size in ((4, 4), (2, 2), (2, 2)))
    Recolourer().recolour(luma, blue, red)
    assert (luma == 255).all()
    assert cv2.countNonZero(red) == red.size


@pytest.mark.parametrize("standard", [601, 709])
def test_grey_is_grey_in_both(standard: int) -> None:
    """The check's own arithmetic: no colour, no difference."""
    assert encoded((0.5, 0.5, 0.5), standard) == pytest.approx((125.5, 128, 128))
