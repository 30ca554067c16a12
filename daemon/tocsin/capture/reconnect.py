"""When to try a broken stream again: soon at first, then seldom, and hardly ever on a refused password.

Pure: times come in as arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tocsin.errors import SourceFault

_FIRST_GAP = 0.5
"""After a stream that was healthy: a camera that dropped one connection is mostly there at once. Never less."""

_GAPS = ((10.0, 1.1), (60.0, 10.0))
"""(up to this age of the outage, this gap): 15 tries in the first minute, most of them early. Opening takes 0.6 to
0.8 s, so a camera that was away for less than ten seconds is live within two of its return ..."""

_LAST_GAP = 30.0
"""... and two a minute afterwards, so that a camera that is gone is not hammered and one that is back is seen."""

_LOGIN_GAP = 300.0
"""Five minutes at least: cameras lock an account after a few wrong passwords."""

_LOGIN = frozenset({SourceFault.AUTH, SourceFault.AUTH_UNSUPPORTED})

_HEALTHY_AFTER = 10.0
"""Good frames for so long end an outage; a camera that accepts and resets at once never gets there."""

_JITTER = 0.1
"""Gaps grow by up to this share, so that eight cameras behind one switch do not all come at the same moment. They
never shrink: what is promised of the rate holds for every try."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What must be known of an outage to go on with it: since when it lasts, and whether the password was refused.

    The monotonic clock is the same in every process of the machine.
    """

    since: float
    refused: bool = False


class Reconnect:
    """The outage of one stream, if there is one; `outage` is one that goes on, with another worker.

    `random` gives numbers from 0 to 1.
    """

    def __init__(self, random: Callable[[], float], outage: Outage | None = None) -> None:
        self._random = random
        self.outage = outage
        self._good_since: float | None = None

    def frame(self, now: float) -> None:
        """Note a good frame."""
        if self._good_since is None:
            self._good_since = now
        if now - self._good_since >= _HEALTHY_AFTER:
            self.outage = None

    def failed(self, fault: SourceFault, now: float, began: float | None = None) -> float:
        """Note a failure and return the seconds to wait before the next try; `began` is when the try did.

        From the beginning of one try to that of the next is the gap: a camera that let a try hang and is well right
        after waits no longer than one that refused it. Only after a refused password it is from the end.

        A worker that died says nothing about a password that was refused before.
        """
        self._good_since = None
        before = self.outage
        refused = fault in _LOGIN
        if fault is SourceFault.WORKER and before is not None:
            refused = before.refused
        self.outage = Outage(now if before is None else before.since, refused)
        if refused:
            gap = _LOGIN_GAP
        elif before is None:
            gap = _FIRST_GAP
        else:
            age = now - before.since
            gap = next((gap for until, gap in _GAPS if age < until), _LAST_GAP)
        if began is not None and before is not None and not refused:
            gap = max(_FIRST_GAP, gap - (now - began))
        return gap * (1 + _JITTER * self._random())
