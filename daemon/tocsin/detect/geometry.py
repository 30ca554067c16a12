"""Where a view lies in the model's input, and where a box in the input lies in the frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Box


@dataclass(frozen=True, slots=True)
class Place:
    """The part of the input that a view fills, in input pixels, and the part of the frame that it shows."""

    left: int
    top: int
    width: int
    height: int
    region: Box


def centre(width: int, height: int, region: Box, input_width: int, input_height: int) -> Place:
    """Return the place of a view of that size, pixel for pixel in the middle of the input.

    The view must not be larger than the input (`frame.fit` gives the size that fills it).
    """
    assert width <= input_width, "a view fits into the input"
    assert height <= input_height, "a view fits into the input"
    return Place((input_width - width) // 2, (input_height - height) // 2, width, height, region)


def to_frame(boxes: NDArray[np.float32], place: Place) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return boxes relative to the frame, cut at the edge of the view, and their size as the detector saw it.

    `boxes` float32 [K, 4] in input pixels gives float32 [K, 4] and, in input pixels, width and height float32
    [K, 2]. What lies wholly on the margin comes out with no width or height.
    """
    x1, y1, x2, y2 = place.region
    corner = np.array([place.left, place.top] * 2, np.float32)
    size = np.array([place.width, place.height] * 2, np.float32)
    corners = np.minimum(np.maximum(boxes - corner, 0), size)
    pixels = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    share = np.array([x2 - x1, y2 - y1] * 2, np.float32) / size
    return corners * share + np.array([x1, y1, x1, y1], np.float32), pixels
