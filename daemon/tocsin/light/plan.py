"""Decide what to do about the light of a picture; no pixel is touched here."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Correction, Light, Reason
from tocsin.light.measure import BLACK, COLUMNS, LEVELS, ROWS, WHITE, Reading, unclipped

Grid = NDArray[np.float32]
"""One value for each cell of a reading."""

Levels = NDArray[np.float64] | float
"""One value for the whole picture, or one for each part of it."""


_ANYTHING = 2.0
"""Levels: a picture whose range is narrower has one luma value, or two that are neighbours."""


_ROUNDING = 0.3
"""Levels: the noise that rounding to whole luma values leaves in any picture."""


class Mode(StrEnum):
    """How a stream's light is treated: the word in the configuration."""

    GUIDED = "guided"
    DACOT = "dacot"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Policy:
    """When a picture is corrected, and how far; every level is on the scale of 0 to 255.

    What is "measured" below was measured on a surveillance clip of pedestrians with simulated light, the bundled
    detector and labels of another one; of other scenes it says nothing. The papers give none of these numbers.
    """

    mode: Mode = Mode.GUIDED

    brighter_than: float = 150.0
    """Dacot acts on pictures with at least this mean. Ours: the clip has 120 as recorded, 161 at +1 EV."""

    good_contrast: float = 190.0
    """A range like this needs nothing. In 80 ordinary photographs the range of the whole picture is mostly 150 to
    250, that of a part of it about 40 less."""

    lost_contrast: float = 110.0
    """A range of this or less is spread over the whole scale; from good to lost ever more. The whole picture is
    touched only from the middle between the two on. Measured: veils of 50 to 85 % leave 115 to 35, and spreading
    finds up to 25 more of 100 persons."""

    lifted: tuple[float, float] = (55.0, 105.0)
    """A part that lost its contrast is a case of light only where its darkest level is lifted, as glare and haze
    lift it: not at the first level, fully at the second. A plain bright wall looks the same, and is stretched."""

    sunk: tuple[float, float] = (130.0, 80.0)
    """... or where its brightest level is sunk, as shadows sink it."""

    flat: tuple[float, float] = (5.0, 8.0)
    """A part whose range is so many times its noise is not treated, and is fully. Five is that of noise alone."""

    overexposed: tuple[float, float] = (0.3, 0.42)
    """The white share of the picture from which parts are treated less, and at which not at all. Measured at +3 EV,
    where it is 0.43: spreading its parts loses a person in 100."""

    white: float = 250.0
    """The level from which on a pixel counts as white. Not 255: noise and compression move what was clipped."""

    parts: float = 0.06
    """Parts are treated when the need of all cells (0 to 1) has this mean: three of the 48 cells in full need.
    Measured: 0.03 as recorded and 0.05 at +1 EV at most, 0.07 or more with a spot of glare."""

    margin: float = 15.0
    """What was begun is kept up until the contrast is so much past the threshold. Ours: within the clip's 40
    seconds the contrast varies by 14 as recorded and by 7 under a veil of 50 %."""

    max_gain: float = 8.0
    """Differences, and with them noise, grow by this factor at most. Measured at -6 EV with noise and under a veil
    of 90 %: each step from 2 to 8 finds more persons; 16 adds a false one to each."""

    noisy: float = 8.0
    """The noise after stretching from which it is smoothed; three quarters of it where that was begun. Measured:
    the clip has 2 as recorded and 3 to 4 under veils, where smoothing loses a person in 100; at -5 EV it has 19,
    and smoothing finds 3 to 5 more."""

    target: float = 100.0
    """Dacot darkens to this mean. Ours: what a gamma to 100 costs and wins is known from the clip."""

    max_gamma: float = 8.0
    """The strongest curve with which dacot darkens. Ours: beyond a mean of 226 it stops short of the target
    instead of turning what is nearly white into black."""

    clip_limit: float = 2.0
    """How far CLAHE may raise local contrast. Measured: 4.0 costs one to two points more in good light."""


@dataclass(frozen=True, slots=True, eq=False)  # arrays cannot be compared as one value
class Local:
    """What is done to each part of a picture: luma times `gain`, plus `offset`, within 16 to 235.

    Both float32 [ROWS, COLUMNS], the gain 1 or more; between the cells' centres they run in a straight line.
    """

    gain: Grid
    offset: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be done with one picture, whatever its size, in this order; None leaves out a step.

    `smooth`, bool [ROWS, COLUMNS], says which parts are smoothed against noise. `table` maps luma to luma, uint8
    [256], never falling, with values from 16 to 235. `clip_limit` asks for CLAHE. `local` stretches part by part.
    """

    correction: Correction
    reason: Reason
    table: NDArray[np.uint8] | None = None
    clip_limit: float | None = None
    local: Local | None = None
    smooth: NDArray[np.bool_] | None = None


def gain(decided: Plan) -> Grid:
    """Return by how much a plan multiplies differences of luma at most, 1 or more: for each cell, or as [1, 1]."""
    if decided.local is not None:
        most = decided.local.gain
    elif decided.table is not None:
        rise = decided.table[_SLOPE:].astype(np.float32) - decided.table[:-_SLOPE]
        most = rise.max(keepdims=True)[None] / _SLOPE
    else:
        most = np.ones((1, 1), np.float32)
    return np.asarray(np.maximum(most * (decided.clip_limit or 1.0), 1.0), np.float32)


_SLOPE = 4
"""Luma values over which the slope of a table is taken: between two it is rounded."""


def plan(reading: Reading, policy: Policy, previous: Correction) -> Plan:
    """Return what to do about a picture, given what was done about the one before.

    `previous` keeps a picture at a threshold from being corrected in every other frame; it is `none` for the
    first picture of a stream.
    """
    match policy.mode:
        case Mode.OFF:
            return Plan(Correction.NONE, Reason.OFF)
        case Mode.GUIDED:
            return _guided(reading, policy, previous)
        case Mode.DACOT:
            return _dacot(reading.light, policy, previous)


def _guided(reading: Reading, policy: Policy, previous: Correction) -> Plan:
    """Spread the range of the middle 98 % over the scale where contrast is lost, in the whole and then in parts.

    Contrast guides, not brightness: a veil and an overexposure have the same mean, but only the veil can be
    lifted; clipped pixels are gone.
    """
    light = reading.light
    if light.contrast < _ANYTHING:
        return Plan(Correction.NONE, Reason.UNIFORM)
    limit = (policy.good_contrast + policy.lost_contrast) / 2
    whole = light.contrast < limit + (policy.margin if previous in _WHOLE else 0.0)
    needed = _ramp(light.contrast, limit + policy.margin, policy.lost_contrast) if whole else 0.0
    gain, offset = _stretch(light.p1, light.p99, needed, policy.max_gain)

    low, high = (np.clip(levels * gain + offset, 0.0, 255.0) for levels in _ranges_of_parts(reading))
    need = _need_of_parts(low, high, reading.noise * gain, policy)
    white = int(np.searchsorted(LEVELS, policy.white))
    blown = float(reading.cells[:, :, white:].sum() / reading.cells.sum())
    need *= 1.0 - _ramp(blown, *policy.overexposed)
    parts = need.mean() > policy.parts * (0.7 if previous in _LOCAL else 1.0)
    if not whole and not parts:
        return Plan(Correction.NONE, Reason.OVEREXPOSED if blown > policy.overexposed[1] else Reason.GOOD)

    more, shift = _stretch(low, high, need, policy.max_gain / gain)
    least = policy.noisy * (0.75 if previous in _SMOOTHED else 1.0)
    smooth = np.asarray(reading.noise * gain * more > least)
    words = _WHOLE if whole else _LOCAL
    uniform = not need.any()
    return Plan(
        words[bool(smooth.any())],
        Reason.WHOLE if whole else Reason.PARTS,
        table=luma_table(LEVELS * gain + offset) if uniform else None,
        local=None if uniform else _local(gain * more, more * offset + shift),
        smooth=smooth if smooth.any() else None,
    )


_WHOLE = (Correction.STRETCH, Correction.STRETCH_DENOISE)
_LOCAL = (Correction.LOCAL_STRETCH, Correction.LOCAL_STRETCH_DENOISE)
_SMOOTHED = (Correction.STRETCH_DENOISE, Correction.LOCAL_STRETCH_DENOISE)


def _stretch(low: Levels, high: Levels, need: Levels, max_gain: Levels) -> tuple[Levels, Levels]:
    """Return the gain and the offset, in levels, that spread a range over the scale as far as it needs it.

    A range that the bounded gain cannot spread over the whole scale stays where it is as far as it fits there: a
    black picture stays black, a grey one grey.
    """
    gain = np.minimum(255.0 / np.maximum(high - low, 1.0), max_gain) ** need
    middle, half = (low + high) / 2, np.minimum(gain * (high - low) / 2, 127.5)
    return gain, np.minimum(np.maximum(middle, half), 255.0 - half) - gain * middle


def _ranges_of_parts(reading: Reading) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the middle 98 % of each part, in levels, [ROWS, COLUMNS]; 255 for a part without pixels.

    A part is a cell with its neighbours: so large that it nearly always holds something dark and something bright,
    as long as the light is good.
    """
    below = _with_neighbours(reading.cells).reshape(ROWS * COLUMNS, 256).cumsum(axis=1)
    total = np.maximum(below[:, -1], 1.0)
    start, span = unclipped(below)
    # each part's shares lie between its number and the next, so that one search finds all percentiles
    numbers = np.arange(ROWS * COLUMNS)
    shares = below / total[:, None] + numbers[:, None]
    shares[:, -1] = numbers + 1.0  # also where a tiny picture leaves a part without pixels
    low, high = (
        np.searchsorted(shares.ravel(), (start + last * span) / total + numbers) - 256 * numbers
        for last in (0.01, 0.99)
    )
    return LEVELS[low].reshape(ROWS, COLUMNS), LEVELS[high].reshape(ROWS, COLUMNS)


def _need_of_parts(
    low: NDArray[np.float64], high: NDArray[np.float64], noise: Levels, policy: Policy
) -> NDArray[np.float64]:
    """Return how much each part needs, 0 to 1; nothing where there is hardly more than noise."""
    cause = np.maximum(_ramp(low, *policy.lifted), _ramp(high, *policy.sunk))
    lost = _ramp(high - low, policy.good_contrast, policy.lost_contrast)
    return cause * lost * _ramp((high - low) / (noise + _ROUNDING), *policy.flat)


def _with_neighbours(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum of each cell and those that touch it; not as a product of matrices, which starts threads."""
    padded = np.zeros((ROWS + 2, COLUMNS + 2, 256), np.float32)
    padded[1:-1, 1:-1] = cells
    beside = padded[:, :-2] + padded[:, 1:-1]
    beside += padded[:, 2:]
    around = beside[:-2] + beside[1:-1]
    around += beside[2:]
    return around


def _local(gain: Levels, offset: Levels) -> Local:
    """Return a gain and an offset for luma instead of levels."""
    luma = offset * ((WHITE - BLACK) / 255.0) + BLACK * (1.0 - gain)
    return Local(np.asarray(gain, np.float32), np.asarray(luma, np.float32))


def _ramp(value: Levels, nothing: float, full: float) -> NDArray[np.float64]:
    """Return 0 where `value` is at `nothing` or beyond, 1 at `full`, and a straight line between them."""
    return np.clip((np.asarray(value) - nothing) / (full - nothing), 0.0, 1.0)


def _dacot(light: Light, policy: Policy, previous: Correction) -> Plan:
    """Darken a bright picture and raise its local contrast (Castillo et al., Neurocomputing 330, 2019)."""
    active = previous in (Correction.DARKEN_CLAHE, Correction.CLAHE)
    if light.mean < policy.brighter_than - (policy.margin if active else 0.0):
        return Plan(Correction.NONE, Reason.NOT_BRIGHT)
    if light.mean <= policy.target:  # only where `brighter_than` is lower: there is nothing to darken
        return Plan(Correction.CLAHE, Reason.BRIGHT, None, policy.clip_limit)
    levels = 255.0 * (LEVELS / 255.0) ** _gamma(light.mean, policy)
    return Plan(Correction.DARKEN_CLAHE, Reason.BRIGHT, luma_table(levels), policy.clip_limit)


def _gamma(mean: float, policy: Policy) -> float:
    """Return the exponent that maps `mean` to the target below it; that of a spread picture lands near it."""
    if mean >= 255.0:
        return policy.max_gamma
    return min(math.log(policy.target / 255.0) / math.log(mean / 255.0), policy.max_gamma)


def luma_table(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the table that maps each luma value to the luma of its new level."""
    luma = np.rint(np.clip(levels, 0.0, 255.0) * ((WHITE - BLACK) / 255.0)) + BLACK
    return luma.astype(np.uint8)
