"""From a recorded picture to the same one in another light, corrected as the daemon will correct it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.capture.shrink import Shrinker
from tocsin.errors import InputError
from tocsin.footage.pictures import from_i420
from tocsin.footage.simulate import Condition
from tocsin.frame import Correction, fit
from tocsin.image import decode, to_i420
from tocsin.light.correct import Corrector
from tocsin.light.plan import Policy
from tocsin.light.treat import Treated, Treatment

Pixels = NDArray[np.uint8]

_LOSSLESS_WEBP = 101


@dataclass(frozen=True, slots=True)
class Recipe:
    """How pictures are developed.

    Light is measured on the picture shrunk to a detector's input of `width` x `height`, as the daemon does, which
    `keep_aspect` or not. With `shrink` the small picture is the result; without it the whole one is, corrected by
    the plan that was made for the small one. `quality` is that of JPEG, 1 to 100.
    """

    policy: Policy
    width: int
    height: int
    keep_aspect: bool
    shrink: bool
    quality: int


@dataclass(frozen=True, slots=True)
class Developed:
    """One picture of the result: the file, its width and height, and what was measured and done."""

    data: bytes
    size: tuple[int, int]
    light: Mapping[str, Any]
    correction: Correction
    reason: str | None


class Negative:
    """A recorded picture, read once and developed in one light after another."""

    def __init__(self, data: bytes, suffix: str, size: tuple[int, int] | None) -> None:
        """Decode a file. `size` is what its labels say of its width and height; None where they are silent.

        The picture is the one that a viewer shows, turned as its EXIF data say: so label tools show it, and so
        trainers that read with OpenCV see it. Where only the pixels as they are stored have the size of the
        labels, these are meant. Raises InputError, with what was expected and found, and SizeError.
        """
        self._data = data
        self._suffix = suffix
        upright = decode(data, cv2.IMREAD_COLOR)
        stored = upright
        if _may_be_turned(data, suffix):
            stored = decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        # the file itself can stand for the picture only where nobody would turn it differently
        self._plain = stored is upright or np.array_equal(stored, upright)
        self._bgr = _fitting(upright, stored, size)
        self.size = _size(self._bgr)

    def develop(self, condition: Condition, seed: int, recipe: Recipe) -> Developed:
        """Return the picture in this light, corrected; `seed` decides the noise.

        What neither the condition nor the correction changes is the file as it was, byte for byte.
        """
        rgb = np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2RGB), np.uint8)
        lit = condition.apply(rgb, seed)
        pixels = to_i420(lit)
        small = _shrunk(pixels, self.size, recipe)
        treated = Treatment(recipe.policy).treat(small, 0.0)  # a fresh one: a data set is no video
        if recipe.shrink:
            bgr = np.asarray(cv2.cvtColor(small, cv2.COLOR_YUV2BGR_I420), np.uint8)
        elif treated.plan.correction is Correction.NONE:
            if lit is rgb and self._plain:
                return _developed(self._data, self.size, treated)
            bgr = np.asarray(cv2.cvtColor(lit, cv2.COLOR_RGB2BGR), np.uint8)
        else:
            bgr = _corrected(pixels, treated, self.size, pixels.shape[1] / small.shape[1])
        return _developed(_encode(bgr, self._suffix, recipe.quality), _size(bgr), treated)


class SizeError(InputError):
    """A picture has another size than its labels say."""


def _shrunk(pixels: Pixels, size: tuple[int, int], recipe: Recipe) -> Pixels:
    """Return what the daemon would hand to the detector, before its correction."""
    width, height = fit(*size, recipe.width, recipe.height, recipe.keep_aspect)
    small = np.empty((height * 3 // 2, width), np.uint8)
    Shrinker().shrink(from_i420(pixels, *size), small)
    return small


def _corrected(pixels: Pixels, treated: Treated, size: tuple[int, int], scale: float) -> Pixels:
    """Correct a whole picture by the plan for its small copy; return it as BGR without the row that was added."""
    Corrector().correct(pixels[: pixels.shape[0] * 2 // 3], treated.plan, max(scale, 1.0))
    bgr = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_I420), np.uint8)
    return np.ascontiguousarray(bgr[: size[1], : size[0]])


def _developed(data: bytes, size: tuple[int, int], treated: Treated) -> Developed:
    return Developed(data, size, asdict(treated.light), treated.plan.correction, treated.plan.reason)


def _may_be_turned(data: bytes, suffix: str) -> bool:
    return b"Exif\0\0" in data[:65536] or b"eXIf" in data or b"EXIF" in data or suffix in (".tif", ".tiff")


def _fitting(upright: Pixels, stored: Pixels, size: tuple[int, int] | None) -> Pixels:
    if size is None or _size(upright) == size:
        return upright
    if _size(stored) == size:
        return stored
    raise SizeError(f"expected {_by(size)} pixels as its labels say, found {_by(_size(upright))}")


def _size(picture: Pixels) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _encode(bgr: Pixels, suffix: str, quality: int) -> bytes:
    match suffix:
        case ".jpg" | ".jpeg":
            how = [cv2.IMWRITE_JPEG_QUALITY, quality]
        case ".webp":
            how = [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS_WEBP]
        case _:
            how = []
    done, data = cv2.imencode(suffix, bgr, how)
    assert done, "OpenCV writes every kind that it is asked for here"
    return data.tobytes()
