"""What a camera that refuses a login says it wants."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tocsin.capture import challenge
from tocsin.capture.challenge import Door, ask, judge, refused
from tocsin.errors import SourceFault

BASIC = 'Basic realm="camera"'
MD5 = 'Digest realm="camera", nonce="6d2f81", algorithm=MD5'
PLAIN = 'Digest realm="camera", nonce="6d2f81"'
SHA = 'Digest realm="camera", nonce="6d2f81", algorithm="SHA-256"'


@pytest.mark.parametrize(
    ("offers", "fault"),
    [
        pytest.param((BASIC,), SourceFault.AUTH, id="Basic"),
        pytest.param((MD5,), SourceFault.AUTH, id="Digest MD5"),
        pytest.param((PLAIN,), SourceFault.AUTH, id="Digest, which is MD5 where nothing is said"),
        pytest.param((SHA, MD5), SourceFault.AUTH, id="both, the one that FFmpeg takes last"),
        pytest.param((BASIC, MD5), SourceFault.AUTH, id="Basic and Digest MD5"),
        pytest.param((SHA,), SourceFault.AUTH_UNSUPPORTED, id="Digest SHA-256"),
        pytest.param((MD5, SHA), SourceFault.AUTH_UNSUPPORTED, id="both, the one that FFmpeg cannot last"),
        pytest.param(
            (BASIC, SHA), SourceFault.AUTH_UNSUPPORTED, id="Basic, which FFmpeg ignores beside Digest"
        ),
        pytest.param(("Bearer",), SourceFault.AUTH_UNSUPPORTED, id="something else"),
        pytest.param((), SourceFault.AUTH, id="no answer"),
    ],
)
def test_a_wrong_password_is_told_from_a_login_that_cannot_be_done(
    offers: tuple[str, ...], fault: SourceFault
) -> None:
    """As FFmpeg chooses among what is offered."""
    found = judge(offers, "viewer")
    assert found.fault is fault
    assert ("MD5" in str(found)) is (fault is SourceFault.AUTH_UNSUPPORTED or not offers)


def test_a_missing_user_is_told() -> None:
    """Nobody looks for an error in a password that was never given."""
    assert str(judge((BASIC,), None)) == "the camera wants a login: set username and password"
    assert judge((SHA,), None).fault is SourceFault.AUTH_UNSUPPORTED


@contextmanager
def _answering(answer: bytes, *, endless: bool = False) -> Iterator[tuple[Door, list[bytes]]]:
    """A camera that answers one request with these bytes, again and again if `endless`; and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.settimeout(10.0)
                asked.append(line.recv(4096))
                try:
                    line.sendall(answer)
                    while endless:
                        line.sendall(answer)
                        time.sleep(0.01)
                    line.recv(1)
                except OSError:
                    return  # who asked has heard enough

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        yield Door(f"rtsp://camera.example:{port}/a?b=c", ("127.0.0.1", port), True, "/none"), asked
        thread.join(10.0)
        assert not thread.is_alive()


def test_what_is_sent_is_one_request_without_a_login() -> None:
    """Folded headers and other cases are read; a redirect would not be followed."""
    answer = (
        b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nwww-authenticate:  %b  \r\nWWW-Authenticate: %b\r\n\r\n"
    )
    with _answering(answer % (BASIC.encode(), SHA.encode())) as (door, asked):
        assert ask(door) == (BASIC, SHA)
    (request,) = asked
    assert request.startswith(b"DESCRIBE " + door.location.encode() + b" RTSP/1.0\r\n")
    assert b"authorization" not in request.lower()


def test_an_answer_without_an_end_is_read_to_a_limit() -> None:
    """A few kilobytes, however much is sent."""
    with _answering(b"X: " + b"x" * 1000 + b"\r\n", endless=True) as (door, _):
        assert ask(door) == ()


def test_an_answer_that_never_comes_leaves_both_reasons_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is one for everything, though each byte comes in time."""
    monkeypatch.setattr(challenge, "DEADLINE", 0.2)
    with _answering(b"x", endless=True) as (door, asked):
        began = time.monotonic()
        found = refused(door, "viewer")
        assert time.monotonic() - began < 5.0
    assert asked
    assert found.fault is SourceFault.AUTH
    assert "or wants Digest with SHA-256" in str(found)
