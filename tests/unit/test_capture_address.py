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
from tocsin.capture.address import resolve, with_credentials, with_host
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
