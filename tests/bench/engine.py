"""How much of a bare loop's rate over the same session the engine keeps, and where the rest goes.

    python tests/bench/engine.py [--seconds 5] [--device cpu] [--batches 1,2,4,8] [--model NAME|PATH]

Both get frames of the bundled clip; the feed always has the next ones, so that only the engine's own work makes the
difference. They run by turns, so that what else the machine does falls on both alike. The bare loop is the same in
all rows: what a plain session takes for a call. The engine's session runs in each of its ways: plain, with bound
buffers, and on CUDA as a recorded graph. On a CPU the table goes on with an accelerator that is only played: a
session that sleeps, in which nothing of this machine is at work, and gives outputs that the model gave before.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import onnxruntime as ort
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.keeping import keep
from support.pictures import clip
from tocsin.detect.bound import CUDA_GRAPHS, Bound
from tocsin.detect.detector import Detector
from tocsin.detect.engine import Engine
from tocsin.detect.model import Model, open_model
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import LocalSession, Outputs, Placement, Session
from tocsin.errors import InferenceFault
from tocsin.frame import Detections, Frame

TURN = 0.5
"""Seconds of one turn where the model runs in a thread of its own."""

BLOCK = 10
"""Calls in one turn where the engine's thread does everything, the bare calls too."""

PLAYED = 0.002, 0.004, 0.008
"""Seconds that a call of the played accelerator takes; guessed for 8 pictures on GPUs from large to small."""


class Endless:
    """A feed that always has the next frames, and a ledger of what the engine reports.

    With `between` it does that after every BLOCK batches; `turns` are the seconds of those after which it did not.
    """

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = itertools.cycle(frames)
        self.stages: defaultdict[str, list[float]] = defaultdict(list)
        self.between: Callable[[], None] | None = None
        self.turns: list[float] = []
        self._taken = 0
        self._at: float | None = None

    def rest(self) -> None:
        """Forget when the last frames were taken: the engine starts anew."""
        self._at = None

    def take(self, limit: int, timeout: float) -> list[Frame]:
        now = time.perf_counter()
        if self._at is not None:
            self.turns.append(now - self._at)
        self._taken += 1
        if self.between is not None and self._taken % BLOCK == 0:
            self.between()
            now = time.perf_counter()
        frames = list(itertools.islice(self._frames, limit))
        self._at = now
        return frames

    def release(self, frame: Frame) -> None: ...  # the pixels are nobody else's

    def sink(self, frame: Frame, found: Detections) -> None: ...

    def batch(self, views: int) -> None: ...

    def stage(self, stage: str, seconds: float) -> None:
        self.stages[stage].append(seconds)

    def analysed(self, stream: str, age_seconds: float) -> None: ...

    def detected(self, stream: str, label: str, count: int) -> None: ...

    def inference_failed(self, fault: InferenceFault) -> None:
        raise AssertionError(f"inference failed: {fault}")


class Played:
    """A session that takes as long as it is told, and none of the processor; gives what another one gave."""

    def __init__(self, session: Session, batch: NDArray[Any], seconds: float) -> None:
        self.signature = session.signature
        self._outputs: dict[str, NDArray[Any]] = {
            name: values.copy() for name, values in session.infer(batch).items()
        }
        self._seconds = seconds

    def infer(self, batch: NDArray[Any]) -> Outputs:
        time.sleep(self._seconds)
        return {name: values[: len(batch)] for name, values in self._outputs.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds of each bare call and of each turn of the engine, a list for a block, and of the stages of a turn."""

    calls: list[list[float]]
    turns: list[list[float]]
    stages: dict[str, list[float]]

    def __str__(self) -> str:
        bare, ours = (statistics.mean(itertools.chain(*blocks)) for blocks in (self.calls, self.turns))
        pairs = zip(map(statistics.median, self.calls), map(statistics.median, self.turns), strict=True)
        middle = statistics.median(one / other for one, other in pairs)
        stages = "".join(f"{statistics.median(taken) * 1e3:9.2f}" for taken in self.stages.values())
        return f"{bare * 1e3:9.2f} {ours * 1e3:9.2f} {bare / ours:8.1%} {middle:8.1%} {stages}"


HEADER = (
    f"{'':24} {'bare ms':>9} {'engine ms':>9} {'of mean':>8} {'median':>8} {'infer':>9}{'postproc':>9}\n"
    f"{'':24} {'a call':>9} {'a turn':>9} {'kept':>8} {'kept':>8} {'ms':>9}{'ms':>9}"
)


def compare(
    detector: Detector, session: Session, batches: list[NDArray[Any]], feed: Endless, seconds: float
) -> Row:
    """Run both for so many seconds each."""
    row, given = Row([], [], feed.stages), itertools.cycle(batches)

    def close_block(some: Iterable[NDArray[Any]]) -> None:
        row.turns.append(feed.turns[1:])
        feed.turns.clear()
        row.calls.append(_calls(session, some))

    if detector.overlaps:
        for _ in range(max(1, round(seconds / TURN))):
            _run(detector, feed, TURN)
            close_block(_until(time.perf_counter() + TURN, given))
    else:
        feed.between = lambda: close_block(itertools.islice(given, BLOCK))
        _run(detector, feed, 2 * seconds)
    return row


def _until(end: float, batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    return itertools.takewhile(lambda _: time.perf_counter() < end, batches)


def _calls(session: Session, batches: Iterable[NDArray[Any]]) -> list[float]:
    """The seconds of each call but the first, which finds in the caches what was done before."""
    taken = []
    for batch in batches:
        begun = time.perf_counter()
        session.infer(batch)
        taken.append(time.perf_counter() - begun)
    return taken[1:]


def _run(detector: Detector, feed: Endless, seconds: float) -> None:
    failed = threading.Event()
    feed.rest()
    engine = Engine(keep(detector), feed, feed.sink, feed, lambda _: failed.set())
    engine.start()
    assert not failed.wait(seconds), "the engine runs"
    engine.stop(time.monotonic() + 10)


def painted(model: Model, frames: list[Frame], batch: int) -> list[NDArray[Any]]:
    """The frames as batches that a session takes."""
    canvas, batches = Canvas(model.takes, batch), []
    for start in range(len(frames)):
        for slot in range(batch):
            canvas.put(slot, frames[(start * batch + slot) % len(frames)].views[0])
        batches.append(canvas.values(batch).copy())
    return batches


def ways(model: Model, session: Session, placement: Placement) -> Iterator[tuple[str, Session]]:
    """The session as it was opened, and in its other ways."""
    device = placement.device
    yield device, session
    if isinstance(session, LocalSession) and not isinstance(session._session, Bound):
        yield f"{device} bound", LocalSession(Bound(session._session, device))
    if device == "cuda":
        providers = [(placement.provider, {"cudnn_conv_algo_search": "HEURISTIC", **CUDA_GRAPHS})]
        opened = Bound(ort.InferenceSession(model.path, providers=providers, enable_fallback=0), device)
        yield f"{device} {opened.way}", LocalSession(opened)


def _median_ms(work: Callable[[], object], times: int = 300) -> float:
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
    options.add_argument("--seconds", type=float, default=5.0, help="for each of the two, in each row")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--batches", default="1,2,4,8")
    options.add_argument("--model", default="nanodet-coco-416", help="a name in the manifest, or a path")
    options.add_argument("--floor", type=float, default=0.5, help="lowest score that is kept")
    chosen = options.parse_args()

    cv2.setNumThreads(1)  # as the daemon has it
    model, session, placement = open_model(chosen.model, chosen.device)
    frames = list(clip(range(0, 256, 16), model.takes.width, model.takes.height))
    view = frames[0].views[0]
    print(f"{model.name} on {placement.provider}, view {view.width}x{view.height}, floor {chosen.floor}")
    print(HEADER)

    def show(name: str, run: Session, bare: Session, where: Placement, batch: int) -> None:
        detector = Detector(model, run, where, batch, chosen.floor)
        detector.warm()
        row = compare(detector, bare, painted(model, frames, batch), Endless(frames), chosen.seconds)
        detector.close()
        print(f"{name:24} {row}", flush=True)

    for batch in map(int, chosen.batches.split(",")):
        for name, run in ways(model, session, placement):
            show(f"{name}, batch {batch}", run, session, placement, batch)
    if placement.device == "cpu":
        (full, *_) = painted(model, frames, 8)
        for seconds in PLAYED:
            played = Played(session, full, seconds)
            show(
                f"played {seconds * 1e3:.0f} ms, batch 8",
                played,
                played,
                replace(placement, device="cuda"),
                8,
            )

    canvas, outputs = Canvas(model.takes, 1), session.infer(painted(model, frames, 1)[0])
    print(f"hot: prepare one view {_median_ms(lambda: canvas.put(0, view)):.3f} ms")
    print(f"hot: decode one row {_median_ms(lambda: model.family.decode(outputs, 0, chosen.floor)):.3f} ms")


if __name__ == "__main__":
    main()
