"""When something about a stream's pictures has lasted long enough to be said, and when it is over.

Pure: one spell hears one question asked of each picture, with the picture's time.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from tocsin.alarm.confirm import interrupted, patience

R = TypeVar("R")

_ROUNDING = 1e-6
"""Seconds: what adding up times as floats may cost."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long it takes to be said, in seconds of pictures."""

    enter_after: float
    """So long without one picture that speaks against it."""

    leave_after: float
    """So long without one picture that speaks for it."""

    relapse: float = 60.0
    """An end that lasted less than this was none: the next one takes twice as long to be believed."""

    leave_at_most: float = 60.0
    """What doubling ends at: two events in about as many minutes, when it comes and goes all night."""


@dataclass(frozen=True, slots=True)
class Turn(Generic[R]):
    """It began, or (`over`) ended; `reason` is that of its beginning, `lasted` how many seconds ago that was."""

    over: bool
    reason: R
    lasted: float


class Spell(Generic[R]):
    """Says once that it began and once that it is over; for one stream and one thread.

    An outage begins nothing and ends nothing: time without pictures proves neither.
    """

    def __init__(self, times: Times) -> None:
        self._times = times
        self._reported: R | None = None
        self._last: float | None = None
        self._contrary: float | None = None  # for how long all pictures have spoken against what was reported
        self._lasted = 0.0
        self._clear = times.relapse  # for how long nothing has been reported; one at the start is no relapse
        self._leave_after = times.leave_after

    @property
    def reason(self) -> R | None:
        """What was reported and is not over."""
        return self._reported

    def update(self, found: R | None, at: float, period: float, silence: float) -> Turn[R] | None:
        """Count one picture at the time `at` (seconds), with what was found in it.

        `period` is the time between two pictures when all is well, `silence` the longest without one before it.
        """
        elapsed = 0.0 if self._last is None else max(0.0, at - self._last)
        watched = 0.0 if interrupted(silence, period) else min(elapsed, patience(period))
        self._last = at
        self._lasted += elapsed
        if self._reported is None:
            self._clear += watched
        if (found is None) is (self._reported is None):
            self._contrary = None
            return None
        if self._contrary is None:  # the time before this picture belongs to the others
            self._contrary = 0.0
            if found is not None:
                self._lasted = 0.0
        else:
            self._contrary += watched
        return self._turn(found)

    def _turn(self, found: R | None) -> Turn[R] | None:
        """Change the state when it has been contradicted for long enough."""
        assert self._contrary is not None, "a picture that contradicts the state was just counted"
        needed = self._times.enter_after if self._reported is None else self._leave_after
        if self._contrary < needed - _ROUNDING:
            return None
        reason = found if found is not None else self._reported
        assert reason is not None, "either it was found, or it had been"
        self._reported, self._contrary = found, None
        if found is not None:
            self._leave_after = self._patience_after(self._clear)
            self._clear = 0.0
        return Turn(found is None, reason, self._lasted)

    def _patience_after(self, clear: float) -> float:
        """Return how long the next end must last, after nothing was reported for so long."""
        if clear >= self._times.relapse:
            return self._times.leave_after
        return min(2 * self._leave_after, self._times.leave_at_most)
