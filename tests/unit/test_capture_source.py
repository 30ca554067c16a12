"""What an error of FFmpeg means, and the times of a file's pictures."""

import errno

import av
import pytest

from tocsin.capture.source import FileClock, broken, unopened
from tocsin.errors import SourceFault

_INVALID = av.error.InvalidDataError(1094995529, "rtsp://viewer:s3cret@camera/a")
_EOF = av.error.EOFError(541478725, "http://viewer:s3cret@camera/a")
_EXIT = av.error.ExitError(1414092869, "http://viewer:s3cret@camera/a")
_EIO = av.error.OSError(errno.EIO, "http://viewer:s3cret@camera/a")
_BUSY = av.error.HTTPServerError(1482175992, "http://viewer:s3cret@camera/a")
_REFUSED = av.error.ConnectionRefusedError(errno.ECONNREFUSED, "http://viewer:s3cret@camera/a")
_DENIED = av.error.PermissionError(errno.EACCES, "/clip.mp4")
_NONE = av.error.FileNotFoundError(errno.ENOENT, "/clip.mp4")
_FOLDER = av.error.IsADirectoryError(errno.EISDIR, "/clip.mp4")

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
        (_REFUSED, "http://camera/a", SourceFault.REFUSED, "nothing listens there: check the port"),
        (
            _REFUSED,
            "rtsp://camera/a",
            SourceFault.REFUSED,
            "nothing listens there: check the port and whether RTSP is on",
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
    ],
)
def test_what_breaks_an_open_stream_is_named(error: Exception, kind: str, fault: SourceFault) -> None:
    """An MJPEG camera that hangs up gives an input/output error."""
    found = broken(error, kind, 1.5)
    assert found.fault is fault
    assert "s3cret" not in str(found)


def test_a_file_in_real_time_keeps_its_distances_however_it_is_numbered() -> None:
    """The first picture is now, whatever its timestamp."""
    clock = FileClock(0.1, 100.0)
    assert [clock.tick(shown, 100.0)[0] for shown in (7.0, 7.1, 7.35)] == pytest.approx(
        [100.0, 100.1, 100.35]
    )


@pytest.mark.parametrize("to", [27.0, 1.0])
def test_a_jump_in_a_file_s_timestamps_is_a_seam_and_not_waited_for(to: float) -> None:
    """What follows comes one period later and has nothing to do with what was before."""
    clock = FileClock(0.1, 100.0)
    assert clock.tick(7.0, 100.0) == (100.0, False)
    assert clock.tick(to, 100.05) == (pytest.approx(100.1), True)
    assert clock.tick(to + 0.1, 100.1) == (pytest.approx(100.2), False)


@pytest.mark.parametrize("period", [0.04, 20.0])
def test_a_pause_that_fits_the_file_is_kept(period: float) -> None:
    """Four seconds in any file, and the period of one that shows a picture every twenty seconds."""
    clock = FileClock(period, 100.0)
    clock.tick(0.0, 100.0)
    pause = max(4.0, period)
    assert clock.tick(pause, 100.0) == (pytest.approx(100.0 + pause), False)


def test_pictures_without_timestamps_come_at_the_file_s_rate() -> None:
    """A raw stream has none."""
    clock = FileClock(0.5, 100.0)
    assert [clock.tick(None, 100.0)[0] for _ in range(3)] == pytest.approx([100.0, 100.5, 101.0])


def test_a_file_of_one_picture_takes_a_period_per_pass() -> None:
    """Each pass begins with a seam."""
    clock = FileClock(0.5, 100.0)
    seen = []
    for _ in range(3):
        seen.append(clock.tick(0.0, 100.0))
        clock.rewind()
    assert seen == [(100.0, False), (100.5, True), (101.0, True)]


def test_a_file_that_is_not_in_real_time_keeps_its_own_time_over_the_seam() -> None:
    """Its pictures are as far apart as they were recorded, however fast they come."""
    clock = FileClock(0.1, 100.0)
    first = [clock.tick(shown, None)[0] for shown in (0.0, 0.1)]
    clock.rewind()
    assert [*first, clock.tick(0.0, None)[0]] == pytest.approx([100.0, 100.1, 100.2])
