"""Faults of inference through the real engine: real tiny models, the newest-frame feed, metrics and events.

Each row of the detector's faults, and the tests that inject it, see it fire and judge what holds and shows:

27 no CUDA: asked for by name, acceptance/test_detector.py::test_a_device_that_cannot_be_had_ends_the_start;
   with `auto`, integration/test_app.py::test_an_accelerator_that_does_not_load_is_told_everywhere;
   its sentences, integration/test_detect_device.py.
28 an error of the runtime, three times: here; the process ends in
   acceptance/test_detector.py::test_a_detector_that_answers_nothing_but_errors_ends_the_daemon;
   integration/test_detect_device.py::test_the_runtime_changes_no_provider_by_itself.
29 no memory: here; integration/test_detect_deadline.py::test_too_much_memory_is_told_apart.
30 NaN: here; all other garbage, unit/test_detect_garbage.py.
31 a model of a wrong shape, 32 a file that is cut short, a git-lfs pointer or HTML, 33 weights outside the folder:
   acceptance/test_reload.py::test_a_model_that_cannot_be_used_is_refused_and_the_old_one_stays;
   the sentences, unit/test_detect_model.py and unit/test_detect_modelfile.py.
34 a graph without an end: here;
   integration/test_detect_deadline.py::test_an_endless_run_ends_within_five_seconds_and_the_next_works.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from support import graphs
from support.pictures import frame, grey, view
from support.wait import SCALE, until
from tocsin import reference
from tocsin.alarm.episode import Decision
from tocsin.alarm.moment import Moment
from tocsin.alarm.watch import Rule, Watch
from tocsin.alarm.zone import Zones
from tocsin.capture.newest import Newest
from tocsin.capture.wire import DropReason
from tocsin.deliver.event import DetectorData, EventType
from tocsin.detect.detector import Detector, open_detector
from tocsin.detect.engine import Engine
from tocsin.detect.keeper import PROBATION, Keeper, Kept
from tocsin.detect.model import open_model
from tocsin.detect.recovery import IN_A_ROW
from tocsin.detect.session import Device, Outputs, Placement, Session
from tocsin.errors import InferenceError, InferenceFault, StartError
from tocsin.frame import Detections, Frame
from tocsin.metrics import Metrics, Names
from tocsin.vigil.degradations import Degradations

WHITE, BRIGHT, GREY, BLACK = 235, 200, 128, 16
FLOOR = 0.4
CUDA = Placement("CUDAExecutionProvider", "cuda", None)
NAMES = Names({"yard": ["visit"], "gate": ["visit"]}, {"visit": ["thing"]}, [])
VISIT = Rule("visit", ("thing",), 0.6, hits=3, of=5, within=2.0, end_after=1.0, repeat_every=0, zones=())


class Poisoned:
    """A session in front of a real one that fails as the test says: an accelerator that nobody has here."""

    def __init__(self, session: Session, fault: Callable[[int], InferenceFault | None]) -> None:
        self.signature = session.signature
        self._session = session
        self._fault = fault
        self.fired = 0

    def infer(self, batch: NDArray[Any]) -> Outputs:
        fault = self._fault(len(batch))
        if fault is not None:
            self.fired += 1
            raise InferenceError(fault, "CUDA failure 700: an illegal memory access was encountered")
        return self._session.infer(batch)


class Rig:
    """An engine whose detector is looked after, with all that it reports."""

    def __init__(self, path: Path, detector: Detector, asked: Device = "cpu") -> None:
        self.path = path
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, NAMES)
        self.events: list[tuple[str, str, str | None]] = []
        self.degradations = Degradations(self._say, self.metrics)
        self.feed = Newest()
        self.seen: list[tuple[Frame, int]] = []
        self.sinks: list[Callable[[Frame, Detections], None]] = []
        self.sentences: list[str] = []
        self.openings: list[str] = []
        self.released = self.put_in = 0
        self.keeper = Keeper(self.kept(detector, asked), self.metrics, self.degradations)
        self.engine = Engine(self.keeper, self.feed, self._sink, self.metrics, self.sentences.append)

    def kept(self, detector: Detector, asked: Device = "cpu") -> Kept:
        return Kept(detector, asked, self._open, reference.canary(str(self.path), detector))

    def _open(self, device: Device) -> Detector:
        self.openings.append(device)
        if device == "cuda":
            raise StartError("detector.device: expected cuda, found that it is gone")
        detector = open_detector(str(self.path), device, "auto", FLOOR)
        detector.warm()
        return detector

    def put(
        self, *lumas: int, stream: str = "yard", at: float | None = None, number: int | None = None
    ) -> None:
        """Let frames of a brightness through, one after another, and wait until each is done."""
        for luma in lumas:
            self.put_in += 1
            moment = time.monotonic() if at is None else at
            one = frame(view(grey(32, 32, luma)), stream=stream, number=self.put_in, at=moment)
            self.metrics.received(stream, 1)
            self.feed.put(replace(one, silence=0.1), self._release)
            until(self._is_done, 15, "the frame to be done")

    def _is_done(self) -> bool:
        done = len(self.seen) + self.value("frames_dropped_total")
        return done == self.put_in or bool(self.sentences)

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry these labels."""
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"tocsin_{name}" and labels.items() <= sample.labels.items()
        )

    def _release(self) -> None:
        self.released += 1

    def _sink(self, given: Frame, found: Detections) -> None:
        for sink in self.sinks:
            sink(given, found)
        self.seen.append((given, len(found)))

    def _say(self, kind: EventType, data: DetectorData) -> None:
        self.events.append((kind, data.reason, data.stream))


@contextmanager
def running(rig: Rig) -> Iterator[Rig]:
    """The engine at work; when it ends, every frame was accounted for and given back."""
    rig.keeper.introduce()
    rig.engine.start()
    try:
        yield rig
    finally:
        rig.engine.stop(time.monotonic() + 10 * SCALE)
    analysed, dropped = rig.value("frames_analysed_total"), rig.value("frames_dropped_total")
    assert rig.value("frames_received_total") == analysed + dropped == rig.released


def _plain(path: Path) -> Detector:
    detector = open_detector(str(path), "cpu", "auto", FLOOR)
    detector.warm()
    return detector


def _accelerated(
    path: Path, fault: Callable[[int], InferenceFault | None], batch: int = 1
) -> tuple[Detector, Poisoned]:
    model, session, _ = open_model(str(path), "cpu")
    poisoned = Poisoned(session, fault)
    return Detector(model, poisoned, CUDA, batch, FLOOR), poisoned


def test_an_error_that_passes_costs_its_frames_and_nothing_else(tmp_path: Path) -> None:
    """Row 28: ONNX Runtime's own errors are counted; three in a row cost one opening, and frames flow again."""
    path = graphs.save(tmp_path / "own.onnx", score="lookup")
    with running(Rig(path, _plain(path))) as rig:
        rig.put(BLACK, WHITE, WHITE, WHITE)
        assert rig.value("inference_errors_total", kind="runtime") == IN_A_ROW, "the fault fired"
        rig.put(BLACK, BLACK)
        assert rig.openings == ["cpu"]
        assert rig.value("detector_reopens_total") == 1
        assert rig.value("frames_dropped_total", stream="yard", reason=DropReason.FAILED) == IN_A_ROW
        assert len(rig.seen) == 3
        assert rig.value("detector_degraded") == 1
    assert rig.sentences == []
    assert rig.events == [("detector.degraded", "failing", None)]


def test_errors_that_stay_end_the_engine(tmp_path: Path) -> None:
    """Row 28: a device that answers nothing but errors is given up aloud, after one opening."""
    path = graphs.save(tmp_path / "own.onnx", score="lookup")
    with running(Rig(path, _plain(path))) as rig:
        rig.put(*[WHITE] * (2 * IN_A_ROW))
        (sentence,) = until(lambda: rig.sentences, 5, "the engine to give up")
    assert "could not be mended" in sentence
    assert rig.openings == ["cpu"]
    assert rig.seen == []


def test_a_poisoned_accelerator_is_left_for_the_cpu(tmp_path: Path) -> None:
    """Row 28: with auto the CPU takes over; metrics, events and the information say which device it is now."""
    path = graphs.save(tmp_path / "own.onnx")
    fault: list[InferenceFault | None] = [None]
    detector, poisoned = _accelerated(path, lambda _: fault[0])
    with running(Rig(path, detector, "auto")) as rig:
        rig.put(WHITE)
        fault[0] = InferenceFault.RUNTIME
        rig.put(WHITE, WHITE, WHITE)
        assert poisoned.fired == IN_A_ROW
        rig.put(WHITE, WHITE)
        assert rig.openings == ["cuda", "cpu"]
        assert [count for _, count in rig.seen] == [1, 1, 1]
        assert rig.value("provider_fallbacks_total") == 1
        assert rig.value("detector_info", device="cpu", provider="CPUExecutionProvider") == 1
        assert rig.value("detector_info") == 1
        assert rig.value("model_canary_ok") == 1
    assert [reason for _, reason, _ in rig.events] == ["failing", "lost"]
    assert rig.sentences == []


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path) -> None:
    """Row 29: a real failure to allocate; two pictures at once are two too many, and each alone has its result."""
    path = graphs.save_greedy(tmp_path / "own.onnx")
    detector = open_detector(str(path), "cpu", 4, FLOOR)
    rig = Rig(path, detector)
    for number, stream in enumerate(("yard", "gate")):
        rig.feed.put(frame(view(grey(32, 32, WHITE)), stream=stream, number=number), rig._release)
        rig.metrics.received(stream, 1)
    rig.put_in = 2
    with running(rig):
        until(rig._is_done, 10, "both frames")
        assert rig.value("inference_errors_total", kind="oom") == 1, "the fault fired"
        assert rig.keeper.max_batch == 1
        rig.put(WHITE)
        rig.put(WHITE, stream="gate")
        assert [count for _, count in rig.seen] == [1, 1]
    assert rig.openings == []


def test_memory_that_is_short_for_one_picture_is_no_accelerator(tmp_path: Path) -> None:
    """Row 29: where halving ends, the way is that of every failure: the CPU."""
    path = graphs.save(tmp_path / "own.onnx")
    detector, poisoned = _accelerated(path, lambda _: InferenceFault.OOM, batch=8)
    with running(Rig(path, detector, "auto")) as rig:
        rig.put(WHITE, WHITE, WHITE, WHITE)
        assert poisoned.fired >= IN_A_ROW
        assert rig.value("inference_errors_total", kind="oom") == IN_A_ROW
        assert rig.openings == ["cuda", "cpu"]
        assert len(rig.seen) == 1


def test_garbage_neither_raises_nor_ends_an_alarm(tmp_path: Path) -> None:
    """Row 30: a real NaN is no sighting and no all-clear; the time of it does not count as looked at."""
    path = graphs.save(tmp_path / "own.onnx", score="root")
    detector = open_detector(str(path), "cpu", "auto", FLOOR)  # grey is no number for it: it cannot be warmed
    watch = Watch("yard", VISIT, Zones({}), detector.labels)
    decisions: list[Decision] = []
    rig = Rig(path, detector)
    rig.sinks.append(
        lambda given, found: decisions.append(
            watch.update(Moment(given.at, given.period, given.silence), found).decision
        )
    )

    def play(lumas: Sequence[int], begins: float) -> list[Decision]:
        before = len(decisions)
        for number, luma in enumerate(lumas):
            rig.put(luma, at=begins + number * 0.1)
        return decisions[before:]

    with running(rig):
        assert play([BLACK] * 30, 0.0) == []
        assert rig.value("inference_errors_total", kind="nonfinite") == 30, "the fault fired"
        assert play([WHITE] * 3, 3.0)[-1] is Decision.RAISED
        assert play([BLACK] * 30, 3.3) == []
        hidden = 150  # bright enough for a number, too dark for the rule
        assert Decision.ENDED not in play([hidden] * 5, 6.3), (
            "half a second was looked at, not three and a half"
        )
        assert play([hidden] * 8, 6.8).count(Decision.ENDED) == 1
        assert rig.value("frames_dropped_total", reason="failed") == 60
    assert rig.sentences == []
    assert rig.events.count(("detector.degraded", "output", "yard")) == 1


def test_an_endless_run_is_ended_and_counted(tmp_path: Path) -> None:
    """Row 34: a real endless loop is ended within five seconds, and the next frame has its result."""
    path = graphs.save_endless(tmp_path / "own.onnx")
    with running(Rig(path, _plain(path))) as rig:
        begun = time.monotonic()
        rig.put(WHITE)
        assert time.monotonic() - begun <= 5 * SCALE
        assert rig.value("inference_errors_total", kind="deadline") == 1, "the fault fired"
        rig.put(GREY)
        assert len(rig.seen) == 1
    assert rig.events == []


def test_a_new_detector_that_fails_gives_way_to_the_old(tmp_path: Path) -> None:
    """A model that works when it is warmed and fails on what the cameras show is taken back, and no frame waits."""
    path = graphs.save(tmp_path / "own.onnx")
    bad = graphs.save(tmp_path / "bad.onnx", score="lookup")
    rolled_back: list[str] = []
    with running(Rig(path, _plain(path))) as rig:
        rig.put(WHITE)
        rig.keeper.replace(rig.kept(_plain(bad)), rolled_back.append)
        rig.put(WHITE, WHITE, WHITE)
        assert rig.value("inference_errors_total", kind="runtime") == IN_A_ROW, "the fault fired"
        rig.put(WHITE)
        assert len(rig.seen) == 2
        assert len(rolled_back) == rig.value("model_reload_failures_total") == 1
        assert rig.keeper.detector.model_name == "own"
    assert rig.openings == []


def test_a_new_detector_takes_over_between_two_batches(tmp_path: Path) -> None:
    """Every frame before and after the exchange has its result, and the old session goes after a while."""
    path, other = graphs.save(tmp_path / "own.onnx"), graphs.save(tmp_path / "other.onnx")
    old = _plain(path)
    with running(Rig(path, old)) as rig:
        rig.put(WHITE)
        rig.keeper.replace(rig.kept(_plain(other)), rig.sentences.append)
        rig.put(*[WHITE] * PROBATION)
        assert rig.value("detector_info", model="other") == 1
        assert [count for _, count in rig.seen] == [1] * (1 + PROBATION)
        with pytest.raises(InferenceError, match="found a closed one"):
            old.detect([frame(view(grey(32, 32, WHITE)))])
    assert rig.value("frames_dropped_total") == 0


def test_a_device_that_drifts_is_seen(tmp_path: Path) -> None:
    """A session whose numbers change without an error: the canary misses, and says that it is over."""
    path = graphs.save(tmp_path / "own.onnx")
    model, session, placement = open_model(str(path), "cpu")

    class Drifting:
        signature = session.signature
        factor = 1.0

        def infer(self, batch: NDArray[Any]) -> Outputs:
            outputs = session.infer(batch)
            return {**outputs, "scores": np.asarray(outputs["scores"]) * np.float32(self.factor)}

    drifting = Drifting()
    with running(Rig(path, Detector(model, drifting, placement, 1, FLOOR))) as rig:
        assert rig.value("model_canary_ok") == 1
        for factor, ok in ((0.9, 0), (1.0, 1)):
            drifting.factor = factor
            rig.keeper._canary_due = time.monotonic()  # five minutes later
            rig.put(BLACK)
            assert rig.value("model_canary_ok") == ok
            assert rig.value("detector_degraded") == 1 - ok
    assert rig.events == [("detector.degraded", "canary", None), ("detector.restored", "canary", None)]
