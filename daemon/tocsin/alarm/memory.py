"""What a rule remembers on one stream beyond its open alarm, so that a restart need not forget it."""

import math
from dataclasses import dataclass

from tocsin.frame import Box


@dataclass(frozen=True, slots=True)
class Spot:
    """A place at which something stands still, and when something was seen there last."""

    box: Box
    seen: float


@dataclass(frozen=True, slots=True)
class Memory:
    """When the last alarm ended, minus infinity where none did, and the places of what stands still.

    Times are on the clock of the frames; those from before a restart may be negative.
    """

    ended: float = -math.inf
    spots: tuple[Spot, ...] = ()


NOTHING = Memory()
