"""`tocsin check --model`: what is understood of a model, how fast it is here, and what it sees on a picture."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tocsin.capture.shrink import Shrinker
from tocsin.detect.describe import Model, shape_text
from tocsin.detect.detector import GPU_BATCH, Detector
from tocsin.detect.manifest import Fit, InputFormat
from tocsin.detect.model import open_model, some
from tocsin.detect.session import DEADLINE, Device, Placement, Signature, Tensor
from tocsin.errors import InputError
from tocsin.fields import counted
from tocsin.footage.pictures import image_files, pictures, to_rgb
from tocsin.frame import Detections, Frame, fit, still

_RUNS, _SECONDS = 20, 2.0  # as many runs, or as long, as it takes to know a median
_SHOWN = 12  # labels on one line
_INK, _PAPER = (255, 255, 255), (200, 40, 40)


@dataclass(frozen=True, slots=True)
class Speed:
    """The median time for one picture among `batch` in a call, in seconds: in the model, and for the rest."""

    batch: int
    infer: float
    rest: float


@dataclass(frozen=True, slots=True)
class Examined:
    """A model that runs here; `found` is what it saw on the picture that was given, if any."""

    model: Model
    signature: Signature
    placement: Placement
    speeds: tuple[Speed, ...]
    found: Detections | None


def examine(word: str, device: Device, image: VideoFrame | None, min_score: float) -> Examined:
    """Open a model as the daemon does, run it, and return what came to light.

    Raises ModelError for one that cannot be used, StartError for a device that cannot be had, and
    InferenceError where its numbers are no result.
    """
    model, session, placement = open_model(word, device)
    detector = Detector(model, session, placement, model.batch or GPU_BATCH, min_score)
    picture = _frame(image or _grey(), model.takes)
    speeds = tuple(_speeds(detector, picture, model.batch))
    found = None if image is None else detector.detect([picture])[0]
    return Examined(model, session.signature, placement, speeds, found)


def read_image(path: Path) -> VideoFrame:
    """Return the picture in an image file. Raises InputError for what is none, and for a folder."""
    if path.is_dir():
        raise InputError(f"{path}: expected an image, found a folder")
    image_files(path)
    return next(pictures(path)).frame


def _grey() -> VideoFrame:
    return VideoFrame.from_ndarray(np.full((720 * 3 // 2, 1280), 128, np.uint8), format="yuv420p")


def _frame(image: VideoFrame, takes: InputFormat) -> Frame:
    """The picture as the workers shrink it, with the light that it has."""
    keep_aspect = takes.fit is Fit.LETTERBOX
    width, height = fit(image.width, image.height, takes.width, takes.height, keep_aspect)
    pixels = np.empty((height * 3 // 2, width), np.uint8)
    Shrinker().shrink(image, pixels)
    return still(pixels, image.width, image.height)


def _speeds(detector: Detector, picture: Frame, fixed: int | None) -> Iterator[Speed]:
    """The speed for one picture, and for as many as one call takes where they do not take too long together."""
    most = detector.max_batch
    if fixed is None:
        detector.max_batch = 1
    detector.warm()
    alone = _time(detector, picture, 1)
    yield alone
    together = alone.infer if fixed else alone.infer * most  # all rows of a fixed batch are always computed
    if most > 1 and together < DEADLINE / 2:
        detector.max_batch = most
        detector.warm()
        yield _time(detector, picture, most)


def _time(detector: Detector, picture: Frame, count: int) -> Speed:
    infer: list[float] = []
    rest: list[float] = []
    begun = time.monotonic()
    while len(infer) < 3 or (len(infer) < _RUNS and time.monotonic() - begun < _SECONDS):
        attempt = detector.attempt([picture] * count)
        infer.append(attempt.infer / count)
        rest.append(attempt.postprocess / count)
    return Speed(count, statistics.median(infer), statistics.median(rest))


def lines(examined: Examined) -> Iterator[str]:
    """Yield what a person wants to know of the model, a line for each thing."""
    model, placement = examined.model, examined.placement
    yield f"model     {model.name} ({model.path})"
    for title, tensors in (("input", examined.signature.inputs), ("output", examined.signature.outputs)):
        for tensor in tensors:
            yield f"{title:9} {_tensor(tensor)}"
    yield f"family    {model.family.name}"
    yield f"labels    {counted(len(model.labels), 'label')}: {some(model.labels, _SHOWN)}"
    yield f"pixels    {preparation(model.takes)}"
    yield f"runs on   {placement}"
    if placement.degraded:
        yield f"          degraded: {placement.degraded}"
    for speed in examined.speeds:
        yield (
            f"speed     {speed.infer * 1000:.1f} ms a frame, {speed.batch} at a time, "
            f"and {speed.rest * 1000:.1f} ms to read what it gives"
        )
    if len(examined.speeds) == 1 and model.batch is None:
        yield f"          {GPU_BATCH} at a time take too long to be tried here"
    if examined.found is not None:
        yield f"found     {counted(len(examined.found), 'object')}"
        yield from (f"          {words}" for words in _objects(examined.found))


def preparation(takes: InputFormat) -> str:
    """Say in words what a model gets of a picture."""
    place = "stretched" if takes.fit is Fit.STRETCH else f"in its shape on a margin of {takes.pad}"
    values = f"pixel * {takes.scale:.4g}"
    if any(takes.mean):
        values += f" - {[round(value, 4) for value in takes.mean]}"
    if set(takes.std) != {1.0}:
        values = f"({values}) / {[round(value, 4) for value in takes.std]}"
    layout = takes.layout.value.upper().removeprefix("N")
    return f"{takes.width}x{takes.height}, {place}, {takes.colour.value.upper()} {layout} {takes.numbers}: {values}"


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name} {shape_text(tensor.shape)} {tensor.type.removeprefix('tensor(').removesuffix(')')}"


def _objects(found: Detections) -> Iterator[str]:
    for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
        yield f"{found.labels[label]} {score:.2f} at {' '.join(f'{side:.3f}' for side in box)}"


def draw(image: VideoFrame, found: Detections) -> bytes:
    """Return the picture with a box, a class and a score for each object, as PNG."""
    rgb = to_rgb(image)
    high, wide = rgb.shape[:2]
    thick = max(1, round(min(wide, high) / 300))
    for box, score, label in zip(found.boxes[::-1], found.scores[::-1], found.classes[::-1], strict=True):
        x1, y1, x2, y2 = (int(side) for side in np.rint(box * (wide, high, wide, high)))
        cv2.rectangle(rgb, (x1, y1), (x2, y2), _PAPER, thick)
        _write(rgb, f"{found.labels[label]} {score:.2f}", x1, y1, thick)
    _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return png.tobytes()


def _write(rgb: NDArray[np.uint8], words: str, left: int, bottom: int, thick: int) -> None:
    scale = 0.4 * thick
    (wide, high), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    bottom = max(bottom, high + below)
    left = max(0, min(left, rgb.shape[1] - wide))
    cv2.rectangle(rgb, (left, bottom - high - below), (left + wide, bottom), _PAPER, cv2.FILLED)
    cv2.putText(rgb, words, (left, bottom - below), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, thick, cv2.LINE_AA)
