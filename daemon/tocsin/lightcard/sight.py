"""What of a recording cannot be seen, and when the daemon would report it; pure."""

from collections import Counter
from dataclasses import dataclass, replace

from tocsin.capture.rate import Rate
from tocsin.eyesight.impairment import Impairment, ImpairmentVigil, Limits, judge
from tocsin.frame import Light

_LIMITS = Limits()
_MOST_A_SECOND = 10.0
"""Treated pictures a second until it is known how many there really are."""


def unseen(light: Light) -> Impairment | None:
    """Return why a picture of this light cannot be seen reliably, or None."""
    return judge(light, _LIMITS.enter)


@dataclass(frozen=True, slots=True)
class Unseen:
    """A stretch that the daemon reports, in seconds of the recording: from its first bad picture to the last.

    At `reported` it would send `stream.impaired`, at `restored` `stream.restored`; None where the recording ends
    before that.
    """

    reason: Impairment
    begins: float
    ends: float
    reported: float
    restored: float | None = None


class Sight:
    """Watches over the light of a recording's treated pictures as the daemon does over a stream's."""

    def __init__(self) -> None:
        self.pictures: Counter[Impairment] = Counter()
        """The pictures that cannot be seen, however few in a row, by the reason."""
        self._stretches: list[Unseen] = []  # one takes a quarter of a minute at least
        self._vigil = ImpairmentVigil(_LIMITS)
        self._rate = Rate(_MOST_A_SECOND)
        self._last = 0.0

    def add(self, light: Light, at: float) -> None:
        """Take the next picture, at its time in seconds, never falling."""
        silence, self._last = at - self._last, at
        self._rate.arrived(at)
        found = unseen(light)
        if found is not None:
            self.pictures[found] += 1
        notice = self._vigil.update(light, at, self._rate.period, silence)
        if notice is not None and not notice.over:
            self._stretches.append(Unseen(notice.reason, at - notice.lasted, at, at))
        elif notice is not None:
            self._stretches[-1] = replace(self._stretches[-1], restored=at)
        elif self._vigil.impaired is not None and judge(light, _LIMITS.leave) is not None:
            self._stretches[-1] = replace(self._stretches[-1], ends=at)

    def stretches(self) -> tuple[Unseen, ...]:
        """Return what would have been reported so far."""
        return tuple(self._stretches)
