"""How sure a figure is: paired bootstrap intervals of differences, and exact ones of rates; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluate.scores import Sheet

RESAMPLES = 2000

_TAIL = 0.025
"""The probability beyond each end of a 95 % interval."""

_CELLS = 4_000_000
"""How many numbers are held at once: of resamples times kinds of frames."""

Floats = NDArray[np.float64]


class Unit(StrEnum):
    """What is drawn again and again."""

    FRAMES = "frames"
    SCENES = "scenes"


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more one variant has than another, with its 95 % interval.

    `value` is None where one of them is undefined; `low` and `high` are None where no interval can be told.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between two variants, resampled over so many (`count`) frames or scenes."""

    recall: Difference
    precision: Difference
    f1: Difference
    unit: Unit
    count: int


def compare(
    variant: Sheet, baseline: Sheet, scenes: Sequence[object] | None = None, *, seed: int = 0
) -> Comparison:
    """Return `variant` minus `baseline`, which were counted on the same pictures in the same order.

    A paired percentile bootstrap of 2000 resamples (Efron and Tibshirani, 1993): each resample takes the same
    pictures for both. Where `scenes`, one for each picture, tells two or more, whole scenes are drawn; else, and
    where each picture is a scene of its own, pictures, as if they were independent. Those of one video are not, and
    what another day or another camera would show may lie outside.
    """
    assert len(variant) == len(baseline), "the same pictures"
    rows = np.stack([variant.tp, variant.fp, variant.fn, baseline.tp, baseline.fp, baseline.fn], axis=1)
    unit = Unit.FRAMES
    if scenes is not None and 1 < len(set(scenes)) < len(rows):
        unit, rows = Unit.SCENES, _by_scene(rows, scenes)
    total, drawn = rows.sum(axis=0, keepdims=True), _resampled(rows, seed)
    return Comparison(
        recall=_difference(_recalls(total), _recalls(drawn)),
        precision=_difference(_precisions(total), _precisions(drawn)),
        f1=_difference(_f1s(total), _f1s(drawn)),
        unit=unit,
        count=len(rows),
    )


def _by_scene(rows: NDArray[np.int64], scenes: Sequence[object]) -> NDArray[np.int64]:
    names, index = np.unique(np.asarray(scenes), return_inverse=True)
    summed = np.zeros((len(names), rows.shape[1]), np.int64)
    np.add.at(summed, index, rows)
    return summed


def _resampled(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the sums of each resample as [RESAMPLES, 6]; none where there is only one to draw from.

    Many frames have the same counts. How often each kind is drawn is what it would be if they were drawn one by
    one, and takes a hundredth of the time for a long recording.
    """
    if len(rows) < 2:
        return rows[:0]
    kinds, times = np.unique(rows, axis=0, return_counts=True)
    chances = times / len(rows)
    dice = np.random.default_rng(seed)
    step = max(1, _CELLS // len(kinds))
    return np.concatenate(
        [
            dice.multinomial(len(rows), chances, min(step, RESAMPLES - done)) @ kinds
            for done in range(0, RESAMPLES, step)
        ]
    )


def _difference(found: Floats, drawn: Floats) -> Difference:
    """Return the difference of one measure: of all as [1], and of each resample, NaN where undefined."""
    value = None if math.isnan(found[0]) else float(found[0])
    known = drawn[~np.isnan(drawn)]
    if value is None or not len(known):
        return Difference(value, None, None)
    low, high = np.quantile(known, [_TAIL, 1 - _TAIL])
    return Difference(value, float(low), float(high))


def _recalls(sums: NDArray[np.int64]) -> Floats:
    tp, _, fn, tp0, _, fn0 = sums.T
    return _ratio(tp, tp + fn) - _ratio(tp0, tp0 + fn0)


def _precisions(sums: NDArray[np.int64]) -> Floats:
    tp, fp, _, tp0, fp0, _ = sums.T
    return _ratio(tp, tp + fp) - _ratio(tp0, tp0 + fp0)


def _f1s(sums: NDArray[np.int64]) -> Floats:
    tp, fp, fn, tp0, fp0, fn0 = sums.T
    return _ratio(2 * tp, 2 * tp + fp + fn) - _ratio(2 * tp0, 2 * tp0 + fp0 + fn0)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    shares: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return shares


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happens per unit of time, with its 95 % interval."""

    value: float
    low: float
    high: float


def rate(count: int, duration: float) -> Rate:
    """Return the rate of what was seen `count` times in a duration above 0, in whatever unit that has.

    The exact Poisson interval (Garwood, 1936). Where nothing was seen the lower end is 0 by necessity, and the
    upper is that of a one-sided interval: 3.0 / duration, the rule of three.
    """
    assert count >= 0, "things happen or not"
    assert duration > 0, "nothing can be seen in no time"
    if count == 0:
        return Rate(0.0, 0.0, -math.log(2 * _TAIL) / duration)
    # P(X >= count) = 2.5 % at the lower end, P(X <= count) = 2.5 % at the upper
    low = _mean_where(count - 1, 1 - _TAIL)
    high = _mean_where(count, _TAIL)
    return Rate(count / duration, low / duration, high / duration)


def _mean_where(count: int, probability: float) -> float:
    """Return the mean of the Poisson distribution that gives `count` or fewer with this probability.

    By bisection, since the probability falls with the mean. It is half the chi-square quantile of Garwood's
    formula at 2 * (count + 1) degrees of freedom.
    """
    seen = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(seen[1:]))])
    low, high = 0.0, count + 10.0 * math.sqrt(count + 1) + 10.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if float(np.exp(seen * math.log(middle) - middle - factorials).sum()) > probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2
