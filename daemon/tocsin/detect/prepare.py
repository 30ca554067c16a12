"""Fills a model's input with the pixels of views."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.detect.geometry import Place, centre
from tocsin.detect.manifest import Colour, InputFormat, Layout
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import View

_CODES = {Colour.RGB: cv2.COLOR_YUV2RGB_I420, Colour.BGR: cv2.COLOR_YUV2BGR_I420}


class Canvas:
    """One batch of input, allocated once and painted again for every batch. For one thread."""

    def __init__(self, takes: InputFormat, slots: int) -> None:
        high, wide = takes.height, takes.width
        planar = takes.layout is Layout.NCHW
        self._takes = takes
        # zeros: a graph of fixed batch also computes the rows that nobody painted
        self._values = np.zeros((slots, 3, high, wide) if planar else (slots, high, wide, 3), np.float32)
        self._slots = self._values if planar else self._values.transpose(0, 3, 1, 2)
        std = np.array(takes.std, np.float64)
        self._gain = _column(takes.scale / std)
        self._offset = _column(-np.array(takes.mean, np.float64) / std)
        self._margin = self._gain * np.float32(takes.pad) + self._offset
        self._interleaved = np.empty(high * wide * 3, np.uint8)
        self._planes = np.empty(high * wide * 3, np.uint8)
        self._painted: list[Place | None] = [None] * slots

    def put(self, slot: int, view: View) -> Place:
        """Paint a view into a slot and return where it lies there.

        The view's pixels are not needed any more afterwards. The margin is painted only where the place is new.
        Raises InferenceError for a view that is larger than the input or not what its size says.
        """
        place = self._place(view)
        known, self._painted[slot] = self._painted[slot], place
        if known is None or (known.width, known.height) != (place.width, place.height):
            self._slots[slot] = self._margin
        target = self._slots[
            slot, :, place.top : place.top + place.height, place.left : place.left + place.width
        ]
        self._convert(view, target)
        return place

    def values(self, count: int) -> NDArray[np.float32]:
        """Return the first `count` slots as the model takes them; no copy."""
        return self._values[:count]

    def _place(self, view: View) -> Place:
        takes = self._takes
        if view.width > takes.width or view.height > takes.height:
            raise InferenceError(
                InferenceFault.SHAPE,
                f"expected a view of at most {takes.width}x{takes.height}, found {view.width}x{view.height}",
            )
        even = view.width % 2 == 0 and view.height % 2 == 0
        if not even or view.pixels.shape != (view.height * 3 // 2, view.width):
            raise InferenceError(
                InferenceFault.SHAPE,
                f"expected I420 pixels of {view.width}x{view.height}, found an array of {view.pixels.shape}",
            )
        return centre(view.width, view.height, view.region, takes.width, takes.height)

    def _convert(self, view: View, target: NDArray[np.float32]) -> None:
        # Of seven ways to the planes, for 416x312 between two runs of the model on a shared core: split and
        # addWeighted as here 0.26 ms, OpenCV's table 0.28, split and multiply by NumPy 0.31, by cv2.multiply 0.36;
        # blobFromImage and a copy took half as much again. The colour conversion is 0.10 of each.
        count = view.height * view.width * 3
        picture = self._interleaved[:count].reshape(view.height, view.width, 3)
        cv2.cvtColor(view.pixels, _CODES[self._takes.colour], dst=picture)
        if self._takes.layout is Layout.NHWC:
            np.multiply(picture.transpose(2, 0, 1), self._gain, out=target)
            np.add(target, self._offset, out=target)
            return
        planes = list(self._planes[:count].reshape(3, view.height, view.width))
        cv2.split(picture, planes)
        for plane, part, gain, offset in zip(planes, target, self._gain, self._offset, strict=True):
            # plane * gain + plane * 0 + offset, as floats, written where the model reads it
            cv2.addWeighted(plane, gain.item(), plane, 0.0, offset.item(), dst=part, dtype=cv2.CV_32F)


def _column(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape(3, 1, 1)
