"""A source of pictures: it blocks, yields until the stream breaks, and raises. Reconnecting is not its business.

Only the thread that calls `pictures` ever touches the container: closing it from another one can crash FFmpeg.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tocsin.capture.address import accepts, target
from tocsin.capture.decoder import Decoder, asked
from tocsin.capture.disposable import Disposables
from tocsin.capture.fileclock import FileClock
from tocsin.capture.hardware import acceleration
from tocsin.capture.order import SourceOrder
from tocsin.capture.why import OPEN_TIMEOUT, broken, kind_of, unopened
from tocsin.errors import SourceError, SourceFault

_FILE_RATE = 25.0
"""Frames a second of a file that tells none."""

_SLICE = 1.0


_Decoded = tuple[VideoFrame | None, float, bool, bool]
"""The picture, seconds, whether it was damaged, and whether it was left out."""


_Expected = Callable[["Packet[VideoStream]"], tuple[float, float]]
"""When the picture in a packet is expected, and how far those before it are apart that have not arrived."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What came of a packet, its arrival on the monotonic clock, and what decoding took.

    `frame` is None when the packet gave no picture, and `damaged` tells whether it should have. `seam`: what comes
    has nothing to do with what was before, for a looped file started again or jumped in time. The pictures of a
    file that is not played in real time have the times at which they would have arrived. `left_out`: the packet
    holds a picture that is not wanted and that no other needs; it was not decoded.
    """

    frame: VideoFrame | None
    at: float
    decode_seconds: float
    damaged: bool = False
    seam: bool = False
    left_out: bool = False


class Source:
    """One opening of a stream.

    `promise` is called with the seconds after which the caller may be believed dead, before everything that can
    take long. `read_timeout`: the seconds without data that count as a stall when they pass twice. `turn` picks
    among the addresses of the host. `wanted` is asked whether a picture is, by when it is expected and how far
    those before it are apart that have not arrived, as `Pace.may_be_due`; None: all are. Raises SourceError when
    it cannot be opened. `software`: decode on the CPU, whatever is asked for.
    """

    def __init__(
        self,
        order: SourceOrder,
        stop: Event,
        promise: Callable[[float], None],
        *,
        read_timeout: float,
        turn: int = 0,
        wanted: Callable[[float, float], bool] | None = None,
        software: bool = False,
    ) -> None:
        self._order = order
        self._stop = stop
        self._promise = promise
        self._read_timeout = read_timeout
        self._device = Decoder.CPU if software else asked(order.decode)
        self._container, self._video = self._open(turn)
        self._wanted = wanted
        context = self._video.codec_context
        self._disposables = Disposables(context.name, context.extradata)
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

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures until told to stop.

        Raises SourceError when the stream breaks, with the fault ENDED when a file that is not looped is over.
        """
        if kind_of(self._order.location) == "file":
            yield from self._file()
            return
        for frame, seconds, damaged, left_out in self._decoded(self._next):
            yield Picture(frame, time.monotonic(), seconds, damaged, left_out=left_out)
        if not self._stop.is_set():
            raise SourceError(SourceFault.EOF, "the camera closed the connection")

    def close(self) -> None:
        """Close the stream."""
        self._container.close()

    def _file(self) -> Iterator[Picture]:
        period = 1.0 / (self.rate or _FILE_RATE)
        clock = FileClock(period, time.monotonic())
        while not self._stop.is_set():
            empty = True
            began = time.monotonic()
            for frame, seconds, damaged, left_out in self._decoded(
                lambda packet: (clock.expected(_shown(packet)), period)
            ):
                if frame is None:
                    yield Picture(None, clock.at, seconds, damaged, left_out=left_out)
                    continue
                empty = False
                at, seam = clock.tick(frame.time, time.monotonic() if self._order.realtime else None)
                if self._order.realtime:
                    self._sleep_until(at)
                yield Picture(frame, at, seconds, seam=seam)
            if self._stop.is_set():
                return
            if empty:
                raise SourceError(SourceFault.DECODE, "expected pictures in the file, found none")
            if not self._order.loop:
                raise SourceError(SourceFault.ENDED, "the file is over")
            self._sleep_until(began + period)  # a file of one picture would keep a core busy
            self._rewind()
            clock.rewind()

    def _rewind(self) -> None:
        try:
            self._container.seek(0, stream=self._video)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(SourceFault.DECODE, "the file cannot be played from its start again") from error

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0 and not self._stop.is_set():
            self._promise(2 * _SLICE)
            self._stop.wait(min(left, _SLICE))

    def _decoded(self, expected: _Expected) -> Iterator[_Decoded]:
        """Yield what came of each packet until the end or a stop; `expected` says when its picture arrives."""
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
            if self._leaves_out(packet, expected):
                yield None, 0.0, False, True
            else:
                yield from _decode(packet)

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

    def _open(self, turn: int) -> tuple[InputContainer, VideoStream]:
        found = target(self._order, turn)
        self._promise(2 * OPEN_TIMEOUT + 5)
        began = time.monotonic()
        try:
            container = av.open(
                found.url,
                timeout=(OPEN_TIMEOUT, self._read_timeout),
                format=found.format,
                options=found.options,
                hwaccel=acceleration(self._device),
            )
        except (av.error.FFmpegError, OSError) as error:
            late = time.monotonic() - began >= OPEN_TIMEOUT - 0.1
            connects = late and found.peer is not None and accepts(found.peer)
            raise unopened(error, self._order.location, late=late, connects=connects) from error
        if not container.streams.video:
            container.close()
            raise SourceError(SourceFault.UNSUPPORTED, "expected a video track, found none")
        video = container.streams.video[0]
        # One thread: more of them decode no faster per stream when there are many streams, and each frame thread
        # delays the picture by one frame. A damaged packet is an error and not a guess.
        video.codec_context.thread_count = 1
        video.codec_context.options = {"err_detect": "explode"}
        return container, video


def _shown(packet: "Packet[VideoStream]") -> float | None:
    """Return the timestamp of the picture in a packet, in seconds."""
    return None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)


def _decode(packet: "Packet[VideoStream]") -> Iterator[_Decoded]:
    began = time.perf_counter()
    try:
        frames = packet.decode()
    except (av.error.FFmpegError, OSError):
        yield None, time.perf_counter() - began, True, False
        return
    seconds = (time.perf_counter() - began) / max(1, len(frames))
    if not frames:
        yield None, seconds, False, False
    for frame in frames:
        assert isinstance(frame, VideoFrame), "only the video track is demuxed"
        yield frame, seconds, False, False
