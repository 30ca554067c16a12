"""What rules have to know of an analysed frame beside what was found in it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """One analysed frame; `at`, `period` and `silence` are the frame's, in seconds.

    `shape` is the frame's width as a multiple of its height, `wall` its time on the wall clock, None where nobody
    knows it. `outranked` says that an alarm is open that tells of the same more gravely, `unsettled` that the light
    of the whole scene has just changed, `muted` that the alarm that is open is told to nobody, or as a test.
    """

    at: float
    period: float
    silence: float
    shape: float = 1.0
    wall: datetime | None = None
    outranked: bool = False
    unsettled: bool = False
    muted: bool = False
