"""A source of pictures: it blocks, yields until the stream breaks, and raises. Reconnecting is not its business.

Only the thread that calls `pictures` ever touches the container: closing it from another one can crash FFmpeg.
"""

import errno
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tocsin.capture.address import accepts, target
from tocsin.capture.order import SourceOrder
from tocsin.errors import SourceError, SourceFault

OPEN_TIMEOUT = 4.0
"""For connecting and for probing, each: opening takes twice as long at worst."""

_FILE_RATE = 25.0
"""Frames a second of a file that tells none."""

_JUMP = 5.0
"""Seconds, and as many periods of a slower file: what jumps further in a file's timestamps is not waited for."""

_BACK = 1.0
"""Seconds that a file's timestamps may go back without being a new beginning."""

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
    take long. `read_timeout`: the seconds without data that count as a stall when they pass twice. `turn` picks
    among the addresses of the host. Raises SourceError when it cannot be opened.
    """

    def __init__(
        self,
        order: SourceOrder,
        stop: Event,
        promise: Callable[[float], None],
        *,
        read_timeout: float,
        turn: int = 0,
    ) -> None:
        self._order = order
        self._stop = stop
        self._promise = promise
        self._read_timeout = read_timeout
        self._container, self._video = self._open(turn)
        rate = self._video.average_rate
        self.rate: float | None = float(rate) if rate else None

    @property
    def codec(self) -> str:
        """The name of the video codec."""
        return str(self._video.codec_context.name)

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures until told to stop.

        Raises SourceError when the stream breaks, with the fault ENDED when a file that is not looped is over.
        """
        if _kind(self._order.location) == "file":
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
                kind = _kind(self._order.location)
                raise broken(error, kind, time.monotonic() - began) from error
            if packet is None:
                return
            yield from _decode(packet)

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


class FileClock:
    """Gives the pictures of a file the times at which a camera would have sent them. Pure: times are arguments.

    `period`: seconds between two pictures, for those without a timestamp and where the timestamps begin anew.
    """

    def __init__(self, period: float, now: float) -> None:
        self._period = period
        self._zero: float | None = None
        self._shown = -period
        self._seam = False
        self._begun = False
        self.at = now
        """The time of the last picture."""

    def rewind(self) -> None:
        """Note that the file is played from its start again."""
        self._zero = None
        self._shown = -self._period
        self._seam = True

    def tick(self, shown: float | None, now: float | None) -> tuple[float, bool]:
        """Return the time of the next picture, and whether it has nothing to do with the one before.

        `shown` is its timestamp in seconds; `now` is None when the file is not played in real time.
        """
        if shown is None:
            shown = self._shown + self._period
        step = shown - self._shown
        if self._zero is not None and not -_BACK <= step <= max(_JUMP, 5 * self._period):
            self._zero = None
            self._seam = True
        if self._zero is None:
            start = self.at + self._period if self._begun else self.at
            self._zero = (start if now is None else max(start, now)) - shown
        self._shown = shown
        self._begun = True
        self.at = max(self._zero + shown, self.at)
        seam, self._seam = self._seam, False
        return self.at, seam


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


def _kind(location: str) -> str:
    """Return the scheme of a URL, or "device" or "file"."""
    if location.startswith("/dev/"):
        return "device"
    return urlsplit(location).scheme if "://" in location else "file"


_AUTH_ADVICE = (
    "the camera refused the user name or password (or asks for Digest with SHA-256, which FFmpeg cannot do:"
    " set it to MD5 or Basic)"
)

_UNOPENED: tuple[tuple[type[Exception] | tuple[type[Exception], ...], SourceFault, str], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), SourceFault.AUTH, _AUTH_ADVICE),
    (av.error.HTTPNotFoundError, SourceFault.NOT_FOUND, "the camera answers but has no stream at this path"),
    (av.error.HTTPServerError, SourceFault.OTHER, "it answers with a server error"),
    (ConnectionResetError, SourceFault.RESET, "the camera reset the connection while it was opened"),
    (
        av.error.DecoderNotFoundError,
        SourceFault.UNSUPPORTED,
        "expected a video format that FFmpeg knows, found another",
    ),
)
"""What an error means whatever was opened, and however long it took."""

_SPEAKS = {"rtsp": "RTSP", "rtsps": "RTSP", "http": "Motion JPEG", "https": "Motion JPEG"}


def unopened(error: Exception, location: str, *, late: bool, connects: bool) -> SourceError:
    """Say why a source did not open. FFmpeg's own text holds the URL with the password: it is never used.

    The type of an error is no classification where a time limit ended the call: `late` tells that it did, and
    `connects` that the port took a connection right after.
    """
    for kind, fault, message in _UNOPENED:
        if isinstance(error, kind):
            return SourceError(fault, message)
    kind_of_source = _kind(location)
    if kind_of_source in ("file", "device"):
        return _unopened_here(error, kind_of_source, location, late)
    if isinstance(error, ConnectionRefusedError):
        hint = " and whether RTSP is on" if kind_of_source in ("rtsp", "rtsps") else ""
        return SourceError(SourceFault.REFUSED, f"nothing listens there: check the port{hint}")
    if late and connects:
        return SourceError(
            SourceFault.HANDSHAKE_TIMEOUT, f"it connects but says nothing within {OPEN_TIMEOUT:g} s"
        )
    if late:
        return SourceError(SourceFault.CONNECT_TIMEOUT, f"no answer within {OPEN_TIMEOUT:g} s")
    return _unopened_at_once(error, kind_of_source)


def _unopened_here(error: Exception, kind: str, location: str, late: bool) -> SourceError:
    what = "a camera" if kind == "device" else "a video file"
    match error:
        case FileNotFoundError():
            return SourceError(SourceFault.NOT_FOUND, f"expected {what} at {location}, found none")
        case IsADirectoryError():
            return SourceError(SourceFault.NOT_FOUND, f"expected {what} at {location}, found a directory")
        case PermissionError():
            return SourceError(
                SourceFault.NO_DEVICE if kind == "device" else SourceFault.OTHER,
                f"expected to be allowed to open {location}, found permission denied",
            )
        case av.error.InvalidDataError():
            return SourceError(
                SourceFault.UNSUPPORTED, f"expected {what} at {location}, found data of another kind"
            )
    if late:
        return SourceError(SourceFault.CONNECT_TIMEOUT, f"no answer within {OPEN_TIMEOUT:g} s")
    return SourceError(SourceFault.OTHER, f"{location} could not be opened ({_name(error)})")


def _unopened_at_once(error: Exception, scheme: str) -> SourceError:
    """Say what a camera did that answered in time but wrong; a rebooting one does all of this for a while."""
    speaks = _SPEAKS[scheme]
    closed = "it closed the connection while it was opened"
    if isinstance(error, av.error.InvalidDataError):
        if scheme == "rtsp":  # FFmpeg's RTSP reader tells the two alike
            return SourceError(SourceFault.EOF, f"{closed}, or it answers with something that is no {speaks}")
        return SourceError(SourceFault.EOF, f"it answers with something that is no {speaks}")
    if isinstance(error, EOFError):
        return SourceError(SourceFault.EOF, closed)
    if getattr(error, "errno", None) == errno.EIO:
        if scheme in ("rtsps", "https"):
            hint = "check the port and the certificate"
            return SourceError(SourceFault.OTHER, f"the secure connection failed: {hint}")
        return SourceError(SourceFault.EOF, f"{closed}, or it answers with something that is no {speaks}")
    return SourceError(SourceFault.OTHER, f"it could not be opened ({_name(error)})")


def broken(error: Exception, kind: str, seconds: float) -> SourceError:
    """Say why a stream of that kind, which was open, broke after so many seconds without data."""
    match error:
        case av.error.ExitError() | av.error.TimeoutError() | BlockingIOError():
            return SourceError(SourceFault.STALL, f"no data for {seconds:.1f} s")
        case ConnectionResetError() | BrokenPipeError():
            return SourceError(SourceFault.RESET, "the camera reset the connection")
        case EOFError():
            return SourceError(SourceFault.EOF, "the camera closed the connection")
        case OSError() if error.errno == errno.EIO and kind in _SPEAKS:
            return SourceError(SourceFault.EOF, "the camera closed the connection")
        case OSError() if error.errno == errno.ENODEV:
            return SourceError(SourceFault.NO_DEVICE, "the device was unplugged")
        case av.error.InvalidDataError():
            return SourceError(SourceFault.DECODE, "the stream holds data that cannot be read")
    return SourceError(SourceFault.OTHER, f"reading failed ({_name(error)})")


def _name(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return (
        type(error).__name__
        if number is None or not math.isfinite(number)
        else f"{type(error).__name__} {number}"
    )
