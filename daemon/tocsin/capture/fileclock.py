"""When the pictures of a file are due. Pure: times are arguments."""

import math

_JUMP = 5.0
"""Seconds, and as many periods of a slower file: what jumps further in a file's timestamps is not waited for."""

_BACK = 1.0
"""Seconds that a file's timestamps may go back without being a new beginning."""


class FileClock:
    """Gives the pictures of a file the times at which a camera would have sent them.

    `period`: seconds between two pictures, for those without a timestamp and where the timestamps begin anew.
    """

    def __init__(self, period: float, now: float) -> None:
        self._period = period
        self._zero: float | None = None
        self._shown = -period
        self._seam = False
        self._begun = False
        self.at = now
        """The time of the last picture."""

    def rewind(self) -> None:
        """Note that the file is played from its start again."""
        self._zero = None
        self._shown = -self._period
        self._seam = True

    def expected(self, shown: float | None) -> float:
        """Return the time that a picture with this timestamp will have; infinite where that cannot be told."""
        return math.inf if self._zero is None or shown is None else self._zero + shown

    def tick(self, shown: float | None, now: float | None) -> tuple[float, bool]:
        """Return the time of the next picture, and whether it has nothing to do with the one before.

        `shown` is its timestamp in seconds; `now` is None when the file is not played in real time.
        """
        if shown is None:
            shown = self._shown + self._period
        step = shown - self._shown
        if self._zero is not None and not -_BACK <= step <= max(_JUMP, 5 * self._period):
            self._zero = None
            self._seam = True
        if self._zero is None:
            start = self.at + self._period if self._begun else self.at
            self._zero = (start if now is None else max(start, now)) - shown
        self._shown = shown
        self._begun = True
        self.at = max(self._zero + shown, self.at)
        seam, self._seam = self._seam, False
        return self.at, seam
