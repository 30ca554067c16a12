"""Planes are shrunk in bands as they would be whole."""

import cv2
import numpy as np
import pytest

from tocsin.capture.resize import Resizer


@pytest.mark.parametrize(
    ("width", "height"),
    [
        pytest.param(1920, 1080, id="the last band is lower"),
        pytest.param(3840, 2160, id="bands of few lines"),
        pytest.param(1921, 1081, id="no whole halves"),
        pytest.param(640, 360, id="one band"),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_bands_come_together_as_one_picture(width: int, height: int, cut: bool) -> None:
    """Of a whole plane, and of a part of one, whose lines lie further apart."""
    frame = np.random.default_rng(0).integers(0, 256, (height + 2, width + 64), np.uint8)
    source = frame[2:, 32:-32] if cut else frame[2:, 32:-32].copy()
    target = np.zeros((height // 2, width // 2), np.uint8)
    Resizer(1).resize(source, target)
    np.testing.assert_array_equal(
        target, cv2.resize(source, target.shape[::-1], interpolation=cv2.INTER_AREA)
    )
