"""Asks a camera that did not let FFmpeg in what it wants: which login, and what its certificate is worth.

One request without a login on a connection of its own, under a total deadline, of whose answer a few kilobytes
are read. The password is never sent, and a redirect is not followed.
"""

import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from tocsin.errors import SourceError, SourceFault

if TYPE_CHECKING:
    import ssl

DEADLINE = 3.0
"""Seconds for connecting, the handshake and the answer together."""

_LARGEST = 8192
_CHALLENGE = re.compile(r"^www-authenticate:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_ALGORITHM = re.compile(r'\balgorithm\s*=\s*"?([\w-]+)', re.IGNORECASE)
_KNOWN = frozenset({"md5", "md5-sess"})


@dataclass(frozen=True, slots=True)
class Door:
    """Where a camera is asked: its URL without a login, its address in the network, and whom TLS trusts."""

    location: str
    peer: tuple[str, int]
    tls_verify: bool
    ca_file: str

    @property
    def is_secure(self) -> bool:
        """Whether it is reached by TLS."""
        return urlsplit(self.location).scheme in ("rtsps", "https")


def refused(door: Door, username: str | None) -> SourceError:
    """Say why a camera refused a login (401): asks it once. Takes DEADLINE at most."""
    try:
        offers = ask(door)
    except (OSError, SourceError):
        offers = ()
    return judge(offers, username)


def judge(offers: tuple[str, ...], username: str | None) -> SourceError:
    """Return what a refused login means for a camera that sends these values of WWW-Authenticate.

    FFmpeg (as measured with 8.1) answers the last Digest there is, knows no algorithm but MD5 for it, and takes
    Basic only where no Digest is offered.
    """
    digests = [offer for offer in offers if offer.lower().startswith("digest")]
    if digests:
        named = _ALGORITHM.search(digests[-1])
        algorithm = named[1] if named else "MD5"
        if algorithm.lower() not in _KNOWN:
            return SourceError(
                SourceFault.AUTH_UNSUPPORTED,
                f"the camera wants the password by Digest with {algorithm[:16]}, which FFmpeg cannot do:"
                " set the camera's login for streams to Digest with MD5, or to Basic",
            )
    elif offers and not any(offer.lower().startswith("basic") for offer in offers):
        return SourceError(
            SourceFault.AUTH_UNSUPPORTED,
            "the camera wants a login that FFmpeg cannot do: set the camera's login for streams to Digest with"
            " MD5, or to Basic",
        )
    if username is None:
        return SourceError(SourceFault.AUTH, "the camera wants a login: set username and password")
    if offers:
        return SourceError(SourceFault.AUTH, "the camera refused the user name or password")
    return SourceError(
        SourceFault.AUTH,
        "the camera refused the user name or password (or wants Digest with SHA-256, which FFmpeg cannot do: set"
        " it to MD5 or Basic)",
    )


def insecure(door: Door) -> SourceError | None:
    """Say what keeps a connection by TLS from being made; None where nothing does. Takes DEADLINE at most."""
    try:
        _connect(door, time.monotonic() + DEADLINE).close()
    except SourceError as error:
        return error
    except OSError:
        return None
    return None


def ask(door: Door) -> tuple[str, ...]:
    """Return the values of WWW-Authenticate that a request without a login gets.

    Raises OSError when there is no answer, and SourceError(TLS) when the camera cannot be trusted.
    """
    until = time.monotonic() + DEADLINE
    with _connect(door, until) as line:
        line.settimeout(_left(until))
        line.sendall(_request(door.location))
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < _LARGEST:
            line.settimeout(_left(until))
            received = line.recv(_LARGEST)
            if not received:
                break
            answer += received
    head = answer[:_LARGEST].partition(b"\r\n\r\n")[0].decode("latin-1")
    return tuple(_CHALLENGE.findall(head.replace("\r\n", "\n")))


def _request(location: str) -> bytes:
    parts = urlsplit(location)
    if parts.scheme in ("rtsp", "rtsps"):
        lines = [f"DESCRIBE {location} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    else:
        query = f"?{parts.query}" if parts.query else ""
        lines = [f"GET {parts.path or '/'}{query} HTTP/1.1", f"Host: {host_of(parts)}", "Connection: close"]
    return "\r\n".join([*lines, "User-Agent: tocsin", "", ""]).encode()


def host_of(parts: SplitResult) -> str:
    """Return host and port of a URL as the Host header has them."""
    return parts.netloc.rpartition("@")[2]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(door: Door, until: float) -> socket.socket:
    """Return a connection, by TLS where the URL says so. Raises OSError, and SourceError(TLS)."""
    line = socket.create_connection(door.peer, _left(until))
    if not door.is_secure:
        return line
    # here and not above: 1 MB that most workers never need
    import ssl

    host = urlsplit(door.location).hostname
    try:
        line.settimeout(_left(until))
        return _context(door).wrap_socket(line, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise SourceError(SourceFault.TLS, _worth(error.verify_code, str(host))) from error
    except ssl.SSLEOFError:
        raise  # it hung up, as a camera does that boots
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            message = (
                "it speaks no TLS at this port: check the port, or write rtsp:// or http:// without the s"
            )
            raise SourceError(SourceFault.TLS, message) from error
        raise
    finally:
        line.close()  # where it was wrapped, the wrapper has taken the descriptor over


def _context(door: Door) -> "ssl.SSLContext":
    import ssl

    if not door.tls_verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=door.ca_file)
    except OSError as error:  # ssl.SSLError among them, where it holds something else
        found = "no such file" if not Path(door.ca_file).exists() else "something else"
        message = f"expected certificates in {door.ca_file}, found {found}"
        raise SourceError(SourceFault.TLS, message) from error


_NO_VERIFY = "or set tls_verify: false, and trust the network"

_WORTH = {
    9: f"is not valid yet: check the clocks of the camera and of this machine, {_NO_VERIFY}",
    10: f"has expired: check the camera's clock and give it a new one, {_NO_VERIFY}",
    18: f"is signed by itself: name a file with that certificate as ca_file, {_NO_VERIFY}",
}
"""What OpenSSL's numbers (X509_V_ERR_*) mean for the certificate."""


def _worth(code: int, host: str) -> str:
    if code in (62, 64):  # another name, another address
        return f"the camera's certificate is not for {host}: use the name that it is for, {_NO_VERIFY}"
    unknown = f"is signed by nobody whom this machine knows: name their certificate as ca_file, {_NO_VERIFY}"
    return f"the camera's certificate {_WORTH.get(code, unknown)}"
