"""Timing of things side by side, turn by turn, so that whatever else the machine does falls on all alike."""

import random
import statistics
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
