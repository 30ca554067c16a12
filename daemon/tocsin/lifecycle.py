"""The order in which the daemon's parts start and stop, and the watch over those that must keep moving."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

log = structlog.get_logger(__name__)

UNWIND_SECONDS = 5.0
"""The time that the parts have to stop when a later one cannot start."""


class Part(Protocol):
    """Something that runs beside the main thread."""

    def start(self) -> object:
        """Start, or raise and leave nothing behind."""

    def stop(self, deadline: float) -> None:
        """Stop before that monotonic time, in seconds; raise when that fails. A second call does nothing."""


class Lifecycle:
    """Parts that are started in order and stopped in reverse. Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: list[tuple[str, Callable[[float], None]]] = []

    def start(self, name: str, part: Part) -> None:
        """Start a part; when that fails, stop those that run and raise what it raised."""
        try:
            part.start()
        except BaseException:
            self.stop(UNWIND_SECONDS)
            raise
        self.add(name, part.stop)

    def add(self, name: str, stop: Callable[[float], None]) -> None:
        """Remember how to stop something that runs already."""
        self._running.append((name, stop))

    def stop(self, seconds: float) -> tuple[str, ...]:
        """Stop everything within that time, the latest part first; return the names of the parts that failed.

        The time is one budget: a part that uses it up leaves the rest an expired deadline, and each of them
        is stopped all the same. Failures are logged and never raised. A second call does nothing.
        """
        deadline = self._clock() + seconds
        failed = []
        while self._running:
            name, stop = self._running.pop()
            try:
                stop(deadline)
            except Exception:  # whatever one part does, the parts below it must still be stopped
                log.exception("a part did not stop cleanly", part=name)
                failed.append(name)
        return tuple(failed)


class Overdue(NamedTuple):
    """A part that has not moved for longer than it may."""

    name: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.name} has not moved for {self.seconds:.0f} s"


class Pulses:
    """When each part last moved, by its own account.

    May be read from any thread: a change replaces the table and never alters one that somebody reads.
    """

    def __init__(self) -> None:
        self._parts: dict[str, tuple[Callable[[], float], float]] = {}

    def watch(self, name: str, moved: Callable[[], float], limit: float) -> None:
        """Watch a part: `moved` returns the monotonic time of its last move, and `limit` is in seconds."""
        self._parts = {**self._parts, name: (moved, limit)}

    def ages(self, now: float) -> dict[str, float]:
        """Return the seconds since each part moved."""
        return {name: max(0.0, now - moved()) for name, (moved, _) in self._parts.items()}

    def overdue(self, now: float, since: float = float("-inf")) -> list[Overdue]:
        """Return the parts that have not moved within their limit, the longest silent first.

        What they did not do before the monotonic time `since` is not held against them.
        """
        parts = self._parts
        ages = {name: now - max(moved(), since) for name, (moved, _) in parts.items()}
        late = [Overdue(name, age) for name, age in ages.items() if age > parts[name][1]]
        return sorted(late, key=lambda part: part.seconds, reverse=True)
