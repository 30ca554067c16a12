"""A source of pictures: it blocks, yields until the stream breaks, and raises. Reconnecting is not its business.

Only the thread that calls `pictures` ever touches the container: closing it from another one can crash FFmpeg.
"""

import errno
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
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
from tocsin.capture.framenum import FrameNumbers
from tocsin.capture.names import DEADLINE as RESOLVING
from tocsin.capture.names import Resolver
from tocsin.capture.order import SourceOrder
from tocsin.capture.why import OPEN_TIMEOUT, broken, kind_of, unopened
from tocsin.errors import SourceError, SourceFault

_FILE_RATE = 25.0
"""Frames a second of a file that tells none."""

_SLICE = 1.0

_PROBED = 1.0
"""Seconds in which what was read while opening is decoded; of which of it packets were lost, nothing tells."""

_EARLY = 0.05
"""Seconds by which a wait that came to its limit may seem shorter."""


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
    unknown.
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


class Source:
    """One opening of a stream.

    `promise` is called with the seconds after which the caller may be believed dead, before everything that can
    take long. `read_timeout`: the seconds without data that count as a stall when they pass twice. `names` is kept
    over all openings of a stream. `strict`: a packet that breaks the standard of its codec is damaged, also where
    that may be harmless. Raises SourceError when it cannot be opened.
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
    ) -> None:
        self._order = order
        self._strict = strict
        self._stop = stop
        self._promise = promise
        self._read_timeout = read_timeout
        self._transport = ""
        with Complaints() as heard:
            self._container, self._video = self._open(names or Resolver())
            said = heard.take()
        if said.by_tcp:
            self._transport = "tcp"
        self._lost = said.lost
        self._doubtful_until = time.monotonic() + _PROBED if self._lost else 0.0
        context = self._video.codec_context
        self._numbers = FrameNumbers(context.extradata) if context.name == "h264" else None
        self._packet = 0
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

    def pictures(self) -> Generator[Picture, None, None]:
        """Yield pictures until told to stop.

        Raises SourceError when the stream breaks, with the fault ENDED when a file that is not looped is over.
        """
        with Complaints() as heard:
            if kind_of(self._order.location) == "file":
                yield from self._file(heard)
                return
            yield from self._decoded(heard)
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
            for picture in self._decoded(heard):
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

    def _rewind(self) -> None:
        try:
            self._container.seek(0, stream=self._video)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(SourceFault.DECODE, "the file cannot be played from its start again") from error
        if self._numbers:
            self._numbers.restart()

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0 and not self._stop.is_set():
            self._promise(2 * _SLICE)
            self._stop.wait(min(left, _SLICE))

    def _decoded(self, heard: Complaints) -> Iterator[Picture]:
        """Yield what comes of each packet until the end or a stop."""
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
            is_late = now - began >= self._read_timeout - _EARLY
            yield from self._decode(packet, began if is_late else now, heard)

    def _decode(self, packet: "Packet[VideoStream]", at: float, heard: Complaints) -> Iterator[Picture]:
        self._packet += 1
        packet.opaque = self._packet
        gap = self._numbers is not None and self._numbers.gap(bytes(packet))
        gap = gap or time.monotonic() < self._doubtful_until
        lost, self._lost = self._lost, 0
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
        lost += said.lost
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
            made_of = frame.opaque if isinstance(frame.opaque, int) else self._packet
            ahead = self._ahead(frame)
            yield Picture(frame, at, seconds, packet=made_of, shown=frame.time, ahead=ahead)

    def _ahead(self, frame: VideoFrame) -> float | None:
        """Return the seconds by which the camera's clock is before ours, where it tells its time."""
        start = self._container.start_time_realtime
        if start is None or frame.time is None:
            return None
        return float(start / 1e6 + frame.time - time.time())

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
        video.codec_context.copy_opaque = True  # of the packet, to the picture that is made of it
        if self._strict:
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
