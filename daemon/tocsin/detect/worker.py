"""A thread that does pieces of work one after the other while somebody else prepares the next."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from tocsin.thread import guarded

T = TypeVar("T")


class Worker:
    """One thread, which starts with the first piece of work. Work is given by one other thread at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        # The thread waits for work, and for nothing else but what the work itself waits for; None ends it. Its
        # user bounds the queue: what is not done yet is as much as there are places for it.
        self._thread: threading.Thread | None = None
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Guards the results and `_broken`. The thread wakes it after each piece; only those wait who need a result.
        self._changed = threading.Condition()
        self._broken: str | None = None

    def submit(self, work: Callable[[], T]) -> Callable[[], T]:
        """Let the thread do the work, and return a function that waits for its result.

        An error that the work raises ends the thread and is logged; each result that is still due is then a
        RuntimeError.
        """
        if self._thread is None:
            self._thread = guarded(self._name, self._run, self._break)
            self._thread.start()
        done: list[T] = []

        def do() -> None:
            result = work()
            with self._changed:
                done.append(result)
                self._changed.notify_all()

        def result() -> T:
            with self._changed:
                self._changed.wait_for(lambda: done or self._broken)
            if not done:
                raise RuntimeError(self._broken)
            return done[0]

        self._queue.put(do)
        return result

    def close(self) -> None:
        """End the thread once it has done what it was given; does not wait for it."""
        self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()

    def _break(self, why: str) -> None:
        with self._changed:
            self._broken = why
            self._changed.notify_all()
