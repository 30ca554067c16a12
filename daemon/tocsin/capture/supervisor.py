"""One thread that keeps a worker running for every stream and passes their frames on."""

import selectors
import socket
import threading
import time
from collections.abc import Sequence

from tocsin.capture.keeper import Keeper, Observer, StreamStatus
from tocsin.capture.newest import Newest
from tocsin.capture.order import Order
from tocsin.capture.process import prepare_fork_server

_TICK = 0.5


class Supervisor:
    """Serves the newest frame of every stream (see `Newest`) and keeps their workers alive.

    The constructor starts nothing. `take` and `release` are the engine's side.
    """

    def __init__(self, orders: Sequence[Order], observe: Observer) -> None:
        self._newest = Newest()
        self.take = self._newest.take
        self.release = self._newest.release
        self._selector = selectors.DefaultSelector()
        self._keepers = [Keeper(order, self._newest, observe, self._selector) for order in orders]
        # The only thread that starts, reads and kills workers; it waits in the selector, half a second at most, and
        # `stop` wakes it by a byte.
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._stopping = threading.Event()
        self._bell, self._rope = socket.socketpair()
        self._pulse = time.monotonic()

    def start(self) -> None:
        """Start the workers."""
        prepare_fork_server()
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End all workers by the monotonic time `deadline`, by force if need be; a second call does nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._rope.send(b"stop")
        self._thread.join(max(0.0, deadline - time.monotonic()))
        for keeper in self._keepers:
            keeper.bury()
        self._newest.clear()
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def pulse(self) -> float:
        """Return the monotonic time of the thread's last turn."""
        return self._pulse

    def statuses(self) -> list[StreamStatus]:
        """Return the status of every stream, in the order of the configuration."""
        return [keeper.status for keeper in self._keepers]

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = self._pulse = time.monotonic()
            for keeper in self._keepers:
                keeper.tend(now)
            for key, _ in self._selector.select(_TICK):
                if key.data is not None:
                    key.data()
        for keeper in self._keepers:
            keeper.ask_to_stop()
        for keeper in self._keepers:
            keeper.bury(grace=_TICK)
