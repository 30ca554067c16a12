"""Makes the pictures and clips of alarms from what the reel holds, beside the capture of the same stream."""

import contextlib
import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from av.video.frame import VideoFrame

from tocsin.capture.order import ViewOrder
from tocsin.capture.shrink import Shrinker
from tocsin.capture.wire import Develop, Film, Made
from tocsin.errors import EvidenceError
from tocsin.evidence.clip import Clip, begin
from tocsin.evidence.develop import developed
from tocsin.evidence.note import noted
from tocsin.evidence.picture import FAITHFUL, Pixels, Polygon, around, boxed, cover, jpeg
from tocsin.evidence.reel import Kept, Leader, Reel
from tocsin.evidence.shelf import Kind
from tocsin.frame import fit
from tocsin.image import to_i420
from tocsin.light.correct import Corrector
from tocsin.light.plan import Policy
from tocsin.light.treat import Treatment

_NICE = 10
"""What the thread's work is put back by: no camera of this machine loses a picture to it."""

_KNOWN = 1024
"""Frames whose packets are remembered: more than the reel holds at the most that is analysed, for ten seconds."""

_LOOK = 0.25
"""Seconds between two looks for what came meanwhile for a clip."""

_GRACE = 2.0
"""Seconds after which the end of a clip is waited for no longer: nothing comes."""

_UNFIT = (cv2.error, ValueError, MemoryError)
"""What comes of pictures of sizes that no file holds, and of the worker's bound on memory."""

Task = Develop | Film


@dataclass(frozen=True, slots=True)
class _Job:
    task: Task
    descriptors: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Known:
    """A frame that was handed over: its time, its packet, and the opening of the stream that this was of."""

    at: float
    number: int
    leader: Leader | None


class Darkroom:
    """One thread that serves what is asked for, one thing after another.

    `post` tells the daemon what came of it; from that thread.
    """

    def __init__(
        self,
        reel: Reel,
        view: ViewOrder,
        policy: Policy,
        masks: Sequence[Polygon],
        post: Callable[[Made], None],
    ) -> None:
        self._reel = reel
        self._view = view
        self._policy = policy
        self._masks = masks
        self._post = post
        # Filled by the thread that hears the daemon.
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        # Filled by the thread that hands frames over; this one copies it whole, which no other interrupts.
        self._known: deque[_Known] = deque(maxlen=_KNOWN)
        self._thread = threading.Thread(target=self._run, name="darkroom", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def handed_over(self, at: float, number: int) -> None:
        """Remember which packet the frame of that time was made of; for the thread that reads the stream."""
        self._known.append(_Known(at, number, self._reel.leader))

    def ask(self, task: Task, descriptors: Sequence[int]) -> None:
        """Serve this when all before it is done; the files are closed afterwards."""
        self._jobs.put(_Job(task, descriptors))

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        films: list[_Filming] = []
        while True:
            try:
                job = self._jobs.get(timeout=_LOOK if films else None)
            except queue.Empty:
                pass
            else:
                if isinstance(job.task, Film):
                    films.append(_Filming(job.task, job.descriptors[0], self._reel, self._masks))
                else:
                    self._post(Made(job.task.request, self._develop(job.task, job.descriptors)))
            now = time.monotonic()
            for film in films:
                film.go_on(now)
            for film in [one for one in films if one.over]:
                films.remove(film)
                self._post(Made(film.request, film.fault))

    def _develop(self, task: Develop, descriptors: Sequence[int]) -> str:
        """Write the pictures that are asked for; return why that failed, or nothing."""
        try:
            with contextlib.ExitStack() as files:
                targets = [files.enter_context(os.fdopen(one, "wb")) for one in descriptors]
                for target, content in zip(targets, self._pictures(task), strict=True):
                    target.write(content)
        except EvidenceError as error:
            return str(error)
        except OSError as error:
            return f"expected to write a picture, found {_why(error)}"
        except _UNFIT as error:
            return f"expected a picture that can be made, found {type(error).__name__}"
        return ""

    def _pictures(self, task: Develop) -> Iterator[bytes]:
        frame = self._frame(task.at)
        pixels = np.asarray(cv2.cvtColor(whole(frame), cv2.COLOR_YUV2BGR_I420), np.uint8)
        cover(pixels, self._masks)
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
        leader, kept = strip or (None, [])
        # After the stream was opened again another packet has the same number.
        known = (one for one in self._known.copy() if one.at == at and one.leader is leader)
        number = next((one.number for one in known), None)
        if leader is None or number is None:
            raise EvidenceError("expected the packets of the picture, found them gone")
        return developed(leader, kept, number)

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
        self.fault = ""
        self._task = task
        self._file = os.fdopen(descriptor, "wb", buffering=0)  # what is written is there if this process dies
        self._reel = reel
        self._masks = masks
        self._leader: Leader | None = None
        self._clip: Clip | None = None
        self._last = -1

    def go_on(self, now: float) -> None:
        """Write what there is; the clip is over when it is long enough or the stream has broken off."""
        try:
            strip = self._reel.strip(self._task.since)
            if strip is not None and self._leader in (None, strip[0]):
                self._write(*strip)
            elif self._leader is not None and strip is not None:
                self._end()  # the camera was opened again: what comes cannot follow
            if not self.over and now > self._task.until + _GRACE:
                self._end()
        except EvidenceError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"expected to write a clip, found {_why(error)}")
        except _UNFIT as error:
            self._fail(f"expected a clip that can be made, found {type(error).__name__}")

    def _write(self, leader: Leader, kept: list[Kept]) -> None:
        if self._clip is None:
            self._leader, self._clip = leader, begin(self._file, leader, self._masks, whole)
        for one in kept:
            if one.number <= self._last:
                continue
            if one.at > self._task.until:
                self._end()
                return
            if (
                one.number == self._last + 1 or one.starts
            ):  # what the reel had to drop leaves a gap to a keyframe
                self._clip.add(one)
                self._last = one.number

    def _end(self) -> None:
        self.over = True
        if self._clip is None:
            self._fail("expected pictures of the alarm, found none that a clip can begin with")
            return
        self._clip.close()
        self._file.close()

    def _fail(self, why: str) -> None:
        self.over, self.fault = True, why
        with contextlib.suppress(OSError):
            self._file.close()


def _why(error: OSError) -> str:
    return (error.strerror or "an error").lower()
