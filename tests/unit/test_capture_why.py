"""What an error of FFmpeg means."""

import errno

import av
import pytest

from tocsin.capture.why import broken, unopened
from tocsin.errors import SourceFault

_INVALID = av.error.InvalidDataError(1094995529, "rtsp://viewer:s3cret@camera/a")
_EOF = av.error.EOFError(541478725, "http://viewer:s3cret@camera/a")
_EXIT = av.error.ExitError(1414092869, "http://viewer:s3cret@camera/a")
_EIO = av.error.OSError(errno.EIO, "http://viewer:s3cret@camera/a")
_BUSY = av.error.HTTPServerError(1482175992, "http://viewer:s3cret@camera/a")
_CROWDED = av.error.HTTPOtherClientError(1482175736, "rtsp://viewer:s3cret@camera/a")
_REFUSED = av.error.ConnectionRefusedError(errno.ECONNREFUSED, "http://viewer:s3cret@camera/a")
_DENIED = av.error.PermissionError(errno.EACCES, "/clip.mp4")
_FORBIDDEN = av.error.HTTPForbiddenError(858797304, "rtsp://viewer:s3cret@camera/a")
_NO_WAY = av.error.OSError(errno.EHOSTUNREACH, "rtsp://viewer:s3cret@camera/a")
_NOT_BY_TCP = av.error.OSError(errno.EPROTONOSUPPORT, "rtsp://viewer:s3cret@camera/a")
_NO_MEMORY = av.error.MemoryError(errno.ENOMEM, "http://viewer:s3cret@camera/a")
_NONE = av.error.FileNotFoundError(errno.ENOENT, "/clip.mp4")
_FOLDER = av.error.IsADirectoryError(errno.EISDIR, "/clip.mp4")

_FULL = "the camera refuses to send the stream: it may have too many viewers already"
_CLOSED = "it closed the connection while it was opened"
_OR = ", or it answers with something that is no"


@pytest.mark.parametrize(
    ("error", "location", "fault", "message"),
    [
        (_INVALID, "rtsp://camera/a", SourceFault.EOF, f"{_CLOSED}{_OR} RTSP"),
        (_INVALID, "rtsps://camera/a", SourceFault.EOF, "it answers with something that is no RTSP"),
        (_INVALID, "http://camera/a", SourceFault.EOF, "it answers with something that is no Motion JPEG"),
        (_EOF, "rtsps://camera/a", SourceFault.EOF, _CLOSED),
        (_EOF, "http://camera/a", SourceFault.EOF, _CLOSED),
        (_EIO, "http://camera/a", SourceFault.EOF, f"{_CLOSED}{_OR} Motion JPEG"),
        (
            _EIO,
            "https://camera/a",
            SourceFault.OTHER,
            "the secure connection failed: check the port and the certificate",
        ),
        (_BUSY, "http://camera/a", SourceFault.OTHER, "it answers with a server error"),
        (_CROWDED, "rtsp://camera/a", SourceFault.OTHER, _FULL),
        (_REFUSED, "http://camera/a", SourceFault.REFUSED, "nothing listens there: check the port"),
        (
            _REFUSED,
            "rtsp://camera/a",
            SourceFault.REFUSED,
            "nothing listens there: check the port and whether RTSP is on",
        ),
        (
            _FORBIDDEN,
            "rtsp://camera/a",
            SourceFault.AUTH,
            "the camera knows the user but forbids it: give the user the right to watch, or lift a lock-out",
        ),
        (
            _NO_WAY,
            "rtsp://camera/a",
            SourceFault.CONNECT_TIMEOUT,
            "no way leads there: check the address and the network",
        ),
        (
            _NOT_BY_TCP,
            "rtsp://camera/a",
            SourceFault.UNSUPPORTED,
            "the camera does not send by TCP: set transport: udp",
        ),
        (_NONE, "/clip.mp4", SourceFault.NOT_FOUND, "expected a video file at /clip.mp4, found none"),
        (
            _FOLDER,
            "/clip.mp4",
            SourceFault.NOT_FOUND,
            "expected a video file at /clip.mp4, found a directory",
        ),
        (
            _INVALID,
            "/clip.mp4",
            SourceFault.UNSUPPORTED,
            "expected a video file at /clip.mp4, found data of another kind",
        ),
        (
            _DENIED,
            "/clip.mp4",
            SourceFault.OTHER,
            "expected to be allowed to open /clip.mp4, found permission denied",
        ),
        (
            _DENIED,
            "/dev/video0",
            SourceFault.NO_DEVICE,
            "expected to be allowed to open /dev/video0, found permission denied",
        ),
    ],
)
def test_what_fails_at_once_is_named(
    error: Exception, location: str, fault: SourceFault, message: str
) -> None:
    """The sentence tells what was seen and what to check, and never holds FFmpeg's own text."""
    found = unopened(error, location, late=False, connects=False)
    assert (found.fault, str(found)) == (fault, message)


@pytest.mark.parametrize("error", [_EXIT, _INVALID, _EIO], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
@pytest.mark.parametrize(
    ("connects", "fault"),
    [(True, SourceFault.HANDSHAKE_TIMEOUT), (False, SourceFault.CONNECT_TIMEOUT)],
)
def test_a_camera_that_accepts_and_is_silent_is_told_from_one_that_is_gone(
    error: Exception, scheme: str, connects: bool, fault: SourceFault
) -> None:
    """The type of the error says nothing about it."""
    found = unopened(error, f"{scheme}://camera/a", late=True, connects=connects)
    assert found.fault is fault
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("error", "kind", "fault"),
    [
        (_EIO, "http", SourceFault.EOF),
        (_EIO, "rtsps", SourceFault.EOF),
        (_EOF, "http", SourceFault.EOF),
        (_EXIT, "http", SourceFault.STALL),
        (_EIO, "file", SourceFault.OTHER),
        (av.error.OSError(errno.ENODEV, ""), "device", SourceFault.NO_DEVICE),
        (_INVALID, "rtsp", SourceFault.DECODE),
        (_NO_MEMORY, "http", SourceFault.DECODE),
    ],
)
def test_what_breaks_an_open_stream_is_named(error: Exception, kind: str, fault: SourceFault) -> None:
    """An MJPEG camera that hangs up gives an input/output error."""
    found = broken(error, kind, 1.5)
    assert found.fault is fault
    assert "s3cret" not in str(found)
