"""Tell an object that is there from a detector that blinked: k sightings in a window.

The paper's alarm is five sightings in five frames (Olmos, Tabik, Herrera, arXiv 1702.05147).
"""

import math
from collections import deque

_ROUNDING = 1e-6
"""Seconds or frames: what adding up times as floats may cost, far below what a camera's clock knows."""


def patience(period: float) -> float:
    """Return how long, in seconds, a stream may be silent before that counts as a gap in what was seen.

    `period` is the time between two analysed frames when all is well; one that is not a number counts as 0.
    """
    return max(1.0, 5.0 * period)  # in this order: max() keeps its first argument against NaN


def interrupted(silence: float, period: float) -> bool:
    """Whether the stream was silent for longer than its patience; NaN is taken for a silence."""
    return not silence <= patience(period)


def deaf(hits: int, within: float, rate: float) -> bool:
    """Whether a rule can never be confirmed because frames are analysed too slowly.

    `hits` sightings at `rate` frames a second take (hits - 1) / rate seconds, from the first to the last. A
    rule is deaf where that is more than `within`; at a rate of 0, where it needs more than one.
    """
    return hits - 1 > within * rate + _ROUNDING


class Confirmation:
    """The window of one rule on one stream: `hits` of the last `of` analysed frames, all `within` seconds."""

    def __init__(self, hits: int, of: int, within: float) -> None:
        """Raise ValueError unless 1 <= hits <= of."""
        if not 1 <= hits <= of:
            raise ValueError(f"expected 1 to {of} hits of the last {of} frames, found {hits}")
        self._needed = hits
        self._of = of
        self._within = within
        self._frame = 0
        self._last = -math.inf
        # number and time of each sighting that counts, oldest first; never more than `of`
        self._hits: deque[tuple[int, float]] = deque()

    @property
    def first_seen(self) -> float | None:
        """The time of the oldest sighting that still counts."""
        return self._hits[0][1] if self._hits else None

    def clear(self) -> None:
        """Forget every sighting."""
        self._hits.clear()

    def update(self, seen: bool, at: float, period: float, silence: float) -> bool:
        """Count one analysed frame; return whether it is a sighting that stands confirmed.

        The sighting that completes `hits` confirms, not a frame later. A silence before the frame that is
        longer than the stream's patience empties the window first, so sightings on both sides of a gap
        confirm nothing; a shorter one counts as nothing. A frame without a finite time is not counted, and
        time that runs backwards empties the window as a silence does.
        """
        if interrupted(silence, period) or at < self._last:
            self.clear()
        if not math.isfinite(at):
            return False
        self._last = at
        self._frame += 1
        if seen:
            self._hits.append((self._frame, at))
        while self._hits and self._expired(*self._hits[0]):
            self._hits.popleft()
        return seen and len(self._hits) >= self._needed

    def _expired(self, frame: int, at: float) -> bool:
        return frame <= self._frame - self._of or self._last - at > self._within + _ROUNDING
