"""How fast the pictures of a stream really come, whatever it declares. Pure: times are arguments."""

from collections import deque
from statistics import median

_GAPS = 9
"""The median of nine gaps follows a change of rate within five pictures, and four outliers do not move it."""

_ENOUGH = 3
"""With fewer gaps the declared rate is the better guess."""

_BELIEVED = (1.0, 60.0)
"""Frames a second; cameras declare 90000, and FFmpeg itself says 25 of every stream of single JPEGs."""

_PERIODS = 2.4
_SHORTEST, _LONGEST = 1.4, 15.0
"""FFmpeg gives its last picture at the first expiry of a read timeout and an error at the second: a stall shows
after twice this, and is told within 3 s of the last picture, or five periods of a slow stream."""


_STARVED, _STARVED_PERIODS = 2.2, 4.0
"""Data without a picture are judged when they come, some tenths of a second apart: within the same 3 s."""

_WINDOW = 10.0
"""Seconds over which pictures are counted: ten of a camera that sends one a second."""

_REPORTS = 2.0
"""Seconds in which a worker that has pictures reports them once at least."""


class Meter:
    """The pictures a second that really came lately, from reports of how many came since the last one."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, int]] = deque()

    def opened(self, at: float) -> None:
        """Note that the stream was opened: what came before says nothing about it."""
        self._reports.clear()
        self._reports.append((at, 0))

    def reported(self, at: float, pictures: int) -> None:
        """Note that so many pictures came since the last report."""
        self._reports.append((at, pictures))

    def rate(self, now: float) -> float:
        """Return the pictures a second; 0 before the first."""
        while len(self._reports) > 2 and self._reports[1][0] < now - _WINDOW:
            self._reports.popleft()
        if not self._reports:
            return 0.0
        began, ended = self._reports[0][0], self._reports[-1][0]
        if now - ended > _REPORTS:
            ended = now
        pictures = sum(count for _, count in self._reports) - self._reports[0][1]
        return pictures / (ended - began) if ended > began else 0.0


class Ceiling:
    """Tells of a stream with more pictures than a camera sends, as restreamers do that lost their source.

    No surveillance camera has a rate above 60; a quarter more has room for clocks that differ. What a network or a
    slow machine held back comes faster, but not for long: 5 s of a decoder that does 275 pictures a second, as here
    in 1080p, are a hold-up of 50 s at 25 a second, and that long nothing waits unheard.
    """

    LIMIT = 75.0
    _SECONDS = 5

    def __init__(self) -> None:
        self._began: float | None = None
        self._count = 0
        self._row = 0

    def exceeded(self, at: float) -> float | None:
        """Note a picture; return the last second's rate when it was too high for so many seconds in a row."""
        if self._began is None:
            self._began = at
            return None
        self._count += 1
        if (passed := at - self._began) < 1.0:
            return None
        rate = self._count / passed
        self._row = self._row + 1 if rate > self.LIMIT else 0
        self._began, self._count = at, 0
        return rate if self._row >= self._SECONDS else None


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
    def is_measured(self) -> bool:
        """Whether the period is what was seen and not what was declared."""
        return len(self._gaps) >= _ENOUGH

    @property
    def period(self) -> float:
        """The seconds between two pictures."""
        return median(self._gaps) if self.is_measured else self._declared

    @property
    def starved_after(self) -> float:
        """The seconds without a picture, though data come, that count as a stall."""
        return max(_STARVED, _STARVED_PERIODS * self.period)

    @property
    def read_timeout(self) -> float:
        """The seconds that the next opening may wait for data."""
        patience = max(_SHORTEST, _PERIODS * self.period) * 2.0 ** min(self._fruitless, 10)
        return min(patience, _LONGEST)
