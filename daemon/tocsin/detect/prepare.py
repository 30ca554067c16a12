"""Fills a model's input with the pixels of views."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.detect.geometry import Place, centre
from tocsin.detect.manifest import Colour, Fit, InputFormat, Layout, Numbers
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import View, fit

_CODES = {Colour.RGB: cv2.COLOR_YUV2RGB_I420, Colour.BGR: cv2.COLOR_YUV2BGR_I420}

_STRIPE = 104
"""Rows that go from bytes to floats together, so that the bytes stay in the nearest cache.

For 416x312 between two runs of the model it took 0.25 ms, with all rows at once 0.29 and with half as many 0.28.
"""

_TYPES = {Numbers.UINT8: np.uint8, Numbers.FLOAT16: np.float16, Numbers.FLOAT32: np.float32}


class Canvas:
    """One batch of input, allocated once and painted again for every batch. For one thread."""

    def __init__(self, takes: InputFormat, slots: int) -> None:
        high, wide = takes.height, takes.width
        kind = _TYPES[takes.numbers]
        self._planar = takes.layout is Layout.NCHW
        self._takes = takes
        # zeros: a graph of fixed batch also computes the rows that nobody painted
        self._values: NDArray[Any] = np.zeros(
            (slots, 3, high, wide) if self._planar else (slots, high, wide, 3), kind
        )
        self._slots = self._values if self._planar else self._values.transpose(0, 3, 1, 2)
        std = np.array(takes.std, np.float64)
        gain, offset = takes.scale / std, -np.array(takes.mean, np.float64) / std
        self._gain, self._offset = gain.tolist(), offset.tolist()
        # what each of the 256 values of a pixel becomes in each channel
        self._table = (np.arange(256)[:, np.newaxis] * gain + offset).astype(kind)
        self._margin = self._table[takes.pad].reshape(3, 1, 1)
        self._interleaved = np.empty(high * wide * 3, np.uint8)
        self._planes = np.empty((3, min(high, _STRIPE), wide), np.uint8)
        self._painted: list[Place | None] = [None] * slots

    def twin(self) -> "Canvas":
        """Return another canvas of the same kind and size."""
        return Canvas(self._takes, len(self._values))

    def put(self, slot: int, view: View) -> Place:
        """Paint a view into a slot and return where it lies there.

        The view's pixels are not needed any more afterwards. The margin is painted only where the place is new.
        Raises InferenceError for a view that is not what its size says.
        """
        view = self._sized(view)
        place = self._place(view)
        known, self._painted[slot] = self._painted[slot], place
        if known is None or (known.width, known.height) != (place.width, place.height):
            self._slots[slot] = self._margin
        rows, columns = (
            slice(place.top, place.top + place.height),
            slice(place.left, place.left + place.width),
        )
        if self._planar:
            self._paint_planes(view, self._values[slot, :, rows, columns])
        else:
            self._paint_pixels(view, self._values[slot, rows, columns])
        return place

    def values(self, count: int) -> NDArray[Any]:
        """Return the first `count` slots as the model takes them; no copy."""
        return self._values[:count]

    def _place(self, view: View) -> Place:
        takes = self._takes
        even = view.width % 2 == 0 and view.height % 2 == 0
        if not even or view.pixels.shape != (view.height * 3 // 2, view.width):
            raise InferenceError(
                InferenceFault.SHAPE,
                f"expected I420 pixels of {view.width}x{view.height}, found an array of {view.pixels.shape}",
            )
        return centre(view.width, view.height, view.region, takes.width, takes.height)

    def _sized(self, view: View) -> View:
        """Return a view as large as the model takes it: one that was made for another is resized.

        Such views come only while frames are on their way that were ordered before an exchange of the model.
        """
        takes, room, shape = self._takes, view.width * view.height, view.pixels.shape
        # an even picture never fills an odd side to the last pixel
        fills = view.width >= takes.width - 1, view.height >= takes.height - 1
        fits = view.width <= takes.width and view.height <= takes.height
        letterbox = takes.fit is Fit.LETTERBOX
        if fits and (any(fills) if letterbox else all(fills)):
            return view
        if view.width % 2 or view.height % 2 or shape != (view.height * 3 // 2, view.width):
            return view  # no picture of any size
        width, height = fit(view.width, view.height, takes.width, takes.height, letterbox)
        way = cv2.INTER_AREA if width < view.width else cv2.INTER_LINEAR
        flat = view.pixels.reshape(-1)
        luma, chroma = flat[:room], flat[room:].reshape(2, view.height // 2, view.width // 2)
        planes = [cv2.resize(luma.reshape(view.height, view.width), (width, height), interpolation=way)]
        planes += [cv2.resize(plane, (width // 2, height // 2), interpolation=way) for plane in chroma]
        pixels = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
        return replace(view, width=width, height=height, pixels=pixels)

    def _convert(self, view: View, picture: NDArray[np.uint8]) -> None:
        cv2.cvtColor(view.pixels, _CODES[self._takes.colour], dst=picture)

    def _paint_pixels(self, view: View, target: NDArray[Any]) -> None:
        """Channels last: one pass where the model takes the pixels themselves, else a second one by table."""
        if self._takes.numbers is Numbers.UINT8:
            self._convert(view, target)
            return
        count = view.height * view.width * 3
        picture = self._interleaved[:count].reshape(view.height, view.width, 3)
        self._convert(view, picture)
        cv2.LUT(picture, _bits(self._table[np.newaxis]), dst=_bits(target))

    def _paint_planes(self, view: View, target: NDArray[Any]) -> None:
        # Of seven ways to the planes, for 416x312 between two runs of the model on a shared core: split and
        # addWeighted as here 0.26 ms, OpenCV's table 0.28, split and multiply by NumPy 0.31, by cv2.multiply 0.36;
        # blobFromImage and a copy took half as much again. The colour conversion is 0.10 of each.
        count = view.height * view.width * 3
        picture = self._interleaved[:count].reshape(view.height, view.width, 3)
        self._convert(view, picture)
        if self._takes.numbers is Numbers.UINT8:
            cv2.split(picture, list(target))
            return
        for top in range(0, view.height, _STRIPE):
            self._paint_floats(picture[top : top + _STRIPE], target[:, top : top + _STRIPE])

    def _paint_floats(self, picture: NDArray[np.uint8], target: NDArray[Any]) -> None:
        planes = list(self._planes[:, : len(picture), : picture.shape[1]])
        cv2.split(picture, planes)
        for channel, (plane, part) in enumerate(zip(planes, target, strict=True)):
            if self._takes.numbers is Numbers.FLOAT16:
                cv2.LUT(plane, _bits(np.ascontiguousarray(self._table[:, channel])), dst=_bits(part))
            else:
                # plane * gain + plane * 0 + offset, as floats, written where the model reads it
                gain, offset = self._gain[channel], self._offset[channel]
                cv2.addWeighted(plane, gain, plane, 0.0, offset, dst=part, dtype=cv2.CV_32F)


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Half floats as the numbers that their bits are: OpenCV copies those and does not know halves."""
    return values.view(np.uint16) if values.dtype == np.float16 else values
