"""What is handed to the outbox's thread, and how it waits for it."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tocsin.deliver.event import Event
from tocsin.deliver.standby import Ledger


@dataclass(frozen=True, slots=True, eq=False)
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
    """What there is to do now: a write, if there is one, all reads, and then one question, if there is one."""

    write: Job | None
    reads: tuple[Job, ...]


class Jobs:
    """Writes, and reads: from any thread to the outbox's. Those of a kind are done in their order.

    That a receiver accepted a delivery is written before all that waits, so that a crash sends little twice; but
    each time one other write has its turn between two of these: what is raised does not wait until a long queue is
    delivered. What may wait is written when nothing else is. The couriers' reads are done in each turn; of what
    people ask, which may take long, one thing at a time.
    """

    def __init__(self) -> None:
        # Guards all below. Held for a few instructions only; the outbox thread alone waits on it, and is woken by
        # each job and by `stop`.
        self._turn = threading.Condition()
        self._marks: deque[Job] = deque()  # bounded by the requests that are under way
        self._writes: deque[Job] = deque()  # these two are bounded by who asks for `waiting` before
        self._later: deque[Job] = deque()
        self._reads: deque[Job] = deque()  # these two are bounded by those who wait for the answers
        self._questions: deque[Job] = deque()
        self._all = (self._marks, self._writes, self._later, self._reads, self._questions)
        self._marked = False  # the last write was a mark
        self._stop_at: float | None = None
        self._ended = True

    def open(self) -> None:
        """Take jobs from now on."""
        self._ended = False

    def waiting(self, *, later: bool = False) -> int:
        """Return how many writes wait, or how many of those that may."""
        with self._turn:
            return len(self._later if later else self._writes)

    def write(self, job: Job) -> bool:
        """Hand over a write; False when nobody takes it any more."""
        return self._submit(self._writes, job)

    def mark(self, job: Job) -> bool:
        """Hand over a write that says what a receiver accepted; False when nobody takes it any more."""
        return self._submit(self._marks, job)

    def later(self, job: Job) -> bool:
        """Hand over a write that may wait; False when nobody takes it any more."""
        return self._submit(self._later, job)

    def read(self, job: Job) -> bool:
        """Hand over a read that deliveries wait for; False when nobody takes it any more."""
        return self._submit(self._reads, job)

    def ask(self, job: Job) -> bool:
        """Hand over what people ask; False when nobody takes it any more."""
        return self._submit(self._questions, job)

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
        """Put a write before all others, but for what receivers accepted."""
        with self._turn:
            self._writes.appendleft(job)

    def take(self, now: float, until: float) -> Turn | None:
        """Return what there is to do, or wait for it, for `until` at the longest; None when all has to end.

        What is returned stays here until `written` or `answered`.
        """
        with self._turn:
            if self._stop_at is not None and (now >= self._stop_at or not any(self._all)):
                return None
            if not any(self._all):
                until = until if self._stop_at is None else min(until, self._stop_at)
                self._turn.wait(max(until - now, 0.01))
            return Turn(self._next_write(), (*self._reads, *islice(self._questions, 1)))

    def written(self, job: Job) -> None:
        """Drop a write: it was done."""
        with self._turn:
            jobs = next(each for each in (self._marks, self._writes, self._later) if job in each)
            jobs.remove(job)  # the first, but for what became urgent meanwhile
            self._marked = jobs is self._marks

    def answered(self, job: Job) -> None:
        """Drop a read: it was answered."""
        with self._turn:
            (self._reads if job in self._reads else self._questions).remove(job)

    def end(self) -> tuple[list[Job], list[Job]]:
        """Take no more; return the writes and the reads that are left."""
        with self._turn:
            self._ended = True
            left = [*self._marks, *self._writes, *self._later], [*self._reads, *self._questions]
            for each in self._all:
                each.clear()
        return left

    def _next_write(self) -> Job | None:
        first = (self._writes, self._later, self._marks) if self._marked else self._all[:3]
        return next((jobs[0] for jobs in first if jobs), None)

    def _submit(self, jobs: deque[Job], job: Job) -> bool:
        with self._turn:
            if self._ended:
                return False
            jobs.append(job)
            self._turn.notify()
            return True
