"""Measure, plan and correct the pictures of one view, one after another."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Correction, Light
from tocsin.light.correct import Corrector
from tocsin.light.measure import Reading, measure
from tocsin.light.plan import Plan, Policy, plan

MEMORY = 0.5
"""Seconds after which a picture counts for 1/e in the reading that is planned for. The range of the middle 98 %
then widens with the first picture of a lamp switched on, so that no gain meant for the dark meets the bright
picture, and narrows within 2.3 seconds of its going out, about as fast as cameras adapt. Chosen, not measured."""

_FORGOTTEN = 1e-3
"""Pixels. Without an end, what was seen fades into denormal numbers, with which the same work takes 30 times as
long."""


@dataclass(frozen=True, slots=True, eq=False)  # a plan holds tables
class Treated:
    """The light that was found in a picture, and what was done about it."""

    light: Light
    plan: Plan


class Treatment:
    """Corrects the light of one view and keeps what steadies it from picture to picture; for one thread."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._steady: tuple[Reading, float] | None = None
        self._previous = Correction.NONE
        self._corrector = Corrector()

    def treat(self, pixels: NDArray[np.uint8], at: float) -> Treated:
        """Correct `pixels`, I420 as uint8 [height * 3 / 2, width] of limited range, in place.

        `at` is the time of the picture in seconds, never falling; the first picture is treated for what it is.
        """
        reading = measure(pixels)
        steady = reading if self._steady is None else _mixed(reading, *self._steady, at)
        decided = plan(steady, self._policy, self._previous)
        self._corrector.correct(pixels[: pixels.shape[0] * 2 // 3], decided)
        self._steady, self._previous = (steady, at), decided.correction
        return Treated(reading.light, decided)


def _mixed(new: Reading, old: Reading, then: float, now: float) -> Reading:
    kept = math.exp(-max(now - then, 0.0) / MEMORY)
    cells = new.cells * np.float32(1.0 - kept) + old.cells * np.float32(kept)
    cells[cells < _FORGOTTEN] = 0.0
    return Reading(
        cells,
        noise=new.noise * (1.0 - kept) + old.noise * kept,
        colour=new.colour,
    )
