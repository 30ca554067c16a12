"""Where FFmpeg finds a source: URLs with addresses and credentials, and its options."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from tocsin.capture.challenge import Door, host_of
from tocsin.capture.names import Resolver, is_address
from tocsin.capture.order import SourceOrder
from tocsin.errors import SourceError, SourceFault

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

_UDP_SILENCE = 2.0
"""Seconds without a packet by UDP before FFmpeg asks for TCP; it must be over while the stream is still opened."""

_LOGIN_BYTES = 127
"""What FFmpeg keeps of `user:password`, percent-encoded, for RTSP (measured with 8.1); it cuts off the rest."""

_PLAIN = "!$&'()*+,;="
"""RFC 3986 allows these in a user name and password as they are: they stay short, for FFmpeg's room is small."""


@dataclass(frozen=True, slots=True)
class Target:
    """What av.open wants. `url` may hold the password: never log it. `door`: where the camera can be asked.

    `silence`: the seconds after which FFmpeg itself gives up waiting, None where only av.open's limit counts.
    """

    url: str = field(repr=False)
    format: str | None
    options: dict[str, str]
    door: Door | None = None
    silence: float | None = None


def target(order: SourceOrder, names: Resolver | None = None, *, read_timeout: float = 0.0) -> Target:
    """Return how a source is opened, at the address of its host that is to be tried now.

    FFmpeg gets addresses instead of names, whose resolution it does not bound. With TLS the name stays, for the
    certificate and for servers that have many: the name server answered a moment ago, and should it be dead by
    now, the promise that was made for opening ends the process. Only where the address is from memory FFmpeg gets
    that, and is told separately whom the certificate must be for.

    The lists of protocols keep a camera, or a redirect of one, from making FFmpeg read files or other places.
    Raises SourceError(DNS, NO_DEVICE or AUTH).
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
    names = names or Resolver()
    port = parts.port or _PORTS[parts.scheme]
    address = names.find(parts.hostname, port)
    door = Door(location, (address, port), order.tls_verify, order.ca_file or _CERTIFICATES)
    options = {"tls_verify": "1" if order.tls_verify else "0", "ca_file": door.ca_file}
    if not door.is_secure or names.from_memory:
        location = with_host(location, address)
        options |= {"verifyhost": parts.hostname} if door.is_secure else {}
    url = with_credentials(location, order.username, order.password)
    if parts.scheme in ("http", "https"):
        options["protocol_whitelist"] = "http,https,tcp,tls,crypto,httpproxy"
        if not is_address(parts.hostname):
            # one server may have many names; one that it redirects to hears this name too
            options["headers"] = f"Host: {host_of(parts)}\r\n"
        return Target(url, "mpjpeg", options, door)
    return _rtsp(url, options, door, silence=_silence(order, read_timeout))


def _rtsp(url: str, options: dict[str, str], door: Door, silence: float | None) -> Target:
    login = urlsplit(url).netloc.rpartition("@")[0]
    if len(login) > _LOGIN_BYTES:
        raise SourceError(
            SourceFault.AUTH,
            f"expected a user name and password of {_LOGIN_BYTES} letters and digits together at most (others count"
            f" three or more), found {len(login)}: FFmpeg would cut them off",
        )
    options |= {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto,http,https",
        # a second of probing is the default; the size of the picture is known from the first keyframe anyway
        "probesize": "65536",
        "analyzeduration": "500000",
    }
    if silence is not None:
        options |= {"rtsp_transport": "udp+tcp", "timeout": str(round(silence * 1e6))}
    return Target(url, "rtsp", options, door, silence)


def _silence(order: SourceOrder, read_timeout: float) -> float | None:
    """Return the seconds without a packet by UDP after which FFmpeg asks for TCP; a slow camera is not silent."""
    if order.transport != "udp" or not order.location.startswith("rtsp:"):
        return None
    return max(_UDP_SILENCE, read_timeout + 0.5)


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
    secret = f":{quote(password, _PLAIN)}" if password is not None else ""
    return urlunsplit(parts._replace(netloc=f"{quote(username, _PLAIN)}{secret}@{parts.netloc}"))
