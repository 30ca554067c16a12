"""How much dead cameras disturb a live one.

    python tests/bench/isolation.py [--turns 5] [--seconds 10] [--dead 8]

A fake camera sends 25 pictures a second; the age of each frame is taken where the detector would get it. In turns
it is alone and beside dead ones: of each four one refuses connections, one swallows them, one accepts them and
says nothing, and one stops sending. The goal is less than 5 % on the 99th percentile; a machine that does other
things has more than that between two turns alone, so that the spread of those is printed beside it.
"""

import argparse
import logging
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import structlog

sys.path.append(str(Path(__file__).parents[1]))

from support.camera import FakeCamera
from support.capturing import capturing, order
from support.scene import Scene

_WARM = 2.0
"""Seconds that a turn begins with: workers start, and dead cameras are found to be dead."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--dead", type=int, default=8)
    asked = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    alone: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []
    with FakeCamera(Scene(fps=25.0)) as camera, _dead(asked.dead) as dead:
        for turn in range(asked.turns):
            pair = [(alone, []), (beside, dead)]
            for ages, others in pair[:: -1 if turn % 2 else 1]:  # what goes first finds another machine
                ages.append(_ages(camera.url, others, asked.seconds))
    print(
        f"age of the frames of a live camera, {asked.turns} paired turns of {asked.seconds:g} s: milliseconds"
    )
    for name, ages in (("alone", alone), (f"beside {asked.dead} dead", beside)):
        middle, late = (statistics.median(one) * 1e3 for one in zip(*ages, strict=True))
        print(f"  {name:<14} median {middle:6.2f}   p99 {late:6.2f}")
    more = statistics.median(b[1] / a[1] for a, b in zip(alone, beside, strict=True)) - 1
    spread = (max(one[1] for one in alone) - min(one[1] for one in alone)) / min(one[1] for one in alone)
    print(f"  p99 beside dead ones, median of the pairs: {more:+.1%}; spread of the turns alone {spread:.1%}")


def _ages(live: str, dead: list[str], seconds: float) -> tuple[float, float]:
    """Return the median and the 99th percentile of the age of the live camera's frames, in seconds."""
    orders = [order(live), *(order(url, name=f"dead{number}") for number, url in enumerate(dead))]
    ages: list[float] = []
    with capturing(orders) as capture:
        capture.frames(1)
        begun = time.monotonic() + _WARM
        while time.monotonic() < begun + seconds:
            for frame in capture.supervisor.take(1, 0.1):
                if frame.stream == "yard" and frame.at > begun:
                    ages.append(time.monotonic() - frame.at)
                capture.supervisor.release(frame)
    assert ages, "the live camera brought frames"
    return float(np.median(ages)), float(np.percentile(ages, 99))


@contextmanager
def _dead(count: int) -> Iterator[list[str]]:
    """So many addresses of cameras that bring nothing, each in one of four ways."""
    with ExitStack() as stack:
        silent, stalled = (stack.enter_context(FakeCamera()) for _ in range(2))
        silent.faults.silent, stalled.faults.stall = True, True
        hole = _full(stack)
        free = stack.enter_context(socket.socket())
        free.bind(("127.0.0.1", 0))  # bound and not listening: it refuses, and nobody else gets the port
        urls = [
            f"rtsp://127.0.0.1:{free.getsockname()[1]}/a",
            f"rtsp://127.0.0.1:{hole}/a",
            silent.url,
            stalled.url,
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
