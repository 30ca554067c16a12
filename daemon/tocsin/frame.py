"""The data that travel from capture to alarm: light, views, frames and detections."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""x1 y1 x2 y2, relative to the whole frame: 0 is left or top, 1 is right or bottom."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

INFRARED_BELOW = 0.01
"""The share of coloured pixels below which a picture counts as grey."""


class Correction(StrEnum):
    """What is done about the light of a view."""

    NONE = "none"
    DARKEN = "darken"
    BRIGHTEN = "brighten"
    STRETCH = "stretch"
    STRETCH_DENOISE = "stretch+denoise"
    LOCAL_STRETCH = "local-stretch"
    LOCAL_STRETCH_DENOISE = "local-stretch+denoise"
    CLAHE = "clahe"
    DARKEN_CLAHE = "darken+clahe"


class Reason(StrEnum):
    """Why the light of a view is treated as it is: the words in the log and on the card of `tocsin light`."""

    OFF = "the mode is off"
    GOOD = "contrast is good"
    UNIFORM = "uniform: there is nothing to bring out"
    OVEREXPOSED = "overexposed: what is clipped cannot be brought back"
    WHOLE = "contrast is lost in the whole picture"
    PARTS = "contrast is lost in parts of the picture"
    BRIGHT = "brighter than the threshold"
    NOT_BRIGHT = "not brighter than the threshold"


@dataclass(frozen=True, slots=True)
class Light:
    """The measured light of a view, on a scale where 0 is black and 255 is white.

    `clipped_low` and `clipped_high` are the shares (0 to 1) of pixels at the ends of that scale. `mean` and `p50`
    are of all pixels, `p1` and `p99` of those between the ends, as long as a tenth is left there: a privacy mask or
    a lamp says nothing about the rest. `noise` is the standard deviation of the pixel noise, and `colour` the share
    of the picture that is not grey.
    """

    mean: float
    p1: float
    p50: float
    p99: float
    clipped_low: float
    clipped_high: float
    noise: float = 0.0
    colour: float = 1.0

    @property
    def contrast(self) -> float:
        """The range that holds the middle 98 % of the pixels that are not clipped."""
        return self.p99 - self.p1

    @property
    def infrared(self) -> bool:
        """Whether the picture is grey, as cameras' are by infrared light; thick fog is as grey."""
        return self.colour < INFRARED_BELOW


@dataclass(frozen=True, slots=True)
class View:
    """The part of a frame that is handed to the detector, shrunk and corrected.

    `region` is where the part lies in the frame. `pixels` is I420 (BT.601, 16 to 235) as uint8 of shape
    [height * 3 / 2, width], both even: the luma plane, then the two quarter-size chroma planes. The pixels lie
    in memory that is shared with the capture worker and are valid only until the frame is given back.
    """

    region: Box
    width: int
    height: int
    light: Light
    correction: Correction
    reason: Reason
    pixels: NDArray[np.uint8]


SCENE_CELLS = (3, 6, 8)
"""The values of a scene: mean, fine and coarse structure of six rows of eight cells."""

SCENE_EVERY = 0.5
"""Seconds between two scenes of a stream at least, however fast its frames come."""


@dataclass(frozen=True, slots=True, eq=False)  # an array cannot be compared as one value
class Scene:
    """What the first view of a frame showed before its correction, cell by cell.

    `at` is the time of that frame, on the clock of `Frame.at`; `keyframes` counts the pictures coded by themselves
    up to it, anew with each worker. `cells` is float32 [3, 6, 8] in luma steps: see `tocsin.light.structure`.
    """

    at: float
    keyframes: int
    cells: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one stream.

    `at` is its arrival on the monotonic clock, in seconds; for a file that is not played in real time it is the
    time in the recording, counted from its opening, which may run ahead of the clock. `period` is the time between
    two analysed frames when all is well. `silence` is the longest time, in seconds, in which the stream brought no
    frame since the last analysed one; infinite at the start of a stream and at the seam of a looped file. `width`
    and `height` are those of the whole picture in the camera's pixels. `scene` is the latest that was measured, at
    most twice a second, in this frame or one before it.
    """

    stream: str
    number: int
    at: float
    period: float
    silence: float
    width: int
    height: int
    views: tuple[View, ...]
    scene: Scene | None = None


_UNMEASURED = Light(mean=0.0, p1=0.0, p50=0.0, p99=0.0, clipped_low=0.0, clipped_high=0.0)


def still(pixels: NDArray[np.uint8], width: int, height: int) -> Frame:
    """Return a frame that no stream brought: I420 pixels, as one view of a picture of that size."""
    rows, columns = pixels.shape[0] * 2 // 3, pixels.shape[1]
    view = View(WHOLE, columns, rows, _UNMEASURED, Correction.NONE, Reason.OFF, pixels)
    return Frame("", 0, 0.0, 0.0, 0.0, width, height, (view,))


@dataclass(frozen=True, slots=True)
class Detections:
    """The objects found in one frame, best score first.

    `boxes` float32 [K, 4] relative to the frame; `scores` float32 [K]; `classes` int64 [K], an index into
    `labels`; `pixels` float32 [K, 2], width and height of each object as the detector saw it; `views` int64
    [K], an index into the frame's views.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    pixels: NDArray[np.float32]
    views: NDArray[np.int64]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)


def fit(width: int, height: int, input_width: int, input_height: int, keep_aspect: bool) -> tuple[int, int]:
    """Return the even size at which a part of `width` x `height` fills a detector's input.

    With `keep_aspect` one side fills the input and the other keeps the shape of the picture, to the nearest
    even number; without it both sides fill the input. Never larger than the input; a small picture is enlarged,
    so that objects have the size that the detector was trained for. All in pixels, each 2 or more.
    """
    assert min(width, height, input_width, input_height) >= 1, "a picture and an input have pixels"
    across, down = input_width / width, input_height / height
    if keep_aspect:
        across = down = min(across, down)
    return _even(width * across, input_width), _even(height * down, input_height)


def _even(length: float, limit: int) -> int:
    return max(2, min(2 * round(length / 2), limit - limit % 2))
