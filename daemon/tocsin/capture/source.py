"""A source of pictures: it blocks, yields until the stream breaks, and raises. Reconnecting is not its business.

Only the thread that calls `pictures` ever touches the container: closing it from another one can crash FFmpeg.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tocsin.capture.address import resolve, with_credentials, with_host
from tocsin.capture.order import SourceOrder
from tocsin.errors import SourceError, SourceFault

OPEN_TIMEOUT = 4.0
"""For connecting and for probing, each: opening takes twice as long at worst."""

_READ_TIMEOUT = 1.5
"""FFmpeg gives its last picture at the first expiry and an error at the second: a stall shows after twice this."""

_SLOW_PERIODS = 2.5
"""The read timeout of a stream slower than that, in frame periods: five of them until a stall shows."""

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame, its arrival on the monotonic clock, and what decoding took.

    `frame` is None when a packet could not be decoded. `seam`: a looped file started again before this picture.
    """

    frame: VideoFrame | None
    at: float
    decode_seconds: float
    seam: bool = False


class Source:
    """One opening of a stream.

    `promise` is called with the seconds after which the caller may be believed dead, before everything that can
    take long. `period` is the time between two pictures where it is known: a slow stream gets more time before it
    counts as stalled. Raises SourceError when it cannot be opened.
    """

    def __init__(
        self, order: SourceOrder, stop: Event, promise: Callable[[float], None], period: float = 0.0
    ) -> None:
        self._order = order
        self._stop = stop
        self._promise = promise
        self._read_timeout = max(_READ_TIMEOUT, _SLOW_PERIODS * period)
        self._container, self._video = self._open()
        rate = self._video.average_rate
        self.rate: float | None = float(rate) if rate else None

    @property
    def codec(self) -> str:
        """The name of the video codec."""
        return str(self._video.codec_context.name)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; zero where they are known only with the first picture."""
        return self._video.codec_context.width, self._video.codec_context.height

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures until told to stop.

        Raises SourceError when the stream breaks, with the fault ENDED when a file that is not looped is over.
        """
        clock = _FileClock(self._order.realtime, self._stop) if self._is_file else None
        while not self._stop.is_set():
            yield from self._once(clock)
            if not self._is_file:
                raise SourceError(SourceFault.EOF, "the camera closed the connection")
            if not self._order.loop:
                raise SourceError(SourceFault.ENDED, "the file is over")
            assert clock is not None, "a file has a clock"
            clock.seam()
            self._container.seek(0, stream=self._video)

    def close(self) -> None:
        """Close the stream."""
        self._container.close()

    @property
    def _is_file(self) -> bool:
        return "://" not in self._order.location and not self._order.location.startswith("/dev/")

    def _once(self, clock: "_FileClock | None") -> Iterator[Picture]:
        packets = self._container.demux(self._video)
        while not self._stop.is_set():
            self._promise(2 * self._read_timeout + 2)
            began = time.monotonic()
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise _broken(error, time.monotonic() - began) from error
            if packet is None:
                return
            for frame, seconds in _decoded(packet):
                if clock is not None and frame is not None:
                    yield clock.picture(frame, seconds)
                else:
                    yield Picture(frame, time.monotonic(), seconds)

    def _open(self) -> tuple[InputContainer, VideoStream]:
        name, form, options = _address(self._order)
        self._promise(2 * OPEN_TIMEOUT + 5)
        began = time.monotonic()
        try:
            container = av.open(
                name, timeout=(OPEN_TIMEOUT, self._read_timeout), format=form, options=options
            )
        except (av.error.FFmpegError, OSError) as error:
            raise _unopened(error, time.monotonic() - began) from error
        if not container.streams.video:
            container.close()
            raise SourceError(SourceFault.UNSUPPORTED, "expected a video track, found none")
        video = container.streams.video[0]
        # One thread: more of them decode no faster per stream when there are many streams, and each frame thread
        # delays the picture by one frame. A damaged packet is an error and not a guess.
        video.codec_context.thread_count = 1
        video.codec_context.options = {"err_detect": "explode"}
        return container, video


class _FileClock:
    """Gives the pictures of a file the times at which a camera would have sent them."""

    def __init__(self, realtime: bool, stop: Event) -> None:
        self._realtime = realtime
        self._stop = stop
        self._zero: float | None = None
        self._last = time.monotonic()
        self._seam = False

    def seam(self) -> None:
        self._zero = None
        self._seam = True

    def picture(self, frame: VideoFrame, seconds: float) -> Picture:
        shown = frame.time or 0.0
        if self._zero is None:
            start = time.monotonic() if self._realtime else self._last
            self._zero = start - shown
        at = max(self._zero + shown, self._last)
        if self._realtime:
            self._stop.wait(max(0.0, at - time.monotonic()))
        seam, self._seam = self._seam, False
        self._last = at
        return Picture(frame, at, seconds, seam)


def _decoded(packet: "Packet[VideoStream]") -> Iterator[tuple[VideoFrame | None, float]]:
    began = time.perf_counter()
    try:
        frames = packet.decode()
    except (av.error.FFmpegError, OSError):
        yield None, time.perf_counter() - began
        return
    seconds = (time.perf_counter() - began) / max(1, len(frames))
    for frame in frames:
        assert isinstance(frame, VideoFrame), "only the video track is demuxed"
        yield frame, seconds


def _address(order: SourceOrder) -> tuple[str, str | None, dict[str, str]]:
    """Return what av.open wants: a name, a format and options.

    The lists of protocols keep a camera, or a redirect of one, from making FFmpeg read files or other places.
    """
    location = order.location
    if location.startswith("/dev/"):
        if not Path(location).exists():
            raise SourceError(SourceFault.NO_DEVICE, f"expected a camera at {location}, found no such device")
        return location, "v4l2", {}
    if "://" not in location:
        return location, None, {"protocol_whitelist": "file"}
    parts = urlsplit(location)
    assert parts.hostname, "the configuration refuses a URL without a host"
    address = resolve(parts.hostname, parts.port or _PORTS[parts.scheme])
    options = {"tls_verify": "1" if order.tls_verify else "0", "ca_file": order.ca_file or _CERTIFICATES}
    if parts.scheme in ("http", "https"):
        options["protocol_whitelist"] = "http,https,tcp,tls,crypto,httpproxy"
        return with_credentials(location, order.username, order.password), "mpjpeg", options
    options |= {
        "rtsp_transport": order.transport,
        "allowed_media_types": "video",
        "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto,http,https",
        # a second of probing is the default; the size of the picture is known from the first keyframe anyway
        "probesize": "65536",
        "analyzeduration": "500000",
    }
    if parts.scheme == "rtsp":  # with TLS the certificate is for the name
        location = with_host(location, address)
    return with_credentials(location, order.username, order.password), "rtsp", options


_AUTH_ADVICE = (
    "the camera refused the user name or password (or asks for Digest with SHA-256, which FFmpeg cannot do:"
    " set it to MD5 or Basic)"
)


_UNOPENED: tuple[tuple[type[Exception] | tuple[type[Exception], ...], SourceFault, str], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), SourceFault.AUTH, _AUTH_ADVICE),
    (av.error.HTTPNotFoundError, SourceFault.NOT_FOUND, "the camera answers but has no stream at this path"),
    (
        ConnectionRefusedError,
        SourceFault.REFUSED,
        "nothing listens there: check the port and whether RTSP is on",
    ),
    (ConnectionResetError, SourceFault.RESET, "the camera reset the connection while it was opened"),
    (FileNotFoundError, SourceFault.NOT_FOUND, "expected a video file, found none at this path"),
    (PermissionError, SourceFault.NO_DEVICE, "expected to be allowed to open it, found permission denied"),
    (
        av.error.DecoderNotFoundError,
        SourceFault.UNSUPPORTED,
        "expected a video format that FFmpeg knows, found another",
    ),
)
"""What an error means whenever it comes while a source is opened."""


def _unopened(error: Exception, seconds: float) -> SourceError:
    """Say why a source did not open. FFmpeg's own text holds the URL with the password: it is never used.

    The type of an error is no classification where a time limit ended the call: then its age tells.
    """
    for kind, fault, message in _UNOPENED:
        if isinstance(error, kind):
            return SourceError(fault, message)
    if seconds >= OPEN_TIMEOUT - 0.1 and isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return SourceError(SourceFault.CONNECT_TIMEOUT, f"no answer within {OPEN_TIMEOUT:g} s")
    if seconds >= OPEN_TIMEOUT - 0.1:
        return SourceError(
            SourceFault.HANDSHAKE_TIMEOUT, f"it connects but says nothing within {OPEN_TIMEOUT:g} s"
        )
    if isinstance(error, av.error.InvalidDataError):
        return SourceError(SourceFault.UNSUPPORTED, "expected a video stream, found data of another kind")
    return SourceError(SourceFault.OTHER, f"it could not be opened ({_name(error)})")


def _broken(error: Exception, seconds: float) -> SourceError:
    """Say why a stream that was open broke."""
    match error:
        case av.error.ExitError() | av.error.TimeoutError() | BlockingIOError():
            return SourceError(SourceFault.STALL, f"no data for {seconds:.1f} s")
        case ConnectionResetError() | BrokenPipeError():
            return SourceError(SourceFault.RESET, "the camera reset the connection")
        case av.error.EOFError():
            return SourceError(SourceFault.EOF, "the camera closed the connection")
        case OSError() if error.errno == 19:
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
