"""A real Prometheus Alertmanager."""

import contextlib
import json
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.counterpart import free_port, need_alertmanager
from support.wait import until

CONFIG = """
route: {receiver: nobody, group_by: [alertname, stream]}
receivers: [{name: nobody}]
"""


class Alertmanager:
    """Alertmanager on a free port of 127.0.0.1, its data in a directory of its own, telling nobody.

    Skips the test (fails it under CI) where the program is missing.
    """

    def __init__(self) -> None:
        self.port = 0
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        need_alertmanager()
        with contextlib.ExitStack() as cleanup:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="alertmanager-")))
            self._start(folder, cleanup)
            until(self._is_ready, 20, "Alertmanager to be ready")
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def url(self) -> str:
        """Where alerts are posted."""
        return f"http://127.0.0.1:{self.port}/api/v2/alerts"

    def active(self) -> list[dict[str, Any]]:
        """The alerts that have not ended, as its API tells them."""
        with urllib.request.urlopen(self.url, timeout=5) as response:
            alerts: list[dict[str, Any]] = json.load(response)
        return alerts

    def received(self, status: str) -> int:
        """How many alerts it has taken in as `firing` or `resolved`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as response:
            text = response.read().decode()
        name = f'alertmanager_alerts_received_total{{status="{status}",version="v2"}}'
        return next((round(float(line.split()[1])) for line in text.splitlines() if line.startswith(name)), 0)

    def _start(self, folder: Path, cleanup: contextlib.ExitStack) -> None:
        self.port = free_port()
        config = folder / "alertmanager.yml"
        config.write_text(CONFIG)
        arguments = {
            "--config.file": config,
            "--storage.path": folder / "data",
            "--web.listen-address": f"127.0.0.1:{self.port}",
            "--cluster.listen-address": "",
        }
        log = cleanup.enter_context((folder / "log").open("w"))
        command = ["prometheus-alertmanager", *(f"{name}={value}" for name, value in arguments.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        cleanup.callback(_end, process)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except OSError:
            return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
