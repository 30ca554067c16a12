"""Secrets that tests work with must show up nowhere: a hit in anything that is written fails the test.

`Login`, `Receiver`, `Daemon` and `capturing.order` watch the passwords and keys that they are given, each for the
rest of the run. Looked at are: what pytest captured of a test (standard output and error, log records); what every
command printed that `subprocess.run` ran; a daemon's output (what it hands to the journal), pages and status, the
command lines, names and environments of all its processes while they run, and its state directory; and the body of
every webhook. That no process of it may leave a core is a test of its own.

By design a secret is in: the configuration file, where it is written in it; credentials files; what a person types
on a command line; the memory of the daemon and of the one worker that needs it; and the environment of the daemon
and what it starts, where the configuration takes it from there. Those are not looked at.
"""

import base64
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote, quote_plus

import pytest

SHORTEST = 8
"""Shorter ones, such as a user's name, are found everywhere and are nobody's secret."""

_watched: dict[str, frozenset[bytes]] = {}
_hits: list[str] = []  # appended to by any thread


def watch(*secrets: str | None) -> None:
    """Look for these from now on."""
    for secret in secrets:
        if secret is not None and len(secret) >= SHORTEST:
            _watched.setdefault(secret, forms(secret.removeprefix("whsec_")))


def forms(secret: str) -> frozenset[bytes]:
    """Return how a secret may be written: as it is, percent-encoded, in base64 wherever it begins in the text."""
    raw = secret.encode()
    written = {raw, quote(secret, safe="").encode(), quote(secret).encode(), quote_plus(secret).encode()}
    written.add(secret.encode("unicode_escape"))
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        # the characters that hold bits of nothing else
        written.add(encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6])
    return frozenset(written)


def inspect(where: str, what: str | bytes) -> None:
    """Look for every watched secret in something that was written; any thread may call this."""
    content = what.encode(errors="surrogateescape") if isinstance(what, str) else what
    for secret, written in _watched.items():
        if any(form in content for form in written):
            _hits.append(f"{where} holds the secret that begins with {secret[:6]!r}")


def inspect_processes(pids: list[int], given: dict[str, str]) -> None:
    """Look into what everybody may read of processes; `given` are the variables that hold secrets by design."""
    for pid in pids:
        try:
            what = {name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "comm", "environ")}
        except OSError:
            continue  # it ended
        by_design = {f"{name}={value}".encode() for name, value in given.items()}
        what["environ"] = b"\0".join(each for each in what["environ"].split(b"\0") if each not in by_design)
        for name, content in what.items():
            inspect(f"/proc/{pid}/{name}", content)


def inspect_files(folder: Path) -> None:
    """Look into every file of a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            inspect(str(path.name), path.read_bytes())


def take_hits() -> list[str]:
    """Return what was found since the last call, each once."""
    found = list(dict.fromkeys(_hits))
    _hits.clear()
    return found


@pytest.fixture(scope="session", autouse=True)
def inspected_commands() -> Iterator[None]:
    """Everything that a command prints is looked at."""
    real = subprocess.run

    def run(*arguments: Any, **options: Any) -> Any:
        done = real(*arguments, **options)
        for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            inspect(f"the {name} of {done.args!r:.80}", text or "")
        return done

    with patch("subprocess.run", run):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Fail a test after which a secret was found."""
    outcome = yield
    if call.when != "teardown":
        return
    report = outcome.get_result()
    for title, text in report.sections:
        inspect(title, text)
    if (found := take_hits()) and report.passed:
        report.outcome, report.longrepr = "failed", "\n".join(["a secret was written:", *found])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a secret was found after the last test; a worker leaves that to who started it."""
    found = take_hits()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["secrets"] = found
    elif found:
        print("\n".join(["a secret was written:", *found]))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)  # pytest-xdist calls it
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker found after its last test."""
    _hits.extend(getattr(node, "workeroutput", {}).get("secrets", []))
