"""What the processes of a daemon take of the machine."""

import mmap
from dataclasses import dataclass
from pathlib import Path

from support.process import command_line, is_alive

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Footprint:
    """Resident set sizes in MiB (`worker_mb`: the mean of the workers), and counts.

    Not proportional ones: those of the workers that are left rise when the fork server that they share memory with
    is killed. `descriptors` and `threads` are the daemon's alone, `processes` all that work.
    """

    daemon_mb: float
    worker_mb: float
    descriptors: int
    threads: int
    processes: int

    def __str__(self) -> str:
        return (
            f"daemon {self.daemon_mb:.1f} MiB, worker {self.worker_mb:.1f} MiB, {self.descriptors} descriptors,"
            f" {self.threads} threads, {self.processes} processes"
        )


def footprint(daemon: int, workers: list[int]) -> Footprint:
    """Return what the daemon and its workers take now."""
    sizes = [size for pid in workers if (size := rss(pid))]
    return Footprint(
        daemon_mb=rss(daemon),
        worker_mb=sum(sizes) / max(1, len(sizes)),
        descriptors=_count(daemon, "fd"),
        threads=_count(daemon, "task"),
        processes=len(sizes) + 1,
    )


def rss(pid: int | str = "self") -> float:
    """Return the resident set size in MiB; 0 for a process that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * mmap.PAGESIZE / _MIB


def descriptors(pid: int | str = "self") -> int:
    """Return how many descriptors a process has open."""
    return _count(pid, "fd")


def threads(pid: int | str = "self") -> int:
    """Return how many threads a process has."""
    return _count(pid, "task")


def fork_server(daemon: int) -> int:
    """Return the pid of a daemon's fork server; 0 when there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(int(entry.name)) == daemon and _is_forked(int(entry.name)):
            return int(entry.name)
    return 0


def workers(daemon: int, family: list[int]) -> list[int]:
    """Return those of a daemon's processes that are capture workers, whoever is their parent now."""
    server = fork_server(daemon)
    return [pid for pid in family if pid != server and _is_forked(pid) and is_alive(pid)]


def established(pids: list[int], port: int) -> list[int]:
    """Return those of some processes that have a TCP connection to a port of 127.0.0.1."""
    remote, is_established = f"0100007F:{port:04X}", "01"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2] == remote and row[3] == is_established}
    return [pid for pid in pids if sockets & _open(pid)]


def _open(pid: int) -> set[str]:
    found = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            found.add(str(entry.readlink()))
    except OSError:
        pass  # closed, or the process is gone
    return found


def _is_forked(pid: int) -> bool:
    return "multiprocessing.forkserver" in command_line(pid)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _count(pid: int | str, what: str) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/{what}").iterdir()))
    except OSError:
        return 0
