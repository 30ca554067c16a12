"""The detector: frames in, detections out.

On an accelerator, and on a CPU where it is quick, the model runs in a thread of the detector's own: the next frames
are painted, and those before are decoded, while it is at work. Else everything happens in the calling thread.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.detect.families import Objects
from tocsin.detect.geometry import Place, to_frame
from tocsin.detect.manifest import Fit
from tocsin.detect.merge import merge
from tocsin.detect.model import Model, open_model
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import Device, Outputs, Placement, Session, Signature
from tocsin.detect.worker import Worker
from tocsin.errors import InferenceError, InferenceFault, ModelError
from tocsin.frame import Detections, Frame, View, still

GPU_BATCH = 8

ACCELERATORS = frozenset({"cuda", "tensorrt"})
"""The devices that work while the processor does something else."""

_QUICK = 0.05
"""Seconds of a call on a CPU below which the work around it is worth hiding behind it: about 0.8 ms for each view.

What is painted meanwhile is as much older when its turn comes, which a slower model would not be worth.
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of some frames, in their order.

    `infer` and `postprocess` are the seconds of work before and after the model's answers, painting and the model
    itself among the former. `rows` are the views in each call of the model.
    """

    results: tuple[Detections | InferenceError, ...]
    infer: float
    postprocess: float
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    """One view on its way: the frame's place among the frames, the view's place in the frame."""

    frame: int
    index: int
    view: View
    last: bool


_Painted = tuple[_Job, Place]
_Answer = tuple[Outputs | InferenceError, float]  # what the model said to a call, and the seconds it took
Release = Callable[[Frame], None]


@dataclass(slots=True)
class Ticket:
    """Frames on their way through a detector. Its `begin` gives it, and its `finish` takes it once."""

    detector: "Detector"
    frames: Sequence[Frame]
    release: Release | None
    floor: float = 0.0
    due: int = 0  # calls that are not read yet
    numbers: list[Outputs] | None = None  # copies of what the model said, where somebody wants them
    parts: list[list[Detections]] = field(default_factory=list)  # what was seen so far in each frame
    failed: dict[int, InferenceError] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    infer: float = 0.0
    postprocess: float = 0.0


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the model, from its painting until it is read."""

    ticket: Ticket
    canvas: Canvas
    painted: Sequence[_Painted]
    answer: Callable[[], _Answer]


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
        # more than one view in a call gains nothing on a CPU and delays the first
        return model.batch or (GPU_BATCH if placement.device in ACCELERATORS else 1)
    if model.batch is not None and asked > model.batch:
        raise ModelError(
            f"{model.path}: its graph takes {model.batch} pictures at a time: "
            f"expected detector.max_batch to be no more, found {asked}"
        )
    return asked


class _Closed:
    """The place of a session that is gone."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def infer(self, batch: NDArray[Any]) -> Outputs:  # noqa: ARG002 - as every session
        """Raise InferenceError."""
        raise InferenceError(InferenceFault.RUNTIME, "expected an open detector, found a closed one")


class Detector:
    """A model that is ready to run. For one thread at a time.

    `overlaps` says that it pays to begin a second batch before the first is finished. `max_batch` is the number of
    views in one call of the model; it may be lowered between two batches, but not for a graph of fixed batch.
    `moved` is when a call last ended, on the monotonic clock; any thread may read it.
    """

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
        self.placement = placement
        self.max_batch = max_batch
        self.moved = time.monotonic()
        self._model = model
        self._session = session
        self.floor = floor
        self._accelerated = placement.device in ACCELERATORS
        self.overlaps = False
        self.fixed_batch = model.batch is not None
        self._worker = Worker("inference")  # idle, and without a thread, unless batches overlap
        slots = max(max_batch, model.batch or 1)
        self._free = [Canvas(model.takes, slots)]
        # the calls in the order of their tickets: those that have no canvas yet, and those that have one
        self._waiting: deque[tuple[Ticket, Sequence[_Job]]] = deque()
        self._running: deque[_Call] = deque()
        if self._accelerated:
            self._overlap()

    def warm(self) -> float:
        """Run the model on grey pictures in each size of batch that it prepares for, and return the seconds.

        On a CPU, which prepares nothing, these are the smallest and the largest; where the model is quick, it runs
        in a thread of its own from then on. `max_batch` is halved until the largest fits into memory. Raises
        ModelError where the model cannot do it or gives what its family does not, and is closed then.
        """
        begun = time.monotonic()
        try:
            while not self._fits():
                self.max_batch //= 2
            if not self.overlaps and self._try(self.max_batch) < _QUICK:
                self._overlap()
        except InferenceError as error:
            self.close()
            raise ModelError(f"{self._model.path}: its first run failed: {error}") from error
        return time.monotonic() - begun

    def _fits(self) -> bool:
        """Run the model in each size of batch; False where memory runs out and fewer views may do."""
        prepared = range(1, self.max_batch + 1) if self._accelerated else (1, self.max_batch)
        try:
            for count in sorted({min(self._rows(count), self.max_batch) for count in prepared}):
                self._try(count)
        except InferenceError as error:
            if error.fault is not InferenceFault.OOM or self.fixed_batch or self.max_batch == 1:
                raise
            return False
        return True

    def _overlap(self) -> None:
        """Have one canvas painted while the model reads the other, from the next batch on."""
        self.overlaps = True
        self._free.append(self._free[0].twin())

    def _try(self, count: int) -> float:
        """Run the model on so many grey pictures and return the seconds that it took. Raises InferenceError."""
        attempt = self.attempt([_grey(self.input_width, self.input_height)] * count)
        for result in attempt.results:
            if isinstance(result, InferenceError):
                # another one: it would hold itself by way of this frame, and the session with it
                raise InferenceError(result.fault, str(result)) from result
        return attempt.infer

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return what is seen in each frame, in their order. Raises the first InferenceError."""
        found = []
        for result in self.attempt(frames).results:
            if isinstance(result, InferenceError):
                raise result
            found.append(result)
        return found

    def attempt(self, frames: Sequence[Frame], release: Release | None = None) -> Attempt:
        """Do the same, with an InferenceError in the place of each frame that failed."""
        return self.finish(self.begin(frames, release))

    def begin(self, frames: Sequence[Frame], release: Release | None = None) -> Ticket:
        """Paint the frames, and start the model on them where the detector `overlaps`.

        `release` is called once for each frame, here or in a later call of the detector, as soon as its pixels are
        not needed any more: before the model runs on its last view.
        """
        return self._begin(Ticket(self, frames, release, self.floor))

    def _begin(self, ticket: Ticket) -> Ticket:
        frames = ticket.frames
        ticket.parts = [[] for _ in frames]
        jobs = [
            _Job(number, index, view, index == len(frame.views) - 1)
            for number, frame in enumerate(frames)
            for index, view in enumerate(frame.views)
        ]
        starts = range(0, len(jobs), self.max_batch)
        ticket.due = len(starts)
        self._waiting.extend((ticket, jobs[start : start + self.max_batch]) for start in starts)
        self._start()
        return ticket

    def finish(self, ticket: Ticket) -> Attempt:
        """Wait for the model and return what it saw. Every frame of the ticket is released by then."""
        assert ticket.detector is self, "who began it finishes it"
        while ticket.due:
            self._start()
            self._end_oldest()
        begun = time.monotonic()
        results = tuple(
            ticket.failed.get(index) or (parts[0] if len(parts) == 1 else merge(parts, frame.views))
            for index, (frame, parts) in enumerate(zip(ticket.frames, ticket.parts, strict=True))
        )
        postprocess = ticket.postprocess + time.monotonic() - begun
        return Attempt(results, ticket.infer, postprocess, tuple(ticket.rows))

    def inspect(self, frame: Frame, floor: float) -> tuple[Detections, Outputs]:
        """Return what is seen in the one view of a frame from the score `floor` on, and the model's own numbers.

        Raises InferenceError. Other batches may be under way.
        """
        ticket = self._begin(Ticket(self, [frame], None, floor, numbers=[]))
        (result,) = self.finish(ticket).results
        if isinstance(result, InferenceError):
            raise result
        assert ticket.numbers, "the model ran on the view"
        return result, ticket.numbers[0]

    def close(self) -> None:
        """Let the model and its memory go; nothing may be under way. Whatever follows fails."""
        self.overlaps = False  # the thread ends: what may still come is refused in the calling one
        self._worker.close()
        self._session = _Closed(self._session.signature)

    def _start(self) -> None:
        """Paint and run what waits, oldest first, while there are canvases for it."""
        while self._waiting and self._free:
            ticket, jobs = self._waiting.popleft()
            canvas = self._free.pop()
            begun = time.monotonic()
            painted = self._paint(ticket, jobs, canvas)
            ticket.infer += time.monotonic() - begun
            if painted:
                ticket.rows.append(len(painted))
            work = partial(self._infer, canvas, self._rows(len(painted)))
            answer = self._worker.submit(work) if self.overlaps else cache(work)
            self._running.append(_Call(ticket, canvas, painted, answer))

    def _end_oldest(self) -> None:
        """Read the call that has had its canvas longest; where they overlap, the model gets the next one first."""
        call = self._running.popleft()
        outputs, seconds = call.answer()
        self._free.append(call.canvas)
        if self.overlaps:
            self._start()
        begun = self.moved = time.monotonic()
        if isinstance(outputs, InferenceError):
            call.ticket.failed.update((job.frame, outputs) for job, _ in call.painted)
        else:
            if call.ticket.numbers is not None:
                call.ticket.numbers.append({name: np.array(values) for name, values in outputs.items()})
            self._decode(call, outputs)
        call.ticket.due -= 1
        call.ticket.infer += seconds
        call.ticket.postprocess += time.monotonic() - begun

    def _paint(self, ticket: Ticket, jobs: Sequence[_Job], canvas: Canvas) -> list[_Painted]:
        painted: list[_Painted] = []
        for job in jobs:
            if job.frame not in ticket.failed:  # else its other views are of no use
                try:
                    painted.append((job, canvas.put(len(painted), job.view)))
                except InferenceError as error:
                    ticket.failed[job.frame] = error
            if job.last and ticket.release is not None:
                ticket.release(ticket.frames[job.frame])
        return painted

    def _rows(self, views: int) -> int:
        """Return how many rows a call for so many views has; what is in the others is nobody's.

        An accelerator prepares itself for each number of rows that it meets: it gets only few different ones.
        """
        if views == 0:
            return 0
        if self.fixed_batch or not self._accelerated:
            return self._model.batch or views  # a graph of fixed batch always gets all its rows
        return min(1 << (views - 1).bit_length(), max(views, self.max_batch))

    def _infer(self, canvas: Canvas, rows: int) -> _Answer:
        """Run the model on what is painted. The one part of the detector that its thread may do."""
        begun = time.monotonic()
        try:
            outputs = self._session.infer(canvas.values(rows)) if rows else {}
            for name, values in outputs.items():
                if len(values) != rows:
                    raise InferenceError(
                        InferenceFault.SHAPE,
                        f"expected {rows} rows in the output {name}, found {len(values)}",
                    )
        except InferenceError as error:
            # As a value it goes without its traceback, whose frames hold the session, and the error itself with it:
            # the memory of the device would not be free when the session is opened anew.
            return InferenceError(error.fault, str(error)), time.monotonic() - begun
        return outputs, time.monotonic() - begun

    def _decode(self, call: _Call, outputs: Outputs) -> None:
        for row, (job, place) in enumerate(call.painted):
            try:
                objects = self._model.family.decode(outputs, row, call.ticket.floor)
            except InferenceError as error:
                call.ticket.failed[job.frame] = error
            else:
                call.ticket.parts[job.frame].append(self._see(objects, place, job.index))

    def _see(self, objects: Objects, place: Place, index: int) -> Detections:
        boxes, pixels = to_frame(objects.boxes, place)
        inside = pixels.min(axis=1) > 0
        if not inside.all():  # the rest lies on the margin
            objects, boxes, pixels = objects.take(np.flatnonzero(inside)), boxes[inside], pixels[inside]
        views = np.full(len(boxes), index, np.int64)
        return Detections(boxes, objects.scores, objects.classes, pixels, views, self.labels)


def _grey(width: int, height: int) -> Frame:
    width, height = width - width % 2, height - height % 2
    return still(np.full((height * 3 // 2, width), 128, np.uint8), width, height)
