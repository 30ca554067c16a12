"""What Linux says about processes: their children, and whether they still live."""

import contextlib
import os
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """The pids of a process's children, their children and so on; zombies are left out."""
    children: dict[int, list[int]] = {}
    for each in _pids():
        if (stat := _stat(each)) and stat[0] != "Z":
            children.setdefault(int(stat[1]), []).append(each)
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for parent in frontier for child in children.get(parent, [])]
        found += frontier
    return found


def marked(variable: str, value: str) -> list[int]:
    """The pids of all living processes that were started with an environment variable of this value."""
    entry = f"{variable}={value}".encode()
    found = []
    for pid in _pids():
        try:
            has_it = entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if has_it and is_alive(pid):
            found.append(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def command_line(pid: int) -> str:
    """The command of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def kill(pid: int, signal_number: int) -> None:
    """Send a signal; a process that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal_number)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name in front may hold blanks and brackets
