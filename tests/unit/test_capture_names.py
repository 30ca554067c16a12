"""Which address is tried, and what is remembered of names that cannot be resolved any more."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.wait import until
from tocsin.capture import names
from tocsin.capture.names import Resolver
from tocsin.errors import SourceError, SourceFault


class _NameServer:
    """Stands for getaddrinfo: knows addresses, denies, fails, or is silent until `speak` is set."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ("10.0.0.7",)
        self.error: Exception | None = None
        self.asked = 0
        self.speak = threading.Event()
        self.speak.set()

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        self.speak.wait(10.0)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]

    def is_silent(self) -> None:
        self.speak.clear()


DENIED = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
FAILED = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_NameServer]:
    server = _NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    monkeypatch.setattr(names, "DEADLINE", 0.1)
    yield server
    server.speak.set()


def test_a_name_that_nobody_knows_is_a_fault_of_dns(server: _NameServer) -> None:
    """The sentence names the host, and the next opening asks again."""
    server.error = DENIED
    resolver = Resolver()
    for _ in range(2):
        with pytest.raises(
            SourceError, match="expected the name server to know camera-7, found: name or"
        ) as caught:
            resolver.find("camera-7", 554)
        assert caught.value.fault is SourceFault.DNS
    assert server.asked == 2


def test_a_name_that_cannot_be_one_is_a_fault_of_dns() -> None:
    """Python refuses an empty label before any name server is asked."""
    with pytest.raises(
        SourceError, match=r"expected the name server to know cam\.\.local, found: no valid"
    ) as caught:
        Resolver().find("cam..local", 554)
    assert caught.value.fault is SourceFault.DNS


def test_a_dead_name_server_costs_no_more_than_the_deadline(server: _NameServer) -> None:
    """The question is left behind in its thread."""
    server.is_silent()
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no answer within 0\.1 s"):
        Resolver().find("camera-7", 554)
    assert time.monotonic() - began < 5.0


def test_a_dead_name_server_has_one_question_at_a_time(server: _NameServer) -> None:
    """However long it is dead, no more than one thread waits for it."""
    server.is_silent()
    resolver = Resolver()
    for _ in range(5):
        with pytest.raises(SourceError, match="no answer"):
            resolver.find("camera-7", 554)
    assert server.asked == 1
    assert sum(thread.name == "resolve" for thread in threading.enumerate()) == 1


def test_an_answer_that_is_late_is_not_in_vain(server: _NameServer) -> None:
    """A name server that takes longer than an opening waits answers the next opening."""
    server.is_silent()
    resolver = Resolver()
    with pytest.raises(SourceError, match="no answer"):
        resolver.find("camera-7", 554)
    server.speak.set()
    until(lambda: resolver._question and resolver._question.is_over, 5.0, "the late answer")
    server.is_silent()
    assert resolver.find("camera-7", 554) == "10.0.0.7"
    assert resolver.from_memory


@pytest.mark.parametrize("how", ["silent", "failing"])
def test_the_last_known_address_is_used_while_the_name_server_does_not_know(
    how: str, server: _NameServer
) -> None:
    """And nothing says so any more once it answers again, by another address if that is so."""
    resolver = Resolver()
    assert (resolver.find("camera-7", 554), resolver.from_memory) == ("10.0.0.7", False)
    if how == "silent":
        server.is_silent()
    else:
        server.error = FAILED
    assert (resolver.find("camera-7", 554), resolver.from_memory) == ("10.0.0.7", True)
    server.error, server.addresses = None, ("10.0.0.8",)
    server.speak.set()
    until(lambda: resolver._question and resolver._question.is_over, 5.0, "the late answer")
    assert (resolver.find("camera-7", 554), resolver.from_memory) == ("10.0.0.8", False)


def test_a_name_server_that_denies_a_name_is_believed(server: _NameServer) -> None:
    """What had the name before may be another camera by now."""
    resolver = Resolver()
    resolver.find("camera-7", 554)
    server.error = DENIED
    with pytest.raises(SourceError, match="found: name or service not known"):
        resolver.find("camera-7", 554)


def test_an_address_is_kept_until_it_fails(server: _NameServer) -> None:
    """`localhost` is often ::1 first, where no camera listens; a name server may turn its list at each answer."""
    server.addresses = ("::1", "127.0.0.1", "::1")
    resolver = Resolver()
    assert resolver.find("camera", 554) == "::1"
    assert resolver.count == 2
    resolver.failed()
    assert resolver.find("camera", 554) == "127.0.0.1"
    server.addresses = ("127.0.0.1", "::1")
    assert resolver.find("camera", 554) == "127.0.0.1"
    resolver.failed()
    assert resolver.find("camera", 554) == "127.0.0.1", "all have failed: the first one again"
    resolver.failed()
    assert resolver.find("camera", 554) == "::1"


def test_an_address_that_was_not_tried_has_not_failed(server: _NameServer) -> None:
    """An opening that fails for its name says nothing about the address that worked before."""
    server.addresses = ("10.0.0.7", "10.0.0.8")
    resolver = Resolver()
    assert resolver.find("camera", 554) == "10.0.0.7"
    server.error = DENIED
    with pytest.raises(SourceError):
        resolver.find("camera", 554)
    resolver.failed()
    server.error = None
    assert resolver.find("camera", 554) == "10.0.0.7"


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7"])
def test_an_address_is_no_question(host: str, server: _NameServer) -> None:
    """No name server is asked for it, and no thread is started."""
    server.error = DENIED
    assert Resolver().find(host, 554) == host
    assert server.asked == 0
