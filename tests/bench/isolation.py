"""How much dead cameras disturb a live one.

    python tests/bench/isolation.py [--pairs 20] [--seconds 6] [--dead 8] [--max-fps 8]

A fake camera sends 25 pictures a second, of which so many as `--max-fps` go through the bundled detector. In
turns it is alone and beside dead ones: of each four one refuses connections, one swallows them, one accepts them
and says nothing, and one answers until it is to play. Each turn starts anew, so that the dead ones are tried as
often as they ever are. The fake cameras are processes of their own.

The age at the result (`tocsin_frame_age_seconds`) is what is promised: less than 5 % more on its 99th percentile.
The age at which the detector takes a frame is the part of it that capture answers for. Percentiles are of all
frames of all turns; the interval is of their ratio, 95 %, with pairs of turns drawn again and again. On a machine
that does other things it says how much of the difference may be theirs.
"""

import argparse
import logging
import os
import socket
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from measure import processor_seconds, spare_workers

sys.path.append(str(Path(__file__).parents[1]))

from support.access import Login
from support.keeping import keep
from support.remotecamera import RemoteCamera
from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.capture.supervisor import Supervisor
from tocsin.detect.detector import Detector
from tocsin.detect.engine import Engine
from tocsin.detect.model import open_model
from tocsin.frame import Detections, Frame
from tocsin.light.plan import Policy

_WARM = 2.0
"""Seconds that a turn begins with: workers start, and dead cameras are found to be dead."""

_LOGIN = Login("bench", "isolation")
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Turn:
    """The ages of the live camera's frames in seconds, at the result and when the detector took them.

    `cpu` is what this process, the live camera's worker and all the dead ones' took, in seconds for each second.
    """

    result: list[float]
    taken: list[float]
    cpu: tuple[float, float, float]


class _Consumer:
    """The feed of an engine, and what it reports; hears nothing else."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.release = supervisor.release
        self.result: list[float] = []
        self.taken: list[float] = []
        self.measuring = threading.Event()

    def take(self, limit: int, timeout: float) -> list[Frame]:
        frames = self._supervisor.take(limit, timeout)
        if self.measuring.is_set():
            self.taken += [time.monotonic() - frame.at for frame in frames if frame.stream == "live"]
        return frames

    def analysed(self, stream: str, age_seconds: float) -> None:
        if self.measuring.is_set() and stream == "live":
            self.result.append(age_seconds)

    def sink(self, frame: Frame, found: Detections) -> None: ...

    def __getattr__(self, verb: str) -> Any:
        return lambda *_: None


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--pairs", type=int, default=20)
    options.add_argument("--seconds", type=float, default=6.0)
    options.add_argument("--dead", type=int, default=8)
    options.add_argument("--max-fps", type=float, default=8.0)
    asked = options.parse_args()
    spare_workers()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    model, session, placement = open_model("nanodet-coco-416", "cpu")
    detector = Detector(model, session, placement, 1, 0.5)
    detector.warm()
    takes = ViewOrder(model.takes.width, model.takes.height, keep_aspect=True)
    turns: dict[bool, list[Turn]] = {False: [], True: []}
    with RemoteCamera(_LOGIN, width=640, height=480, fps=25.0) as camera, _dead(asked.dead) as dead:
        live = Order("live", _source(camera.url), (takes,), Policy(), asked.max_fps)
        others = [Order(f"dead{at}", _source(url), (takes,), Policy(), 10.0) for at, url in enumerate(dead)]
        for pair in range(asked.pairs):
            for beside in (
                (False, True) if pair % 2 else (True, False)
            ):  # what goes first finds another machine
                orders = [live, *(others if beside else [])]
                turns[beside].append(_turn(orders, detector, asked.seconds))
    detector.close()
    _print(turns[False], turns[True], asked.seconds, asked.dead)


def _source(url: str) -> SourceOrder:
    return SourceOrder(url, _LOGIN.username, _LOGIN.password)


def _turn(orders: Sequence[Order], detector: Detector, seconds: float) -> Turn:
    """Run the daemon's capture and engine over these streams, the live one first, for so many seconds."""
    supervisor = Supervisor(orders, _Deaf())  # type: ignore[arg-type]
    consumer, failed = _Consumer(supervisor), threading.Event()
    engine = Engine(keep(detector), consumer, consumer.sink, consumer, lambda _: failed.set())
    supervisor.start()
    engine.start()
    while supervisor.statuses()[0].last_frame_at is None:
        assert not failed.wait(0.01), "the engine runs"
    assert not failed.wait(_WARM), "the engine runs"
    before, begun = _cpu(supervisor), time.monotonic()
    consumer.measuring.set()
    assert not failed.wait(seconds), "the engine runs"
    consumer.measuring.clear()
    after, passed = _cpu(supervisor), time.monotonic() - begun
    engine.stop(time.monotonic() + 10)
    supervisor.stop(time.monotonic() + 10)
    assert consumer.result, "the live camera brought frames"
    own, live, *dead = (after[pid] - before[pid] for pid in after)
    return Turn(consumer.result, consumer.taken, (own / passed, live / passed, sum(dead) / passed))


class _Deaf:
    """An observer that hears nothing."""

    def __getattr__(self, verb: str) -> Any:
        return lambda *_: None


def _cpu(supervisor: Supervisor) -> defaultdict[int, float]:
    """Return the seconds that this process and each worker took of a processor until now, this process first."""
    workers = [keeper._worker for keeper in supervisor._keepers]
    pids = [os.getpid(), *(worker.pid for worker in workers if worker is not None)]
    return defaultdict(float, {pid: processor_seconds(pid) for pid in pids})


def _print(alone: list[Turn], beside: list[Turn], seconds: float, dead: int) -> None:
    print(f"age of a live camera's frames, {len(alone)} pairs of turns of {seconds:g} s: milliseconds")
    for title, name in (("at the result", "result"), ("when taken", "taken")):
        pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(alone, beside, strict=True)]
        print(f"  {title}, {sum(len(one) + len(other) for one, other in pairs)} frames")
        for side, words in enumerate(("alone", f"beside {dead} dead")):
            ages = np.concatenate([pair[side] for pair in pairs]) * 1e3
            print(f"    {words:<14} median {np.median(ages):6.2f}   p99 {np.percentile(ages, 99):6.2f}")
        for share in (50, 99):
            ratio, low, high = _ratio(pairs, share)
            print(f"    p{share} beside dead ones {ratio - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}]")
    for words, which in (("this process", 0), ("the live camera's worker", 1), ("all dead ones' workers", 2)):
        one, other = (statistics.mean(turn.cpu[which] for turn in side) * 1e3 for side in (alone, beside))
        print(f"  processor, ms a second: {words:<25} alone {one:6.1f}   beside {other:6.1f}")


def _ratio(pairs: list[tuple[list[float], list[float]]], share: float) -> tuple[float, float, float]:
    """Return by which factor a percentile is higher beside dead cameras, and its 95 % interval over pairs."""
    chance = np.random.default_rng(0)

    def of(chosen: Sequence[int]) -> float:
        one, other = (np.concatenate([pairs[at][side] for at in chosen]) for side in (0, 1))
        return float(np.percentile(other, share) / np.percentile(one, share))

    drawn = [of(chance.integers(len(pairs), size=len(pairs)).tolist()) for _ in range(_RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return of(range(len(pairs))), float(low), float(high)


@contextmanager
def _dead(count: int) -> Iterator[list[str]]:
    """So many addresses of cameras that bring nothing, each in one of four ways."""
    with ExitStack() as stack:
        silent, idle = (stack.enter_context(RemoteCamera(_LOGIN)) for _ in range(2))
        stack.enter_context(silent.faults(silent=True))
        stack.enter_context(idle.faults(hang_on="PLAY"))
        hole = _full(stack)
        free = stack.enter_context(socket.socket())
        free.bind(("127.0.0.1", 0))  # bound and not listening: it refuses, and nobody else gets the port
        urls = [
            f"rtsp://127.0.0.1:{free.getsockname()[1]}/a",
            f"rtsp://127.0.0.1:{hole}/a",
            silent.url,
            idle.url,
        ]
        yield [urls[number % len(urls)] for number in range(count)]


def _full(stack: ExitStack) -> int:
    """Return a port that answers no connection: its queue is full and nobody accepts."""
    server = stack.enter_context(socket.socket())
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    for _ in range(4):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(server.getsockname())
    return int(server.getsockname()[1])


if __name__ == "__main__":
    main()
