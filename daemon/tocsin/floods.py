"""Which lines of a flood are written: the first at once, then how many there were.

Pure. A line has a kind (all its words) and a family (its sentence and its stream). Of a kind AT_ONCE are written in
PERIOD seconds and of a family FAMILY, so that neither one fault that comes a hundred times a second nor one whose
words are another each time fills a disk or hides what else is said.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

PERIOD = 60.0
AT_ONCE = 3
FAMILY = 100
_KNOWN = 4096
"""Kinds and families that are told apart; the oldest is forgotten, and a line of it counts as the first."""

L = TypeVar("L")


@dataclass(slots=True)
class _Run(Generic[L]):
    """Lines that are alike, since the first of them: those that were written, and those that were not."""

    since: float
    written: int = 0
    withheld: int = 0
    last: L | None = None


class Floods(Generic[L]):
    """Remembers what was written. `L` is a line, which is given back when what was withheld is summed up."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Hashable, _Run[L]] = OrderedDict()  # the oldest first

    def admit(self, kind: Hashable, family: Hashable, line: L, now: float) -> bool:
        """Return whether a line is to be written now; otherwise it is counted."""
        for key, limit in (((0, kind), AT_ONCE), ((1, family), FAMILY)):
            run = self._runs.get(key)
            if run is not None and now - run.since < PERIOD and run.written >= limit:
                run.withheld += 1
                run.last = line
                return False
        for key in ((0, kind), (1, family)):
            self._run(key, now).written += 1
        return True

    def due(self, now: float) -> list[tuple[L, int]]:
        """Return what was withheld for long enough: the last line of each run, and how many there were."""
        told = []
        for key, run in list(self._runs.items()):
            if now - run.since < PERIOD:
                break  # the later ones began later
            del self._runs[key]
            if run.last is not None:
                told.append((run.last, run.withheld))
                # The sum stands for those that may be written at once: a flood that goes on is one line a period.
                self._runs[key] = _Run(now, FAMILY)
        return told

    def next(self) -> float | None:
        """Return when the next sum is due, None while nothing is withheld."""
        return min((run.since + PERIOD for run in self._runs.values() if run.withheld), default=None)

    def _run(self, key: Hashable, now: float) -> _Run[L]:
        run = self._runs.get(key)
        if run is None or now - run.since >= PERIOD:
            self._runs.pop(key, None)
            run = self._runs[key] = _Run(now)
            if len(self._runs) > _KNOWN:
                self._runs.popitem(last=False)
        return run
