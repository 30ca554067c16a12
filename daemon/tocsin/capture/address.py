"""Names of cameras, resolved under a deadline, and URLs put together with credentials."""

import socket
import threading
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from tocsin.errors import SourceError, SourceFault

_DEADLINE = 3.0


def resolve(host: str, port: int) -> str:
    """Return an address of the host.

    Name resolution is outside every time limit of FFmpeg, and with dead name servers it takes half a minute: it
    runs in a thread of its own, which is left behind when it is late. Raises SourceError(DNS).
    """
    found: list[str] = []
    failed: list[str] = []

    def ask() -> None:
        try:
            found.extend(
                str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except OSError as error:
            failed.append(error.strerror or "unknown")

    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(_DEADLINE)
    if found:
        return found[0]
    reason = failed[0].lower() if failed else f"no answer within {_DEADLINE:g} s"
    raise SourceError(SourceFault.DNS, f"expected the name server to know {host}, found: {reason}")


def with_host(location: str, address: str) -> str:
    """Return the URL with its host replaced by an address."""
    parts = urlsplit(location)
    host = f"[{address}]" if ":" in address else address
    netloc = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit(parts._replace(netloc=netloc))


def with_credentials(location: str, username: str | None, password: str | None) -> str:
    """Return the URL with user name and password, percent-encoded; never log what this returns."""
    if username is None:
        return location
    parts: SplitResult = urlsplit(location)
    secret = f":{quote(password, safe='')}" if password is not None else ""
    return urlunsplit(parts._replace(netloc=f"{quote(username, safe='')}{secret}@{parts.netloc}"))
