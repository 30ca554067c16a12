"""Decide what to do about the light of a picture; no pixel is touched here."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Correction, Light
from tocsin.light.measure import BLACK, LEVELS, WHITE


class Mode(StrEnum):
    """How a stream's light is treated: the word in the configuration."""

    GUIDED = "guided"
    DACOT = "dacot"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Policy:
    """When a picture is corrected, and how far; every level is on the scale of 0 to 255.

    What is "measured" below was measured on the bundled clip of pedestrians with simulated light, the bundled
    detector and machine labels; of other scenes it says nothing. The papers give none of these numbers.
    """

    mode: Mode = Mode.GUIDED

    brighter_than: float = 150.0
    """Dacot acts on pictures with at least this mean. Ours: the clip has 120 as recorded, 161 at +1 EV."""

    stretch_below: float = 150.0
    """Guided mode stretches pictures with less contrast. Measured: 179 or more in every frame as recorded and
    at +1 to +3 EV, where stretching wins nothing; 115 or less under veils of 50 and 75 % and at -3 and -5 EV,
    where it finds 3 to 14 more of 100 persons."""

    margin: float = 10.0
    """What was begun is kept up until the picture is so much past the threshold. Ours: within the clip's 40
    seconds the contrast varies by 14 as recorded and by 7 under a veil of 50 %."""

    max_gain: float = 8.0
    """Differences, and with them noise, grow by this factor at most. Measured at -6 EV with noise and under a
    veil of 90 %: each step from 2 to 8 finds more persons; 16 adds a false one to each."""

    target: float = 100.0
    """Dacot darkens to this mean. Ours: what a gamma to 100 costs and wins is known from the clip."""

    max_gamma: float = 8.0
    """The strongest curve with which dacot darkens. Ours: beyond a mean of 226 it stops short of the target
    instead of turning what is nearly white into black."""

    clip_limit: float = 2.0
    """How far CLAHE may raise local contrast. Measured: 4.0 costs one to two points more in good light."""


@dataclass(frozen=True, slots=True, eq=False)  # a table cannot be compared as one value
class Plan:
    """What is to be done with one picture.

    `table` maps luma to luma, uint8 [256], never falling, with values from 16 to 235; None leaves it as it
    is. `clip_limit` asks for CLAHE after it; None for none.
    """

    correction: Correction
    table: NDArray[np.uint8] | None = None
    clip_limit: float | None = None


_NOTHING = Plan(Correction.NONE)


def plan(light: Light, policy: Policy, previous: Correction) -> Plan:
    """Return what to do about `light`, given what was done about the picture before.

    `previous` keeps a picture at a threshold from being corrected in every other frame; it is `none` for the
    first picture of a stream.
    """
    match policy.mode:
        case Mode.OFF:
            return _NOTHING
        case Mode.GUIDED:
            return _guided(light, policy, previous)
        case Mode.DACOT:
            return _dacot(light, policy, previous)


def _guided(light: Light, policy: Policy, previous: Correction) -> Plan:
    """Stretch the range of the middle 98 % over the whole scale where contrast is lost, else do nothing.

    Contrast guides, not brightness: a veil and an overexposure have the same mean, but only the veil can be
    lifted; clipped pixels are gone.
    """
    limit = policy.stretch_below + (policy.margin if previous is Correction.STRETCH else 0.0)
    if light.contrast >= limit:
        return _NOTHING
    gain = min(255.0 / max(light.contrast, 1.0), policy.max_gain)
    # A range that the bounded gain cannot spread over the whole scale stays where it is as far as it fits:
    # a black picture stays black, a uniform one keeps its level.
    half = min(gain * light.contrast / 2, 127.5)
    middle = (light.p1 + light.p99) / 2
    levels = (LEVELS - middle) * gain + min(max(middle, half), 255.0 - half)
    return Plan(Correction.STRETCH, _luma_table(levels))


def _dacot(light: Light, policy: Policy, previous: Correction) -> Plan:
    """Darken a bright picture and raise its local contrast (Castillo et al., Neurocomputing 330, 2019)."""
    active = previous in (Correction.DARKEN_CLAHE, Correction.CLAHE)
    if light.mean < policy.brighter_than - (policy.margin if active else 0.0):
        return _NOTHING
    if light.mean <= policy.target:  # only where `brighter_than` is lower: there is nothing to darken
        return Plan(Correction.CLAHE, None, policy.clip_limit)
    levels = 255.0 * (LEVELS / 255.0) ** _gamma(light.mean, policy)
    return Plan(Correction.DARKEN_CLAHE, _luma_table(levels), policy.clip_limit)


def _gamma(mean: float, policy: Policy) -> float:
    """Return the exponent that maps `mean` to the target below it; that of a spread picture lands near it."""
    if mean >= 255.0:
        return policy.max_gamma
    return min(math.log(policy.target / 255.0) / math.log(mean / 255.0), policy.max_gamma)


def _luma_table(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the table that maps each luma value to the luma of its new level."""
    luma = np.rint(np.clip(levels, 0.0, 255.0) * ((WHITE - BLACK) / 255.0)) + BLACK
    return luma.astype(np.uint8)
