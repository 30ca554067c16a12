"""Which pictures of a stream are analysed, and how long it was silent before them. Pure: times are arguments."""

import math


class Pace:
    """Picks at most `max_fps` pictures a second, evenly, whatever the camera's rate.

    The picks follow a grid of that rate and take the first picture from half a period before each grid point:
    a camera that sends exactly `max_fps` with a little jitter loses none.
    """

    def __init__(self, max_fps: float) -> None:
        self.period = 1.0 / max_fps
        self._next = -math.inf

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
