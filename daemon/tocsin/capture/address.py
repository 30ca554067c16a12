"""Where FFmpeg finds a source: names resolved under a deadline, URLs with credentials, options."""

import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from tocsin.capture.order import SourceOrder
from tocsin.errors import SourceError, SourceFault

_DEADLINE = 3.0
_KNOCK = 1.0

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Target:
    """What av.open wants. `url` may hold the password: never log it. `peer`: address and port in the network."""

    url: str = field(repr=False)
    format: str | None
    options: dict[str, str]
    peer: tuple[str, int] | None = None


def target(order: SourceOrder, turn: int = 0) -> Target:
    """Return how a source is opened; of several addresses of its host each `turn` takes the next.

    The lists of protocols keep a camera, or a redirect of one, from making FFmpeg read files or other places.
    Raises SourceError(DNS or NO_DEVICE).
    """
    location = order.location
    if location.startswith("/dev/"):
        if not Path(location).exists():
            raise SourceError(SourceFault.NO_DEVICE, f"expected a camera at {location}, found no such device")
        return Target(location, "v4l2", {})
    if "://" not in location:
        return Target(location, None, {"protocol_whitelist": "file"})
    parts = urlsplit(location)
    assert parts.hostname, "the configuration refuses a URL without a host"
    port = parts.port or _PORTS[parts.scheme]
    addresses = resolve(parts.hostname, port)
    peer = addresses[turn % len(addresses)], port
    options = {"tls_verify": "1" if order.tls_verify else "0", "ca_file": order.ca_file or _CERTIFICATES}
    if parts.scheme in ("http", "https"):  # FFmpeg tries all addresses of a name itself
        options["protocol_whitelist"] = "http,https,tcp,tls,crypto,httpproxy"
        return Target(with_credentials(location, order.username, order.password), "mpjpeg", options, peer)
    options |= {
        "rtsp_transport": order.transport,
        "allowed_media_types": "video",
        "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto,http,https",
        # a second of probing is the default; the size of the picture is known from the first keyframe anyway
        "probesize": "65536",
        "analyzeduration": "500000",
    }
    if parts.scheme == "rtsp":  # with TLS the certificate is for the name
        location = with_host(location, peer[0])
    return Target(with_credentials(location, order.username, order.password), "rtsp", options, peer)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of the host, the system's first choice first.

    Name resolution is outside every time limit of FFmpeg, and with dead name servers it takes half a minute: it
    runs in a thread of its own, which is left behind when it is late. Raises SourceError(DNS).
    """
    found: list[str] = []
    failed: list[str] = []

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:  # an empty or overlong label, or one that IDNA does not know
            failed.append("no valid name")
        except OSError as error:
            failed.append(error.strerror or "unknown")
        else:
            found.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))

    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(_DEADLINE)
    if found:
        return found
    reason = failed[0].lower() if failed else f"no answer within {_DEADLINE:g} s"
    raise SourceError(SourceFault.DNS, f"expected the name server to know {host}, found: {reason}")


def accepts(peer: tuple[str, int]) -> bool:
    """Return whether somebody takes connections there; asks once, for a second at most."""
    try:
        socket.create_connection(peer, _KNOCK).close()
    except OSError:
        return False
    return True


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
