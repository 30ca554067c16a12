"""What rules have to know of an analysed frame beside what was found in it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One analysed frame; `at`, `period` and `silence` are the frame's, in seconds."""

    at: float
    period: float
    silence: float
