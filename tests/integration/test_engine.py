"""The engine's thread between a feed and a sink."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from structlog.testing import capture_logs

from support.pictures import frame, grey, view
from support.wait import SCALE, until
from tocsin.detect.detector import Attempt, Detector, Ticket
from tocsin.detect.engine import Engine
from tocsin.errors import InferenceError, InferenceFault
from tocsin.frame import Detections, Frame


class Mailbox:
    """A feed that keeps the newest frame of each stream, as the real one does."""

    def __init__(self) -> None:
        self._newest: dict[str, Frame] = {}
        self._there = threading.Condition()  # guards _newest; put wakes take
        self.released: list[Frame] = []

    def put(self, stream: str, number: int, at: float = 0.0, silence: float = 0.0) -> None:
        with self._there:
            plain = frame(view(grey(4, 4)), stream=stream, number=number, at=at)
            self._newest[stream] = replace(plain, silence=silence)
            self._there.notify()

    def take(self, limit: int, timeout: float) -> list[Frame]:
        with self._there:
            self._there.wait_for(lambda: bool(self._newest), timeout)
            return [self._newest.pop(stream) for stream in sorted(self._newest)[:limit]]

    def release(self, given: Frame) -> None:
        self.released.append(given)

    def wait_for_take(self, or_until: Callable[[], bool]) -> None:
        until(lambda: not self._newest or or_until(), 5, "the frame to be taken")


class Scripted:
    """A detector that does what the test says to each frame, and can be held in the middle of a batch."""

    def __init__(self, max_batch: int = 4) -> None:
        self.max_batch = max_batch
        self.overlaps = False
        self.lost: str | None = None
        self.attended = 0
        self.running = threading.Event()  # set while a batch is held; the test waits for it
        self.go = threading.Event()  # the test sets it to let batches through
        self.go.set()
        self.fault: Callable[[Frame], InferenceFault | None] = lambda _: None
        self.bug: Exception | None = None
        self.journal: list[
            tuple[str | int, ...]
        ] = []  # what was begun and finished, with the frames' numbers

    @contextmanager
    def held(self) -> Iterator[None]:
        self.running.clear()
        self.go.clear()
        try:
            yield
        finally:
            self.go.set()

    def attend(self) -> None:
        self.attended += 1

    def begin(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Ticket:
        assert release is not None
        for one in frames:
            release(one)
        self.journal.append(("begin", *(one.number for one in frames)))
        return Ticket(cast("Detector", self), frames, release)

    def finish(self, ticket: Ticket) -> Attempt:
        self.journal.append(("finish", *(one.number for one in ticket.frames)))
        self.running.set()
        assert self.go.wait(30 * SCALE), "the test lets the batch go"
        if self.bug:
            raise self.bug
        results = tuple(self._result(one) for one in ticket.frames)
        return Attempt(results, infer=0.25, postprocess=0.125, rows=(len(results),))

    def _result(self, given: Frame) -> Detections | InferenceError:
        fault = self.fault(given)
        if fault:
            return InferenceError(fault, "the detector has no answer")
        return Detections(
            boxes=np.zeros((2, 4), np.float32),
            scores=np.ones(2, np.float32),
            classes=np.array([1, 1]),
            pixels=np.ones((2, 2), np.float32),
            views=np.zeros(2, np.int64),
            labels=("person", "knife"),
        )


class Ledger:
    """What the engine reported and handed on."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, int]] = []
        self.silences: list[float] = []
        self.ages: list[tuple[str, float]] = []
        self.batches: list[int] = []
        self.stages: Counter[tuple[str, float]] = Counter()
        self.labels: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[str] = Counter()
        self.sentences: list[str] = []

    def wait_for(self, *wanted: tuple[str, int]) -> None:
        until(lambda: set(wanted) <= set(self.frames), 5, f"the results {wanted}")

    def sink(self, given: Frame, found: Detections) -> None:
        assert len(found) == 2
        self.silences.append(given.silence)
        self.frames.append((given.stream, given.number))

    def batch(self, size: int) -> None:
        self.batches.append(size)

    def stage(self, stage: str, seconds: float) -> None:
        self.stages[stage, seconds] += 1

    def analysed(self, stream: str, age_seconds: float) -> None:
        self.ages.append((stream, age_seconds))

    def detected(self, stream: str, label: str, count: int) -> None:
        self.labels[stream, label] += count

    def frame_failed(self, stream: str) -> None:
        self.failed[stream] += 1


@pytest.fixture
def feed() -> Mailbox:
    return Mailbox()


@pytest.fixture
def detector() -> Scripted:
    return Scripted()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def engine(feed: Mailbox, detector: Scripted, ledger: Ledger) -> Iterator[Engine]:
    """A running engine, ended after the test."""
    engine = Engine(detector, feed, ledger.sink, ledger, ledger.sentences.append)
    engine.start()
    yield engine
    detector.go.set()
    engine.stop(time.monotonic() + 5 * SCALE)


def test_frames_come_out_in_the_order_of_the_feed(engine: Engine, feed: Mailbox, ledger: Ledger) -> None:
    """Every stream's frames reach the sink in their order, each once."""
    for number in range(20):
        feed.put("gate", number)
        feed.put("yard", number)
        ledger.wait_for(("gate", number), ("yard", number))
    for stream in ("gate", "yard"):
        assert [number for name, number in ledger.frames if name == stream] == list(range(20))


def test_the_newest_frame_wins(engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger) -> None:
    """While the detector is busy the engine hoards nothing: the next frame it takes is the newest there is."""
    with detector.held():
        feed.put("yard", 0)
        assert detector.running.wait(5 * SCALE)
        for number in range(1, 10):
            feed.put("yard", number)
    until(lambda: len(ledger.frames) == 2, 5, "two results")
    assert ledger.frames == [("yard", 0), ("yard", 9)]


def test_the_streams_that_wait_share_a_batch(
    engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """What gathered while the detector was busy goes in one call, up to the largest batch."""
    with detector.held():
        feed.put("a", 0)
        assert detector.running.wait(5 * SCALE)
        for stream in "abcde":
            feed.put(stream, 1)
    until(lambda: len(ledger.frames) == 6, 5, "all results")
    assert ledger.batches == [1, 4, 1]


def test_pixels_are_given_back_before_the_detector_is_done(
    engine: Engine, feed: Mailbox, detector: Scripted
) -> None:
    """The worker has its memory again while its frame is still in the detector."""
    with detector.held():
        feed.put("yard", 0)
        assert detector.running.wait(5 * SCALE)
        assert [one.number for one in feed.released] == [0]


def test_the_observer_hears_everything(engine: Engine, feed: Mailbox, ledger: Ledger) -> None:
    """Batch, stages, age and detections are reported for each frame."""
    feed.put("yard", 0, at=time.monotonic() - 2)
    until(lambda: ledger.frames, 5, "a result")
    assert ledger.stages == {("infer", 0.25): 1, ("postprocess", 0.125): 1}
    assert ledger.labels == {("yard", "knife"): 2}
    stream, age = ledger.ages[0]
    assert stream == "yard"
    assert 2 <= age < 2 + 5 * SCALE


def test_a_failed_frame_is_not_nothing_seen(
    engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """A frame without an answer is counted and reaches nobody; its neighbours do."""
    detector.fault = lambda given: InferenceFault.NONFINITE if given.stream == "bad" else None
    for number in range(6):
        with detector.held():
            feed.put("hold", number)
            assert detector.running.wait(5 * SCALE)
            feed.put("bad", number)
            feed.put("good", number)
        ledger.wait_for(("good", number))
    assert {stream for stream, _ in ledger.frames} == {"good", "hold"}
    assert ledger.failed == {"bad": 6}
    assert ledger.sentences == []


def test_an_engine_whose_analyst_is_lost_ends_aloud(
    engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """It says why, once, after it has handed on what the last batch gave, and takes no further frame."""
    with detector.held():
        feed.put("yard", 0)
        assert detector.running.wait(5 * SCALE)
        detector.lost = "the device is gone"
    until(lambda: ledger.sentences, 5, "the engine to give up")
    feed.put("yard", 1)
    engine.stop(time.monotonic() + 5 * SCALE)
    assert ledger.frames == [("yard", 0)]
    assert ledger.sentences == ["the device is gone"]
    assert [one.number for one in feed.released] == [0]


class Turns:
    """A feed that gives one list of frames a turn, as the test has written them down, and then nothing."""

    def __init__(self, *turns: list[int]) -> None:
        self._turns = [[frame(view(grey(4, 4)), number=number) for number in turn] for turn in turns]
        self.patience: list[float] = []
        self.released: list[int] = []
        self.over = threading.Event()  # set when the script is at its end; the test waits for it

    def take(self, limit: int, timeout: float) -> list[Frame]:
        self.patience.append(timeout)
        if self._turns:
            return self._turns.pop(0)
        self.over.wait(timeout)
        self.over.set()
        return []

    def release(self, given: Frame) -> None:
        self.released.append(given.number)


def test_the_next_batch_begins_before_the_one_before_is_finished(detector: Scripted, ledger: Ledger) -> None:
    """Where batches overlap the accelerator gets what waits first, and no result waits for a frame to come."""
    detector.overlaps = True
    feed = Turns([0, 1], [2], [], [3], [4])
    engine = Engine(detector, feed, ledger.sink, ledger, ledger.sentences.append)
    engine.start()
    until(lambda: len(ledger.frames) == 5, 5, "all results")
    assert feed.over.wait(5 * SCALE)
    engine.stop(time.monotonic() + 5 * SCALE)
    assert detector.journal == [
        *(("begin", 0, 1), ("begin", 2), ("finish", 0, 1), ("finish", 2)),
        *(("begin", 3), ("begin", 4), ("finish", 3), ("finish", 4)),
    ]
    assert [number for _, number in ledger.frames] == [0, 1, 2, 3, 4]
    assert [wait == 0 for wait in feed.patience[:6]] == [False, True, True, False, True, True]
    assert feed.released == [0, 1, 2, 3, 4]


def test_a_batch_under_way_is_finished_on_stop(detector: Scripted, ledger: Ledger) -> None:
    """What the accelerator has begun reaches the sink, though the engine was told to stop meanwhile."""
    detector.overlaps = True
    feed = Turns([0], [1])
    engine = Engine(detector, feed, ledger.sink, ledger, ledger.sentences.append)
    with detector.held():
        engine.start()
        assert detector.running.wait(5 * SCALE)
        assert detector.journal == [("begin", 0), ("begin", 1), ("finish", 0)]
        engine._stopping.set()
    engine.stop(time.monotonic() + 5 * SCALE)
    assert [number for _, number in ledger.frames] == [0, 1]
    assert feed.released == [0, 1]


def test_a_bug_ends_the_engine_aloud(
    engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """An engine that dies of an unexpected error says so; it never looks like a quiet night."""
    detector.bug = ZeroDivisionError("a bug")
    feed.put("yard", 0)
    until(lambda: ledger.sentences, 5, "the engine to give up")
    assert ledger.sentences == ["the engine stopped on an unexpected error"]


def test_failures_do_not_flood_the_log(feed: Mailbox, detector: Scripted, ledger: Ledger) -> None:
    """The first failure is logged at once, those of the next minute as one line with their count."""
    now = 1000.0
    detector.fault = lambda given: InferenceFault.NONFINITE if given.stream == "bad" else None
    engine = Engine(detector, feed, ledger.sink, ledger, ledger.sentences.append, clock=lambda: now)
    with capture_logs() as lines:
        engine.start()
        for number in range(6):
            if number == 5:
                now += 61
            feed.put("bad", number)
            feed.wait_for_take(or_until=lambda: False)
            feed.put("good", number)
            ledger.wait_for(("good", number))
        engine.stop(engine._clock() + 5 * SCALE)
    assert ledger.failed == {"bad": 6}
    assert [(line["event"], line["frames"]) for line in lines] == [
        ("inference failed", 1),
        ("inference failed", 5),
    ]


def test_the_pulse_moves_while_nothing_comes(engine: Engine, detector: Scripted) -> None:
    """A watchdog sees an idle engine alive, and the detector is attended to without a frame."""
    first = engine.pulse()
    until(lambda: engine.pulse() > first, 5, "another turn")
    until(lambda: detector.attended, 5, "the detector to be attended to")


def test_the_pulse_stands_still_while_the_detector_hangs(
    engine: Engine, feed: Mailbox, detector: Scripted
) -> None:
    """A watchdog sees a detector that does not come back, and stop says that it did not."""
    with detector.held():
        feed.put("yard", 0)
        assert detector.running.wait(5 * SCALE)
        pulse = engine.pulse()
        begun = time.monotonic()
        with pytest.raises(InferenceError, match="still at work"):
            engine.stop(begun + 0.5)
        assert 0.5 <= time.monotonic() - begun < 0.5 + 5 * SCALE
        assert engine.pulse() == pulse


def test_an_idle_engine_stops_within_a_second(engine: Engine) -> None:
    """Stopping waits for one turn at most, and may be asked for twice."""
    engine.stop(time.monotonic() + 1 * SCALE)
    engine.stop(0)


def test_an_engine_that_never_started_stops_at_once(
    feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """A start that failed elsewhere can unwind."""
    Engine(detector, feed, ledger.sink, ledger, ledger.sentences.append).stop(0)


def test_the_silence_before_a_frame_that_failed_counts_for_the_next(
    engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """A gap in what was seen is not forgotten because inference failed on the first frame after it."""
    detector.fault = lambda given: InferenceFault.RUNTIME if given.number == 1 else None
    feed.put("yard", 1, silence=9.0)
    until(lambda: ledger.failed["yard"], 5, "the failure")
    for number in (2, 3):
        feed.put("yard", number, silence=0.1)
        ledger.wait_for(("yard", number))
    assert ledger.silences == [9.0, 0.1]


def test_the_time_in_which_inference_failed_is_a_silence(
    engine: Engine, feed: Mailbox, detector: Scripted, ledger: Ledger
) -> None:
    """Nobody looked from the last frame with a result to the next one, however fast the frames came."""
    detector.fault = lambda given: InferenceFault.NONFINITE if 2 <= given.number < 8 else None
    for number in range(10):
        feed.put("yard", number, at=float(number), silence=0.1)
        feed.wait_for_take(or_until=lambda: False)
    ledger.wait_for(("yard", 9))
    assert ledger.failed == {"yard": 6}
    assert ledger.silences == [0.1, 0.1, 7.0, 0.1]
