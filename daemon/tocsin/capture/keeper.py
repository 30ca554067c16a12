"""Keeps one stream's worker running: starts it, hears it, kills it when it hangs, replaces it when it dies."""

import contextlib
import math
import selectors
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import structlog

from tocsin.capture.newest import Newest
from tocsin.capture.order import Order, ViewOrder, needed
from tocsin.capture.process import WorkerProcess
from tocsin.capture.wire import (
    PACKET,
    Broken,
    Connected,
    Counts,
    Crashed,
    DropReason,
    Ended,
    FrameRecord,
    Free,
    Report,
    Show,
    Stop,
    decode_report,
)
from tocsin.errors import SourceFault, WorkerError
from tocsin.frame import Box, Correction, Frame, Light

log = structlog.get_logger(__name__)

_START_LIMIT = 15.0
"""Seconds in which a new worker must make its first promise: the fork server loads the libraries for the first."""

_KILL_LIMIT = 5.0
"""Seconds after which a killed worker that is not dead is given up: the kernel holds it."""

_RESTART_GAPS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before a dead worker is replaced, by the number of deaths in a row."""

_FAR = 1e6
"""Seconds from now beyond which a time is no time: a recording that is played fast may be hours ahead."""

_STEADY_AFTER = 30.0
"""A worker that lived so long begins a new row."""


class StreamState(StrEnum):
    """What a stream is doing: the word in logs and status."""

    CONNECTING = "connecting"
    LIVE = "live"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream as the daemon knows it. Times are monotonic seconds; `fault` tells why it waits."""

    stream: str
    state: StreamState
    since: float
    fault: SourceFault | None = None
    message: str = ""
    last_frame_at: float | None = None


class Observer(Protocol):
    """Hears what capture counts; the words for `fault` and `reason` are closed sets."""

    def connected(self, stream: str) -> None: ...
    def connect_failed(self, stream: str, fault: SourceFault) -> None: ...
    def disconnected(self, stream: str, fault: SourceFault) -> None: ...
    def stalled(self, stream: str) -> None: ...
    def worker_restarted(self, stream: str) -> None: ...
    def received(self, stream: str, n: int) -> None: ...
    def dropped(self, stream: str, reason: DropReason, n: int) -> None: ...
    def quarantined(self, stream: str, n: int) -> None: ...
    def decode_errors(self, stream: str, n: int) -> None: ...
    def lit(self, stream: str, light: Light, correction: Correction, seconds: float) -> None: ...
    def stage(self, stage: str, seconds: float) -> None: ...


class Keeper:
    """Keeps one stream's worker; used by the supervisor's thread alone, but for reading `status`."""

    def __init__(
        self,
        order: Order,
        newest: Newest,
        observe: Observer,
        selector: selectors.BaseSelector,
    ) -> None:
        self._order = order
        self._newest = newest
        self._observe = observe
        self._selector = selector
        self._worker: WorkerProcess | None = None
        self._started_at = 0.0
        self._restart_at = 0.0
        self._deaths = 0
        # that a frame of the worker may have, the last ones it was told of too
        self._most_views = len(order.views)
        self._number = 0
        self._told: SourceFault | None = None
        self._excused_until = 0.0
        self.status = StreamStatus(order.stream, StreamState.CONNECTING, time.monotonic())

    def tend(self, now: float) -> None:
        """Start the worker when it is due, and kill it when it broke its promise."""
        if self._worker is None:
            if now >= self._restart_at and self.status.state is not StreamState.ENDED:
                self._start(now)
            return
        limit = self._worker.mailbox.alive_until or self._started_at + _START_LIMIT
        if now > max(limit, self._excused_until):
            log.error(
                "a capture worker hangs and is replaced",
                stream=self._order.stream,
                late=round(now - limit, 1),
            )
            self._lost("the worker hung", now)

    def excuse(self, until: float) -> None:
        """Let no promise be broken before `until`: this process itself stood still, and so may the worker have."""
        self._excused_until = until

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

    def ask_to_stop(self) -> None:
        """Tell the worker to end by itself."""
        if self._worker is not None:
            self._worker.send(Stop())

    def wait_and_kill(self, until: float) -> None:
        """Give the worker until then to end by itself, and then kill it."""
        if self._worker is not None and not self._worker.dead(max(0.0, until - time.monotonic())):
            self._worker.kill()

    def bury(self) -> None:
        """Make sure that the worker is dead, and forget it."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        for descriptor in (worker.channel, worker.pidfd):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)
        if not worker.dead():
            worker.kill()
            if not worker.dead(timeout=_KILL_LIMIT):
                log.error("a capture worker survives being killed", stream=self._order.stream, pid=worker.pid)
        worker.close()

    def _start(self, now: float) -> None:
        try:
            self._worker = worker = WorkerProcess(self._order)
        except WorkerError as error:
            self._deaths += 1
            self._restart_at = now + self._gap()
            log.error("a capture worker did not start", stream=self._order.stream, error=str(error))
            return
        self._started_at = time.monotonic()
        self._most_views = len(self._order.views)
        self._selector.register(worker.channel, selectors.EVENT_READ, self._read)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, self._died)

    def _read(self) -> None:
        worker = self._worker
        while worker is not None and worker is self._worker:
            try:
                packet = worker.channel.recv(PACKET)
                if not packet:
                    return self._died()
                self._heard(decode_report(packet), worker)
            except BlockingIOError:
                return None
            except (ConnectionError, WorkerError, ValueError) as error:
                log.error(
                    "a capture worker talks nonsense and is replaced",
                    stream=self._order.stream,
                    error=str(error),
                )
                return self._lost("the worker talked nonsense", time.monotonic())
        return None

    def _died(self) -> None:
        if self._worker is not None:
            self._lost("the worker died", time.monotonic())

    def _lost(self, message: str, now: float) -> None:
        self.bury()
        self._deaths = 0 if now - self._started_at > _STEADY_AFTER else self._deaths + 1
        self._restart_at = now + self._gap()
        if self.status.state is StreamState.ENDED:
            return  # a file is played once, though its worker dies afterwards
        self._observe.worker_restarted(self._order.stream)
        if self.status.state is StreamState.LIVE:
            self._observe.disconnected(self._order.stream, SourceFault.WORKER)
        self._turn(StreamState.WAITING, SourceFault.WORKER, message)

    def _gap(self) -> float:
        return _RESTART_GAPS[min(max(self._deaths - 1, 0), len(_RESTART_GAPS) - 1)]

    def _heard(self, report: Report, worker: WorkerProcess) -> None:
        match report:
            case FrameRecord():
                self._frame(report, worker)
            case Counts():
                self._counts(report)
            case Connected():
                self._told = None
                self._observe.connected(self._order.stream)
                log.info(
                    "the stream is up",
                    stream=self._order.stream,
                    codec=report.codec,
                    size=f"{report.width}x{report.height}",
                )
                self._turn(StreamState.LIVE)
            case Broken():
                self._broken(report)
            case Ended():
                log.info("the file is over", stream=self._order.stream)
                self._observe.disconnected(self._order.stream, SourceFault.ENDED)
                self._turn(StreamState.ENDED, SourceFault.ENDED, "the file is over")
            case Crashed():
                log.error(
                    "a capture worker failed",
                    stream=self._order.stream,
                    error=report.error,
                    place=report.place,
                )

    def _frame(self, record: FrameRecord, worker: WorkerProcess) -> None:
        _check(record, self._most_views)
        self._number += 1
        stream = self._order.stream
        frame = Frame(
            stream=stream,
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
            self._observe.dropped(stream, DropReason.SUPERSEDED, 1)
        self._observe.stage("decode", record.decode_seconds)
        self._observe.stage("light", record.light_seconds)
        self._observe.lit(stream, frame.views[0].light, frame.views[0].correction, record.light_seconds)
        self.status = replace(self.status, last_frame_at=record.at)

    def _counts(self, counts: Counts) -> None:
        stream = self._order.stream
        self._observe.received(stream, counts.received)
        self._observe.decode_errors(stream, counts.decode_errors)
        self._observe.quarantined(stream, counts.quarantined)
        for reason, n in counts.dropped.items():
            self._observe.dropped(stream, reason, n)

    def _broken(self, report: Broken) -> None:
        stream = self._order.stream
        if report.live:
            self._observe.disconnected(stream, report.fault)
        else:
            self._observe.connect_failed(stream, report.fault)
        if report.fault is SourceFault.STALL:
            self._observe.stalled(stream)
        if report.fault is not self._told:  # the first of a kind; the metrics count the others
            self._told = report.fault
            log.warning(
                "the stream is down",
                stream=stream,
                fault=report.fault.value,
                why=report.message,
                retry_in=round(report.retry_in, 1),
            )
        self._turn(StreamState.WAITING, report.fault, report.message)

    def _turn(self, state: StreamState, fault: SourceFault | None = None, message: str = "") -> None:
        before = self.status
        since = before.since if before.state is state else time.monotonic()
        self.status = StreamStatus(self._order.stream, state, since, fault, message, before.last_frame_at)


def _check(record: FrameRecord, views: int) -> None:
    """Raise WorkerError for a record that a sound worker never sends: its values reach clocks and arithmetic."""
    near = abs(record.at - time.monotonic()) < _FAR
    timely = near and 0 < record.period < _FAR and record.silence >= 0
    timely = timely and (record.scene is None or abs(record.scene.at - record.at) < _FAR)
    lit = all(math.isfinite(view.light.mean + view.light.contrast) for view in record.views)
    # fewer than ordered where a small picture makes some the same
    placed = all(_is_part(view.region) for view in record.views)
    if not 1 <= len(record.views) <= views or not timely or not lit or not placed:
        raise WorkerError("expected the record of a frame, found one that makes no sense")


def _is_part(region: Box) -> bool:
    left, top, right, bottom = region
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1
