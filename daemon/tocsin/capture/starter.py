"""Starts workers in a thread of its own, one after another.

A fork takes milliseconds, but a fork server that loads its libraries takes seconds, and one that hangs takes for
ever: nobody who waits for the frames of another stream waits for that.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

import structlog

from tocsin.capture.order import Order
from tocsin.capture.process import WorkerProcess, kill_fork_server
from tocsin.capture.reconnect import Outage
from tocsin.errors import WorkerError
from tocsin.thread import guarded

log = structlog.get_logger(__name__)

_FORK_LIMIT = 30.0
"""Seconds for one start, loading the libraries included: far more than a small machine under load takes."""

_KILL_LIMIT = 1.0


class Starter:
    """Starts workers for the supervisor, whose thread alone calls the methods.

    `wake` is called after each start, by the starter's thread.
    """

    def __init__(self, wake: Callable[[], None], on_failure: Callable[[str], None]) -> None:
        self._wake = wake
        # Filled by `ask` and `stop`, emptied by the thread; its only wait besides the start itself.
        self._asked: SimpleQueue[tuple[Order, Outage | None, Future[WorkerProcess]] | None] = SimpleQueue()
        self._thread = guarded("starter", self._run, on_failure)
        # Written by the thread, read by `watch`: the monotonic time at which it began the start that it is at.
        self._busy_since: float | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self, order: Order, outage: Outage | None) -> "Future[WorkerProcess]":
        """Return what becomes a worker, or a WorkerError, in a while."""
        started: Future[WorkerProcess] = Future()
        self._asked.put((order, outage, started))
        return started

    def watch(self, now: float) -> None:
        """End a start that takes too long: the fork server hangs, and the next start brings a new one."""
        since = self._busy_since
        if since is None or now - since < _FORK_LIMIT:
            return
        self._busy_since = now
        log.error("the fork server hangs and is replaced", late=round(now - since, 1))
        kill_fork_server()

    def stop(self, timeout: float) -> None:
        """Start nothing more; a worker that is being started when the time is over ends as soon as it is there."""
        self._asked.put(None)
        self._thread.join(timeout)
        self._stopped = True

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            order, outage, started = asked
            if not started.set_running_or_notify_cancel():
                continue
            self._busy_since = time.monotonic()
            try:
                worker = WorkerProcess(order, outage)
            except WorkerError as error:
                started.set_exception(error)
            else:
                self._hand_over(worker, started)
            self._busy_since = None
            self._wake()

    def _hand_over(self, worker: WorkerProcess, started: "Future[WorkerProcess]") -> None:
        if not self._stopped:
            started.set_result(worker)
            return
        worker.kill()
        worker.dead(_KILL_LIMIT)
        worker.close()
