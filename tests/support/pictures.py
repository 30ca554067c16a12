"""Frames as the capture workers give them, made without a worker."""

from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np
from numpy.typing import NDArray

from tocsin.frame import WHOLE, Box, Correction, Frame, Light, Reason, View, fit
from tocsin.resources import find


def view(pixels: NDArray[np.uint8], region: Box = WHOLE) -> View:
    """A view of I420 pixels whose light nobody measured."""
    height, width = pixels.shape[0] * 2 // 3, pixels.shape[1]
    return View(region, width, height, light(), Correction.NONE, Reason.GOOD, pixels)


def light(**measured: float) -> Light:
    """A light of these measures; all others are 0."""
    return replace(Light(mean=0.0, p1=0.0, p50=0.0, p99=0.0, clipped_low=0.0, clipped_high=0.0), **measured)


def frame(*views: View, stream: str = "yard", number: int = 0, at: float = 0.0) -> Frame:
    """A frame of these views."""
    return Frame(stream, number, at, 0.1, 0.0, 640, 480, views)


def grey(width: int, height: int, luma: int = 128) -> NDArray[np.uint8]:
    """I420 pixels without colour."""
    pixels = np.full((height * 3 // 2, width), 128, np.uint8)
    pixels[:height] = luma
    return pixels


def clip(numbers: range, input_width: int, input_height: int) -> Iterator[Frame]:
    """These frames of the bundled clip, shrunk in their own shape to fill such an input."""
    with av.open(str(find("assets/pedestrians.mp4"))) as container:
        for number, picture in enumerate(container.decode(video=0)):
            if number >= numbers.stop:
                return
            if number in numbers:
                width, height = fit(
                    picture.width, picture.height, input_width, input_height, keep_aspect=True
                )
                small = picture.reformat(width=width, height=height, format="yuv420p").to_ndarray()
                yield Frame("clip", number, 0.0, 0.1, 0.0, picture.width, picture.height, (view(small),))
