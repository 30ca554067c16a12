"""Look through cameras, all at the same time, each in a process of its own, and never for longer than a limit."""

import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from tocsin.capture.order import Order
from tocsin.capture.process import NO_START, prepare_fork_server, why_not_started
from tocsin.errors import SourceError, SourceFault, WorkerError
from tocsin.probe.look import Seen, Task, seen_from

LIMIT = 20.0
"""Seconds for all cameras together. A worker waits three for a name server, eight for the camera to open, and ten
for the first clean frame after it: whoever needs nearly all of these is told apart by how far it came."""

_LARGEST = 256 * 2**20
_REAP = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one camera: what was seen and perhaps a picture as PNG, or why nothing was."""

    seen: Seen | SourceError
    png: bytes | None = None


def look_through(
    orders: Sequence[Order], seconds: float, *, picture: bool = False, limit: float = LIMIT
) -> list[Look]:
    """Open each source once and watch it for `seconds`; return what came of each, in their order.

    Takes no longer than `limit` and what it takes to start the processes; all of them are ended at return. Raises
    WorkerError where one cannot be started.
    """
    prepare_fork_server()
    until = time.monotonic() + limit
    looks: list[_Process] = []
    try:
        for order in orders:
            looks.append(_Process(Task(order, seconds, until, picture)))  # noqa: PERF401 - what started is ended
        while waiting := [one for one in looks if one.look is None]:
            left = until - time.monotonic()
            ready = wait([one.connection for one in waiting], timeout=max(left, 0.0))
            if not ready and left <= 0:
                break
            for one in waiting:
                if one.connection in ready:
                    one.hear()
        return [one.look or one.late(limit) for one in looks]
    finally:
        for one in looks:
            one.end()


class _Process:
    """One process that looks; it is started at once."""

    def __init__(self, task: Task) -> None:
        self.look: Look | None = None
        self._opened = False
        self._png: bytes | None = None
        self.connection, theirs = multiprocessing.Pipe(duplex=False)
        with theirs:
            context = multiprocessing.get_context("forkserver")
            self._process: BaseProcess = context.Process(target=_serve, args=(task, theirs), daemon=True)
            try:
                self._process.start()
            except NO_START as error:
                self.connection.close()
                raise WorkerError(
                    f"expected a process to start that opens a camera, found {why_not_started(error)}"
                ) from error

    def hear(self) -> None:
        """Take the next message, or the end of them."""
        try:
            message = json.loads(self.connection.recv_bytes(_LARGEST))
            match message["kind"]:
                case "opened":
                    self._opened = True
                case "picture":
                    self._png = self.connection.recv_bytes(_LARGEST)
                case "seen":
                    self.look = Look(seen_from(message), self._png)
                case _:
                    fault = SourceFault(message["fault"])
                    self.look = Look(SourceError(fault, str(message["message"])))
        except (EOFError, OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
            # its pipe closed, or a camera made it talk nonsense
            self.look = Look(SourceError(SourceFault.WORKER, "the process that opened it died"))

    def late(self, limit: float) -> Look:
        """What is to be said of one that has not finished in time."""
        if self._opened:
            message = f"it opens, but shows no clean picture within {limit:g} s"
            return Look(SourceError(SourceFault.DECODE, message))
        return Look(SourceError(SourceFault.CONNECT_TIMEOUT, f"it did not open within {limit:g} s"))

    def end(self) -> None:
        """Make sure that the process is gone."""
        self._process.kill()
        self._process.join(_REAP)
        self.connection.close()


def _serve(task: Task, connection: Connection) -> None:
    """Run in the process; the import is here as in a capture worker."""
    from tocsin.probe.look import main

    main(task, connection)
