"""A source of pictures: it blocks, yields until the stream breaks, and raises. Reconnecting is not its business.

Only the thread that calls `pictures` ever touches the container: closing it from another one can crash FFmpeg.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tocsin.capture.complaints import Complaints
from tocsin.capture.decoder import Decoder, asked
from tocsin.capture.disposable import Disposables
from tocsin.capture.fileclock import FileClock
from tocsin.capture.framenum import FrameNumbers
from tocsin.capture.names import Resolver
from tocsin.capture.opening import Opening
from tocsin.capture.order import SourceOrder
from tocsin.capture.refresh import Refreshes
from tocsin.capture.why import broken, kind_of
from tocsin.errors import SourceError, SourceFault
from tocsin.evidence.reel import Leader, Reel

_FILE_RATE = 25.0
"""Frames a second of a file that tells none."""

_SLICE = 1.0

_PROBED = 1.0
"""Seconds in which what was read while opening is decoded; of which of it packets were lost, nothing tells."""

_EARLY = 0.05
"""Seconds by which a wait that came to its limit may seem shorter."""


_Expected = Callable[["Packet[VideoStream]"], tuple[float, float]]
"""When the picture in a packet is expected, and how far those before it are apart that have not arrived."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What came of a packet, its arrival on the monotonic clock, and what decoding took.

    Packets are numbered by `packet` in the order of decoding; a picture has the number of the one that it was made
    of. `frame` is None when the packet gave no picture, or when damage has to be told first: `damaged` when the
    decoder failed or complained (`at_keyframe`: of a keyframe; `hollow`: only that there is no picture),
    `lost` packets of the network before this one or the next, a `gap` where a picture is missing. `seam`: what
    comes has nothing to do with what was before, for a looped file started again or jumped in time. The pictures
    of a file that is not played in real time have the times at which they would have arrived. `shown` is the
    camera's own timestamp in seconds, and `ahead` the seconds by which its clock is before ours, both None where
    unknown. `left_out`: the packet holds a picture that is not wanted and that no other needs; it was not decoded.
    `refresh`: the packet with which the refresh began that ends with this picture, None where none does.
    """

    frame: VideoFrame | None
    at: float
    decode_seconds: float
    damaged: bool = False
    seam: bool = False
    packet: int = 0
    lost: int = 0
    gap: bool = False
    at_keyframe: bool = False
    hollow: bool = False
    shown: float | None = None
    ahead: float | None = None
    left_out: bool = False
    refresh: int | None = None

    @property
    def since(self) -> int | None:
        """The packet from which on there must be no damage for this picture to be right; None: no telling."""
        return self.packet if self.frame is not None and self.frame.key_frame else self.refresh


class Source:
    """One opening of a stream.

    For `promise`, `read_timeout`, `names` and `strict` see `Opening`. `software`: decode on the CPU, whatever is
    asked for. `wanted` is asked whether a picture is, by when it is expected and how far those before it are apart
    that have not arrived, as `Pace.may_be_due`; None: all are. `reel` keeps what is read. Raises SourceError when
    it cannot be opened.
    """

    def __init__(
        self,
        order: SourceOrder,
        stop: Event,
        promise: Callable[[float], None],
        *,
        read_timeout: float,
        names: Resolver | None = None,
        strict: bool = True,
        software: bool = False,
        wanted: Callable[[float, float], bool] | None = None,
        reel: Reel | None = None,
    ) -> None:
        self._order = order
        self._strict = strict
        self._stop = stop
        self._promise = promise
        self._read_timeout = read_timeout
        self._wanted = wanted
        self._device = Decoder.CPU if software else asked(order.decode)
        opened = Opening(order, promise, read_timeout, names or Resolver(), strict, self._device).open()
        self._container, self._video = opened.container, opened.video
        self.transport = opened.transport
        self._lost = opened.lost
        self._doubtful_until = time.monotonic() + _PROBED if self._lost else 0.0
        context = self._video.codec_context
        self._numbers = FrameNumbers(context.extradata) if context.name == "h264" else None
        self._refreshes = Refreshes(context.extradata)
        self._disposables = Disposables(context.name, context.extradata)
        self._packet = 0
        self._reel = reel
        self._begin_reel()
        rate = self._video.average_rate
        self.rate: float | None = float(rate) if rate else None

    @property
    def codec(self) -> str:
        """The name of the video codec."""
        return str(self._video.codec_context.name)

    @property
    def decoder(self) -> Decoder:
        """What decodes; known with the first picture."""
        return self._device if self._video.codec_context.is_hwaccel else Decoder.CPU

    def pictures(self) -> Generator[Picture, None, None]:
        """Yield pictures until told to stop.

        Raises SourceError when the stream breaks, with the fault ENDED when a file that is not looped is over.
        """
        with Complaints() as heard:
            if kind_of(self._order.location) == "file":
                yield from self._file(heard)
                return
            yield from self._decoded(heard, self._next)
        if not self._stop.is_set():
            raise SourceError(SourceFault.EOF, "the camera closed the connection")

    def close(self) -> None:
        """Close the stream."""
        self._container.close()

    def _file(self, heard: Complaints) -> Iterator[Picture]:
        period = 1.0 / (self.rate or _FILE_RATE)
        clock = FileClock(period, time.monotonic())
        while not self._stop.is_set():
            empty = True
            began = time.monotonic()
            for picture in self._decoded(heard, lambda packet: (clock.expected(_shown(packet)), period)):
                if picture.frame is None:
                    yield replace(picture, at=clock.at)
                    continue
                empty = False
                at, seam = clock.tick(picture.shown, time.monotonic() if self._order.realtime else None)
                if self._order.realtime:
                    self._sleep_until(at)
                yield replace(picture, at=at, seam=seam)
            if self._stop.is_set():
                return
            if empty:
                raise SourceError(SourceFault.DECODE, "expected pictures in the file, found none")
            if not self._order.loop:
                raise SourceError(SourceFault.ENDED, "the file is over")
            self._sleep_until(began + period)  # a file of one picture would keep a core busy
            self._rewind()
            clock.rewind()

    def _begin_reel(self) -> None:
        if self._reel is None:
            return
        try:
            self._reel.opened(Leader(self._video))
        except (av.error.FFmpegError, ValueError):  # a codec that is only ever read: of it nothing is kept
            self._reel.opened(None)

    def _rewind(self) -> None:
        try:
            self._container.seek(0, stream=self._video)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(SourceFault.DECODE, "the file cannot be played from its start again") from error
        self._begin_reel()
        self._refreshes.restart()
        if self._numbers:
            self._numbers.restart()

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0 and not self._stop.is_set():
            self._promise(2 * _SLICE)
            self._stop.wait(min(left, _SLICE))

    def _decoded(self, heard: Complaints, expected: _Expected) -> Iterator[Picture]:
        """Yield what comes of each packet until the end or a stop; `expected` says when its picture arrives."""
        packets = self._container.demux(self._video)
        while not self._stop.is_set():
            self._promise(2 * self._read_timeout + 2)
            began = time.monotonic()
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                kind = kind_of(self._order.location)
                raise broken(error, kind, time.monotonic() - began) from error
            if packet is None:
                return
            now = time.monotonic()
            # At the end of a wait FFmpeg gives what it held back: that had come before the wait began.
            at = began if now - began >= self._read_timeout - _EARLY else now
            self._packet += 1
            gap, refresh = now < self._doubtful_until, None
            if self._numbers:
                content = memoryview(packet) if packet.size else b""  # the last one is empty
                gap = self._numbers.gap(content) or gap
                refresh = self._refreshes.ended(self._packet, content, self._numbers.place)
            packet.opaque = (self._packet, refresh)
            if self._reel is not None and packet.size:
                self._reel.keep(packet, self._packet, at)
            if self._leaves_out(packet, expected):
                lost, self._lost = self._lost + heard.take().lost, 0
                yield Picture(None, at, 0.0, packet=self._packet, lost=lost, gap=gap, left_out=True)
            else:
                yield from self._decode(packet, at, gap, heard)

    def _leaves_out(self, packet: "Packet[VideoStream]", expected: _Expected) -> bool:
        """Return whether a picture needs no decoding: it is not wanted, and no other is built on it."""
        if self._wanted is None or packet.size == 0 or self._wanted(*expected(packet)):
            return False
        return self._disposables.holds(memoryview(packet))

    def _next(self, _: "Packet[VideoStream]") -> tuple[float, float]:
        """Expect the picture of a camera at once.

        Where pictures are held back because they are shown in another order than they are sent, which cameras
        hardly do, all are decoded: with fewer of them the decoder would hold each back for longer. Where a stream
        does not say that there is no such order, FFmpeg takes a gap for one: then the first gap is the last.
        """
        held = self._video.codec_context.has_b_frames
        return math.inf if held else time.monotonic(), math.inf

    def _decode(
        self, packet: "Packet[VideoStream]", at: float, gap: bool, heard: Complaints
    ) -> Iterator[Picture]:
        began = time.perf_counter()
        frames: Sequence[object] = ()
        failed = False
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError):
            failed = True
        seconds = (time.perf_counter() - began) / max(1, len(frames))
        said = heard.take()
        complaints = said.errors + said.cut_off if self._strict else said.errors - said.aside
        damaged = failed or complaints > 0
        lost, self._lost = self._lost + said.lost, 0
        if damaged or gap or lost or not frames:
            yield Picture(
                None,
                time.monotonic(),
                0.0 if frames else seconds,
                damaged,
                packet=self._packet,
                lost=lost,
                gap=gap,
                at_keyframe=damaged and packet.is_keyframe,
                hollow=said.errors > 0 and said.errors == said.empty,
            )
        for frame in frames:
            assert isinstance(frame, VideoFrame), "only the video track is demuxed"
            made_of, refresh = frame.opaque if isinstance(frame.opaque, tuple) else (self._packet, None)
            ahead = self._ahead(frame)
            yield Picture(frame, at, seconds, packet=made_of, shown=frame.time, ahead=ahead, refresh=refresh)

    def _ahead(self, frame: VideoFrame) -> float | None:
        """Return the seconds by which the camera's clock is before ours, where it tells its time."""
        start = self._container.start_time_realtime
        if start is None or frame.time is None:
            return None
        return float(start / 1e6 + frame.time - time.time())


def _shown(packet: "Packet[VideoStream]") -> float | None:
    """Return the timestamp of the picture in a packet, in seconds."""
    return None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)
