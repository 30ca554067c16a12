"""What is handed to the outbox's thread, and how it waits for it."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tocsin.deliver.event import Event
from tocsin.deliver.standby import Ledger


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do with the ledger, who waits for it, and the events that are lost if it cannot be done.

    Where it is `promised`, who waits is answered when it is on the disk, else when it was done in memory. One that
    `asks` changes nothing, but waits for its turn among those that do.
    """

    run: Callable[[Ledger], Any]
    future: "Future[Any]"
    events: tuple[Event, ...] = ()
    promised: bool = False
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What there is to do now: the first write, if there is one, and all reads."""

    write: Job | None
    reads: tuple[Job, ...]


class Jobs:
    """Writes in their order, and reads: from any thread to the outbox's."""

    def __init__(self) -> None:
        # Guards all below. Held for a few instructions only; the outbox thread alone waits on it, and is woken by
        # each job and by `stop`.
        self._turn = threading.Condition()
        self._writes: deque[Job] = deque()  # bounded by who asks for `waiting` before
        self._reads: deque[Job] = deque()  # bounded by those who wait for the answers
        self._stop_at: float | None = None
        self._ended = True

    def open(self) -> None:
        """Take jobs from now on."""
        self._ended = False

    def waiting(self) -> int:
        """Return how many writes wait."""
        with self._turn:
            return len(self._writes)

    def write(self, job: Job) -> bool:
        """Hand over a write; False when nobody takes it any more."""
        return self._submit(self._writes, job)

    def mark(self, job: Job) -> bool:
        """Hand over a write that goes before all that wait; False when nobody takes it any more."""
        return self._submit(self._writes, job, at_once=True)

    def read(self, job: Job) -> bool:
        """Hand over a read; False when nobody takes it any more."""
        return self._submit(self._reads, job)

    def stop(self, deadline: float) -> bool:
        """End when nothing is left, or at `deadline` on the monotonic clock; False when it has ended."""
        with self._turn:
            if self._ended:
                return False
            self._stop_at = deadline
            self._turn.notify()
            return True

    # From here on: the outbox's thread.

    def urgent(self, job: Job) -> None:
        """Put a write before all others."""
        with self._turn:
            self._writes.appendleft(job)

    def take(self, now: float, until: float) -> Turn | None:
        """Return what there is to do, or wait for it, for `until` at the longest; None when all has to end.

        What is returned stays here until `written` or `answered`.
        """
        with self._turn:
            if self._stop_at is not None and (now >= self._stop_at or not (self._writes or self._reads)):
                return None
            if not self._writes and not self._reads:
                until = until if self._stop_at is None else min(until, self._stop_at)
                self._turn.wait(max(until - now, 0.01))
            return Turn(self._writes[0] if self._writes else None, tuple(self._reads))

    def written(self, job: Job) -> None:
        """Drop a write: it was done."""
        with self._turn:
            self._writes.remove(job)  # the first, but for what became urgent meanwhile

    def answered(self) -> None:
        """Drop the first read: it was answered."""
        with self._turn:
            self._reads.popleft()

    def end(self) -> tuple[list[Job], list[Job]]:
        """Take no more; return the writes and the reads that are left."""
        with self._turn:
            self._ended = True
            left = list(self._writes), list(self._reads)
            self._writes.clear()
            self._reads.clear()
        return left

    def _submit(self, jobs: deque[Job], job: Job, *, at_once: bool = False) -> bool:
        with self._turn:
            if self._ended:
                return False
            (jobs.appendleft if at_once else jobs.append)(job)
            self._turn.notify()
            return True
