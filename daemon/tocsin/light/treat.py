"""Measure, plan and correct the pictures of one view, one after another."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Correction, Light
from tocsin.light.correct import Corrector
from tocsin.light.measure import measure
from tocsin.light.plan import Plan, Policy, plan


@dataclass(frozen=True, slots=True, eq=False)  # a plan holds tables
class Treated:
    """The light that was found in a picture, and what was done about it."""

    light: Light
    plan: Plan


class Treatment:
    """Corrects the light of one view and keeps what steadies it from picture to picture; for one thread."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._previous = Correction.NONE
        self._corrector = Corrector()

    def treat(self, pixels: NDArray[np.uint8], at: float) -> Treated:  # noqa: ARG002 - smoothing needs it
        """Correct `pixels`, I420 as uint8 [height * 3 / 2, width] of limited range, in place.

        `at` is the time of the picture in seconds, never falling.
        """
        luma = pixels[: pixels.shape[0] * 2 // 3]
        light = measure(luma)
        decided = plan(light, self._policy, self._previous)
        self._corrector.correct(luma, decided)
        self._previous = decided.correction
        return Treated(light, decided)
