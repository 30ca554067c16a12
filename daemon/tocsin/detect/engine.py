"""The thread that takes the newest frames of all streams, runs the detector on them and hands on what it saw."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from tocsin.detect.detector import Attempt, Ticket
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import Detections, Frame
from tocsin.thread import guarded

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

    def batch(self, views: int) -> None: ...

    def stage(self, stage: str, seconds: float) -> None: ...

    def analysed(self, stream: str, age_seconds: float) -> None: ...

    def detected(self, stream: str, label: str, count: int) -> None: ...

    def frame_failed(self, stream: str) -> None: ...


class Analyst(Protocol):
    """The part of the detector that the engine uses; it releases every frame, failed or not.

    `overlaps` says that it pays to begin a batch before the one before is finished, and `lost` why the analyst will
    never have a result again, None as long as it may.
    """

    @property
    def max_batch(self) -> int: ...

    @property
    def overlaps(self) -> bool: ...

    @property
    def lost(self) -> str | None: ...

    def attend(self) -> None:
        """Do what is due where no frame comes."""

    def begin(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Ticket: ...

    def finish(self, ticket: Ticket) -> Attempt: ...


_Begun = tuple[Sequence[Frame], Ticket]


class Engine:
    """Runs the detector from one thread of its own. The constructor starts nothing.

    `sink` gets each frame with its detections, in the order in which the feed gave them, from the engine's
    thread. A frame whose inference failed reaches nobody: it is counted, and is not "nothing seen".
    `on_failure` is called once, from the engine's thread, with a sentence, when the engine gives up; it must not
    call `stop`, which waits for that thread.
    """

    def __init__(
        self,
        analyst: Analyst,
        feed: Feed,
        sink: Callable[[Frame, Detections], None],
        observe: Observer,
        on_failure: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._analyst = analyst
        self._feed = feed
        self._sink = sink
        self._observe = observe
        self._on_failure = on_failure
        self._clock = clock
        # The one thread of the engine. It waits in feed.take, at most _PATIENCE, and in the detector. Nothing
        # else waits for it but stop.
        self._thread = guarded("engine", self._run, on_failure)
        self._stopping = threading.Event()  # set by `stop` from any thread; read once a turn
        # Written by the engine's thread and read by any other: a float is replaced whole.
        self._pulse = clock()
        self._silences: dict[str, float] = {}  # before frames whose inference failed, by stream
        self._seen: dict[str, float] = {}  # the time of the last frame with a result, by stream
        self._unsaid = 0
        self._said = -_SUMMARY

    def pulse(self) -> float:
        """Return when the thread last took a turn, with or without frames, on the monotonic clock."""
        return self._pulse

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
        begun: _Begun | None = None
        while not self._stopping.is_set() and self._analyst.lost is None:
            begun = self._turn(begun)
        if begun is not None:
            self._finish(begun)
        if self._analyst.lost is not None:
            self._on_failure(self._analyst.lost)

    def _turn(self, before: _Begun | None) -> _Begun | None:
        """Begin what waits, finish the batch `before` it, and return the batch that is still under way, if any.

        While a batch is under way nothing is waited for: its result is not kept back for the next frame.
        """
        self._pulse = self._clock()
        frames = self._feed.take(self._analyst.max_batch, _PATIENCE if before is None else 0.0)
        if not frames and before is None:
            self._analyst.attend()
        begun = (frames, self._analyst.begin(frames, self._feed.release)) if frames else None
        if before is not None:
            self._finish(before)
        if begun is not None and not self._analyst.overlaps:
            self._finish(begun)
            return None
        return begun

    def _finish(self, begun: _Begun) -> None:
        frames, ticket = begun
        attempt = self._analyst.finish(ticket)
        for rows in attempt.rows:
            self._observe.batch(rows)
        self._observe.stage("infer", attempt.infer)
        self._observe.stage("postprocess", attempt.postprocess)
        for frame, result in zip(frames, attempt.results, strict=True):
            if isinstance(result, InferenceError):
                self._fail(frame, result)
            else:
                self._hand_on(frame, result)

    def _hand_on(self, frame: Frame, found: Detections) -> None:
        # what nobody saw because inference failed belongs to the silence before the next frame that counts
        silence = self._silences.pop(frame.stream, None)
        if silence is not None:
            unseen = frame.at - self._seen.get(frame.stream, frame.at)
            frame = replace(frame, silence=max(frame.silence, silence, unseen))
        self._seen[frame.stream] = frame.at
        self._observe.analysed(frame.stream, max(0.0, self._clock() - frame.at))
        for index, count in Counter(found.classes.tolist()).items():
            self._observe.detected(frame.stream, found.labels[index], count)
        self._sink(frame, found)

    def _fail(self, frame: Frame, error: InferenceError) -> None:
        self._observe.frame_failed(frame.stream)
        self._silences[frame.stream] = max(frame.silence, self._silences.get(frame.stream, 0.0))
        self._unsaid += 1
        now = self._clock()
        if now - self._said >= _SUMMARY:
            _log.error("inference failed", stream=frame.stream, error=str(error), frames=self._unsaid)
            self._said, self._unsaid = now, 0
