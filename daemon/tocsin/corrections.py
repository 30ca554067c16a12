"""Which changes of a stream's correction are worth a line in the log; pure."""

from dataclasses import dataclass

from tocsin.frame import Correction

WINDOW = 60.0
"""Seconds over which lines are counted."""

LINES = 3
"""Changes in one window that are told as they happen: dusk needs one, a lamp that is switched on and off two."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What is to be told: one change as it happens, or (`times` above 1) a summary of those that were not told.

    `before` is what was told last. After a summary it may equal `now`.
    """

    before: Correction
    now: Correction
    times: int


class CorrectionVigil:
    """Tells when a stream's correction changes, `LINES` times in a `WINDOW` at most; for one stream."""

    def __init__(self) -> None:
        self._present = self._told = Correction.NONE
        self._began: float | None = None
        self._lines = 0
        self._untold = 0

    def update(self, correction: Correction, at: float) -> Shift | None:
        """Count one frame, corrected so, of the time `at` in seconds."""
        changed = correction is not self._present
        self._present = correction
        self._untold += changed
        if self._began is None or not 0.0 <= at - self._began < WINDOW:
            self._began, self._lines = at, 0
        elif self._lines >= LINES:
            return None
        return self._tell() if self._untold else None

    def _tell(self) -> Shift:
        shift = Shift(self._told, self._present, self._untold)
        self._told, self._untold = self._present, 0
        self._lines += 1
        return shift
