"""What FFmpeg's log tells about a stream."""

import av.logging
import pytest

from tocsin.capture.complaints import Complaints, Said, judge

_VERBOSE, _WARNING, _ERROR = av.logging.VERBOSE, av.logging.WARNING, av.logging.ERROR


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], Said()),
        (
            [(_WARNING, "rtsp", "RTP: missed 3 packets\n"), (_WARNING, "rtsp", "RTP: missed 1 packets\n")],
            Said(lost=4),
        ),
        ([(_WARNING, "rtsp", "max delay reached. need to consume packet\n")], Said()),
        ([(_ERROR, "h264", "error while decoding MB 38 5\n")], Said(errors=1)),
        ([(av.logging.INFO, "h264", "concealing 20 DC, 20 AC, 20 MV errors in P frame\n")], Said(errors=1)),
        ([(_ERROR, "h264", "no frame!\n")], Said(errors=1, empty=1)),
        ([(_ERROR, "h264", "SEI type 1 size 200 truncated at 3\n")], Said(errors=1, aside=1)),
        ([(_WARNING, "mjpeg", "EOI missing, emulating\n")], Said(cut_off=1)),
        ([(_WARNING, "h264", "Increasing reorder buffer to 2\n")], Said()),
        ([(_ERROR, "rtsp", "method SETUP failed: 404\n")], Said()),
        ([(_ERROR, "rtsp", "method SETUP failed: 461\n")], Said(by_tcp=True)),
        ([(_WARNING, "rtsp", "UDP timeout, retrying with TCP\n")], Said(by_tcp=True)),
        ([(_VERBOSE, "tcp", "Starting connection attempt to 192.0.2.1 port 554\n")], Said()),
        ([(_VERBOSE, "tcp", "Successfully connected to 192.0.2.1 port 554\n")], Said(connected=True)),
    ],
)
def test_what_is_said_is_judged(lines: list[tuple[int, str, str]], said: Said) -> None:
    """Lost packets are added up, a decoder's errors are counted, the rest is nothing."""
    assert judge(lines) == said


def test_what_is_said_is_heard_once_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """It is forgotten when it was taken, and nothing is heard afterwards."""
    with Complaints() as complaints:
        av.logging.log(_ERROR, "h264", "error while decoding MB 38 5")
        assert complaints.take() == Said(errors=1)
        assert complaints.take() == Said()
        for _ in range(3):
            av.logging.log(_WARNING, "rtsp", "RTP: missed 1 packets")
        assert complaints.take() == Said(lost=3), "a line that is like the one before it counts too"
    assert capfd.readouterr() == ("", "")


def test_what_was_said_before_is_heard_again() -> None:
    """PyAV leaves out a line that repeats the last one, unless told otherwise."""
    with Complaints() as complaints:
        for _ in range(3):
            av.logging.log(_ERROR, "rtsp", "UDP timeout, retrying with TCP")
            assert complaints.take().by_tcp
