"""Measure the light of a picture: as a whole, region by region, and how noisy it is."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Light

BLACK = 16
WHITE = 235
"""The ends of luma in video of limited range (BT.601)."""

LEVELS = np.clip((np.arange(256) - BLACK) * (255.0 / (WHITE - BLACK)), 0.0, 255.0)
"""The level of each luma value, where 16 is 0 and 235 is 255; what lies outside counts as the end."""

_TINY = 64
"""Pixels along the shorter side below which none is left out."""

ROWS = 6
COLUMNS = 8
"""The cells whose light is measured one by one."""

_ENOUGH = 0.1
"""The share of the pixels that must lie between the ends for the others to be left out."""

_SECOND_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_TO_SIGMA = 255.0 / (WHITE - BLACK) / 6.0 / 0.6745
"""A median of absolute second differences to a standard deviation in levels: the mask multiplies white noise by 6,
and the median of a normal variable's absolute value is 0.6745 standard deviations."""

_NEUTRAL = 128
_TINT = 3
"""Steps from neutral beyond which a chroma value counts as a colour: the codec's own errors stay below."""


Count = TypeVar("Count", np.float32, np.float64)


@dataclass(frozen=True, slots=True, eq=False)  # an array cannot be compared as one value
class Reading:
    """What was measured in one picture, or the running mean of several.

    `cells` float32 [ROWS, COLUMNS, 256] counts pixels of each luma value in each cell. `noise` is the standard
    deviation of the pixel noise on the scale of 0 to 255, `colour` the share of chroma that is not neutral.
    """

    cells: NDArray[np.float32]
    noise: float
    colour: float

    @property
    def light(self) -> Light:
        """The light of the picture as a whole."""
        counts = self.cells.sum(axis=(0, 1), dtype=np.float64)
        below = np.cumsum(counts)
        total = float(below[-1])
        start, span = unclipped(below)
        p50, p1, p99 = LEVELS[
            np.searchsorted(below, np.hstack((0.5 * total, start + 0.01 * span, start + 0.99 * span)))
        ]
        return Light(
            mean=float(counts @ LEVELS) / total,
            p1=float(p1),
            p50=float(p50),
            p99=float(p99),
            clipped_low=float(below[BLACK]) / total,
            clipped_high=1.0 - float(below[WHITE - 1]) / total,
            noise=self.noise,
            colour=self.colour,
        )


def measure(pixels: NDArray[np.uint8]) -> Reading:
    """Measure an I420 picture of limited range, uint8 [height * 3 / 2, width], with at least 2 x 2 pixels.

    All levels are on the scale of 0 (black, luma 16) to 255 (white, luma 235). A percentile is the lowest level
    that so many of the pixels do not exceed; p1 and p99 are those of the pixels that are not clipped.
    """
    height, width = pixels.shape[0] * 2 // 3, pixels.shape[1]
    assert min(height, width) >= 2, "an I420 picture has at least 2 x 2 pixels"
    luma, chroma = pixels[:height], pixels[height:]
    return Reading(_cells(luma), _noise(luma), _colour(chroma))


def unclipped(below: NDArray[Count]) -> tuple[NDArray[Count], NDArray[Count]]:
    """Return where in running sums of counts [..., 256] the pixels between the ends begin, and how many they are.

    Privacy masks, black bars, burnt-in text and lamps lie at the ends: they say nothing about the contrast of the
    rest. Where less than a tenth is left between them it is all pixels.
    """
    black, inner, total = below[..., BLACK], below[..., WHITE - 1] - below[..., BLACK], below[..., -1]
    enough = inner >= _ENOUGH * total
    return np.where(enough, black, 0), np.where(enough, inner, total)


def _cells(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Count every fourth pixel of a picture, and every one of a tiny picture."""
    sampled = np.ascontiguousarray(luma[::2, ::2] if min(luma.shape) >= _TINY else luma)
    # one histogram of two dimensions takes a sixth of the time of one for each cell
    numbers, cells = _cell_numbers(*sampled.shape), ROWS * COLUMNS
    counts = cv2.calcHist([numbers, sampled], [0, 1], None, [cells, 256], [0, cells, 0, 256])
    return np.asarray(counts, np.float32).reshape(ROWS, COLUMNS, 256)


@lru_cache(maxsize=8)
def _cell_numbers(height: int, width: int) -> NDArray[np.uint8]:
    """Return the number of the cell in which each pixel lies."""
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    return (rows[:, None] * COLUMNS + columns).astype(np.uint8)


def _noise(luma: NDArray[np.uint8]) -> float:
    """Estimate the noise from second differences (Immerkaer, CVIU 64, 1996).

    The median instead of the mean, for edges are few and large; of bands that cover a fifth of the picture.
    """
    band = max(luma.shape[0] // (5 * ROWS), 3)
    bands = np.concatenate([luma[top : top + band] for top in range(0, luma.shape[0], 5 * band)])
    differences = cv2.convertScaleAbs(cv2.filter2D(bands, cv2.CV_16S, _SECOND_DIFFERENCE))
    counts = cv2.calcHist([differences], [0], None, [256], [0, 256]).ravel()
    below = np.cumsum(counts)
    half = below[-1] / 2
    step = int(np.searchsorted(below, half))
    # between whole steps, or an estimate of a quiet picture could only be 0 or 1
    inside = (half - (below[step] - counts[step])) / max(counts[step], 1.0)
    return float(max(step - 0.5 + inside, 0.0)) * _TO_SIGMA


def _colour(chroma: NDArray[np.uint8]) -> float:
    tinted = cv2.countNonZero(cv2.inRange(chroma, _NEUTRAL - _TINT, _NEUTRAL + _TINT))
    return 1.0 - tinted / chroma.size
