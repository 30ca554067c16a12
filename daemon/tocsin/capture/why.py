"""Why a source did not open, or broke: FFmpeg's errors as faults and sentences for a person.

FFmpeg's own text holds the URL with the password: it is never used.
"""

import errno
import math
from urllib.parse import urlsplit

import av

from tocsin.errors import SourceError, SourceFault

OPEN_TIMEOUT = 4.0
"""For connecting and for probing, each: opening takes twice as long at worst."""


def kind_of(location: str) -> str:
    """Return the scheme of a URL, or "device" or "file"."""
    if location.startswith("/dev/"):
        return "device"
    return urlsplit(location).scheme if "://" in location else "file"


_UNOPENED: tuple[tuple[type[Exception], SourceFault, str], ...] = (
    (
        av.error.HTTPForbiddenError,
        SourceFault.AUTH,
        "the camera knows the user but forbids it: give the user the right to watch, or lift a lock-out",
    ),
    (av.error.HTTPNotFoundError, SourceFault.NOT_FOUND, "the camera answers but has no stream at this path"),
    (av.error.HTTPServerError, SourceFault.OTHER, "it answers with a server error"),
    (
        av.error.HTTPOtherClientError,
        SourceFault.OTHER,
        "the camera refuses to send the stream: it may have too many viewers already",
    ),
    (ConnectionResetError, SourceFault.RESET, "the camera reset the connection while it was opened"),
    (
        av.error.DecoderNotFoundError,
        SourceFault.UNSUPPORTED,
        "expected a video format that FFmpeg knows, found another",
    ),
)
"""What an error means whatever was opened, and however long it took."""

_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})

_SPEAKS = {"rtsp": "RTSP", "rtsps": "RTSP", "http": "Motion JPEG", "https": "Motion JPEG"}


def unopened(
    error: Exception, location: str, *, late: bool, connects: bool, limit: float = OPEN_TIMEOUT
) -> SourceError:
    """Say why a source did not open, `limit` being the seconds that it had to connect and answer.

    The type of an error is no classification where a time limit ended the call: `late` tells that it did, and
    `connects` that somebody took the connection.
    """
    for kind, fault, message in _UNOPENED:
        if isinstance(error, kind):
            return SourceError(fault, message)
    kind_of_source = kind_of(location)
    if kind_of_source in ("file", "device"):
        return _unopened_here(error, kind_of_source, location, late)
    if isinstance(error, ConnectionRefusedError):
        hint = " and whether RTSP is on" if kind_of_source in ("rtsp", "rtsps") else ""
        return SourceError(SourceFault.REFUSED, f"nothing listens there: check the port{hint}")
    if late and connects:
        hint = ": check that this port speaks TLS" if kind_of_source in ("rtsps", "https") else ""
        return SourceError(
            SourceFault.HANDSHAKE_TIMEOUT, f"it connects but says nothing within {limit:g} s{hint}"
        )
    if late:
        hint = "check the address, the network and whether a firewall is in between"
        return SourceError(SourceFault.CONNECT_TIMEOUT, f"no answer within {limit:g} s: {hint}")
    if getattr(error, "errno", None) in _UNREACHABLE:
        return SourceError(
            SourceFault.CONNECT_TIMEOUT, "no way leads there: check the address and the network"
        )
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
    if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:  # 461
        return SourceError(SourceFault.UNSUPPORTED, "the camera does not send by TCP: set transport: udp")
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
        case MemoryError():
            return SourceError(SourceFault.DECODE, "what it sends takes more memory than a worker may have")
    return SourceError(SourceFault.OTHER, f"reading failed ({_name(error)})")


def _name(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return (
        type(error).__name__
        if number is None or not math.isfinite(number)
        else f"{type(error).__name__} {number}"
    )
