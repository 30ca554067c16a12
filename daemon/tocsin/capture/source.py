"""A source of pictures: it blocks, yields until the stream breaks, and raises. Reconnecting is not its business.

Only the thread that calls `pictures` ever touches the container: closing it from another one can crash FFmpeg.
"""

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tocsin.capture.address import Target, accepts, target
from tocsin.capture.challenge import DEADLINE as ASKING
from tocsin.capture.challenge import insecure, refused
from tocsin.capture.complaints import Complaints
from tocsin.capture.fileclock import FileClock
from tocsin.capture.names import DEADLINE as RESOLVING
from tocsin.capture.names import Resolver
from tocsin.capture.order import SourceOrder
from tocsin.capture.why import OPEN_TIMEOUT, broken, kind_of, unopened
from tocsin.errors import SourceError, SourceFault

_FILE_RATE = 25.0
"""Frames a second of a file that tells none."""

_SLICE = 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """What came of a packet, its arrival on the monotonic clock, and what decoding took.

    `frame` is None when the packet gave no picture, and `damaged` tells whether it should have. `seam`: what comes
    has nothing to do with what was before, for a looped file started again or jumped in time. The pictures of a
    file that is not played in real time have the times at which they would have arrived.
    """

    frame: VideoFrame | None
    at: float
    decode_seconds: float
    damaged: bool = False
    seam: bool = False


class Source:
    """One opening of a stream.

    `promise` is called with the seconds after which the caller may be believed dead, before everything that can
    take long. `read_timeout`: the seconds without data that count as a stall when they pass twice. `names` is kept
    over all openings of a stream. Raises SourceError when it cannot be opened.
    """

    def __init__(
        self,
        order: SourceOrder,
        stop: Event,
        promise: Callable[[float], None],
        *,
        read_timeout: float,
        names: Resolver | None = None,
    ) -> None:
        self._order = order
        self._stop = stop
        self._promise = promise
        self._read_timeout = read_timeout
        self._transport = ""
        with Complaints() as heard:
            self._container, self._video = self._open(names or Resolver())
            if heard.take().by_tcp:
                self._transport = "tcp"
        rate = self._video.average_rate
        self.rate: float | None = float(rate) if rate else None

    @property
    def codec(self) -> str:
        """The name of the video codec."""
        return str(self._video.codec_context.name)

    @property
    def transport(self) -> str:
        """What really carries RTP: "tcp" or "udp", or empty where the source is none of RTSP's."""
        return self._transport

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures until told to stop.

        Raises SourceError when the stream breaks, with the fault ENDED when a file that is not looped is over.
        """
        if kind_of(self._order.location) == "file":
            yield from self._file()
            return
        for frame, seconds, damaged in self._decoded():
            yield Picture(frame, time.monotonic(), seconds, damaged)
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
            for frame, seconds, damaged in self._decoded():
                if frame is None:
                    yield Picture(None, clock.at, seconds, damaged)
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

    def _decoded(self) -> Iterator[tuple[VideoFrame | None, float, bool]]:
        """Yield picture, seconds and whether it was damaged, of each packet until the end or a stop."""
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
            yield from _decode(packet)

    def _open(self, names: Resolver) -> tuple[InputContainer, VideoStream]:
        self._promise(RESOLVING + 2)
        found = target(self._order, names, read_timeout=self._read_timeout)
        self._promise(2 * OPEN_TIMEOUT + 5)
        began = time.monotonic()
        try:
            container = av.open(
                found.url,
                timeout=(OPEN_TIMEOUT, self._read_timeout),
                format=found.format,
                options=found.options,
            )
        except (av.error.FFmpegError, OSError) as error:
            fault = self._unopened(error, found, time.monotonic() - began)
            if names.from_memory:
                where = f"{fault} (where it was when the name server last answered, for now that fails)"
                fault = SourceError(fault.fault, where)
            raise fault from error
        # what FFmpeg did instead only its log tells
        self._transport = "" if found.format != "rtsp" else "udp" if found.silence else "tcp"
        if not container.streams.video:
            container.close()
            raise SourceError(SourceFault.UNSUPPORTED, "expected a video track, found none")
        video = container.streams.video[0]
        # One thread: more of them decode no faster per stream when there are many streams, and each frame thread
        # delays the picture by one frame. A damaged packet is an error and not a guess.
        video.codec_context.thread_count = 1
        video.codec_context.options = {"err_detect": "explode"}
        return container, video

    def _unopened(self, error: Exception, found: Target, seconds: float) -> SourceError:
        """Say why it did not open; a camera that refuses a login or a certificate is asked for more."""
        door = found.door
        if door is not None and isinstance(error, av.error.HTTPUnauthorizedError):
            self._promise(ASKING + 2)
            return refused(door, self._order.username)
        limit = min(OPEN_TIMEOUT, found.silence or OPEN_TIMEOUT)
        late = seconds >= limit - 0.1
        if door is not None and door.is_secure and getattr(error, "errno", None) == errno.EIO and not late:
            self._promise(ASKING + 2)
            if (fault := insecure(door)) is not None:
                return fault
        connects = late and door is not None and accepts(door.peer)
        return unopened(error, self._order.location, late=late, connects=connects, limit=limit)


def _decode(packet: "Packet[VideoStream]") -> Iterator[tuple[VideoFrame | None, float, bool]]:
    began = time.perf_counter()
    try:
        frames = packet.decode()
    except (av.error.FFmpegError, OSError):
        yield None, time.perf_counter() - began, True
        return
    seconds = (time.perf_counter() - began) / max(1, len(frames))
    if not frames:
        yield None, seconds, False
    for frame in frames:
        assert isinstance(frame, VideoFrame), "only the video track is demuxed"
        yield frame, seconds, False
