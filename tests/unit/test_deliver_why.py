"""Foreign errors become an outcome and a sentence of ours."""

import errno
import socket
import ssl

import httpx2
import pytest

from tocsin.deliver.advice import advice
from tocsin.deliver.schedule import Outcome, judge
from tocsin.deliver.why import Why, translate


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "receiver.example")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (OSError(errno.ECONNREFUSED, "x"), (Outcome.UNREACHABLE, Why.NOT_LISTENING)),
        (OSError(errno.EHOSTUNREACH, "x"), (Outcome.UNREACHABLE, Why.NO_ROUTE)),
        (OSError(errno.ETIMEDOUT, "x"), (Outcome.UNREACHABLE, Why.LATE)),
        (OSError(errno.ECONNRESET, "x"), (Outcome.UNREACHABLE, Why.CLOSED)),
        (socket.gaierror(socket.EAI_NONAME, "x"), (Outcome.UNREACHABLE, Why.UNKNOWN_NAME)),
        (socket.gaierror(socket.EAI_AGAIN, "x"), (Outcome.UNREACHABLE, Why.NO_NAME_SERVICE)),
        (certificate(10), (Outcome.TLS, Why.EXPIRED)),
        (certificate(9), (Outcome.TLS, Why.NOT_YET_VALID)),
        (certificate(62), (Outcome.TLS, Why.OTHER_NAME)),
        (certificate(18), (Outcome.TLS, Why.UNTRUSTED)),
        (ssl.SSLEOFError(8, "x"), (Outcome.TLS, Why.NO_TLS)),
        (OSError(errno.EMFILE, "x"), (Outcome.UNREACHABLE, Why.UNKNOWN)),
    ],
)
def test_the_cause_behind_an_error_is_what_is_said(cause: OSError, expected: tuple[Outcome, Why]):
    """The reason is found behind the library's own error, also where several addresses were tried."""
    for behind in (cause, ExceptionGroup("all failed", [OSError("first"), cause])):
        error = httpx2.ConnectError("http://user:secret@receiver.example/ failed")
        error.__cause__ = behind
        assert translate(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx2.RemoteProtocolError("x"), (Outcome.PROTOCOL, Why.NO_HTTP)),
        (httpx2.LocalProtocolError("x"), (Outcome.PROTOCOL, Why.NO_ADDRESS)),
        (httpx2.InvalidURL("x"), (Outcome.PROTOCOL, Why.NO_ADDRESS)),
        (httpx2.ReadError("x"), (Outcome.UNREACHABLE, Why.UNKNOWN)),
    ],
)
def test_errors_of_the_library_itself_have_a_sentence(error: Exception, expected: tuple[Outcome, Why]):
    """Where nothing is behind the library's error its kind decides."""
    assert translate(error) == expected


def test_every_failure_has_advice():
    """Whatever ends an attempt without an acceptance, a person is told what to look at; success needs none."""
    for status in range(300, 600):
        assert advice(judge(status), status, Why.ANSWERED), status
    assert advice(Outcome.DELIVERED, 204, Why.ANSWERED) is None
    assert advice(Outcome.TIMEOUT, None, Why.LATE)
    said = {why: advice(Outcome.UNREACHABLE, None, why) for why in Why}
    assert {why for why, told in said.items() if told is None} == {
        Why.ANSWERED,
        Why.LATE,  # has its own outcome, or is the kernel's
        Why.CLOSED,
        Why.NO_ADDRESS,
        Why.UNKNOWN,
    }
