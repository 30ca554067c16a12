"""From matches to counts, and from counts to precision, recall and F1: by light, by size and by class; pure."""

from collections.abc import Collection, Mapping, Sequence
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


def tally(matches: Sequence[Matched], threshold: float, only: int | None = None) -> Sheet:
    """Count what scores at least `threshold` in each picture; of one class alone where `only` says which."""
    rows = np.array([_count(one, threshold, only) for one in matches], np.int64).reshape(-1, 3)
    return Sheet(rows[:, 0], rows[:, 1], rows[:, 2])


def _count(one: Matched, threshold: float, only: int | None) -> tuple[int, int, int]:
    counted, seen = one.counted, ~one.ignored & (one.scores >= threshold)
    if only is not None:
        counted, seen = counted & (one.wanted == only), seen & (one.classes == only)
    tp = int(np.count_nonzero(seen & (one.truths >= 0)))
    return tp, int(np.count_nonzero(seen)) - tp, int(np.count_nonzero(counted)) - tp


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How well a detector saw at one threshold.

    `sheet` holds the counts of each picture, for intervals; `ap` the average precision over all thresholds.
    Lights, sizes and classes that do not occur are left out, except that each size is there.
    """

    sheet: Sheet
    overall: Counts
    by_light: Mapping[LightClass, Counts]
    by_size: Mapping[Size, Counts]
    by_light_and_size: Mapping[tuple[LightClass, Size], Counts]
    by_class: Mapping[int, Counts]
    ap: float | None


def score(judged: Sequence[Judged], lights: Sequence[LightClass], threshold: float) -> Scores:
    """Score pictures, each with its light, at a threshold."""
    whole = [one.whole for one in judged]
    sheet = tally(whole, threshold)
    sizes = {size: tally([one.by_size[size] for one in judged], threshold) for size in Size}
    present = {
        light: np.array([one is light for one in lights], np.bool_) for light in LightClass if light in lights
    }
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
        by_class={index: tally(whole, threshold, index).total() for index in _classes(whole)},
        ap=average_precision(whole),
    )


def _classes(matches: Collection[Matched]) -> list[int]:
    """Return the classes that were labelled or found."""
    return sorted({int(k) for one in matches for part in (one.wanted, one.classes) for k in np.unique(part)})


def average_precision(matches: Sequence[Matched]) -> float | None:
    """Return COCO's average precision at the overlap that was matched with: the mean over classes with objects.

    Precision is read at the recalls 0, 0.01, ... 1, where the best precision at this recall or a higher one counts.
    None where no object counts. Detections below the detector's own floor are not there to raise it.
    """
    values = [value for index in _classes(matches) if (value := _class_precision(matches, index)) is not None]
    return float(np.mean(values)) if values else None


def _class_precision(matches: Sequence[Matched], index: int) -> float | None:
    positives = sum(int(np.count_nonzero(one.counted & (one.wanted == index))) for one in matches)
    if not positives:
        return None
    seen = [(one.classes == index) & ~one.ignored for one in matches]
    scores = np.concatenate([one.scores[kept] for one, kept in zip(matches, seen, strict=True)])
    right = np.concatenate([one.truths[kept] >= 0 for one, kept in zip(matches, seen, strict=True)])
    right = right[np.argsort(-scores, kind="stable")]
    tp = np.cumsum(right)
    precision = np.maximum.accumulate((tp / np.arange(1, len(tp) + 1))[::-1])[::-1]
    places = np.searchsorted(tp / positives, np.linspace(0, 1, 101))
    return float(np.sum(precision[places[places < len(tp)]]) / 101)
