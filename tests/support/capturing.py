"""Capture without the rest of the daemon: a supervisor, and an observer that remembers."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from support import canary
from support.wait import SCALE, until
from tocsin.capture.bulletin import Observer
from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.capture.supervisor import Supervisor
from tocsin.frame import Frame, Light
from tocsin.light.plan import Mode, Policy

PICTURE = ViewOrder(320, 240, keep_aspect=True)
"""The size of the fake cameras' pictures: nothing is shrunk, so that the frame's number can be read."""


def order(location: str, *, name: str = "yard", max_fps: float = 30.0, **source: Any) -> Order:
    """A stream whose pictures come through as they are."""
    canary.watch(source.get("password"))
    return Order(name, SourceOrder(location, **source), (PICTURE,), Policy(mode=Mode.OFF), max_fps)


class Tally:
    """Counts what capture reports: `tally["dropped", "superseded"]`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def __getitem__(self, key: str | tuple[str, ...]) -> int:
        with self._lock:
            return self._counts[(key,) if isinstance(key, str) else key]

    def _add(self, *key: str, n: int = 1) -> None:
        with self._lock:
            self._counts[tuple(str(word) for word in key)] += n

    def connected(self, stream: str) -> None:
        self._add("connected")

    def decodes(self, stream: str, decoder: str) -> None:
        self._add("decodes", decoder)

    def connect_failed(self, stream: str, fault: str) -> None:
        self._add("connect_failed", fault)

    def disconnected(self, stream: str, fault: str) -> None:
        self._add("disconnected", fault)

    def stalled(self, stream: str) -> None:
        self._add("stalled")

    def worker_restarted(self, stream: str) -> None:
        self._add("worker_restarted")

    def received(self, stream: str, n: int) -> None:
        self._add("received", n=n)

    def dropped(self, stream: str, reason: str, n: int) -> None:
        self._add("dropped", reason, n=n)

    def quarantined(self, stream: str, n: int) -> None:
        self._add("quarantined", n=n)

    def decode_errors(self, stream: str, n: int) -> None:
        self._add("decode_errors", n=n)

    def packets_lost(self, stream: str, n: int) -> None:
        self._add("packets_lost", n=n)

    def pts_jumped(self, stream: str, n: int) -> None:
        self._add("pts_jumped", n=n)

    def clock_offset(self, stream: str, seconds: float | None) -> None:
        pass

    def resized(self, stream: str) -> None:
        self._add("resized")

    def fps(self, stream: str, rate: float) -> None:
        pass

    def lit(self, stream: str, light: Light, correction: str, seconds: float) -> None:
        self._add("lit", correction)

    def stage(self, stage: str, seconds: float) -> None:
        self._add("stage", stage)


class Capture:
    """A running supervisor and the consumer's side of it."""

    def __init__(self, supervisor: Supervisor, tally: Tally) -> None:
        self.supervisor = supervisor
        self.tally = tally

    def frames(self, count: int, timeout: float = 15.0) -> list[Frame]:
        """Take so many frames and give each back at once; their pixels may change at any time."""
        taken: list[Frame] = []
        deadline = time.monotonic() + timeout * SCALE
        while len(taken) < count:
            assert time.monotonic() < deadline, f"waited {timeout:g} s for {count} frames, got {len(taken)}"
            for frame in self.supervisor.take(8, 0.5):
                taken.append(frame)
                self.supervisor.release(frame)
        return taken

    def status(self, name: str = "yard") -> StreamStatus:
        return next(status for status in self.supervisor.statuses() if status.stream == name)

    def wait_state(self, state: StreamState, timeout: float = 15.0, name: str = "yard") -> StreamStatus:
        until(lambda: self.status(name).state is state, timeout, f"stream {name} to be {state}")
        return self.status(name)

    def wait_count(self, *key: str, at_least: int = 1, timeout: float = 15.0) -> None:
        until(lambda: self.tally[key] >= at_least, timeout, f"{' '.join(key)} to be {at_least} or more")


@contextmanager
def capturing(orders: Order | Sequence[Order], observe: Observer | None = None) -> Iterator[Capture]:
    """Capture while the block lasts; afterwards no worker is left. Another observer leaves the tally empty."""
    tally = Tally()
    supervisor = Supervisor([orders] if isinstance(orders, Order) else orders, observe or tally)
    supervisor.start()
    try:
        yield Capture(supervisor, tally)
    finally:
        supervisor.stop(time.monotonic() + 5.0)
