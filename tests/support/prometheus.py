"""A real Prometheus that scrapes one target every second."""

import contextlib
import json
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.counterpart import free_port, need_prometheus
from support.wait import until

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: target
    static_configs: [{{targets: ["{target}"]}}]
    {more}
"""

Sample = tuple[dict[str, str], float]


class Prometheus:
    """Prometheus on a free port of 127.0.0.1, its data in a directory of its own, scraping `target` (host:port).

    `more` are further keys of the target, such as `scheme: https`. Skips the test (fails it under CI) where the
    program is missing.
    """

    def __init__(self, target: str, more: str = "") -> None:
        self.port = 0
        self._target = target
        self._more = more
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        need_prometheus()
        with contextlib.ExitStack() as cleanup:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="prometheus-")))
            self._start(folder, cleanup)
            until(self._is_ready, 20, "Prometheus to be ready")
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def query(self, expression: str) -> list[Sample]:
        """The labels and value of each series in the answer, as of now."""
        answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def wait_query(self, expression: str, at_least: float, timeout: float = 15.0) -> list[Sample]:
        """Wait until the answer's values sum up to a value; return the answer."""

        def reached() -> list[Sample]:
            answer = self.query(expression)
            return answer if answer and sum(value for _, value in answer) >= at_least else []

        return until(reached, timeout, f"{expression} to reach {at_least:g} in Prometheus")

    def _start(self, folder: Path, cleanup: contextlib.ExitStack) -> None:
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(target=self._target, more=self._more))
        arguments = {
            "--config.file": config,
            "--storage.tsdb.path": folder / "data",
            "--web.listen-address": f"127.0.0.1:{self.port}",
        }
        log = cleanup.enter_context((folder / "log").open("w"))
        command = ["prometheus", *(f"{name}={value}" for name, value in arguments.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        cleanup.callback(_end, process)

    def _is_ready(self) -> bool:
        try:
            self._get("/-/ready")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
            return response.read()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
