"""What the service manager hears: datagrams on a real socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tocsin.sdnotify import Notifier, watchdog_seconds


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket such as a service manager's, and its name in NOTIFY_SOCKET."""
    name = f"@tocsin-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0"))
        receiver.settimeout(5)
        yield name, receiver


def fields(receiver: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in receiver.recv(4096).decode().split("\n"))


def test_each_message_arrives(manager: tuple[str, socket.socket]) -> None:
    """Each call is one datagram with the fields of the protocol, on a path and in the abstract namespace."""
    name, receiver = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})
    notifier.ready("2 streams")
    assert fields(receiver) == {"READY": "1", "STATUS": "2 streams"}
    notifier.status("working")
    assert fields(receiver) == {"STATUS": "working"}
    notifier.watchdog()
    assert fields(receiver) == {"WATCHDOG": "1"}
    notifier.stopping()
    assert fields(receiver) == {"STOPPING": "1"}
    notifier.reloading(12.5)
    assert fields(receiver) == {"RELOADING": "1", "MONOTONIC_USEC": "12500000"}


def test_a_line_break_begins_no_field(manager: tuple[str, socket.socket]) -> None:
    """A value stays in its field."""
    name, receiver = manager
    Notifier(name).status("down\nREADY=1")
    assert fields(receiver) == {"STATUS": "down READY=1"}


def test_without_a_manager_nothing_is_sent() -> None:
    """Outside a service every call is silent."""
    notifier = Notifier.from_environment({})
    with capture_logs() as logs:
        assert notifier.send(READY=1) is False
    assert logs == []


def test_a_deaf_manager_is_told_of_once(tmp_path: Path) -> None:
    """A socket that is gone is logged at the first message, and stops nothing."""
    notifier = Notifier(str(tmp_path / "gone"))
    with capture_logs() as logs:
        notifier.watchdog()
        notifier.watchdog()
    assert [line["event"] for line in logs] == ["the service manager cannot be told"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        pytest.param({"WATCHDOG_USEC": "30000000"}, 30.0, id="for whoever reads it"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0, id="for this process"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None, id="for another process"),
        pytest.param({}, None, id="not wanted"),
        pytest.param({"WATCHDOG_USEC": "0"}, None, id="none"),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="nonsense"),
    ],
)
def test_the_watchdogs_time(environ: dict[str, str], seconds: float | None) -> None:
    """The time is that of WATCHDOG_USEC, when it is meant for this process."""
    assert watchdog_seconds(environ, pid=7) == seconds
