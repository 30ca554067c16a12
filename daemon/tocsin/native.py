"""What native libraries write to standard error and standard output, as lines of the log.

FFmpeg, OpenCV, ONNX Runtime and the C library write there themselves, past every logger: without a priority, with
whatever a camera sent, and perhaps with an address and its password. So descriptors 1 and 2, which all workers
inherit and which both end in the journal, become a socket whose other end a thread of the daemon reads; the kernel
tells it which process wrote. The daemon itself has nothing to say on standard output.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import TextIO

import structlog

log = structlog.get_logger(__name__)

_STDOUT, _STDERR = 1, 2
_MESSAGE = 65536
_LINE = 4096
"""Characters of a line that never ends after which it is one."""
_PROCESSES = 64
_CREDENTIALS = struct.Struct("3i")
_IDLE = 0.5
"""Seconds after which the beginning of a line is a line: who wrote it has said all, or is dead."""


class Lines:
    """Puts together again what processes write in pieces. Pure."""

    def __init__(self) -> None:
        self._begun: dict[int, bytes] = {}

    def take(self, pid: int, some: bytes) -> list[str]:
        """Return the lines of a process that are whole now."""
        *whole, rest = (self._begun.pop(pid, b"") + some).replace(b"\r", b"\n").split(b"\n")
        if len(rest) > _LINE or len(self._begun) >= _PROCESSES:
            whole, rest = [*whole, rest], b""
        if rest:
            self._begun[pid] = rest
        return [line.decode(errors="replace") for line in whole if line.strip()]

    def rest(self) -> list[tuple[int, str]]:
        """Return the beginnings of lines, each with its process, and forget them."""
        begun, self._begun = self._begun, {}
        return [(pid, line.decode(errors="replace")) for pid, line in begun.items() if line.strip()]


class Diverted:
    """Standard error and standard output of this process and its children, in the log.

    `real` is where standard error went before: for the log itself, for what Python prints, and for the last words
    of a crash.
    """

    def __init__(self) -> None:
        """Divert; raises OSError."""
        # Line-buffered: what is printed is seen.
        self.real: TextIO = os.fdopen(os.dup(_STDERR), "w", buffering=1, errors="backslashreplace")
        # Whole messages, each with the process that sent it. Who writes never waits: when the reader cannot follow,
        # what is written is lost.
        self._end, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._end.settimeout(_IDLE)
        with ours:
            ours.setblocking(False)
            sys.stderr.flush()
            os.dup2(ours.fileno(), _STDERR)
            if (
                sys.stdout is not None
            ):  # else it was closed from the first, and another file may have its number
                os.dup2(ours.fileno(), _STDOUT)
        self.stream_of: Callable[[int], str | None] = lambda _: None
        """Whose worker a process is; replaced once, when there are workers."""
        self._lines = Lines()
        # Waits for a message, half a second at most; ends with the process, or with what `end` puts there.
        self._thread = threading.Thread(target=self._read, name="stderr", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Put standard error back, once what lies there is read."""
        os.dup2(self.real.fileno(), _STDERR)
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RD)
        self._thread.join(2 * _IDLE)

    def _read(self) -> None:
        while True:
            try:
                some, about, _, _ = self._end.recvmsg(_MESSAGE, socket.CMSG_SPACE(_CREDENTIALS.size))
            except TimeoutError:
                self._tell(self._lines.rest())
                continue
            if not some and not about:  # what was shut down: an empty message has a sender
                self._tell(self._lines.rest())
                return
            pid = _sender(about)
            self._tell([(pid, line) for line in self._lines.take(pid, some)])

    def _tell(self, lines: list[tuple[int, str]]) -> None:
        for pid, line in lines:
            stream = self.stream_of(pid)
            about = {} if stream is None else {"stream": stream}
            log.warning("a library says", **about, text=line, pid=pid)


def _sender(about: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in about:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
    return 0
