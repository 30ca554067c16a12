"""Which pictures of a stream are analysed, and how long it was silent before them. Pure: times are arguments."""

import math

_EARLY = 0.01
"""Seconds that a picture may come after it was expected: decoding takes 3 to 4 ms at 1080p, 12 to 16 in 4K."""

_ROUNDING = 1e-6
"""Seconds: what adding up times as floats may cost."""


class Pace:
    """Picks at most `max_fps` pictures a second, evenly, whatever the camera's rate.

    The picks follow a grid of that rate and take the first picture from half a period before each grid point:
    a camera that sends exactly `max_fps` with a little jitter loses none.
    """

    def __init__(self, max_fps: float) -> None:
        self.period = 1.0 / max_fps
        self._next = -math.inf

    def may_be_due(self, at: float, apart: float = math.inf) -> bool:
        """Return whether a picture that is expected then may be one to analyse; changes nothing.

        Where pictures are expected before it that have not arrived, `apart` is the time between two of them: each
        point of the grid takes the first that comes.
        """
        late = at - (self._next - self.period / 2)
        if not math.isfinite(late):
            return True
        return late >= -_EARLY and (late + _EARLY) % self.period < apart + _EARLY + _ROUNDING

    def due(self, at: float) -> bool:
        """Return whether the picture that arrived then is to be analysed."""
        if at < self._next - self.period / 2:
            return False
        behind = at - self._next > self.period / 2
        self._next = (at if behind else self._next) + self.period
        return True


class Silence:
    """The longest time without a good picture since the last analysed one; infinite before the first."""

    def __init__(self) -> None:
        self._last_at = -math.inf
        self._longest = 0.0

    def seam(self) -> None:
        """Note that what follows has nothing to do with what was before."""
        self._last_at = -math.inf

    def arrived(self, at: float) -> None:
        """Note a good picture."""
        self._longest = max(self._longest, at - self._last_at)
        self._last_at = at

    def taken(self) -> float:
        """Return the longest silence and begin anew: a picture is analysed now."""
        longest, self._longest = self._longest, 0.0
        return longest
