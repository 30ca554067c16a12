"""URLs with credentials and without, and the options that go with them."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.address import target, with_credentials, with_host
from tocsin.capture.names import Resolver
from tocsin.capture.order import SourceOrder
from tocsin.errors import SourceError, SourceFault


@given(st.text(min_size=1), st.text())
def test_credentials_come_back_from_the_url_whatever_they_hold(username: str, password: str) -> None:
    """Slashes, at signs, colons and percent signs in a password do not change where it leads."""
    parts = urlsplit(with_credentials("rtsp://camera:8554/stream?x=1", username, password))
    assert (parts.hostname, parts.port, parts.path, parts.query) == ("camera", 8554, "/stream", "x=1")
    user, _, secret = parts.netloc.rpartition("@")[0].partition(":")
    assert (unquote(user), unquote(secret)) == (username, password)


def test_without_credentials_the_url_stays_as_it_is() -> None:
    """Nothing is added."""
    assert with_credentials("rtsp://camera/1", None, None) == "rtsp://camera/1"


@pytest.mark.parametrize(
    ("location", "found", "expected"),
    [
        ("rtsp://camera:8554/a?b=c", "10.0.0.7", "rtsp://10.0.0.7:8554/a?b=c"),
        ("rtsp://camera/a", "10.0.0.7", "rtsp://10.0.0.7/a"),
        ("rtsp://camera:8554/a", "fd00::7", "rtsp://[fd00::7]:8554/a"),
    ],
)
def test_a_host_is_replaced_by_its_address(location: str, found: str, expected: str) -> None:
    """Port, path and query stay."""
    assert with_host(location, found) == expected


class _At(Resolver):
    """Knows one address for every name."""

    def __init__(self, address: str = "10.0.0.7", *, from_memory: bool = False) -> None:
        super().__init__()
        self._at, self.from_memory = address, from_memory

    def find(self, host: str, port: int) -> str:
        return self._at


def test_http_goes_to_the_address_and_tells_the_name() -> None:
    """One server may have many names; an address needs no telling."""
    found = target(SourceOrder("http://camera:8080/a?b=c"), _At())
    assert found.url == "http://10.0.0.7:8080/a?b=c"
    assert found.options["headers"] == "Host: camera:8080\r\n"
    assert "headers" not in target(SourceOrder("http://10.0.0.7/a")).options


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_remembered_address_is_still_checked_for_the_name(scheme: str) -> None:
    """While the name server is dead FFmpeg is given the address, and whom the certificate must be for."""
    found = target(SourceOrder(f"{scheme}://camera/a"), _At(from_memory=True))
    assert found.url == f"{scheme}://10.0.0.7/a"
    assert found.options["verifyhost"] == "camera"


@pytest.mark.parametrize(
    ("read_timeout", "silence"),
    [pytest.param(1.5, 2.0, id="a usual camera"), pytest.param(6.0, 6.5, id="a slow camera")],
)
def test_udp_may_become_tcp_but_not_by_slowness(read_timeout: float, silence: float) -> None:
    """FFmpeg waits longer than the stream's own read timeout before it takes UDP for blocked."""
    found = target(SourceOrder("rtsp://camera/a", transport="udp"), _At(), read_timeout=read_timeout)
    assert found.options["rtsp_transport"] == "udp+tcp"
    assert (found.silence, found.options["timeout"]) == (silence, str(int(silence * 1e6)))
    by_tcp = target(SourceOrder("rtsp://camera/a"), _At())
    assert (by_tcp.options["rtsp_transport"], by_tcp.silence) == ("tcp", None)


def test_a_login_that_ffmpeg_would_cut_off_is_refused() -> None:
    """It would look like a wrong password; the sentence holds none of it."""
    target(SourceOrder("rtsp://camera/a", "viewer", "x" * 120), _At())
    with pytest.raises(SourceError, match="expected a user name and password of 127 letters") as caught:
        target(SourceOrder("rtsp://camera/a", "viewer", "x" * 121), _At())
    assert caught.value.fault is SourceFault.AUTH
    assert "xx" not in str(caught.value)
    target(SourceOrder("http://camera/a", "viewer", "x" * 121), _At())


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_certificate_is_checked_unless_told_otherwise(scheme: str) -> None:
    """The check is against the name, so the name stays in the URL; another authority can be named."""
    checked = target(SourceOrder(f"{scheme}://camera/a", ca_file="/etc/own.pem"), _At())
    assert (checked.options["tls_verify"], checked.options["ca_file"]) == ("1", "/etc/own.pem")
    assert checked.url == f"{scheme}://camera/a"
    assert target(SourceOrder(f"{scheme}://camera/a"), _At()).options["ca_file"].startswith("/etc/ssl/")
    assert target(SourceOrder(f"{scheme}://camera/a", tls_verify=False), _At()).options["tls_verify"] == "0"


@pytest.mark.parametrize(
    "location", ["rtsp://camera/a", "rtsps://camera/a", "http://camera/a", "https://camera/a"]
)
def test_a_camera_cannot_make_ffmpeg_read_files(location: str) -> None:
    """Only protocols of the network are allowed, whatever a redirect says."""
    allowed = target(SourceOrder(location), _At()).options["protocol_whitelist"].split(",")
    assert location.partition(":")[0] in allowed
    assert not {"file", "concat", "data", "pipe", "subfile", "unix"} & set(allowed)


def test_a_file_cannot_make_ffmpeg_use_the_network() -> None:
    """A playlist that calls itself clip.mp4 leads nowhere."""
    assert target(SourceOrder("/clip.mp4")).options == {"protocol_whitelist": "file"}


def test_the_password_is_not_in_the_repr() -> None:
    """A traceback or a log of the target shows none."""
    found = target(SourceOrder("rtsp://camera/a", "viewer", "s3cret"), _At())
    assert "s3cret" in found.url
    assert "s3cret" not in repr(found)
