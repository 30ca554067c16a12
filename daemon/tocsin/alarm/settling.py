"""Notices that the light of a whole scene has just changed: a lamp, or a camera that goes over to infrared."""

from collections import deque
from dataclasses import dataclass

from tocsin.alarm.confirm import interrupted
from tocsin.frame import INFRARED_BELOW, Light

_CHANGE = 25.0
"""Levels (of 255) by which both the mean and the median change with the light of a whole scene. Measured: with ten
persons who walk about they change by 1 and 2 within a second in the bundled clip. A headlight in a corner moves the
mean alone."""

_COLOURED = 0.05
"""The share of coloured pixels of a picture that is surely none by infrared light."""

_WITHIN = 1.0
"""Seconds within which that happens, and for which it is steady before the light counts as settled."""

_MOST = 64
"""Frames that are kept. No stream has more than 60 a second; a worker gone wrong may say that time stands still."""

_LONGEST = 2.0
"""Seconds after which a light that keeps changing is no reason any more: a strobe must not hold up alarms."""


@dataclass(frozen=True, slots=True)
class _Past:
    at: float
    light: Light


class Settling:
    """Follows the light of one stream's analysed frames; for one thread."""

    def __init__(self) -> None:
        self._past: deque[_Past] = deque(maxlen=_MOST)  # what was within the last second
        self._began: float | None = None  # when the change was noticed that goes on

    def update(self, light: Light, at: float, period: float, silence: float) -> bool:
        """Whether the light has changed and not settled yet; `at`, `period` and `silence` are the frame's.

        Nothing is known of the light before a silence, nor when time runs backwards.
        """
        if interrupted(silence, period) or (self._past and not at >= self._past[-1].at):
            self._past.clear()
            self._began = None
        while self._past and at - self._past[0].at > _WITHIN:
            self._past.popleft()
        changed = any(_differ(past.light, light) for past in self._past)
        self._past.append(_Past(at, light))
        if not changed:
            self._began = None
            return False
        if self._began is None:
            self._began = at
        return at - self._began < _LONGEST


def _differ(before: Light, now: Light) -> bool:
    brightness = abs(now.mean - before.mean) >= _CHANGE and abs(now.p50 - before.p50) >= _CHANGE
    grey, coloured = sorted((before.colour, now.colour))
    return brightness or (grey < INFRARED_BELOW and coloured >= _COLOURED)
