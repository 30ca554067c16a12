"""A service manager that listens and does nothing else: the socket that NOTIFY_SOCKET names."""

import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from support.wait import SCALE


class ServiceManager:
    """Hears what a daemon that is started with `environment` says; the watchdog's time is `watchdog` seconds."""

    def __init__(self, folder: Path, watchdog: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = folder / "notify"
        self._socket.bind(str(address))
        self.environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": str(int(watchdog * 1e6))}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def hear(self, seconds: float) -> dict[str, str] | None:
        """Return the fields of the next message; None where none comes within so many seconds."""
        self._socket.settimeout(seconds)
        try:
            text = self._socket.recv(4096).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines())

    def hear_until(self, field: str, timeout: float, *, value: str = "") -> list[dict[str, str]]:
        """Return the messages up to the first whose field holds that text; fail where none does in time."""
        heard: list[dict[str, str]] = []
        deadline = time.monotonic() + timeout * SCALE
        while (left := deadline - time.monotonic()) > 0:
            message = self.hear(left)
            if message is not None:
                heard.append(message)
                if value in message.get(field, "\0"):
                    return heard
        raise AssertionError(f"waited {timeout * SCALE:g} s for {field}={value}, heard {heard}")
