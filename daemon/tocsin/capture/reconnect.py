"""When to try a broken stream again: soon at first, then seldom, and hardly ever on a refused password.

Pure: times come in as arguments.
"""

from collections.abc import Callable

from tocsin.errors import SourceFault

_FIRST_GAP = 0.5
"""After a stream that was healthy: a camera that dropped one connection is mostly there at once."""

_GAPS = ((10.0, 1.5), (60.0, 7.0))
"""(up to this age of the outage, this gap): 14 tries in the first minute ..."""

_LAST_GAP = 30.0
"""... and two a minute afterwards, so that a camera that is gone is not hammered and one that is back is seen."""

_LOGIN_GAP = 335.0
"""Five minutes at least, jitter and all: cameras lock an account after a few wrong passwords."""

_LOGIN = frozenset({SourceFault.AUTH, SourceFault.AUTH_UNSUPPORTED})

_HEALTHY_AFTER = 10.0
"""Good frames for so long end an outage; a camera that accepts and resets at once never gets there."""

_JITTER = 0.1


class Reconnect:
    """The outage of one stream.

    `random` gives numbers from 0 to 1.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._outage_since: float | None = None
        self._good_since: float | None = None

    def frame(self, now: float) -> None:
        """Note a good frame."""
        if self._good_since is None:
            self._good_since = now
        if now - self._good_since >= _HEALTHY_AFTER:
            self._outage_since = None

    def failed(self, fault: SourceFault, now: float) -> float:
        """Note a failure and return the seconds to wait before the next try."""
        self._good_since = None
        fresh = self._outage_since is None
        if self._outage_since is None:
            self._outage_since = now
        if fault in _LOGIN:
            gap = _LOGIN_GAP
        elif fresh:
            gap = _FIRST_GAP
        else:
            age = now - self._outage_since
            gap = next((gap for until, gap in _GAPS if age < until), _LAST_GAP)
        return gap * (1 + _JITTER * (2 * self._random() - 1))
