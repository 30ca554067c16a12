"""The detector: frames in, detections out, in the calling thread."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from tocsin.detect.families import Objects
from tocsin.detect.geometry import Place, to_frame
from tocsin.detect.manifest import Fit
from tocsin.detect.merge import merge
from tocsin.detect.model import Model, open_model
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import Device, Outputs, Placement, Session
from tocsin.errors import InferenceError, InferenceFault, ModelError
from tocsin.frame import WHOLE, Correction, Detections, Frame, Light, Reason, View

GPU_BATCH = 8


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of some frames, in their order, and how long it took in seconds."""

    results: tuple[Detections | InferenceError, ...]
    infer: float
    postprocess: float


@dataclass(frozen=True, slots=True)
class _Job:
    """One view on its way: the frame's place among the frames, the view's place in the frame."""

    frame: int
    index: int
    view: View
    last: bool


_Painted = tuple[_Job, Place]


def open_detector(model: str, device: Device, max_batch: int | Literal["auto"], floor: float) -> "Detector":
    """Open the model that `detector.model` names and return a detector that is not yet warm.

    `floor` is the lowest score that anybody asks for: what lies below is not returned. Raises ModelError and
    StartError as `model.open_model` does.
    """
    cv2.setNumThreads(
        1
    )  # the pictures are small: handing a few rows to other threads costs more than it saves
    known, session, placement = open_model(model, device)
    return Detector(known, session, placement, _batch(known, placement, max_batch), floor)


def _batch(model: Model, placement: Placement, asked: int | Literal["auto"]) -> int:
    if asked == "auto":
        # more than one frame in a call gains nothing on a CPU and delays the first
        return model.batch or (1 if placement.device == "cpu" else GPU_BATCH)
    if model.batch is not None and asked > model.batch:
        raise ModelError(
            f"{model.path}: its graph takes {model.batch} pictures at a time: "
            f"expected detector.max_batch to be no more, found {asked}"
        )
    return asked


class Detector:
    """A model that is ready to run. For one thread at a time."""

    def __init__(
        self, model: Model, session: Session, placement: Placement, max_batch: int, floor: float
    ) -> None:
        self.model_name = model.name
        self.labels = model.labels
        self.input_width = model.takes.width
        self.input_height = model.takes.height
        self.keep_aspect = model.takes.fit is Fit.LETTERBOX
        self.provider = placement.provider
        self.device = placement.device
        self.degraded = placement.degraded
        self.max_batch = max_batch
        self._model = model
        self._session = session
        self._floor = floor
        self._rows = model.batch  # a graph of fixed batch always gets all its rows
        self._canvas = Canvas(model.takes, max(max_batch, model.batch or 1))

    def warm(self) -> float:
        """Run the model on grey pictures, the smallest and the largest batch, and return the seconds it took.

        Raises ModelError where the model cannot do it or gives what its family does not.
        """
        begun = time.monotonic()
        grey = _grey(self.input_width, self.input_height)
        for count in {1, self.max_batch}:
            for result in self.attempt([grey] * count).results:
                if isinstance(result, InferenceError):
                    raise ModelError(f"{self._model.path}: its first run failed: {result}") from result
        return time.monotonic() - begun

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return what is seen in each frame, in their order. Raises the first InferenceError."""
        found = []
        for result in self.attempt(frames).results:
            if isinstance(result, InferenceError):
                raise result
            found.append(result)
        return found

    def attempt(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Attempt:
        """Do the same, with an InferenceError in the place of each frame that failed.

        `release` is called once for each frame, as soon as its pixels are not needed any more: before the model
        runs on its last view.
        """
        parts: list[list[Detections]] = [[] for _ in frames]
        failed: dict[int, InferenceError] = {}
        infer = postprocess = 0.0
        for jobs in self._batches(frames):
            begun = time.monotonic()
            painted = self._paint(jobs, frames, failed, release)
            outputs = self._infer(painted, failed)
            ran = time.monotonic()
            if outputs is not None:
                self._decode(painted, outputs, parts, failed)
            infer += ran - begun
            postprocess += time.monotonic() - ran
        begun = time.monotonic()
        results = tuple(
            failed.get(index)
            or (parts[index][0] if len(parts[index]) == 1 else merge(parts[index], frame.views))
            for index, frame in enumerate(frames)
        )
        return Attempt(results, infer, postprocess + time.monotonic() - begun)

    def _batches(self, frames: Sequence[Frame]) -> Iterator[list[_Job]]:
        jobs = [
            _Job(number, index, view, index == len(frame.views) - 1)
            for number, frame in enumerate(frames)
            for index, view in enumerate(frame.views)
        ]
        for start in range(0, len(jobs), self.max_batch):
            yield jobs[start : start + self.max_batch]

    def _paint(
        self,
        jobs: Sequence[_Job],
        frames: Sequence[Frame],
        failed: dict[int, InferenceError],
        release: Callable[[Frame], None] | None,
    ) -> list[_Painted]:
        painted: list[_Painted] = []
        for job in jobs:
            if job.frame not in failed:  # else its other views are of no use
                try:
                    painted.append((job, self._canvas.put(len(painted), job.view)))
                except InferenceError as error:
                    failed[job.frame] = error
            if job.last and release is not None:
                release(frames[job.frame])
        return painted

    def _infer(self, painted: Sequence[_Painted], failed: dict[int, InferenceError]) -> Outputs | None:
        """Return the outputs for the painted views, or None where there are none."""
        if not painted:
            return None
        rows = self._rows or len(painted)
        try:
            outputs = self._session.infer(self._canvas.values(rows))
            for name, values in outputs.items():
                if len(values) != rows:
                    raise InferenceError(
                        InferenceFault.SHAPE,
                        f"expected {rows} rows in the output {name}, found {len(values)}",
                    )
        except InferenceError as error:
            failed.update((job.frame, error) for job, _ in painted)
            return None
        return outputs

    def _decode(
        self,
        painted: Sequence[_Painted],
        outputs: Outputs,
        parts: list[list[Detections]],
        failed: dict[int, InferenceError],
    ) -> None:
        for row, (job, place) in enumerate(painted):
            try:
                objects = self._model.family.decode(outputs, row, self._floor)
            except InferenceError as error:
                failed[job.frame] = error
            else:
                parts[job.frame].append(self._see(objects, place, job.index))

    def _see(self, objects: Objects, place: Place, index: int) -> Detections:
        boxes, pixels = to_frame(objects.boxes, place)
        inside = pixels.min(axis=1) > 0
        if not inside.all():  # the rest lies on the margin
            objects, boxes, pixels = objects.take(np.flatnonzero(inside)), boxes[inside], pixels[inside]
        views = np.full(len(boxes), index, np.int64)
        return Detections(boxes, objects.scores, objects.classes, pixels, views, self.labels)


def _grey(width: int, height: int) -> Frame:
    width, height = width - width % 2, height - height % 2
    pixels = np.full((height * 3 // 2, width), 128, np.uint8)
    light = Light(mean=128.0, p1=128.0, p50=128.0, p99=128.0, clipped_low=0.0, clipped_high=0.0)
    view = View(WHOLE, width, height, light, Correction.NONE, Reason.OFF, pixels)
    return Frame("", 0, 0.0, 0.0, 0.0, width, height, (view,))
