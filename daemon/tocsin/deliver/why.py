"""Why an attempt at a delivery got no answer: foreign errors become sentences of our own, without an address."""

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum

import httpx2

from tocsin.deliver.address import Denial
from tocsin.deliver.schedule import Outcome
from tocsin.errors import AddressError


class Why(StrEnum):
    """Why an attempt went as it did, in words for logs and for a person at a terminal."""

    ANSWERED = "the receiver answered"
    NOT_LISTENING = "nothing listens there"
    UNKNOWN_NAME = "the name is not known"
    NO_NAME_SERVICE = "the name could not be looked up"
    NO_ROUTE = "no way leads there"
    LATE = "no answer in time"
    CLOSED = "the connection was closed"
    UNTRUSTED = "the certificate is not trusted"
    NOT_YET_VALID = "the certificate is not valid yet"
    EXPIRED = "the certificate has expired"
    OTHER_NAME = "the certificate is for another name"
    NO_TLS = "no encrypted connection came about"
    NO_ANSWER = "the connection was closed without an HTTP answer"
    NO_HTTP = "what came back is no HTTP answer"
    NO_ADDRESS = "the address cannot be used"
    FORBIDDEN = (
        "the address is of a kind that no webhook may have: link-local, metadata, multicast or wrapped"
    )
    TO_ITSELF = "the name leads to this machine, which only an address or localhost may"
    OUTSIDE = "the address lies outside allow_networks"
    UNKNOWN = "the connection failed"


_CERTIFICATES = {9: Why.NOT_YET_VALID, 10: Why.EXPIRED, 62: Why.OTHER_NAME, 64: Why.OTHER_NAME}
"""OpenSSL's X509_V_ERR numbers: not yet valid, expired, another host name, another address."""

_CAUSES = {
    errno.ECONNREFUSED: Why.NOT_LISTENING,
    errno.ENETUNREACH: Why.NO_ROUTE,
    errno.EHOSTUNREACH: Why.NO_ROUTE,
    errno.ENETDOWN: Why.NO_ROUTE,
    errno.ETIMEDOUT: Why.LATE,
    errno.ECONNRESET: Why.CLOSED,
    errno.EPIPE: Why.CLOSED,
}


_DENIALS = {Denial.NEVER: Why.FORBIDDEN, Denial.LOOPBACK: Why.TO_ITSELF, Denial.OUTSIDE: Why.OUTSIDE}


def translate(error: Exception) -> tuple[Outcome, Why]:
    """Say what a failure without an answer was; its text, which may hold the address, goes no further."""
    if isinstance(error, AddressError):
        return Outcome.FORBIDDEN, _DENIALS[Denial(error.denial)]
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Outcome.TLS, _CERTIFICATES.get(cause.verify_code, Why.UNTRUSTED)
        if isinstance(cause, ssl.SSLError):
            return Outcome.TLS, Why.NO_TLS
    if isinstance(error, (httpx2.InvalidURL, httpx2.LocalProtocolError)):
        return Outcome.PROTOCOL, Why.NO_ADDRESS
    if isinstance(error, httpx2.RemoteProtocolError):
        # The library has one kind for garbage and for a connection that ends before an answer has been told from
        # garbage; only its own sentence tells them apart.
        is_end = str(error).startswith("Server disconnected")
        return Outcome.PROTOCOL, Why.NO_ANSWER if is_end else Why.NO_HTTP
    return Outcome.UNREACHABLE, next(filter(None, map(_cause, causes)), Why.UNKNOWN)


def _cause(error: BaseException) -> Why | None:
    """Return what this one error says, None when another one behind it has to."""
    if isinstance(error, socket.gaierror):
        return Why.NO_NAME_SERVICE if error.errno == socket.EAI_AGAIN else Why.UNKNOWN_NAME
    if isinstance(error, OSError) and error.errno in _CAUSES:
        return _CAUSES[error.errno]
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it; where several addresses were tried, those of each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _causes(each)
        error = error.__cause__ or error.__context__
