"""Addresses with credentials and without, and names that cannot be resolved."""

import socket
import threading
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture import address
from tocsin.capture.address import accepts, resolve, target, with_credentials, with_host
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


def test_a_name_that_nobody_knows_is_a_fault_of_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the host."""

    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        SourceError, match="expected the name server to know camera-7, found: name or"
    ) as caught:
        resolve("camera-7", 554)
    assert caught.value.fault is SourceFault.DNS


def test_a_dead_name_server_costs_no_more_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question is left behind in its thread."""
    answered = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        answered.wait(10.0)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(address, "_DEADLINE", 0.1)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no answer within 0\.1 s"):
        resolve("camera-7", 554)
    assert time.monotonic() - began < 5.0
    answered.set()


def test_a_name_that_cannot_be_one_is_a_fault_of_dns() -> None:
    """Python refuses an empty label before any name server is asked."""
    with pytest.raises(
        SourceError, match=r"expected the name server to know cam\.\.local, found: no valid"
    ) as caught:
        resolve("cam..local", 554)
    assert caught.value.fault is SourceFault.DNS


def _known_as(*addresses: str) -> Any:
    def answer(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return answer


def test_every_address_of_a_name_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is often ::1 first, where no camera listens."""
    monkeypatch.setattr(socket, "getaddrinfo", _known_as("::1", "127.0.0.1", "::1"))
    order = SourceOrder("rtsp://camera:8554/a")
    urls = [target(order, turn).url for turn in range(3)]
    assert urls == ["rtsp://[::1]:8554/a", "rtsp://127.0.0.1:8554/a", "rtsp://[::1]:8554/a"]


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_certificate_is_checked_unless_told_otherwise(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is against the name, so the name stays in the URL; another authority can be named."""
    monkeypatch.setattr(socket, "getaddrinfo", _known_as("10.0.0.7"))
    checked = target(SourceOrder(f"{scheme}://camera/a", ca_file="/etc/own.pem"))
    assert (checked.options["tls_verify"], checked.options["ca_file"]) == ("1", "/etc/own.pem")
    assert checked.url == f"{scheme}://camera/a"
    assert target(SourceOrder(f"{scheme}://camera/a")).options["ca_file"].startswith("/etc/ssl/")
    assert target(SourceOrder(f"{scheme}://camera/a", tls_verify=False)).options["tls_verify"] == "0"


@pytest.mark.parametrize(
    "location", ["rtsp://camera/a", "rtsps://camera/a", "http://camera/a", "https://camera/a"]
)
def test_a_camera_cannot_make_ffmpeg_read_files(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only protocols of the network are allowed, whatever a redirect says."""
    monkeypatch.setattr(socket, "getaddrinfo", _known_as("10.0.0.7"))
    allowed = target(SourceOrder(location)).options["protocol_whitelist"].split(",")
    assert location.partition(":")[0] in allowed
    assert not {"file", "concat", "data", "pipe", "subfile", "unix"} & set(allowed)


def test_a_file_cannot_make_ffmpeg_use_the_network() -> None:
    """A playlist that calls itself clip.mp4 leads nowhere."""
    assert target(SourceOrder("/clip.mp4")).options == {"protocol_whitelist": "file"}


def test_the_password_is_not_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback or a log of the target shows none."""
    monkeypatch.setattr(socket, "getaddrinfo", _known_as("10.0.0.7"))
    found = target(SourceOrder("rtsp://camera/a", "viewer", "s3cret"))
    assert "s3cret" in found.url
    assert "s3cret" not in repr(found)


def test_a_port_tells_whether_it_takes_connections() -> None:
    """A silent camera is told from a dead one by that."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = server.getsockname()
        assert accepts(peer)
    assert not accepts(peer)
