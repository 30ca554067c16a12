"""Whether the timestamps of a camera go along with the clock that its pictures arrive by. Pure."""

_FAR = 5.0
"""Seconds. A network may hold pictures back for as long as a stall lasts, three seconds; cameras that set their
clock, or start counting anew, are minutes to years away."""


class Timestamps:
    """Finds the jumps in the timestamps of one opening; nothing is ever decided by them."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def jumped(self, shown: float | None, at: float) -> bool:
        """Return whether the timestamp (seconds) went elsewhere than time did since the last picture."""
        if shown is None:
            return False
        last, self._last = self._last, (shown, at)
        return last is not None and abs((shown - last[0]) - (at - last[1])) > _FAR
