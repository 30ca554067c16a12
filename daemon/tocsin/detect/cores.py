"""How many threads a model gets on this machine."""

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")


def threads() -> int:
    """Return as many as this process may keep busy: its cores, or less where its control group has a quota."""
    return busy(len(os.sched_getaffinity(0)), _quotas())


def busy(cores: int, quotas: Iterable[str]) -> int:
    """Return the number of threads for so many cores under quotas as `cpu.max` holds them, `MICROSECONDS PERIOD`.

    Rounded down: with one thread more than the quota, all are stopped in the middle of a frame until the next
    period begins, which is 0.1 s by default.
    """
    bounds = [cores]
    for quota in quotas:
        limit, _, period = quota.strip().partition(" ")
        if limit.isdigit() and period.isdigit() and int(period):
            bounds.append(int(limit) // int(period))
    return max(1, min(bounds))


def _quotas() -> list[str]:
    """The quota of this process's control group (version 2) and of each above it, as they stand in the files."""
    try:
        groups = (ROOT / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in groups if line.startswith("0::/")), None)
    if own is None:
        return []
    found = []
    for group in (Path(own), *Path(own).parents):
        try:
            found.append((ROOT / "sys/fs/cgroup" / group / "cpu.max").read_text(encoding="utf-8"))
        except OSError:  # the root has no quota, and a group may lie outside what a container sees
            continue
    return found
