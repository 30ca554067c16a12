"""The search for secrets in what tests and daemons write."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from support import canary
from support.process import command_line
from support.wait import until

SECRET = "t3st/c@nary with+blanks"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own secrets and hits are left as they are."""
    monkeypatch.setattr(canary, "_watched", {})
    monkeypatch.setattr(canary, "_hits", [])
    canary.watch(SECRET)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"url=rtsp://viewer:{SECRET}@camera/", id="as it is"),
        pytest.param(f"rtsp://viewer:{quote(SECRET, safe='')}@camera/", id="percent-encoded"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="base64"),
        pytest.param(base64.b64encode(f"v:{SECRET}".encode()).decode(), id="Basic, after two bytes"),
        pytest.param(base64.b64encode(f"vi:{SECRET}".encode()).decode(), id="Basic, after three bytes"),
        pytest.param(base64.b64encode(f"vie:{SECRET} ".encode()).decode(), id="Basic, after four bytes"),
    ],
)
def test_a_secret_is_found_in_each_of_its_forms(text: str) -> None:
    """In text and in bytes."""
    canary.inspect("the log", f"before {text} after")
    canary.inspect("the file", f"before {text} after".encode())
    assert [hit.partition(" holds")[0] for hit in canary.take_hits()] == ["the log", "the file"]
    assert canary.take_hits() == []


def test_what_holds_no_secret_is_no_hit() -> None:
    """Not its beginning, not what is too short to be one, not the prefix that all keys have."""
    canary.watch("viewer", None, "whsec_dG9jc2luLXRlc3RzLTAxMjM0NTY3ODktYWJjZGVm")
    canary.inspect("the log", f"viewer whsec_ {SECRET[:-1]} {base64.b64encode(b'another one')!r}")
    assert canary.take_hits() == []
    canary.inspect("the log", "dG9jc2luLXRlc3RzLTAxMjM0NTY3ODktYWJjZGVm")
    assert len(canary.take_hits()) == 1


def test_processes_and_files_are_looked_into(tmp_path: Path) -> None:
    """A command line and a variable that hold one are hits, a variable that was given by design is none."""
    environment = {**os.environ, "GIVEN": SECRET, "OTHER": f"x{SECRET}"}
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()", SECRET]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, env=environment) as process:
        until(lambda: SECRET in command_line(process.pid), 5.0, "the process to have its command line")
        canary.inspect_processes([process.pid], {"GIVEN": SECRET, "OTHER": f"x{SECRET}"})
        assert [hit.split()[0] for hit in canary.take_hits()] == [f"/proc/{process.pid}/cmdline"]
        canary.inspect_processes([process.pid], {"GIVEN": SECRET})
        assert len(canary.take_hits()) == 2
        process.communicate()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/outbox.sqlite").write_bytes(b"\0" + SECRET.encode())
    canary.inspect_files(tmp_path)
    assert [hit.split()[0] for hit in canary.take_hits()] == ["outbox.sqlite"]


@pytest.mark.fault(65)
def test_a_test_that_writes_a_secret_fails(tmp_path: Path) -> None:
    """On standard output, in a log record, and through a command; one that keeps it to itself passes."""
    (tmp_path / "test_it.py").write_text("""
import logging, subprocess, sys
from support import canary
from support.process import command_line
from support.wait import until
canary.watch("inner-secret-c@nary")
def test_output(): print("inner-secret-c@nary")
def test_record(): logging.error("inner-secret-c@nary")
def test_command(): subprocess.run([sys.executable, "-c", "print('inner-'+'secret-c@nary')"], capture_output=True)
def test_quiet(): print("inner")
""")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "support.canary",
            "-p",
            "no:cacheprovider",
            "-q",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["/", *map(str, sys.path)])},
    )
    # each passed as such, and three failed at their ends
    assert "4 passed, 3 errors" in done.stdout, done.stdout + done.stderr
    for name in ("output", "record", "command"):
        assert f"test_{name} - a secret was written" in done.stdout


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_is_found_after_the_last_test_fails_the_run(tmp_path: Path, workers: str) -> None:
    """Also where a worker finds it, whose own end nobody looks at."""
    (tmp_path / "test_it.py").write_text(
        'from support import canary\ndef test_it(): canary.watch("late-c@nary")\n'
    )
    (tmp_path / "conftest.py").write_text("""
import pytest
from support import canary
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(): canary.inspect("what came last", "late-c@nary")
""")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "support.canary",
        "-p",
        "no:cacheprovider",
        "-n",
        workers,
        "-q",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["/", *map(str, sys.path)])}
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "what came last holds the secret that begins with 'late-c'" in done.stdout
