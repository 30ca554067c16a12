"""Which changes of a stream's correction are worth a line in the log; pure.

A light that changes passes through several corrections within a second. What an operator wants to read is where it
ended; and where it does not end, that it does not.
"""

from dataclasses import dataclass

from tocsin.frame import Correction

HELD = 2.0
"""Seconds that a correction must hold to be told: a lamp switched on, or off, has been got used to by then."""

HELD_AT_MOST = 32.0
"""Each line doubles what the next one takes, up to this: a lamp that goes on and off fills no log."""

WINDOW = 60.0
"""Seconds over which changes are summed up, and after which, without one, all is as at the start."""

FLAPS = 3
"""Changes within a window that are summed up; fewer are a cloud that passed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A correction that has held, and what was told before; both are the same when flapping has ended there."""

    before: Correction
    now: Correction


@dataclass(frozen=True, slots=True)
class Flapping:
    """So many changes within so many seconds, none of which held; between which corrections."""

    changes: int
    within: float
    between: frozenset[Correction]


class CorrectionVigil:
    """Tells when a stream's correction has changed for good, or keeps changing; for one stream."""

    def __init__(self) -> None:
        self._present = self._told = Correction.NONE
        self._since: float | None = None  # the last change
        self._needed = HELD
        self._changes = 0
        self._began = 0.0  # the first of them
        self._between: set[Correction] = set()
        self._restless = False  # whether flapping was told, and nothing since

    def update(self, correction: Correction, at: float) -> Held | Flapping | None:
        """Count one frame, corrected so, of the time `at` in seconds; return what is to be told."""
        if self._since is None or at < self._since:  # the start, or the seam of a recording
            self._since, self._changes = at, 0
        if correction is not self._present:
            return self._changed(correction, at)
        if at - self._since < self._needed or (self._present is self._told and not self._restless):
            return None
        held = Held(self._told, self._present)
        self._told, self._restless, self._changes = self._present, False, 0
        self._wait_longer()
        return held

    def _changed(self, correction: Correction, at: float) -> Flapping | None:
        assert self._since is not None, "a frame was counted"
        if at - self._since >= WINDOW:
            self._needed, self._changes = HELD, 0
        if self._changes == 0:
            self._began, self._between = at, {self._present}
        self._present, self._since = correction, at
        self._changes += 1
        self._between.add(correction)
        if at - self._began < WINDOW or self._changes < FLAPS:
            return None
        flapping = Flapping(self._changes, at - self._began, frozenset(self._between))
        self._changes, self._restless = 0, True
        self._wait_longer()
        return flapping

    def _wait_longer(self) -> None:
        self._needed = min(2 * self._needed, HELD_AT_MOST)
