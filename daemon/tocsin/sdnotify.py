"""Tells the service manager how the daemon does: the sd_notify protocol, one datagram a message."""

import os
import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger(__name__)

SEND_SECONDS = 1.0
"""The longest wait for a service manager that does not read."""


class Notifier:
    """Sends messages to the socket that the service manager named, or nowhere when there is none.

    Failures are logged once and otherwise ignored: a daemon does not end because nobody listens.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._told_failure = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Notifier":
        """Return a notifier for NOTIFY_SOCKET."""
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self, status: str) -> None:
        """The start, or a reload, is complete."""
        self.send(READY=1, STATUS=status)

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self.send(STATUS=text)

    def watchdog(self) -> None:
        """Everything moves: start the watchdog's time again."""
        self.send(WATCHDOG=1)

    def stopping(self) -> None:
        """The stop has begun."""
        self.send(STOPPING=1)

    def reloading(self, now: float) -> None:
        """A reload has begun; `now` is monotonic, in seconds: systemd 253 and later insist on it."""
        self.send(RELOADING=1, MONOTONIC_USEC=int(now * 1e6))

    def extend(self, seconds: float) -> None:
        """The start takes so long at most: without it the service manager gives up at its own limit."""
        self.send(EXTEND_TIMEOUT_USEC=int(seconds * 1e6))

    def send(self, **fields: str | int) -> bool:
        """Send the fields in one message; False when it did not arrive."""
        if self._address is None:
            return False
        message = "\n".join(f"{key}={_one_line(value)}" for key, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_SECONDS)
                sender.connect(_encoded(self._address))
                sender.sendall(message.encode())
        except OSError as error:
            if not self._told_failure:
                log.warning("the service manager cannot be told", errno=error.errno)
            self._told_failure = True
            return False
        self._told_failure = False
        return True


def watchdog_seconds(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return the time within which the service manager wants to hear WATCHDOG; None when it does not.

    Half of it is a good interval. A watchdog that is meant for another process does not count.
    """
    period, meant_for = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not period.isdecimal() or int(period) == 0:
        return None
    if meant_for is not None and meant_for != str(os.getpid() if pid is None else pid):
        return None
    return int(period) / 1e6


def _encoded(address: str) -> str:
    """Return the address as the kernel wants it: a leading @ stands for the abstract namespace."""
    return "\0" + address[1:] if address.startswith("@") else address


def _one_line(value: str | int) -> str:
    # A line break inside a value would begin another field.
    return " ".join(str(value).split())
