"""A real RTSP server, GStreamer's, as a process that can be stopped and killed like a camera."""

import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from support.counterpart import SYSTEM_PYTHON, need_gstreamer
from support.wait import SCALE

SCRIPT = Path(__file__).with_name("gst_rtsp_server.py")
START_S = 15.0


class RtspServer:
    """Serves an H.264 file on 127.0.0.1 over TCP and UDP, in real time, to each client from its beginning.

    With `loop` it goes on for ever, timestamps rising over the seam; without, the stream ends with the file.
    Skips the test (fails it under CI) where the distribution's packages are missing.
    """

    def __init__(self, path: Path, *, loop: bool = True) -> None:
        self._command = [SYSTEM_PYTHON, str(SCRIPT), str(path), "loop" if loop else "once"]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        need_gstreamer()
        # The server ends when its standard input does: even a killed test run leaves none behind.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            self.port = self._read_port()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): connections stay open and nothing moves."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._running.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process (SIGKILL) and wait until it is gone."""
        self._running.kill()
        self._running.wait()

    @property
    def _running(self) -> "subprocess.Popen[str]":
        assert self._process, "the server is not running"
        return self._process

    def _read_port(self) -> int:
        assert self._running.stdout, "stdout is a pipe"
        deadline = time.monotonic() + START_S * SCALE
        readable, _, _ = select.select([self._running.stdout], [], [], deadline - time.monotonic())
        line = self._running.stdout.readline() if readable else ""
        if not line.startswith("port "):
            self._running.kill()
            raise AssertionError(f"GStreamer's RTSP server did not start: {self._running.communicate()[1]}")
        return int(line.split()[1])

    def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
