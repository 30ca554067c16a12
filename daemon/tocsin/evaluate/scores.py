"""From matches to counts, and from counts to precision, recall and F1: by light, by size and by class; pure."""

from array import array
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluate.matching import Judged, Matched, Size


class LightClass(StrEnum):
    """The light that a picture was taken in, before any correction."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    ARTIFICIAL = "artificial"


HIGH_FROM = 150.0
LOW_BELOW = 70.0
"""The mean luma, on the scale of 0 to 255, from which light is high, and below which it is low. The papers give
none, these are ours: from 150 on `dacot` darkens; the bundled clip lies below 70 at 2 stops down, not at 1."""


def light_class(mean: float, grey: bool, labelled: LightClass | None = None) -> LightClass:
    """Return the class of a picture with this mean luma (0 to 255) before correction.

    A grey picture is taken to be lit by infrared: `artificial`. What the labels say goes before what is measured.
    """
    if labelled is not None:
        return labelled
    if grey:
        return LightClass.ARTIFICIAL
    if mean >= HIGH_FROM:
        return LightClass.HIGH
    return LightClass.LOW if mean < LOW_BELOW else LightClass.MEDIUM


THRESHOLDS: tuple[float, ...] = tuple(round(0.05 + step / 100, 2) for step in range(95))
"""The scores at which recall, precision and false alarms are counted."""

_RISING = np.array(THRESHOLDS)
_LIGHTS = tuple(LightClass)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was found, found falsely and missed in so many pictures."""

    frames: int
    tp: int
    fp: int
    fn: int

    @property
    def positives(self) -> int:
        """The labelled objects that count."""
        return self.tp + self.fn

    @property
    def precision(self) -> float | None:
        """The share of detections that are right; None without detections."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """The share of objects that were found; None without objects."""
        return _share(self.tp, self.positives)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None where there was nothing to find and nothing found."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The counts of each picture: int64 [pictures]."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tp)

    def where(self, chosen: NDArray[np.bool_]) -> "Sheet":
        """Return the counts of some of the pictures, in their order."""
        return Sheet(self.tp[chosen], self.fp[chosen], self.fn[chosen])

    def total(self) -> Counts:
        """Return the sum of all pictures."""
        return Counts(len(self), int(self.tp.sum()), int(self.fp.sum()), int(self.fn.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How well a detector saw at one threshold.

    `sheet` holds the counts of each picture, for intervals. `reaching` counts for each class how many objects that
    were found, detections, and right detections reach exactly so many of the thresholds, int64 [3, THRESHOLDS + 1].
    Lights and classes that do not occur are left out.
    """

    sheet: Sheet
    overall: Counts
    by_light: Mapping[LightClass, Counts]
    by_size: Mapping[Size, Counts]
    by_light_and_size: Mapping[tuple[LightClass, Size], Counts]
    by_class: Mapping[int, Counts]
    reaching: Mapping[int, NDArray[np.int64]]

    def at_thresholds(
        self, classes: Collection[int] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return recall and precision of some classes, or of all, at each threshold: float64 [THRESHOLDS] each.

        NaN where there is nothing to find, and where nothing was found.
        """
        none = np.zeros((3, len(THRESHOLDS) + 1), np.int64)
        chosen = [one for k, one in self.reaching.items() if classes is None or k in classes]
        taken, seen, right = sum(chosen, none)
        positives = sum(one.positives for k, one in self.by_class.items() if classes is None or k in classes)
        return _shares(taken, np.full(len(THRESHOLDS), positives)), _shares(right, _reached(seen))


class Tally:
    """Counts pictures one after another; of each it keeps a few small numbers, whatever was seen in it."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._counts = array("i")  # of each picture tp, fp and fn: of all, then of each size
        self._lights = array("b")
        self._classes: tuple[Counter[int], Counter[int], Counter[int]] = Counter(), Counter(), Counter()
        self._reaching: dict[int, NDArray[np.int64]] = {}

    def add(self, judged: Judged, light: LightClass) -> None:
        """Count one picture, which was taken in this light."""
        whole = judged.whole
        for one in (whole, *(judged.by_size[size] for size in Size)):
            self._counts.extend(count(one, self._threshold))
        self._lights.append(_LIGHTS.index(light))
        seen = ~whole.ignored & (whole.scores >= self._threshold)
        right = whole.truths >= 0
        for counter, chosen in zip(self._classes, (seen & right, seen & ~right), strict=False):
            counter.update(whole.classes[chosen].tolist())
        self._classes[2].update(whole.wanted[whole.counted & (whole.takers < self._threshold)].tolist())
        for k in {*whole.classes.tolist(), *whole.wanted.tolist()}:
            of_class = ~whole.ignored & (whole.classes == k)
            self._reaching.setdefault(k, np.zeros((3, len(THRESHOLDS) + 1), np.int64))
            self._reaching[k] += (
                _reaching(whole.takers[whole.counted & (whole.wanted == k)]),
                _reaching(whole.scores[of_class]),
                _reaching(whole.scores[of_class & right]),
            )

    def scores(self) -> Scores:
        """Return the scores of all pictures so far."""
        rows = np.array(self._counts, np.int64).reshape(-1, 1 + len(Size), 3)
        sheets = [Sheet(*rows[:, group].T) for group in range(1 + len(Size))]
        sheet, sizes = sheets[0], dict(zip(Size, sheets[1:], strict=True))
        lights = np.array(self._lights, np.int64)
        present = {light: chosen for k, light in enumerate(_LIGHTS) if (chosen := lights == k).any()}
        tp, fp, fn = self._classes
        return Scores(
            sheet=sheet,
            overall=sheet.total(),
            by_light={light: sheet.where(chosen).total() for light, chosen in present.items()},
            by_size={size: sizes[size].total() for size in Size},
            by_light_and_size={
                (light, size): sizes[size].where(chosen).total()
                for light, chosen in present.items()
                for size in Size
            },
            by_class={k: Counts(len(sheet), tp[k], fp[k], fn[k]) for k in sorted({*tp, *fp, *fn})},
            reaching=self._reaching,
        )


def count(one: Matched, threshold: float) -> tuple[int, int, int]:
    """Return the true positives, the false ones and the misses of what scores at least `threshold`."""
    seen = ~one.ignored & (one.scores >= threshold)
    tp = int(np.count_nonzero(seen & (one.truths >= 0)))
    return tp, int(np.count_nonzero(seen)) - tp, int(np.count_nonzero(one.counted)) - tp


def _reaching(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many of the scores reach exactly so many of the thresholds: int64 [THRESHOLDS + 1]."""
    return np.bincount(np.searchsorted(_RISING, scores, side="right"), minlength=len(THRESHOLDS) + 1)


def _reached(reaching: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many reach each threshold: int64 [THRESHOLDS]."""
    reached: NDArray[np.int64] = reaching[::-1].cumsum()[::-1][1:]
    return reached


def _shares(reaching: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.full(len(THRESHOLDS), np.nan)
    np.divide(_reached(reaching), whole, out=shares, where=whole > 0)
    return shares
