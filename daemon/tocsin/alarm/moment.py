"""What rules have to know of an analysed frame beside what was found in it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One analysed frame; `at`, `period` and `silence` are the frame's, in seconds.

    `shape` is the frame's width as a multiple of its height.
    """

    at: float
    period: float
    silence: float
    shape: float = 1.0
