"""Keeps one stream's worker running: starts it, hears it, kills it when it hangs, replaces it when it dies."""

import math
import selectors
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from random import random
from typing import Protocol

import structlog

from tocsin.capture.decoder import Decoder, asked
from tocsin.capture.newest import Newest
from tocsin.capture.order import Order, ViewOrder, needed
from tocsin.capture.process import WorkerProcess
from tocsin.capture.quarantine import Blindness
from tocsin.capture.rate import Meter
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
from tocsin.frame import Correction, Frame, Light

log = structlog.get_logger(__name__)

_START_LIMIT = 15.0
"""Seconds in which a new worker must make its first promise: the fork server loads the libraries for the first."""

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


class Observer(Protocol):
    """Hears what capture counts; the words for `fault` and `reason` are closed sets."""

    def connected(self, stream: str) -> None: ...
    def decodes(self, stream: str, decoder: Decoder) -> None: ...
    def connect_failed(self, stream: str, fault: SourceFault) -> None: ...
    def disconnected(self, stream: str, fault: SourceFault) -> None: ...
    def stalled(self, stream: str) -> None: ...
    def worker_restarted(self, stream: str) -> None: ...
    def received(self, stream: str, n: int) -> None: ...
    def dropped(self, stream: str, reason: DropReason, n: int) -> None: ...
    def quarantined(self, stream: str, n: int) -> None: ...
    def decode_errors(self, stream: str, n: int) -> None: ...
    def packets_lost(self, stream: str, n: int) -> None: ...
    def pts_jumped(self, stream: str, n: int) -> None: ...
    def clock_offset(self, stream: str, seconds: float | None) -> None: ...
    def resized(self, stream: str) -> None: ...
    def fps(self, stream: str, rate: float) -> None: ...
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
        starter: Starter,
    ) -> None:
        self._order = order
        self._newest = newest
        self._observe = observe
        self._selector = selector
        # One stream has one process: asked for, at work, or dismissed and about to die.
        self._starter = starter
        self._starting: Future[WorkerProcess] | None = None
        self._starting_views = order.views
        self._worker: WorkerProcess | None = None
        self._dying: _Dying | None = None
        self._started_at = 0.0
        self._restart_at = 0.0
        # What the worker does with its own is done again here: this one outlives it, and the next goes on with it.
        self._reconnect = Reconnect(random)
        self._retry_at = 0.0
        # that a frame of the worker may have, the last ones it was told of too
        self._most_views = len(order.views)
        self._number = 0
        self._told: SourceFault | None = None
        self._told_decoder: Decoder | None = None
        self._excused_until = 0.0
        self._meter = Meter()
        self._blindness = Blindness()
        self._from_memory = False
        self.status = StreamStatus(order.stream, StreamState.CONNECTING, time.monotonic())

    def tend(self, now: float) -> None:
        """Start the worker when it is due, and kill it when it broke its promise."""
        if self._dying is not None:
            self._bury_dying(now)
        if self._starting is not None and self._starting.done():
            self._adopt(self._starting, now)
        if self.status.state is StreamState.LIVE:
            self._show_rate(self._meter.rate(now))
        worker = self._worker
        if worker is None:
            due = now >= self._restart_at and self.status.state is not StreamState.ENDED
            if due and self._starting is None and self._dying is None:
                self._starting_views = self._order.views
                self._starting = self._starter.ask(self._order, self._reconnect.outage)
            return
        limit = worker.mailbox.alive_until or self._started_at + _START_LIMIT
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
            self._dying.worker.settle(_KILL_LIMIT)
            self._bury_dying(math.inf)

    def _dismiss(self, now: float, *, died: bool) -> None:
        """Have done with the worker; nothing that it says from here on is heard."""
        worker, self._worker = self._worker, None
        assert worker is not None, "only a worker that is there is dismissed"
        for descriptor in (worker.channel, worker.pidfd):
            self._selector.unregister(descriptor)
        self._dying = _Dying(worker, now, died)
        if not died:
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
            log.error("a capture worker did not start", stream=self._order.stream, error=str(error))
            return
        self._started_at = time.monotonic()
        self._most_views = len(self._starting_views)
        self._selector.register(worker.channel, selectors.EVENT_READ, self._read)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, self._died)
        if self._order.views != self._starting_views:
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
        self._observe.worker_restarted(self._order.stream)
        if now < self._retry_at:  # it waited, and what the stream waits for is what it was
            self._restart_at = self._retry_at
            return
        self._restart_at = now + self._reconnect.failed(SourceFault.WORKER, now)
        if self.status.state is StreamState.LIVE:
            self._observe.disconnected(self._order.stream, SourceFault.WORKER)
        self._turn(StreamState.WAITING, SourceFault.WORKER, message)

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
                self._tell_memory(report.from_memory)
                self._decodes(report.decoder)
                self._turn(StreamState.LIVE)
                self._sized(report.width, report.height)
                self.status = replace(self.status, codec=report.codec, transport=report.transport)
                self._meter.opened(time.monotonic())
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

    def _decodes(self, decoder: Decoder) -> None:
        """Note what decodes, and say once where it is not what was asked for."""
        self._observe.decodes(self._order.stream, decoder)
        self.status = replace(self.status, decoder=decoder)
        expected = asked(self._order.source.decode)
        if decoder is not expected and decoder is not self._told_decoder:
            log.warning(
                "the stream is decoded on the CPU, for what was asked for cannot be had or failed",
                stream=self._order.stream,
                expected=expected.value,
                found=decoder.value,
            )
        self._told_decoder = decoder

    def _frame(self, record: FrameRecord, worker: WorkerProcess) -> None:
        now = time.monotonic()
        check_record(record, self._most_views, now)
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
        self._reconnect.frame(now)
        self._observe.stage("decode", record.decode_seconds)
        self._observe.stage("light", record.light_seconds)
        self._observe.lit(stream, frame.views[0].light, frame.views[0].correction, record.light_seconds)
        self.status = replace(self.status, last_frame_at=record.at, period=record.period)
        self._sized(record.width, record.height)

    def _sized(self, width: int, height: int) -> None:
        before, size = self.status.size, (width, height)
        if size == before:
            return
        self.status = replace(self.status, size=size)
        if before != (0, 0):
            self._observe.resized(self._order.stream)
            log.info(
                "the camera changed the size of its pictures",
                stream=self._order.stream,
                before="{}x{}".format(*before),
                now=f"{width}x{height}",
            )

    def _show_clock(self, ahead: float | None) -> None:
        self._observe.clock_offset(self._order.stream, ahead)
        self.status = replace(self.status, clock_ahead=ahead)

    def _show_rate(self, rate: float) -> None:
        self._observe.fps(self._order.stream, rate)
        self.status = replace(self.status, fps=rate)

    def _counts(self, counts: Counts) -> None:
        stream = self._order.stream
        self._observe.received(stream, counts.received)
        self._observe.decode_errors(stream, counts.decode_errors)
        self._observe.quarantined(stream, counts.quarantined)
        self._observe.packets_lost(stream, counts.lost)
        self._observe.pts_jumped(stream, counts.jumps)
        if counts.ahead is not None and math.isfinite(counts.ahead):
            self._show_clock(counts.ahead)
        now = time.monotonic()
        self._meter.reported(now, counts.received)
        self._tell_blindness(self._blindness.counted(now, counts.received, counts.quarantined))
        for reason, n in counts.dropped.items():
            self._observe.dropped(stream, reason, n)

    def _tell_blindness(self, is_blind: bool | None) -> None:
        if is_blind:
            log.warning(
                "most pictures of the stream are damaged and not looked at; see its packets_lost and decode_errors",
                stream=self._order.stream,
            )
        elif is_blind is False:
            log.info("the stream's pictures are whole again", stream=self._order.stream)

    def _tell_memory(self, from_memory: bool) -> None:
        """Say once that the name server fails, though the stream is up: nothing else would show it."""
        if from_memory and not self._from_memory:
            log.warning(
                "the name server fails, and the stream is read at its last known address",
                stream=self._order.stream,
            )
        self._from_memory = from_memory

    def _broken(self, report: Broken) -> None:
        stream = self._order.stream
        now = time.monotonic()
        self._reconnect.failed(report.fault, now)
        self._retry_at = now + report.retry_in
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
        self.status = replace(before, state=state, since=since, fault=fault, message=message)
        if before.state is StreamState.LIVE and state is not StreamState.LIVE:
            self._show_rate(0.0)
            self._show_clock(None)
