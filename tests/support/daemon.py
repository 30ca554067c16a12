"""Runs the daemon as a process, as its users do, and looks at it from outside."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from support import canary
from support.counterpart import free_port
from support.process import descendants, kill, marked
from support.wait import SCALE, until

MARK = "TOCSIN_TEST_MARK"

Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Daemon:
    """`tocsin run` with a configuration file in `tmp_path`.

    A configuration given as a dict gets `http.listen` on a free port and `state_dir` in `tmp_path` unless it sets
    them; YAML text is taken as it is. After it has ended (`kill9`, `terminate`), `start` begins again with the same
    file and state. `inside` is a command that runs it in other surroundings, by exec; `module` is run in place of
    `tocsin`; `options` are further ones of the command. On leaving the block everything is killed, and the output
    is printed when the test failed.

    >>> with Daemon({"streams": [...]}, tmp_path) as daemon:
    ...     daemon.wait_ready()
    ...     daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream="entrance")
    """

    def __init__(
        self,
        config: dict[str, Any] | str,
        tmp_path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
        module: str = "tocsin",
        options: Sequence[str] = (),
    ) -> None:
        self._inside = inside
        self._module = module
        self._options = options
        self.state_dir = tmp_path / "state"
        self.config_file = tmp_path / "tocsin.yaml"
        self.lines: list[str] = []
        # Inherited by whatever the daemon starts: how its processes are told from all others, orphans included.
        self._mark = uuid.uuid4().hex
        self._given = dict(environment or {})
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", MARK: self._mark, **self._given}
        self._process: subprocess.Popen[str] | None = None
        # Each collects one pipe's lines until the pipe ends.
        self._readers: list[threading.Thread] = []
        self.write_config(config)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._inspect()
        for pid in marked(MARK, self._mark):
            kill(pid, signal.SIGKILL)
        until(lambda: not marked(MARK, self._mark), 10, "the daemon's processes to be gone")
        self._collect()
        canary.inspect("the output of the daemon", self.log)
        canary.inspect_files(self.state_dir)
        if error is not None:
            print(f"--- output of the daemon ---\n{self.log}\n--- end of it ---")

    def write_config(self, config: dict[str, Any] | str) -> None:
        """Replace the configuration file; the daemon is told nothing."""
        if isinstance(config, dict):
            listen = {"listen": f"127.0.0.1:{free_port()}"}
            config = {"http": listen, "state_dir": str(self.state_dir), **config}
            canary.watch(*self._secrets(config))
            text = yaml.safe_dump(config, sort_keys=False)
        else:
            text = config
        self.config_file.write_text(text)
        parsed = yaml.safe_load(text)
        http = parsed.get("http", {}) if isinstance(parsed, dict) else {}
        self.address = http.get("listen", "127.0.0.1:9464")

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        assert not self.is_running, "the daemon is running"
        run = [sys.executable, "-m", self._module, "run", "--config", str(self.config_file)]
        self._process = subprocess.Popen(
            [*self._inside, *run, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=self._environment,
            start_new_session=True,
        )
        for pipe in (self._process.stdout, self._process.stderr):
            reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _secrets(self, config: dict[str, Any]) -> list[str]:
        """Return the passwords and keys of a configuration, wherever it takes them from."""
        kept = [one.get("password") for one in config.get("streams", [])]
        keys = ("secret", "previous_secret", "password", "token")
        kept += [one.get(key) for one in config.get("webhooks", []) for key in keys]
        named = [self._given.get(one.get("env", "")) if isinstance(one, dict) else one for one in kept]
        return [one for one in named if one]

    def _inspect(self) -> None:
        """Look for secrets in what everybody sees of the running daemon; its output is looked at in the end."""
        if self.is_running:
            canary.inspect_processes(marked(MARK, self._mark), self._given)
            for path in ("/metrics", "/healthz", "/readyz"):
                self.get(path)

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._running.poll()

    @property
    def log(self) -> str:
        """Everything it wrote so far, on stdout and stderr."""
        return "".join(self.lines)

    def get(self, path: str, timeout: float = 5.0) -> tuple[int, str]:
        """The status and body of a GET on its endpoint; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=timeout * SCALE) as response:
                text = response.read().decode()
            canary.inspect(path, text)
            return response.status, text
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            canary.inspect(path, text)
            return error.code, text
        except OSError:
            return 0, ""

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until /readyz says 200; fails at once when the process ends instead."""

        def is_ready() -> bool:
            assert self.is_running, f"the daemon ended with exit code {self.exit_code}:\n{self.log}"
            return self.get("/readyz")[0] == 200

        until(is_ready, timeout, "the daemon to be ready")

    def metrics(self) -> Metrics:
        """Every sample of /metrics by its name and labels."""
        status, text = self.get("/metrics")
        assert status == 200, f"/metrics answered {status}"
        return parse_metrics(text)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that carry at least these labels; fails when there is none."""
        values = select(self.metrics(), name, labels)
        assert values, f"no sample of {name} with {labels}"
        return sum(values)

    def wait_metric(self, name: str, at_least: float, timeout: float = 10.0, **labels: str) -> float:
        """Wait until the sum of such samples reaches a value; return it."""

        value = 0.0

        def is_reached() -> bool:
            nonlocal value
            status, text = self.get("/metrics")
            value = sum(select(parse_metrics(text), name, labels)) if status == 200 else 0.0
            return value >= at_least

        until(is_reached, timeout, f"{name}{labels or ''} to reach {at_least:g}")
        return value

    def wait_log(self, text: str, timeout: float = 10.0) -> str:
        """Wait for a line that holds a text; return it."""
        return until(
            lambda: next((line for line in self.lines if text in line), ""), timeout, f"a line with {text!r}"
        )

    def status(self, *options: str) -> str:
        """What `tocsin status` prints about it; fails when that command does."""
        command = [sys.executable, "-m", "tocsin", "status", "--config", str(self.config_file), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def children(self) -> list[int]:
        """The pids of its children and their children that live now."""
        return descendants(self.pid) if self.is_running else []

    def leftovers(self) -> list[int]:
        """The pids of every process that came of it, whoever is their parent now, except itself."""
        return [pid for pid in marked(MARK, self._mark) if pid != self.pid]

    def kill9(self) -> list[int]:
        """Kill the daemon alone; return the pids of the children it had, which should end by themselves."""
        self._inspect()
        children = self.children()
        self._running.kill()
        self._running.wait()
        return children

    def terminate(self, timeout: float = 10.0) -> int:
        """Send SIGTERM, wait for the end, return the exit code."""
        self._inspect()
        self._running.send_signal(signal.SIGTERM)
        return self.wait_end(timeout)

    def interrupt(self, timeout: float = 10.0) -> int:
        """Send SIGINT to its whole process group, as a terminal does on Ctrl-C; return the exit code."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait_end(timeout)

    def wait_end(self, timeout: float = 10.0) -> int:
        """Wait until the process has ended; return the exit code."""
        try:
            return self._running.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon had not ended after {timeout * SCALE:g} s") from None

    @property
    def _running(self) -> "subprocess.Popen[str]":
        assert self._process, "the daemon was not started"
        return self._process

    def _read(self, pipe: Any) -> None:
        with pipe:
            for line in pipe:
                self.lines.append(line)

    def _collect(self) -> None:
        if self._process:
            self._process.wait(10)
        deadline = time.monotonic() + 5
        for reader in self._readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        self._readers.clear()


def parse_metrics(text: str) -> Metrics:
    """Every sample of an exposition by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def select(metrics: Metrics, name: str, labels: Mapping[str, str]) -> list[float]:
    """The values of the samples of a name that carry at least these labels."""
    return [
        value
        for (each, carried), value in metrics.items()
        if each == name and labels.items() <= dict(carried).items()
    ]
