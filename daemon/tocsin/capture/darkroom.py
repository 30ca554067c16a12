"""Makes the pictures and clips of alarms from what the reel holds, beside the capture of the same stream."""

import contextlib
import itertools
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakSet

import cv2
import numpy as np
from av.video.frame import VideoFrame

from tocsin.capture.negatives import Negative, Negatives
from tocsin.capture.order import ViewOrder
from tocsin.capture.shrink import Shrinker
from tocsin.capture.wire import Develop, Film, Made
from tocsin.errors import EvidenceError, reason
from tocsin.evidence.clip import Clip, begin
from tocsin.evidence.develop import developed
from tocsin.evidence.note import noted
from tocsin.evidence.picture import FAITHFUL, Curtain, Pixels, Polygon, around, boxed, jpeg
from tocsin.evidence.reel import Kept, Leader, Reel
from tocsin.evidence.shelf import Kind
from tocsin.frame import fit
from tocsin.image import to_i420
from tocsin.light.correct import Corrector
from tocsin.light.plan import Policy
from tocsin.light.treat import Treatment

_NICE = 10
"""What the darkroom's work is put back by: no camera of this machine loses a picture to it."""

_MOST_PINNED = 8
"""Pictures that tasks wait with at most: what is asked for of others is decoded."""

_KNOWN = 1024
"""Frames whose packets are remembered: more than the reel holds at the most that is analysed, for ten seconds."""

_LOOK = 0.25
"""Seconds between two looks for what came meanwhile for a clip."""

_GRACE = 2.0
"""Seconds after which the end of a clip is waited for no longer: nothing comes."""

_TURN = 0.05
"""Seconds for which a clip is written before pictures have their turn: one that is encoded anew takes seconds."""

_UNFIT = (cv2.error, ValueError, MemoryError)
"""What comes of damage, of pictures of sizes that no file holds, and of the worker's bound on memory."""

Task = Develop | Film


@dataclass(frozen=True, slots=True)
class _Job:
    """What is asked for, the files it goes into, and the picture it is of where that need not be decoded."""

    task: Task
    descriptors: Sequence[int]
    negative: Negative | None = None

    @property
    def is_urgent(self) -> bool:
        """Whether it is what people look at first, or a clip, whose packets will not stay."""
        return isinstance(self.task, Film) or Kind.FRAME in self.task.kinds


@dataclass(frozen=True, slots=True)
class _Known:
    """A frame that was handed over: its time, its packet, and the opening of the stream that this was of."""

    at: float
    number: int
    leader: Leader | None


class Darkroom:
    """Serves what is asked for: pictures one after another, and clips between them.

    One thread takes its time. Another, which is put back behind nothing, makes what people look at first of
    pictures that are still at hand: 7 ms of work at 1080p. `post` tells the daemon what came of it, and
    `broke` hears of an error that nobody expected and that ended a thread; both from that thread.
    """

    def __init__(
        self,
        reel: Reel,
        view: ViewOrder,
        policy: Policy,
        masks: Sequence[Polygon],
        post: Callable[[Made], None],
        broke: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._reel = reel
        self._view = view
        self._policy = policy
        self._masks = masks
        self._post = post
        self._broke = broke
        self._negatives = Negatives()
        self._pinned: WeakSet[Negative] = WeakSet()  # of the thread that hears the daemon alone
        # Filled by the thread that hears the daemon, None by the one that ends; the darkroom's waits for it. Those
        # of the lowest rank go first, and of one rank in their order.
        self._jobs: queue.PriorityQueue[tuple[int, int, _Job | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        # The same for the thread of prints.
        self._prints: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Filled by the thread that hands frames over; this one copies it whole, which no other interrupts.
        self._known: deque[_Known] = deque(maxlen=_KNOWN)
        # What was decoded last, for as long as somebody waits: alarms that come together are of the same frames.
        self._fresh: deque[tuple[_Known, VideoFrame]] = deque(maxlen=2)
        self._films: list[_Filming] = []
        self._threads = [
            threading.Thread(target=self._work, args=(work,), name=name, daemon=True)
            for name, work in (("darkroom", self._run), ("prints", self._print))
        ]

    def start(self) -> None:
        """Begin to serve."""
        for thread in self._threads:
            thread.start()

    def handed_over(self, at: float, number: int, frame: VideoFrame | None = None) -> None:
        """Remember which packet the frame of that time was made of; for the thread that reads the stream."""
        self._known.append(_Known(at, number, self._reel.leader))
        if frame is not None:
            self._negatives.keep(at, frame)

    def ask(self, task: Task, descriptors: Sequence[int]) -> None:
        """Serve this when what goes before it is done; the files are closed afterwards."""
        job = _Job(task, descriptors, self._pin(task.at) if isinstance(task, Develop) else None)
        if job.is_urgent and job.negative is not None:
            self._prints.put(job)
        else:
            self._jobs.put((0 if job.is_urgent else 1, next(self._numbers), job))

    def _pin(self, at: float) -> Negative | None:
        """Return the picture of that time where it is still at hand, for a task that waits with it."""
        negative = self._negatives.of(at)
        if negative is None or (negative not in self._pinned and len(self._pinned) >= _MOST_PINNED):
            return None
        self._pinned.add(negative)
        return negative

    def finish(self, seconds: float) -> None:
        """Make clips of what there is, and end; waits for it no longer than that."""
        self._prints.put(None)
        self._jobs.put((2, 0, None))
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the last line of the thread: evidence that ends unseen is none
            self._broke(error)

    def _print(self) -> None:
        while (job := self._prints.get()) is not None:
            self._serve(job)
            del job  # and the picture in it

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (job := self._next()) is not None:
            if isinstance(job, _Job):
                self._serve(job)
            del job  # and the picture in it
            if self._jobs.empty():
                self._fresh.clear()
            now = time.monotonic()
            for film in self._films:
                film.go_on(now)
            self._tell_films()
        for film in self._films:
            film.end()
        self._tell_films()

    def _next(self) -> "_Job | Literal[False] | None":
        """Return what is to be done next; False: the films go on."""
        patience = None
        if self._films:
            patience = 0.0 if any(film.behind for film in self._films) else _LOOK
        try:
            return self._jobs.get(timeout=patience)[2]
        except queue.Empty:
            return False

    def _tell_films(self) -> None:
        for film in [one for one in self._films if one.over]:
            self._films.remove(film)
            self._post(Made(film.request, film.fault))

    def _serve(self, job: _Job) -> None:
        task = job.task
        expected = 1 if isinstance(task, Film) else len(task.kinds)
        if len(job.descriptors) != expected:  # so much for a process that has too many files open already
            for one in job.descriptors:
                os.close(one)
            fault = f"expected {expected} files to write into, found {len(job.descriptors)}"
            self._post(Made(task.request, fault))
        elif isinstance(task, Film):
            self._films.append(_Filming(task, job.descriptors[0], self._reel, self._masks))
        else:
            self._post(Made(task.request, self._develop(task, job)))

    def _develop(self, task: Develop, job: _Job) -> str:
        """Write the pictures that are asked for; return why that failed, or nothing."""
        try:
            with contextlib.ExitStack() as files:
                targets = [files.enter_context(os.fdopen(one, "wb")) for one in job.descriptors]
                frame = job.negative.frame if job.negative else self._frame(task.at)
                for target, content in zip(targets, self._pictures(task, frame), strict=True):
                    target.write(content)
        except (EvidenceError, OSError, *_UNFIT) as error:
            return _why("a picture", error)
        return ""

    def _pictures(self, task: Develop, frame: VideoFrame) -> Iterator[bytes]:
        planes = whole(frame)
        if self._masks:
            Curtain(self._masks, planes.shape[1], planes.shape[0] * 2 // 3).draw(planes)
        pixels = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)
        part = around(task.box, frame.width, frame.height)
        for kind in task.kinds:
            match kind:
                case Kind.FRAME:
                    yield jpeg(boxed(pixels, task.box))
                case Kind.FIRST:  # where it was then is not told
                    yield jpeg(pixels)
                case Kind.CROP:
                    yield jpeg(part.of(pixels))
                case Kind.CORRECTED:
                    yield jpeg(boxed(self._corrected(frame, pixels), task.box))
                case Kind.PLAIN:
                    yield noted(jpeg(pixels, FAITHFUL), task.note)

    def _frame(self, at: float) -> VideoFrame:
        strip = self._reel.strip(-math.inf)
        if strip is None:
            raise EvidenceError(f"expected the packets from a keyframe on, found {self._reel.why_empty}")
        leader, kept = strip
        # After the stream was opened again another packet has the same number.
        known = next((one for one in self._known.copy() if one.at == at and one.leader is leader), None)
        if known is None:
            raise EvidenceError("expected the packets of the picture, found them gone")
        for one, frame in self._fresh:
            if one is known:
                return frame
        frame = developed(leader, kept, known.number)
        self._fresh.append((known, frame))
        return frame

    def _corrected(self, frame: VideoFrame, pixels: Pixels) -> Pixels:
        """Return the picture in the light that the detector gets it in, at its own size."""
        order = self._view
        width, height = fit(frame.width, frame.height, order.max_width, order.max_height, order.keep_aspect)
        small = np.empty((height * 3 // 2, width), np.uint8)
        Shrinker().shrink(frame, small)
        decided = Treatment(self._policy).treat(small, 0.0).plan
        planes = to_i420(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8))
        rows, columns = pixels.shape[:2]
        Corrector().correct(planes[:rows], decided, columns / width)
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)


def whole(frame: VideoFrame) -> Pixels:
    """Return a picture of any format at its own size, as I420 (BT.601, 16 to 235); an odd side loses a row."""
    width, height = max(2, frame.width - frame.width % 2), max(2, frame.height - frame.height % 2)
    planes = np.empty((height * 3 // 2, width), np.uint8)
    Shrinker().shrink(frame, planes)
    return planes


class _Filming:
    """One clip on its way: what the reel has is written at once, what comes later when it is there."""

    def __init__(self, task: Film, descriptor: int, reel: Reel, masks: Sequence[Polygon]) -> None:
        self.request = task.request
        self.over = False
        self.behind = False  # whether there is more to write already
        self.fault = ""
        self._task = task
        self._file = os.fdopen(descriptor, "wb", buffering=0)  # what is written is there if this process dies
        self._reel = reel
        # A camera that floods would fill the disk, of which the sweep sees a clip only when it is whole.
        self._most = reel.room(task.until - task.since)
        self._masks = masks
        self._leader: Leader | None = None
        self._clip: Clip | None = None
        self._last = -1

    def go_on(self, now: float) -> None:
        """Write what there is, for a short time.

        The clip ends when it is long enough or takes too much room, or the stream broke off.
        """
        try:
            strip = self._reel.strip(self._task.since)
            if strip is not None and self._leader in (None, strip[0]):
                self._write(*strip, now + _TURN)
            elif self._leader is not None and strip is not None:
                self.end()  # the camera was opened again: what comes cannot follow
            if not (self.over or self.behind) and now > self._task.until + _GRACE:
                self.end()
        except (EvidenceError, OSError) as error:
            self._fail(error)
        except _UNFIT as error:
            self.end(_why("a clip", error))

    def _write(self, leader: Leader, kept: list[Kept], until: float) -> None:
        if self._clip is None:
            self._leader, self._clip = leader, begin(self._file, leader, self._masks, whole)
        self.behind = False
        for one in kept:
            if one.number <= self._last:
                continue
            if one.at > self._task.until or os.fstat(self._file.fileno()).st_size > self._most:
                self.end()
                return
            # What the reel had to drop leaves a gap to a keyframe.
            if one.number == self._last + 1 or one.starts:
                self._clip.add(one)
                self._last = one.number
            self.behind = time.monotonic() > until
            if self.behind:
                return

    def end(self, why: str = "") -> None:
        """Make a clip of what there is; where that is nothing the fault is `why`."""
        self.over = True
        try:
            if self._clip is not None:
                self._clip.close()
            self._file.close()
        except (EvidenceError, OSError, *_UNFIT) as error:
            self._fail(error)
        else:
            if self._clip is None or self._clip.seconds < 0:
                found = f"expected the packets from a keyframe on, found {self._reel.why_empty}"
                self.fault = why or found

    def _fail(self, error: Exception) -> None:
        self.over, self.fault = True, _why("a clip", error)
        with contextlib.suppress(OSError):
            self._file.close()


def _why(what: str, error: Exception) -> str:
    match error:
        case EvidenceError():
            return str(error)
        case OSError():
            return f"expected to write {what}, found {reason(error)}"
        case _:
            return f"expected {what} that can be made, found {type(error).__name__}"
