"""Measure the light of a picture from the histogram of its luma."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Light

BLACK = 16
WHITE = 235
"""The ends of luma in video of limited range (BT.601)."""

LEVELS = np.clip((np.arange(256) - BLACK) * (255.0 / (WHITE - BLACK)), 0.0, 255.0)
"""The level of each luma value, where 16 is 0 and 235 is 255; what lies outside counts as the end."""


def measure(luma: NDArray[np.uint8]) -> Light:
    """Return the light of a luma plane, uint8 [h, w] of limited range with at least one pixel.

    The result is on the scale of 0 (black, luma 16) to 255 (white, luma 235). A percentile is the lowest
    level that so many of the pixels do not exceed. Raises ValueError for a plane without pixels.
    """
    if luma.size == 0:
        raise ValueError(f"expected a luma plane with pixels, found the shape {luma.shape}")
    # calcHist takes 25 us for 416x234 where np.bincount takes 124 us (one core of an AMD EPYC)
    counts = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    below = np.cumsum(counts)
    total = float(below[-1])
    p1, p50, p99 = LEVELS[np.searchsorted(below, np.array([0.01, 0.5, 0.99]) * total)]
    return Light(
        mean=float(counts @ LEVELS) / total,
        p1=float(p1),
        p50=float(p50),
        p99=float(p99),
        clipped_low=float(below[BLACK]) / total,
        clipped_high=1.0 - float(below[WHITE - 1]) / total,
    )
