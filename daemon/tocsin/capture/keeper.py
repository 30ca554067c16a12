"""Keeps one stream's worker running: starts it, hears it, kills it when it hangs, replaces it when it dies."""

import math
import selectors
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from random import random

import structlog

from tocsin.capture.bulletin import Bulletin, Observer
from tocsin.capture.newest import Newest
from tocsin.capture.order import Order, ViewOrder, needed
from tocsin.capture.process import WorkerProcess
from tocsin.capture.reconnect import Reconnect
from tocsin.capture.sanity import check_record
from tocsin.capture.starter import Starter
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.capture.wire import (
    PACKET,
    Broken,
    Connected,
    Counts,
    Crashed,
    Develop,
    Ended,
    Film,
    FrameRecord,
    Free,
    Made,
    Report,
    Show,
    Stop,
    decode_report,
)
from tocsin.errors import SourceFault, WorkerError
from tocsin.frame import Frame

log = structlog.get_logger(__name__)

_START_LIMIT = 15.0
"""Seconds in which a new worker must make its first promise: the fork server loads the libraries for the first."""

_LONGEST_PROMISE = 120.0
"""Seconds, twice what a worker promises at most: what else stands in its memory was not meant as a promise."""

_KILL_LIMIT = 5.0
"""Seconds after which a killed worker that is not dead is given up: the kernel holds it."""

_LAST_BREATH = 1.0
"""Seconds in which a worker that closed its channel may end by itself, so that its exit code is its own."""

_AT_ONCE = 64
"""Messages that are read of one worker before the others have their turn: one gone wrong may never pause."""


@dataclass(frozen=True, slots=True)
class _Dying:
    """A dismissed worker, since when it is one, and whether it had died by itself."""

    worker: WorkerProcess
    since: float
    died: bool


class Keeper:
    """Keeps one stream's worker; used by the supervisor's thread alone, but for `status` and `ask`."""

    def __init__(
        self,
        order: Order,
        newest: Newest,
        observe: Observer,
        selector: selectors.BaseSelector,
        starter: Starter,
        made: Callable[[str, Made], None] = lambda _stream, _made: None,
    ) -> None:
        self._order = order
        self._newest = newest
        self._observe = observe
        self._bulletin = Bulletin(order.stream, order.source, observe, time.monotonic())
        self._selector = selector
        # One stream has one process: asked for, at work, or dismissed and about to die.
        self._starter = starter
        self._made = made
        self._starting: Future[WorkerProcess] | None = None
        self._asked = order  # what the last one that was asked for was told
        self._retired = False
        self._worker: WorkerProcess | None = None
        self._dying: _Dying | None = None
        # Of the worker and of those before it, of which a last word may still come; replaced whole, read by others.
        self._pids: tuple[int, ...] = ()
        self._started_at = 0.0
        self._restart_at = 0.0
        # What the worker does with its own is done again here: this one outlives it, and the next goes on with it.
        self._reconnect = Reconnect(random)
        self._retry_at = 0.0
        # that a frame of the worker may have, the last ones it was told of too
        self._most_views = len(order.views)
        self._number = 0
        self._excused_until = 0.0

    @property
    def status(self) -> StreamStatus:
        """How the stream is; from any thread."""
        return self._bulletin.status

    def had(self, pid: int) -> bool:
        """Return whether a process is the stream's worker, or was until lately; from any thread."""
        return pid in self._pids

    @property
    def gone(self) -> bool:
        """Whether nothing is left after `retire`."""
        return self._retired and self._starting is None and self._worker is None and self._dying is None

    def tend(self, now: float) -> None:
        """Start the worker when it is due, and kill it when it broke its promise."""
        if self._dying is not None:
            self._bury_dying(now)
        if self._starting is not None and self._starting.done():
            self._adopt(self._starting, now)
        self._bulletin.tick(now)
        worker = self._worker
        if worker is None:
            due = now >= self._restart_at and self.status.state is not StreamState.ENDED and not self._retired
            if due and self._starting is None and self._dying is None:
                self._asked = self._order
                self._starting = self._starter.ask(self._order, self._reconnect.outage)
            return
        limit = worker.mailbox.alive_until or self._started_at + _START_LIMIT
        if now > max(limit, self._excused_until) or not limit < now + _LONGEST_PROMISE:
            log.error(
                "a capture worker hangs and is replaced",
                stream=self._order.stream,
                late=round(now - limit, 1),
            )
            self._lost("the worker hung", now)

    def excuse(self, until: float) -> None:
        """Let no promise be broken before `until`: this process itself stood still, and so may the worker have."""
        self._excused_until = until

    def reorder(self, order: Order) -> None:
        """Serve the stream by another order: other views are shown, for all else another worker takes over.

        That one starts as soon as the one at work has ended, a second later at most, and whatever the stream waited
        for, such as the end of the pause after a refused password.
        """
        if not self._retired and replace(order, views=self._order.views) == self._order:
            if order.views != self._order.views:
                self.show(order.views)
            return
        self.retire()
        self._order, self._retired = order, False
        self._bulletin = Bulletin(order.stream, order.source, self._observe, time.monotonic())
        self._reconnect = Reconnect(random)
        self._restart_at = self._retry_at = 0.0

    def retire(self) -> None:
        """Let the worker end for good, by itself at first; nothing that it says from here on is heard."""
        if not self._retired:
            self._retired = True
            self._bulletin.left(time.monotonic())
        if self._starting is not None and self._starting.cancel():
            self._starting = None
        if self._worker is not None:
            self._let_go(self._worker)

    def show(self, views: tuple[ViewOrder, ...]) -> None:
        """Let the worker show other views from its next frame on; one whose memory is too small is replaced."""
        self._order = replace(self._order, views=views)
        worker = self._worker
        if worker is None:
            return
        self._most_views = max(self._most_views, len(views))
        if needed(views) <= worker.mailbox.slot_bytes:
            worker.send(Show(views))
            return
        log.warning(
            "a capture worker is replaced, for its memory is too small for the new views",
            stream=self._order.stream,
            expected=needed(views),
            found=worker.mailbox.slot_bytes,
        )
        self._lost("the worker's memory was too small for the new views", time.monotonic())

    def ask(self, task: Develop | Film, descriptors: Sequence[int]) -> bool:
        """Ask the worker for evidence; from any thread. Return whether there is one."""
        worker = self._worker
        if worker is None:
            return False
        worker.send(task, descriptors)
        return True

    def ask_to_stop(self) -> None:
        """Tell the worker to end by itself; one that is being started is not waited for."""
        if self._starting is not None and not self._starting.cancel() and self._starting.done():
            self._adopt(self._starting, time.monotonic())
        if self._worker is not None:
            self._worker.send(Stop())

    def wait_and_kill(self, until: float) -> None:
        """Give the worker until then to end by itself, and then kill it."""
        if self._worker is not None and not self._worker.dead(max(0.0, until - time.monotonic())):
            self._worker.kill()

    def bury(self) -> None:
        """Make sure that the worker is dead, and forget it."""
        if self._worker is not None:
            self._dismiss(time.monotonic(), died=False)
        if self._dying is not None:
            self._dying.worker.kill()
            self._dying.worker.settle(_KILL_LIMIT)
            self._bury_dying(math.inf)

    def _let_go(self, worker: WorkerProcess) -> None:
        """Have done with a worker that is well: it may say goodbye to its camera."""
        worker.send(Stop())
        self._dismiss(time.monotonic(), died=False, spared=True)

    def _dismiss(self, now: float, *, died: bool, spared: bool = False) -> None:
        """Have done with the worker; nothing that it says from here on is heard.

        One that died, or is `spared`, has `_LAST_BREATH` before it is killed.
        """
        worker, self._worker = self._worker, None
        assert worker is not None, "only a worker that is there is dismissed"
        for descriptor in (worker.channel, worker.pidfd):
            self._selector.unregister(descriptor)
        self._dying = _Dying(worker, now, died)
        if not (died or spared):
            worker.kill()

    def _bury_dying(self, now: float) -> None:
        """Let a dismissed worker go once it is dead: the kernel may hold it for long, and nobody waits."""
        dying = self._dying
        assert dying is not None, "only a worker that was dismissed is buried"
        ending = dying.worker.ending()
        if ending is None and now - dying.since < _KILL_LIMIT:
            if now - dying.since > _LAST_BREATH:
                dying.worker.kill()
            return
        self._dying = None
        if dying.died:
            log.error("a capture worker died", stream=self._order.stream, ending=ending or "unknown")
        if not dying.worker.dead():
            pid = dying.worker.pid
            log.error("a capture worker survives being killed", stream=self._order.stream, pid=pid)
        dying.worker.close()

    def _adopt(self, started: "Future[WorkerProcess]", now: float) -> None:
        self._starting = None
        try:
            self._worker = worker = started.result(0.0)
        except WorkerError as error:
            self._restart_at = now + self._reconnect.failed(SourceFault.WORKER, now)
            self._bulletin.lost(str(error), now)
            log.error("a capture worker did not start", stream=self._order.stream, error=str(error))
            return
        self._pids = (*self._pids[-3:], worker.pid)
        self._started_at = time.monotonic()
        self._most_views = len(self._asked.views)
        self._selector.register(worker.channel, selectors.EVENT_READ, self._read)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, self._died)
        if self._retired or replace(self._asked, views=self._order.views) != self._order:
            self._let_go(worker)  # it was asked for by an order that is no more
        elif self._order.views != self._asked.views:
            self.show(self._order.views)

    def _read(self) -> None:
        worker = self._worker
        for _ in range(_AT_ONCE):
            if worker is None or worker is not self._worker:
                return
            try:
                packet = worker.channel.recv(PACKET)
            except BlockingIOError:
                return
            except ConnectionError:  # it died with messages that it had not read
                packet = b""
            if not packet:
                self._lost("the worker died", time.monotonic(), died=True)
                return
            try:
                self._heard(decode_report(packet), worker)
            except (WorkerError, ValueError) as error:
                log.error(
                    "a capture worker talks nonsense and is replaced",
                    stream=self._order.stream,
                    error=str(error),
                )
                self._lost("the worker talked nonsense", time.monotonic())

    def _died(self) -> None:
        self._read()  # its last words
        if self._worker is not None:
            self._lost("the worker died", time.monotonic(), died=True)

    def _lost(self, message: str, now: float, *, died: bool = False) -> None:
        self._dismiss(now, died=died)
        if self.status.state is StreamState.ENDED:
            return  # a file is played once, though its worker dies afterwards
        self._bulletin.restarted()
        if now < self._retry_at:  # it waited, and what the stream waits for is what it was
            self._restart_at = self._retry_at
            return
        self._restart_at = now + self._reconnect.failed(SourceFault.WORKER, now)
        self._bulletin.lost(message, now)

    def _heard(self, report: Report, worker: WorkerProcess) -> None:
        now = time.monotonic()
        match report:
            case FrameRecord():
                self._frame(report, worker, now)
            case Counts():
                self._bulletin.counts(report, now)
            case Made():
                self._made(self._order.stream, report)
            case Connected():
                self._bulletin.connected(report, now)
            case Broken():
                self._reconnect.failed(report.fault, now)
                self._retry_at = now + report.retry_in
                self._bulletin.broken(report, now)
            case Ended():
                self._bulletin.ended(now)
            case Crashed():
                self._bulletin.crashed(report)

    def _frame(self, record: FrameRecord, worker: WorkerProcess, now: float) -> None:
        check_record(record, self._most_views, now)
        self._number += 1
        frame = Frame(
            stream=self._order.stream,
            number=self._number,
            at=record.at,
            period=record.period,
            silence=record.silence,
            width=record.width,
            height=record.height,
            views=tuple(worker.mailbox.view(record.slot, view) for view in record.views),
            scene=record.scene.scene() if record.scene else None,
        )
        if self._newest.put(frame, lambda: worker.send(Free(record.slot))):
            self._bulletin.superseded()
        self._reconnect.frame(now)
        self._bulletin.frame(record, frame.views[0].light, frame.views[0].correction)
