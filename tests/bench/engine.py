"""How much of a bare `session.run` loop's rate the engine keeps, and where the rest goes.

    python tests/bench/engine.py [--seconds 10] [--device cpu] [--batch 1]

Both run the bundled model on the same frames of the bundled clip, turn by turn; the
feed always has the next frames, so that only the engine's own work makes the difference.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.pictures import clip
from tocsin.detect.detector import GPU_BATCH, Detector
from tocsin.detect.engine import Engine
from tocsin.detect.model import open_model
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import LocalSession
from tocsin.detect.strikes import Strikes
from tocsin.errors import InferenceFault
from tocsin.frame import Detections, Frame

TURN = 0.5
"""Seconds of one turn: short, so that what else the machine does falls on both alike."""


class Endless:
    """A feed that always has the next frames, and a ledger of what the engine reports."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = itertools.cycle(frames)
        self.stages: defaultdict[str, list[float]] = defaultdict(list)
        self.turns: list[float] = []
        self._taken = time.perf_counter()
        self.frames = 0

    def take(self, limit: int, timeout: float) -> list[Frame]:
        now = time.perf_counter()
        self.turns.append(now - self._taken)
        self._taken = now
        return list(itertools.islice(self._frames, limit))

    def release(self, frame: Frame) -> None: ...  # the pixels are nobody else's

    def sink(self, frame: Frame, found: Detections) -> None:
        self.frames += 1

    def batch(self, size: int) -> None: ...

    def stage(self, stage: str, seconds: float) -> None:
        self.stages[stage].append(seconds)

    def analysed(self, stream: str, age_seconds: float) -> None: ...

    def detected(self, stream: str, label: str, count: int) -> None: ...

    def inference_failed(self, fault: InferenceFault) -> None:
        raise AssertionError(f"inference failed: {fault}")


def _bare(session: LocalSession, batches: list[np.ndarray], seconds: float) -> tuple[int, float, list[float]]:
    """Frames, seconds, and the seconds of each call."""
    calls: list[float] = []
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        call = time.perf_counter()
        session.infer(batches[len(calls) % len(batches)])
        calls.append(time.perf_counter() - call)
    return len(calls) * len(batches[0]), time.perf_counter() - begun, calls


def _engine(detector: Detector, feed: Endless, seconds: float) -> tuple[int, float]:
    """Frames and seconds."""
    before, failed = feed.frames, threading.Event()
    engine = Engine(Strikes(detector), feed, feed.sink, feed, lambda _: failed.set())
    begun = time.perf_counter()
    engine.start()
    assert not failed.wait(seconds), "the engine runs"
    engine.stop(time.monotonic() + 10)
    return feed.frames - before, time.perf_counter() - begun


def _median_ms(work: Callable[[], object], times: int = 500) -> float:
    """The middle of the times that a call takes."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e3


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=10.0, help="for each of the two")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--batch", type=int, default=0, help="0: 1 on a CPU, 8 on a GPU")
    options.add_argument("--floor", type=float, default=0.5, help="lowest score that is kept")
    chosen = options.parse_args()

    cv2.setNumThreads(1)  # as the daemon has it
    model, session, placement = open_model("nanodet-coco-416", chosen.device)
    batch = chosen.batch or (1 if placement.device == "cpu" else GPU_BATCH)
    detector = Detector(model, session, placement, batch, chosen.floor)
    frames = list(clip(range(0, 256, 16), detector.input_width, detector.input_height))
    canvas, batches = Canvas(model.takes, batch), []
    for start in range(len(frames)):
        for slot in range(batch):
            canvas.put(slot, frames[(start * batch + slot) % len(frames)].views[0])
        batches.append(canvas.values(batch).copy())
    detector.warm()

    feed = Endless(frames)
    bare, ours = [0, 0.0], [0, 0.0]
    calls: list[float] = []
    turns: list[float] = []
    ratios: list[float] = []
    for _ in range(max(1, round(chosen.seconds / TURN))):
        count, seconds, taken = _bare(session, batches, TURN)
        bare, calls = [bare[0] + count, bare[1] + seconds], calls + taken
        feed.turns.clear()
        count, seconds = _engine(detector, feed, TURN)
        ours, turns = [ours[0] + count, ours[1] + seconds], turns + feed.turns[1:]
        ratios.append(statistics.median(taken) / statistics.median(feed.turns[1:]))

    view = frames[0].views[0]
    outputs = session.infer(batches[0])
    rates = bare[0] / bare[1], ours[0] / ours[1]
    print(
        f"provider {placement.provider}, batch {batch}, view {view.width}x{view.height}, floor {chosen.floor}"
    )
    print(
        f"bare session.run  {rates[0]:8.1f} frames/s  {statistics.median(calls) * 1e3:8.2f} ms a call (median)"
    )
    print(
        f"engine            {rates[1]:8.1f} frames/s  {statistics.median(turns) * 1e3:8.2f} ms a turn (median)"
    )
    print(
        f"engine / bare     {rates[1] / rates[0]:8.1%} by rate, {statistics.median(ratios):.1%} the median of turns"
    )
    for stage, taken in feed.stages.items():
        print(f"  {stage:<12} {statistics.median(taken) * 1e3:.2f} ms a batch")
    print(f"prepare one view  {_median_ms(lambda: canvas.put(0, view)):.3f} ms")
    decode = _median_ms(lambda: model.family.decode(outputs, 0, chosen.floor))
    print(f"decode one row    {decode:.3f} ms")


if __name__ == "__main__":
    main()
