"""What is told of one stream: its status, what is counted, and log lines, each thing once; without a clock."""

import math
from dataclasses import replace
from typing import Protocol

import structlog

from tocsin.capture.decoder import Decoder, asked
from tocsin.capture.order import SourceOrder
from tocsin.capture.quarantine import Blindness
from tocsin.capture.rate import Meter
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.capture.wire import Broken, Connected, Counts, Crashed, DropReason, FrameRecord
from tocsin.errors import SourceFault
from tocsin.frame import Correction, Light

log = structlog.get_logger(__name__)


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


class Bulletin:
    """Tells what a stream's workers report, over all of them; for one thread, but for reading `status`.

    `order` is what was asked for. Times are monotonic seconds.
    """

    def __init__(self, stream: str, order: SourceOrder, observe: Observer, now: float) -> None:
        self._stream = stream
        self._order = order
        self._observe = observe
        self._fault: SourceFault | None = None
        self._decoder: Decoder | None = None
        self._from_memory = False
        self._tcp_instead = False
        self._meter = Meter()
        self._blindness = Blindness()
        self.status = StreamStatus(stream, StreamState.CONNECTING, now)

    def tick(self, now: float) -> None:
        """Tell what changes while nothing is reported."""
        if self.status.state is StreamState.LIVE:
            self._show_rate(self._meter.rate(now))

    def connected(self, report: Connected, now: float) -> None:
        """Tell that the stream is up, and how."""
        self._fault = None
        self._observe.connected(self._stream)
        size = f"{report.width}x{report.height}"
        log.info("the stream is up", stream=self._stream, codec=report.codec, size=size)
        self._tell_memory(report.from_memory)
        self._tell_transport(report.transport)
        self._tell_decoder(report.decoder)
        self._turn(StreamState.LIVE, now)
        self._tell_size(report.width, report.height)
        self.status = replace(self.status, codec=report.codec, transport=report.transport)
        self._meter.opened(now)

    def broken(self, report: Broken, now: float) -> None:
        """Tell that the stream is down, or did not come up."""
        if report.live:
            self._observe.disconnected(self._stream, report.fault)
        else:
            self._observe.connect_failed(self._stream, report.fault)
        if report.fault is SourceFault.STALL:
            self._observe.stalled(self._stream)
        if report.fault is not self._fault:  # the first of a kind; the metrics count the others
            self._fault = report.fault
            log.warning(
                "the stream is down",
                stream=self._stream,
                reason=report.fault.value,
                why=report.message,
                retry_in=round(report.retry_in, 1),
            )
        self._turn(StreamState.WAITING, now, report.fault, report.message)
        self.status = replace(self.status, retry_at=now + report.retry_in)

    def ended(self, now: float) -> None:
        """Tell that the file is over."""
        log.info("the file is over", stream=self._stream)
        self._observe.disconnected(self._stream, SourceFault.ENDED)
        self._turn(StreamState.ENDED, now, SourceFault.ENDED, "the file is over")

    def crashed(self, report: Crashed) -> None:
        """Tell that a worker met an error that it does not know."""
        log.error("a capture worker failed", stream=self._stream, error=report.error, place=report.place)

    def lost(self, message: str, now: float) -> None:
        """Tell that the stream has to wait, for its worker was lost."""
        if self.status.state is StreamState.LIVE:
            self._observe.disconnected(self._stream, SourceFault.WORKER)
        self._turn(StreamState.WAITING, now, SourceFault.WORKER, message)

    def left(self, now: float) -> None:
        """Tell that the stream is given up, for it left the configuration or is another one there."""
        if self.status.state is StreamState.LIVE:
            self._observe.disconnected(self._stream, SourceFault.RELOAD)
        self._turn(StreamState.WAITING, now, SourceFault.RELOAD, "the configuration is another one")

    def restarted(self) -> None:
        """Tell that a worker is replaced."""
        self._observe.worker_restarted(self._stream)

    def frame(self, record: FrameRecord, light: Light, correction: Correction) -> None:
        """Tell of a frame whose first view has this light."""
        self._observe.stage("decode", record.decode_seconds)
        self._observe.stage("light", record.light_seconds)
        self._observe.lit(self._stream, light, correction, record.light_seconds)
        self.status = replace(self.status, last_frame_at=record.at, period=record.period)
        self._tell_size(record.width, record.height)

    def superseded(self) -> None:
        """Tell that a newer frame took the place of one that nobody had taken."""
        self._observe.dropped(self._stream, DropReason.SUPERSEDED, 1)

    def counts(self, counts: Counts, now: float) -> None:
        """Tell what a worker counted."""
        stream = self._stream
        self._observe.received(stream, counts.received)
        self._observe.decode_errors(stream, counts.decode_errors)
        self._observe.quarantined(stream, counts.quarantined)
        self._observe.packets_lost(stream, counts.lost)
        self._observe.pts_jumped(stream, counts.jumps)
        is_live = self.status.state is StreamState.LIVE  # what was counted may be told after the stream broke
        if is_live and counts.ahead is not None and math.isfinite(counts.ahead):
            self._show_clock(counts.ahead)
        self._meter.reported(now, counts.received)
        self._tell_blindness(self._blindness.counted(now, counts.received, counts.quarantined))
        for reason, n in counts.dropped.items():
            self._observe.dropped(stream, reason, n)

    def _turn(
        self, state: StreamState, now: float, fault: SourceFault | None = None, message: str = ""
    ) -> None:
        before = self.status
        since = before.since if before.state is state else now
        self.status = replace(before, state=state, since=since, fault=fault, message=message, retry_at=None)
        if before.state is StreamState.LIVE and state is not StreamState.LIVE:
            self._show_rate(0.0)
            self._show_clock(None)

    def _show_clock(self, ahead: float | None) -> None:
        self._observe.clock_offset(self._stream, ahead)
        self.status = replace(self.status, clock_ahead=ahead)

    def _show_rate(self, rate: float) -> None:
        self._observe.fps(self._stream, rate)
        self.status = replace(self.status, fps=rate)

    def _tell_decoder(self, decoder: Decoder) -> None:
        """Note what decodes, and say once where it is not what was asked for."""
        self._observe.decodes(self._stream, decoder)
        self.status = replace(self.status, decoder=decoder)
        expected = asked(self._order.decode)
        if decoder is not expected and decoder is not self._decoder:
            log.warning(
                "the stream is decoded on the CPU, for what was asked for cannot be had or failed",
                stream=self._stream,
                expected=expected.value,
                found=decoder.value,
            )
        self._decoder = decoder

    def _tell_size(self, width: int, height: int) -> None:
        before, size = self.status.size, (width, height)
        if size == before:
            return
        self.status = replace(self.status, size=size)
        if before != (0, 0):
            self._observe.resized(self._stream)
            log.info(
                "the camera changed the size of its pictures",
                stream=self._stream,
                before="{}x{}".format(*before),
                now=f"{width}x{height}",
            )

    def _tell_memory(self, from_memory: bool) -> None:
        """Say once that the name server fails, though the stream is up: nothing else would show it."""
        if from_memory and not self._from_memory:
            log.warning(
                "the name server fails, and the stream is read at its last known address", stream=self._stream
            )
        self._from_memory = from_memory

    def _tell_transport(self, transport: str) -> None:
        """Say once that UDP became TCP: waiting for it in vain costs time at each opening."""
        instead = (self._order.transport, transport) == ("udp", "tcp")
        if instead and not self._tcp_instead:
            log.warning(
                "nothing comes by UDP, and the stream is read by TCP; with transport: tcp it opens sooner",
                stream=self._stream,
            )
        self._tcp_instead = instead

    def _tell_blindness(self, is_blind: bool | None) -> None:
        if is_blind:
            log.warning(
                "most pictures of the stream are damaged and not looked at; see its packets_lost and decode_errors",
                stream=self._stream,
            )
        elif is_blind is False:
            log.info("the stream's pictures are whole again", stream=self._stream)
