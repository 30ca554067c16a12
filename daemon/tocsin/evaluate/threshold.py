"""Which score threshold keeps false alarms within a target, and how sure that is; pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tocsin.evaluate.intervals import rate

HOURS_A_DAY = 24.0

_DOUBT = 0.05


@dataclass(frozen=True, slots=True)
class Proposal:
    """The lowest threshold that kept within the target on the footage that was seen.

    `threshold` is None where none did. `alarms` false ones were raised at it in `hours`: `per_day`, with `upper`,
    the end of its 95 % interval. It is `proven` where even that end lies within the target. `proven_threshold` is
    the lowest threshold of which that can be said, None where the footage is too short for any. `hours_needed` is
    how long footage without one false alarm would have to be to prove the target.
    """

    target: float
    threshold: float | None
    alarms: int
    hours: float
    per_day: float
    upper: float
    proven_threshold: float | None
    hours_needed: float

    @property
    def proven(self) -> bool:
        return self.threshold is not None and self.upper <= self.target


def hours_to_prove(per_day: float) -> float:
    """Return the hours without one false alarm after which the rate is `per_day` or less with 95 % confidence."""
    return -math.log(_DOUBT) / per_day * HOURS_A_DAY


def propose(thresholds: Sequence[float], alarms: Sequence[int], hours: float, target: float) -> Proposal:
    """Return the proposal for a target in false alarms per camera and day.

    `thresholds` rise; `alarms` were raised falsely at each of them in `hours` of footage, above 0.
    """
    assert hours > 0, "footage has a length"
    assert target > 0, "no footage is long enough to prove none"
    days = hours / HOURS_A_DAY
    within = _from_where(alarms, lambda count: count / days <= target)
    surely = _from_where(alarms, lambda count: rate(count, days).high <= target)
    index = len(thresholds) - 1 if within is None else within
    seen = rate(alarms[index], days)
    return Proposal(
        target=target,
        threshold=None if within is None else thresholds[within],
        alarms=alarms[index],
        hours=hours,
        per_day=seen.value,
        upper=seen.high,
        proven_threshold=None if surely is None else thresholds[surely],
        hours_needed=hours_to_prove(target),
    )


def _from_where(alarms: Sequence[int], good: Callable[[int], bool]) -> int | None:
    """Return the first index from which on all are good: a higher threshold may split one alarm in two."""
    found = None
    for index in reversed(range(len(alarms))):
        if not good(alarms[index]):
            break
        found = index
    return found
