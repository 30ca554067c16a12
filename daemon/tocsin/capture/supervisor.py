"""One thread that keeps a worker running for every stream and passes their frames on."""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from tocsin.capture.bulletin import Observer
from tocsin.capture.keeper import Keeper
from tocsin.capture.newest import Newest
from tocsin.capture.order import Order
from tocsin.capture.process import prepare_fork_server
from tocsin.capture.starter import Starter
from tocsin.capture.status import StreamStatus
from tocsin.capture.wire import Develop, Film, Made
from tocsin.errors import WorkerError
from tocsin.thread import guarded

_TICK = 0.5
_GRACE = 0.5
_STOOD_STILL = 3.0
"""Seconds between two turns after which the machine or the process was suspended, and the workers maybe with it."""


class Supervisor:
    """Serves the newest frame of every stream (see `Newest`) and keeps their workers alive.

    The constructor starts nothing. `take` and `release` are the engine's side. `on_failure` is called once, with a
    sentence, when the supervisor's own thread ends by an error. `made` hears from it what came of evidence.
    """

    def __init__(
        self,
        orders: Sequence[Order],
        observe: Observer,
        on_failure: Callable[[str], None] = lambda _: None,
        made: Callable[[str, Made], None] = lambda _stream, _made: None,
    ) -> None:
        self._newest = Newest()
        self.take = self._newest.take
        self.release = self._newest.release
        self._selector = selectors.DefaultSelector()
        self._starter = Starter(self._wake, on_failure)
        self._observe = observe
        self._made = made
        self._keepers = [self._keeper(order) for order in orders]  # replaced whole
        # Of streams that are gone, until their workers are, too; replaced whole.
        self._leaving: list[Keeper] = []
        # The only thread that reads and kills workers; it waits in the selector, half a second at most, and `stop`,
        # `adopt` and the starter wake it by a byte.
        self._thread = guarded("supervisor", self._run, on_failure)
        self._stopping = threading.Event()
        self._bell, self._rope = socket.socketpair()
        # Filled by `adopt`, emptied by the thread; both ends of a deque are safe without a lock.
        self._orders: deque[Sequence[Order]] = deque()
        self._pulse = time.monotonic()

    def start(self) -> None:
        """Start the workers."""
        prepare_fork_server()
        self._selector.register(self._bell, selectors.EVENT_READ, lambda: self._bell.recv(64))
        self._starter.start()
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End all workers by the monotonic time `deadline`, by force if need be; a second call does nothing.

        Raises WorkerError when that was not possible.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            raise WorkerError(
                "expected the capture workers to end in time, found the supervisor still at work"
            )
        self._starter.stop(0.0)  # where the thread ended by an error
        self._newest.clear()
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def adopt(self, orders: Sequence[Order]) -> None:
        """Serve the streams of these orders from now on; from any thread, and never waits.

        A stream whose order is the same loses no frame, and where only the views are others neither; any other one
        gets a new worker, and one without an order none.
        """
        self._orders.append(orders)
        self._wake()

    def ask(self, stream: str, task: Develop | Film, descriptors: Sequence[int]) -> bool:
        """Ask a stream's worker for evidence, which it writes into these files; from any thread, and never waits.

        Return whether there is a worker. What came of it is told to `made` by the supervisor's thread, unless the
        worker dies before. The files may be closed here at once.
        """
        keeper = next((one for one in self._keepers if one.status.stream == stream), None)
        return keeper is not None and keeper.ask(task, descriptors)

    def pulse(self) -> float:
        """Return the monotonic time of the thread's last turn."""
        return self._pulse

    def statuses(self) -> list[StreamStatus]:
        """Return the status of every stream, in the order of the configuration."""
        return [keeper.status for keeper in self._keepers]

    def stream_of(self, pid: int) -> str | None:
        """Return whose worker a process is, or was until lately; from any thread."""
        keepers = *self._keepers, *self._leaving
        return next((keeper.status.stream for keeper in keepers if keeper.had(pid)), None)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # stopped, or woken so often already that the pair is full
            self._rope.send(b"wake", socket.MSG_DONTWAIT)

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            if now - self._pulse > _STOOD_STILL:
                for keeper in self._keepers:
                    keeper.excuse(now + _STOOD_STILL)
            self._pulse = now
            while self._orders:
                self._take_over(self._orders.popleft())
            self._starter.watch(now)
            for keeper in (*self._keepers, *self._leaving):
                keeper.tend(now)
            self._leaving = [keeper for keeper in self._leaving if not keeper.gone]
            for key, _ in self._selector.select(_TICK):
                key.data()
        self._end_workers()

    def _keeper(self, order: Order) -> Keeper:
        return Keeper(order, self._newest, self._observe, self._selector, self._starter, self._made)

    def _take_over(self, orders: Sequence[Order]) -> None:
        known = {keeper.status.stream: keeper for keeper in (*self._leaving, *self._keepers)}
        keepers = []
        for order in orders:
            keeper = known.pop(order.stream, None)
            if keeper is None:
                keeper = self._keeper(order)
            else:
                keeper.reorder(order)
            keepers.append(keeper)
        for keeper in known.values():
            keeper.retire()
        self._keepers, self._leaving = keepers, list(known.values())

    def _end_workers(self) -> None:
        """Let all end by themselves at the same time, then kill those that did not."""
        keepers = (*self._keepers, *self._leaving)
        self._starter.stop(_GRACE)
        for keeper in keepers:
            keeper.ask_to_stop()
        grace = time.monotonic() + _GRACE
        for keeper in keepers:
            keeper.wait_and_kill(grace)
        for keeper in keepers:
            keeper.bury()
