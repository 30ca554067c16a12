"""A real Prometheus that scrapes one target every second, by the configuration that is shipped."""

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.counterpart import free_port, need_prometheus
from support.rules import RULES, SCRAPE
from support.wait import until

Sample = tuple[dict[str, str], float]
Curve = list[tuple[float, float]]


class Prometheus:
    """Prometheus on a free port of 127.0.0.1, its data in a directory of its own, scraping `target` (host:port).

    It runs config/prometheus/scrape.yml, but for the target and the pace, with these `rules` or those beside it.
    `more` are further keys of the job, such as `scheme: https`. Skips the test (fails it under CI) where the
    program is missing.
    """

    def __init__(self, target: str, more: str = "", rules: Path = RULES) -> None:
        self.port = 0
        self._target = target
        self._more = more
        self._rules = rules
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

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The labels and value of each series in the answer, as of a Unix time, or of now."""
        asked = {"query": expression} | ({} if at is None else {"time": at})
        answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode(asked)))
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def history(
        self, expression: str, seconds: float, at: float | None = None
    ) -> list[tuple[dict[str, str], Curve]]:
        """The labels of each series, and its Unix times and values, one a second up to a Unix time, or to now."""
        end = time.time() if at is None else at
        asked = {"query": expression, "start": end - seconds, "end": end, "step": 1}
        answer = json.loads(self._get("/api/v1/query_range?" + urllib.parse.urlencode(asked)))
        found = answer["data"]["result"]
        return [(one["metric"], [(when, float(value)) for when, value in one["values"]]) for one in found]

    def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire now, as the API tells them, by name."""
        alerts = json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]
        return {one["labels"]["alertname"]: one for one in alerts if one["state"] == "firing"}

    def rules(self) -> dict[str, str]:
        """How the evaluation of each alert went, by its name: `ok`, `err`, or `unknown` before the first."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def wait_query(self, expression: str, at_least: float, timeout: float = 15.0) -> list[Sample]:
        """Wait until the answer's values sum up to a value; return the answer."""

        def reached() -> list[Sample]:
            answer = self.query(expression)
            return answer if answer and sum(value for _, value in answer) >= at_least else []

        return until(reached, timeout, f"{expression} to reach {at_least:g} in Prometheus")

    def _start(self, folder: Path, cleanup: contextlib.ExitStack) -> None:
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(_configuration(self._target, self._more, self._rules))
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


def _configuration(target: str, more: str, rules: Path) -> str:
    text = SCRAPE.read_text(encoding="utf-8")
    for shipped, ours in (
        ("127.0.0.1:9464", target),
        ("interval: 15s", "interval: 1s"),
        (f"- {RULES.name}", f"- {rules}"),
        ("- job_name: tocsin\n", f"- job_name: tocsin\n    {more}\n"),
    ):
        assert shipped in text
        text = text.replace(shipped, ours)
    return text


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
