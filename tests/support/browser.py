"""A real browser without a window: Chromium, driven by its DevTools protocol over a pair of pipes."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.counterpart import need
from support.wait import SCALE

_ANSWER = 30.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root, too
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=800,600",
    "--remote-debugging-pipe",
)

_START = """
import fcntl, os, sys
high = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The protocol's pipes are the descriptors 3 and 4 of the browser."""


def need_chromium() -> None:
    """Go on only where Chromium is installed."""
    need("chromium", "install Chromium: apt-get install chromium")


class Browser:
    """Chromium with one empty page and a profile of its own in `folder`.

    >>> with Browser(tmp_path) as browser:
    ...     browser.open("http://127.0.0.1:8000/")
    ...     assert browser.evaluate("document.title") == "hello"
    """

    def __init__(self, folder: Path) -> None:
        self._profile = folder / "profile"
        self._number = 0
        self._rest = b""

    def __enter__(self) -> Self:
        need_chromium()
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        command = [str(shutil.which("chromium")), *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        wrapped = [sys.executable, "-c", _START, str(theirs_in), str(theirs_out), *command]
        self._process = subprocess.Popen(
            wrapped,
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._profile.parent)},
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self._answers, False)
        try:
            target = self._ask("Target.createTarget", url="about:blank")["targetId"]
            attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
            self._session = str(attached["sessionId"])
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def open(self, url: str) -> None:
        """Go to an address."""
        answer = self._ask("Page.navigate", session=self._session, url=url)
        assert "errorText" not in answer, answer

    def evaluate(self, expression: str) -> Any:
        """Return what a script gives; a promise is waited for."""
        told = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self._ask("Runtime.evaluate", session=self._session, **told)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write what the page looks like as a PNG file."""
        answer = self._ask("Page.captureScreenshot", session=self._session)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER * SCALE
        while time.monotonic() < deadline:
            answer = self._hear()
            if answer is not None and answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
        raise AssertionError(f"the browser did not answer {method}")

    def _hear(self) -> dict[str, Any] | None:
        message, end, rest = self._rest.partition(b"\0")
        if end:
            self._rest = rest
            return dict(json.loads(message))
        try:
            content = os.read(self._answers, 1 << 16)
        except BlockingIOError:
            time.sleep(0.01)
            return None
        assert content, "the browser has ended"
        self._rest += content
        return None

    def _end(self) -> None:
        self._process.kill()  # its other processes end with it
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
