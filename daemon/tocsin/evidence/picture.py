"""The pictures of an alarm: the whole frame with a box, and what is in the box at the camera's own resolution."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.errors import EvidenceError
from tocsin.frame import Box

Pixels = NDArray[np.uint8]
Polygon = Sequence[tuple[float, float]]
"""Corners, relative to the frame."""

_QUALITY = 90
FAITHFUL = 95
"""The JPEG quality of what a detector is to learn from: at 1080p half as large again as at 90."""

_COLOUR, _SHADE = (0, 215, 255), (0, 0, 0)
"""BGR: amber within black, which stands out from bright and dark."""

_ROOM = 0.75
"""What a crop shows around the object on each side, as a share of the object's own side: to see who holds it."""

_LEAST = 160
"""Pixels of a crop's side at least, as far as the frame goes: less tells a person nothing."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a frame in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, pixels: Pixels) -> Pixels:
        """Return the part of a picture; no copy."""
        return pixels[self.top : self.bottom, self.left : self.right]


class Curtain:
    """Blacks out polygons in pictures of one size, even, and the colour of each pixel that shares one with them."""

    def __init__(self, masks: Sequence[Polygon], width: int, height: int) -> None:
        hidden = np.zeros((height, width), np.uint8)
        for mask in masks:  # with its edge, so that no pixel that it touches is left
            corners = np.asarray(np.rint([(x * width, y * height) for x, y in mask]), np.int32)
            cv2.fillPoly(hidden, [corners], (255,))
        colours = hidden.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3)).reshape(-1)
        self._hidden = np.concatenate([hidden.reshape(-1), colours, colours]).reshape(-1, width)
        self._black = np.full_like(self._hidden, 128)
        self._black[:height] = 16

    def draw(self, planes: Pixels) -> None:
        """Black out what is hidden in I420, uint8 [height * 3 / 2, width], in place."""
        cv2.copyTo(self._black, self._hidden, planes)


def boxed(pixels: Pixels, box: Box) -> Pixels:
    """Return a copy with the box drawn around the object, and not over it."""
    height, width = pixels.shape[:2]
    thick = max(2, round(max(width, height) / 640))
    left, top = round(box[0] * width) - 2 * thick, round(box[1] * height) - 2 * thick
    right, bottom = round(box[2] * width) + 2 * thick, round(box[3] * height) + 2 * thick
    drawn = pixels.copy()
    cv2.rectangle(drawn, (left, top), (right, bottom), _SHADE, 3 * thick)
    cv2.rectangle(drawn, (left, top), (right, bottom), _COLOUR, thick)
    return drawn


def around(box: Box, width: int, height: int) -> Crop:
    """Return the part of a frame that shows an object with room around it, at least 160 pixels each way."""
    left, right = _span(box[0] * width, box[2] * width, width)
    top, bottom = _span(box[1] * height, box[3] * height, height)
    return Crop(left, top, right, bottom)


def _span(low: float, high: float, limit: int) -> tuple[int, int]:
    length = min(max((high - low) * (1 + 2 * _ROOM), _LEAST), limit)
    start = min(max((low + high - length) / 2, 0.0), limit - length)
    return round(start), round(start + length)


def jpeg(pixels: Pixels, quality: int = _QUALITY) -> bytes:
    """Return a picture as a JPEG file."""
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EvidenceError("expected a picture that fits into a JPEG, found one that does not")
    return data.tobytes()
