"""How fast the pictures of a stream really come, whatever it declares. Pure: times are arguments."""

from collections import deque
from statistics import median

_GAPS = 9
"""The median of nine gaps follows a change of rate within five pictures, and four outliers do not move it."""

_ENOUGH = 3
"""With fewer gaps the declared rate is the better guess."""

_BELIEVED = (1.0, 60.0)
"""Frames a second; cameras declare 90000, and FFmpeg itself says 25 of every stream of single JPEGs."""

_PERIODS = 2.5
_SHORTEST, _LONGEST = 1.5, 15.0
"""FFmpeg gives its last picture at the first expiry of a read timeout and an error at the second: a stall shows
after twice this, hence after five periods of a slow stream."""


class Rate:
    """The time between two good pictures of one camera, over all its openings."""

    def __init__(self, max_fps: float) -> None:
        self._declared = 1.0 / max_fps
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._last: float | None = None
        self._measured_one = False
        self._fruitless = 0

    def opened(self, declared: float | None) -> None:
        """Note that the stream was opened, and the frames a second that it declares."""
        self._last = None
        self._measured_one = False
        if declared:
            slowest, fastest = _BELIEVED
            self._declared = 1.0 / min(max(declared, slowest), fastest)

    def arrived(self, at: float, left_out: int = 0) -> None:
        """Note a good picture, and how many were left out between the one before and it."""
        if self._last is not None:
            self._gaps.append((at - self._last) / (1 + left_out))
            self._measured_one = True
            if len(self._gaps) >= _ENOUGH:
                self._fruitless = 0
        self._last = at

    def seam(self) -> None:
        """Note that the time before the next picture is no gap between two."""
        self._last = None

    def stalled(self) -> None:
        """Note a stall; one that left no time to measure means that more patience is due."""
        if not self._measured_one:
            self._fruitless += 1

    @property
    def period(self) -> float:
        """The seconds between two pictures."""
        return median(self._gaps) if len(self._gaps) >= _ENOUGH else self._declared

    @property
    def read_timeout(self) -> float:
        """The seconds that the next opening may wait for data."""
        patience = max(_SHORTEST, _PERIODS * self.period) * 2.0 ** min(self._fruitless, 10)
        return min(patience, _LONGEST)
