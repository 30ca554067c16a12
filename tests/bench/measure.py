"""Timing of things side by side, turn by turn, so that whatever else the machine does falls on all alike."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping


def side_by_side(
    works: Mapping[str, Callable[[], object]], turns: int, repeats: int
) -> dict[str, list[float]]:
    """Return for each work the seconds that one call took in each turn."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    order, chance = list(works), random.Random(0)
    for _ in range(turns):
        chance.shuffle(order)  # what runs before a work decides what it finds in the caches
        for name in order:
            work = works[name]
            begun = time.perf_counter()
            for _ in range(repeats):
                work()
            taken[name].append((time.perf_counter() - begun) / repeats)
    return taken


def ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the ratios, pair by pair."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def spare_workers() -> None:
    """Keep capture workers from importing the script that runs, as each does that is started from now on.

    The daemon's own imports nothing. That of a benchmark brings libraries that no worker has: 0.4 s of a processor
    for each worker, and memory.
    """
    del sys.modules["__main__"].__file__


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process took until now, its threads that ended too (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)
