"""Which detections of a picture found which labelled objects, by COCO's convention; pure.

Best score first, each detection takes the object of its class that it overlaps most, among those that are still
free and that it overlaps enough: intersection over union at least the threshold. What is left of the objects was
missed; what is left of the detections is false. Some objects do not count, neither found nor missed, nor do the
detections that take them: boxes marked `iscrowd` (several detections may take one, by intersection over their own
area), and, where only one size is looked at, objects of another size; detections of another size that took
nothing are ignored there too. An object that counts goes before one that does not.

Source: Lin et al., "Microsoft COCO: Common Objects in Context" (2014), and the evaluation code published with it;
a test counts the same detections with that code.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""[K, 4]: x1 y1 x2 y2 in pixels of the labelled picture."""


class Size(StrEnum):
    """How large an object is, by its area in pixels of the labelled picture; each belongs to one size."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"

    @property
    def areas(self) -> tuple[float, float]:
        """The least area of this size, and the least that is too large for it."""
        return _AREAS[self]


_AREAS = {
    Size.SMALL: (0.0, 32.0**2),
    Size.MEDIUM: (32.0**2, 96.0**2),
    Size.LARGE: (96.0**2, np.inf),
}


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The labelled objects of one picture.

    `classes` int64 [K], `areas` float64 [K] in square pixels: what the labels say, which may be the area of a mask;
    `crowd` bool [K]: not to be counted; `tracks` int64 [K]: the same object in several pictures has the same
    number, -1 where nobody said.
    """

    boxes: Boxes
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    tracks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The detections of one picture, in any order: `scores` float64 [N], `classes` int64 [N]."""

    boxes: Boxes
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """The boxes of a picture at which somebody looked for objects of a class: `classes` int64 [K]."""

    boxes: Boxes
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """What became of each detection and each object of one picture.

    For detections, in their order: `scores` and `classes` as found, `truths` int64 [N], the object that it took or
    -1, `ignored` bool [N]: it counts for nothing. For objects: `counted` bool [K], `wanted` int64 [K], their
    classes, and `takers` float64 [K], the score of the detection that took it, minus infinity where none did.
    What a lower score finds never changes what a higher one took: detections below a threshold can be cut away
    afterwards.
    """

    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    truths: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    wanted: NDArray[np.int64]
    takers: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One picture's matches over all sizes, and for each size alone."""

    whole: Matched
    by_size: dict[Size, Matched]


def judge(truth: Truth, found: Found, iou: float = 0.5) -> Judged:
    """Match one picture's detections to its objects, over all sizes and for each alone.

    `iou` is the least overlap, above 0 and at most 1.
    """
    assert 0.0 < iou <= 1.0, "an overlap of nothing finds nothing"
    shares = overlaps(found.boxes, truth.boxes, truth.crowd)
    shares[found.classes[:, None] != truth.classes] = 0.0
    wide, high = (found.boxes[:, 2:] - found.boxes[:, :2]).T
    seen = wide * high
    sizes = {}
    for size in Size:
        least, below = size.areas
        outside = (truth.areas < least) | (truth.areas >= below)
        sizes[size] = _match(truth, found, shares, iou, outside, (seen < least) | (seen >= below))
    neither = np.zeros(len(truth), np.bool_), np.zeros(len(found), np.bool_)
    return Judged(_match(truth, found, shares, iou, *neither), sizes)


def at(checked: Checked, found: Found, iou: float) -> Found:
    """Return the detections that overlap a checked box of their class by `iou` or more: of others nobody knows."""
    shares = overlaps(found.boxes, checked.boxes, np.zeros(len(checked.boxes), np.bool_))
    shares[found.classes[:, None] != checked.classes] = 0.0
    chosen = (shares >= iou).any(axis=1)
    return Found(found.boxes[chosen], found.scores[chosen], found.classes[chosen])


def overlaps(boxes: Boxes, truths: Boxes, crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the intersection over union of each pair as [N, K]; over the box's own area for a crowd."""
    low = np.maximum(boxes[:, None, :2], truths[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truths[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    own = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
    union = np.where(crowd, own, own + np.prod(truths[:, 2:] - truths[:, :2], axis=1) - shared)
    shares: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def _match(
    truth: Truth,
    found: Found,
    shares: NDArray[np.float64],
    iou: float,
    outside: NDArray[np.bool_],
    seen_outside: NDArray[np.bool_],
) -> Matched:
    """Match where some objects, and some detections that take nothing, do not count for their size."""
    counted = ~(truth.crowd | outside)
    truths = np.full(len(found), -1, np.int64)
    takers = np.full(len(truth), -np.inf)
    counts, crowd, free = counted.tolist(), truth.crowd.tolist(), [True] * len(truth)
    enough = shares >= iou
    ranked = np.argsort(-found.scores, kind="stable")
    for index in ranked[enough[ranked].any(axis=1)].tolist():
        share = shares[index].tolist()
        candidates = [k for k in np.flatnonzero(enough[index]).tolist() if free[k] or crowd[k]]
        if not candidates:
            continue
        taken = max((counts[k], share[k], k) for k in candidates)[2]  # of two alike the later, as there
        free[taken] = False
        truths[index] = taken
        takers[taken] = max(takers[taken], found.scores[index])
    ignored = seen_outside.copy()
    taking = truths >= 0
    ignored[taking] = ~counted[truths[taking]]
    return Matched(found.scores, found.classes, truths, ignored, counted, truth.classes, takers)
