"""The thread that takes the newest frames of all streams, runs the detector on them and hands on what it saw."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from tocsin.detect.detector import Attempt
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import Detections, Frame
from tocsin.thread import guarded

FAILED_IN_A_ROW = 3
"""After so many batches without one result the device is taken for lost: a poisoned one never recovers."""

_PATIENCE = 0.25  # seconds that one turn waits for frames, which bounds how late `stop` is noticed
_SUMMARY = 60.0  # seconds between two log lines about inference that keeps failing

_log = structlog.get_logger(__name__)


class Feed(Protocol):
    """Where frames come from. Which stream comes first when there are too many is decided here."""

    def take(self, limit: int, timeout: float) -> list[Frame]:
        """Return newest frames of at most `limit` views together, or one; empty after `timeout` seconds."""

    def release(self, frame: Frame) -> None:
        """Give the frame's pixels back to the worker that owns them."""


class Observer(Protocol):
    """What the engine reports."""

    def batch(self, size: int) -> None: ...

    def stage(self, stage: str, seconds: float) -> None: ...

    def analysed(self, stream: str, age_seconds: float) -> None: ...

    def detected(self, stream: str, label: str, count: int) -> None: ...

    def inference_failed(self, fault: InferenceFault) -> None: ...


class Analyst(Protocol):
    """The part of the detector that the engine uses; it releases every frame, failed or not."""

    max_batch: int

    def attempt(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Attempt: ...


class Engine:
    """Runs the detector in one thread of its own. The constructor starts nothing.

    `sink` gets each frame with its detections, in the order in which the feed gave them, from the engine's
    thread. A frame whose inference failed reaches nobody: it is counted, and is not "nothing seen".
    `on_failure` is called once, from the engine's thread, with a sentence, when the engine gives up; it must not
    call `stop`, which waits for that thread.
    """

    def __init__(
        self,
        detector: Analyst,
        feed: Feed,
        sink: Callable[[Frame, Detections], None],
        observe: Observer,
        on_failure: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detector = detector
        self._feed = feed
        self._sink = sink
        self._observe = observe
        self._on_failure = on_failure
        self._clock = clock
        # The one thread of the engine. It waits in feed.take, at most _PATIENCE, and in the detector. Nothing
        # else waits for it but stop.
        self._thread = guarded("engine", self._run, on_failure)
        self._stopping = threading.Event()  # set by `stop` from any thread; read once a turn
        # Both are written by the engine's thread and read by any other: a float is replaced whole.
        self._pulse = clock()
        self._last_success: float | None = None
        self._failures = 0
        self._silences: dict[str, float] = {}  # before frames whose inference failed, by stream
        self._unsaid = 0
        self._said = -_SUMMARY

    def pulse(self) -> float:
        """Return when the thread last took a turn, with or without frames, on the monotonic clock."""
        return self._pulse

    @property
    def last_success(self) -> float | None:
        """When a batch last gave a result, on the monotonic clock; None before."""
        return self._last_success

    def start(self) -> None:
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Let the running batch finish and end the thread by `deadline` on the monotonic clock.

        Raises InferenceError when the detector is still at work then. A second call does nothing.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - self._clock()))
        if self._thread.is_alive():
            raise InferenceError(
                InferenceFault.RUNTIME, "expected the detector to end in time, found it still at work"
            )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._turn()
            if self._failures >= FAILED_IN_A_ROW:
                self._on_failure(f"the detector failed on {self._failures} batches in a row")
                return

    def _turn(self) -> None:
        self._pulse = self._clock()
        frames = self._feed.take(self._detector.max_batch, _PATIENCE)
        if not frames:
            return
        self._observe.batch(len(frames))
        attempt = self._detector.attempt(frames, self._feed.release)
        self._observe.stage("infer", attempt.infer)
        self._observe.stage("postprocess", attempt.postprocess)
        self._judge(attempt)
        for frame, result in zip(frames, attempt.results, strict=True):
            if isinstance(result, InferenceError):
                self._fail(frame, result)
            else:
                self._hand_on(frame, result)

    def _judge(self, attempt: Attempt) -> None:
        if all(isinstance(result, InferenceError) for result in attempt.results):
            self._failures += 1
        else:
            self._failures = 0
            self._last_success = self._clock()

    def _hand_on(self, frame: Frame, found: Detections) -> None:
        # what nobody saw because inference failed belongs to the silence before the next frame that counts
        frame = replace(frame, silence=max(frame.silence, self._silences.pop(frame.stream, 0.0)))
        self._observe.analysed(frame.stream, max(0.0, self._clock() - frame.at))
        for index, count in Counter(found.classes.tolist()).items():
            self._observe.detected(frame.stream, found.labels[index], count)
        self._sink(frame, found)

    def _fail(self, frame: Frame, error: InferenceError) -> None:
        self._observe.inference_failed(error.fault)
        self._silences[frame.stream] = max(frame.silence, self._silences.get(frame.stream, 0.0))
        self._unsaid += 1
        now = self._clock()
        if now - self._said >= _SUMMARY:
            _log.error("inference failed", stream=frame.stream, error=str(error), frames=self._unsaid)
            self._said, self._unsaid = now, 0
