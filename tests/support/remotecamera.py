"""A fake camera in a process of its own, so that what a test measures of its own process is not the camera's.

Run as a script it serves one camera and obeys commands, one a line of JSON, each answered by a line: empty, or what
went wrong.
"""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.access import Login
from support.camera import FakeCamera
from support.scene import Scene


class RemoteCamera:
    """The camera as its user sees it; from any thread."""

    def __init__(self, login: Login, *, width: int = 64, height: int = 48, fps: float = 50.0) -> None:
        self._wanted = {"login": [login.username, login.password], "scene": [width, height, fps]}
        self._asking = threading.Lock()  # guards the pipes, so that each command gets its own answer

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.remotecamera"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        self.url = self._ask(self._wanted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)

    def cut(self, how: str) -> None:
        """End its connections by "hang_up" or "reset"."""
        self._obey({"cut": how})

    @contextmanager
    def faults(self, **knobs: Any) -> Iterator[None]:
        """Set knobs as `FakeCamera.faults` does; `refusing` is one of them."""
        self._obey({"begin": knobs})
        yield
        self._obey({"end": True})

    def _obey(self, command: dict[str, Any]) -> None:
        assert not (wrong := self._ask(command)), wrong

    def _ask(self, command: dict[str, Any]) -> str:
        with self._asking:
            told, answers = self._process.stdin, self._process.stdout
            assert told is not None, "it is a pipe"
            assert answers is not None, "it is a pipe"
            told.write(json.dumps(command) + "\n")
            told.flush()
            return answers.readline().rstrip("\n")


def _serve() -> None:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each client that is gone
    wanted = json.loads(sys.stdin.readline())
    width, height, fps = wanted["scene"]
    with (
        FakeCamera(Scene(width, height, fps=fps), login=Login(*wanted["login"])) as camera,
        ExitStack() as stack,
    ):
        print(camera.url, flush=True)
        for line in sys.stdin:
            try:
                _obey(camera, json.loads(line), stack)
            except AssertionError as error:
                print(str(error).replace("\n", " "), flush=True)
            else:
                print(flush=True)
            # what a camera remembers for tests grows with every connection
            camera.traffic.accepted.clear()
            camera.traffic.requests.clear()


def _obey(camera: FakeCamera, command: dict[str, Any], stack: ExitStack) -> None:
    match command:
        case {"cut": "hang_up"}:
            camera.hang_up()
        case {"cut": _}:
            camera.reset()
        case {"begin": {"refusing": _}}:
            stack.enter_context(camera.refusing())
        case {"begin": knobs}:
            stack.enter_context(camera.faults(**knobs))
        case _:
            stack.close()


if __name__ == "__main__":
    _serve()
