"""Standard error of a whole family of processes, diverted into the log."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROLOGUE = """
import ctypes, os, subprocess, sys
import structlog
from tocsin import logs
from tocsin.native import Diverted
native = Diverted()
sys.stderr = native.real
logs.configure("json", "info", ["hunter2-hunter2"], native.real)
libc = ctypes.CDLL(None)
def child(code):
    subprocess.run([sys.executable, "-c", code], check=True)
"""
EPILOGUE = """
native.end()
logs.flush()
"""


def run(tmp_path: Path, code: str, epilogue: str = EPILOGUE) -> tuple[int, list[dict[str, Any]]]:
    """Run code in a process of its own; return its end and the lines of its log."""
    script = tmp_path / "it.py"
    script.write_text(PROLOGUE + code + epilogue)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == ""
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def said(lines: list[dict[str, Any]]) -> list[str]:
    return [line["text"] for line in lines if line["event"] == "a library says"]


def test_what_a_library_writes_is_a_line_of_the_log(tmp_path: Path) -> None:
    """From this process and from its children, by whatever call; with the process that wrote it."""
    code = """
libc.dprintf(2, b"[rtsp @ 0x55d0] here\\n")
child("import os; os.write(2, b'from a'); os.write(2, b' child\\\\n')")
child("import ctypes; ctypes.CDLL(None).dprintf(2, b'last words')")
structlog.get_logger("here").info("me", pid=os.getpid())
"""
    code_, lines = run(tmp_path, code)
    assert code_ == 0
    mine = next(line["pid"] for line in lines if line["event"] == "me")
    assert said(lines) == ["[rtsp @ 0x55d0] here", "from a child", "last words"]
    pids = [line["pid"] for line in lines if line["event"] == "a library says"]
    assert [pid == mine for pid in pids] == [True, False, False]
    assert {line["level"] for line in lines if "text" in line} == {"warning"}


@pytest.mark.fault(66)
def test_it_is_scrubbed_and_escaped_like_all_else(tmp_path: Path) -> None:
    """Passwords are masked, and what a camera sends stays in its line."""
    code = r"""
os.write(2, b"open rtsp://viewer:hunter2-hunter2@10.0.0.7/1\nkey hunter2-hunter2\n")
os.write(2, "title \x1b[2J\u202egnp\u200b\u2028{}\n".encode() + b"\xff\xfe\x00" + b"y" * 100000 + b"\n")
"""
    _, lines = run(tmp_path, code)
    texts = said(lines)
    assert texts[:3] == ["open rtsp://***@10.0.0.7/1", "key ***", "title \x1b[2J\u202egnp\u200b\u2028{}"]
    assert all(len(text) <= 256 for text in texts)


def test_standard_output_is_no_way_past_the_log(tmp_path: Path) -> None:
    """It ends in the journal like standard error: what a library prints there is scrubbed and escaped as well."""
    code = r"""
os.write(1, b"<0>level=error key hunter2-hunter2 \x1b[2J\n")
child("print('from a child')")
"""
    _, lines = run(tmp_path, code)
    assert said(lines) == ["<0>level=error key *** \x1b[2J", "from a child"]


def test_a_closed_standard_output_changes_nothing(tmp_path: Path) -> None:
    """As some that start daemons leave it: another file may have its number, which stays what it is."""
    script = tmp_path / "it.py"
    script.write_text(PROLOGUE + 'os.write(2, b"there\\n")\n' + EPILOGUE)
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} {script} >&-"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert said([json.loads(line) for line in done.stderr.splitlines()]) == ["there"]
    assert done.returncode == 0


def test_an_empty_message_ends_nothing(tmp_path: Path) -> None:
    """Whoever writes no byte at all, in any process, silences nobody."""
    code = """
os.write(2, b"")
child("import os; os.write(2, b'')")
os.write(2, b"and on it goes\\n")
"""
    _, lines = run(tmp_path, code)
    assert said(lines) == ["and on it goes"]


def test_a_flood_of_a_library_is_summed_up(tmp_path: Path) -> None:
    """A line that differs in addresses and numbers only comes three times, and then how often; nobody waited."""
    code = """
for number in range(20000):
    line = b"[h264 @ 0x%x] error while decoding MB %d\\n" % (number, number)
    libc.write(2, line, len(line)) if not number % 10 else None  # what a busy reader has no room for is lost
    if number % 500 == 0:
        import time; time.sleep(0.005)
"""
    _, lines = run(tmp_path, code)
    assert len(lines) == 4
    assert lines[-1]["again"] > 100


def test_who_writes_more_than_is_read_does_not_wait(tmp_path: Path) -> None:
    """A library that writes while it holds the interpreter, and so the reader too, goes on."""
    code = """
line = b"x" * 1000 + b"\\n"
write = ctypes.PyDLL(None).write  # keeps the interpreter to itself
refused = sum(write(2, line, len(line)) < 0 for _ in range(5000))
structlog.get_logger("here").info("done", refused=refused)
"""
    _, lines = run(tmp_path, code)
    assert next(line["refused"] for line in lines if line["event"] == "done") > 0


def test_python_s_own_errors_are_not_diverted(tmp_path: Path) -> None:
    """What is printed, and the stacks of a crash, go where they went."""
    script = tmp_path / "it.py"
    script.write_text(
        PROLOGUE
        + "import faulthandler; faulthandler.enable(native.real)\nprint('printed', file=sys.stderr)\nos.abort()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode < 0
    assert done.stderr.startswith("printed\nFatal Python error: Aborted")
