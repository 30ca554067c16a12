"""What several views of one frame saw becomes what the frame holds: each object once; pure.

Slicing a picture and merging what is seen in the slices follows Akyon, Altinuc and Temizel, "Slicing Aided Hyper
Inference and Fine-tuning for Small Object Detection" (ICIP 2022). There two boxes are one object when they share
enough of the smaller one. That also makes one of a child and the adult behind it, so here it holds only for a box
that its view's edge cut off. All others are compared as both views could see them: each cut to the part of the
frame that the two have in common, by intersection over union. Boxes of one view are never merged with each other:
its family has already judged them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tocsin.frame import Detections, View

ALIKE = 0.5
"""Boxes of two views that overlap by as much in what both views show are one object."""

WITHIN = 0.8
"""A box that was cut off is a piece of an object if another view's box holds so much of it.

That box is taken a pixel of its view larger on each side: it is no more exact than that, and a tile may show a
sliver of what the whole frame shows in a few pixels.
"""

CUT = 4.0
"""Pixels of the view within which a box reaches its edge. Chosen, not measured."""

_WHOLE, _PIECE, _FILLS = range(3)
"""How much of an object a box may be: all of it; a piece, since the view's edge cut it off; or nobody knows, since
it fills its view."""

Boxes = NDArray[np.float64]


def merge(parts: Sequence[Detections], views: Sequence[View]) -> Detections:
    """Return the objects of a frame, best score first, from those of each of its views in the same order.

    An object has the best score that any view gave it. Its box, view and pixels are those of the best box that is
    no piece; of pieces alone the box is the one around them, and its pixels are on the scale of the best. Where
    nothing but whole views is filled, as classifiers do, it is the smallest of these.
    """
    together = _joined(parts)
    if sum(len(part) > 0 for part in parts) < 2:
        return together
    return _Merger(together, views).merged()


def _joined(parts: Sequence[Detections]) -> Detections:
    boxes, scores, classes, pixels, views = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("boxes", "scores", "classes", "pixels", "views")
    )
    return Detections(boxes, scores, classes, pixels, views, parts[0].labels)


class _Merger:
    """One frame's boxes, and which of them were taken by an object."""

    def __init__(self, found: Detections, views: Sequence[View]) -> None:
        self._found = found
        self._boxes = found.boxes.astype(np.float64)
        self._regions = np.array([views[index].region for index in found.views], np.float64)
        self._kinds = _kinds(self._boxes, self._regions, _edges(views)[found.views])
        pixel = np.array([_pixel(view) for view in views])[found.views]
        self._roomy = self._boxes + np.concatenate((-pixel, pixel), axis=1)
        self._free = np.ones(len(found), np.bool_)

    def merged(self) -> Detections:
        """Begin with the boxes that tell most: whole ones, the best first."""
        found = self._found
        size = np.where(self._kinds == _FILLS, _area(self._boxes), 0.0)
        groups = [
            self._gather(seed)
            for seed in np.lexsort((-found.scores, size, self._kinds)).tolist()
            if self._free[seed]
        ]
        groups.sort(key=lambda group: -found.scores[group].max())
        first = np.array([group[0] for group in groups], np.int64)
        boxes = np.array([self._box(group) for group in groups], np.float64)
        grown = _sides(boxes) / np.maximum(_sides(self._boxes[first]), np.finfo(np.float64).tiny)
        return Detections(
            boxes=boxes.astype(np.float32),
            scores=np.array([found.scores[group].max() for group in groups], np.float32),
            classes=found.classes[first],
            pixels=(found.pixels[first] * grown).astype(np.float32),
            views=found.views[first],
            labels=found.labels,
        )

    def _gather(self, seed: int) -> list[int]:
        """Take all that is the same object as the seed, which stays the first; a piece leads on to further ones."""
        self._free[seed] = False
        members = [seed]
        for one in members:  # grows while it is walked
            taken = self._same(one, {int(self._found.views[member]) for member in members})
            self._free[taken] = False
            members += taken
            if self._kinds[seed] != _PIECE:
                break
        return members

    def _box(self, group: list[int]) -> Boxes:
        pieces = [member for member in group if self._kinds[member] == _PIECE]
        if self._kinds[group[0]] != _PIECE:
            pieces = group[:1]
        boxes = self._boxes[pieces]
        return np.concatenate((boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))

    def _same(self, one: int, seen: set[int]) -> list[int]:
        """Return the free boxes of other views that are the same object: all its pieces, else one a view."""
        found = self._found
        others = np.flatnonzero(
            self._free & (found.classes == found.classes[one]) & (found.views != found.views[one])
        )
        if len(others) == 0:
            return []
        pieces = (self._kinds[others] == _PIECE) & (_share(self._boxes[others], self._roomy[one]) >= WITHIN)
        alike = self._alike(one, others)
        taken: list[int] = others[pieces].tolist()
        for view in set(found.views[others].tolist()) - seen:
            there = np.where((found.views[others] == view) & ~pieces, alike, 0.0)
            best = int(there.argmax())
            if there[best] >= ALIKE:
                taken.append(int(others[best]))
        return taken

    def _alike(self, one: int, others: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the intersection over union of each with the one, in what both their views show."""
        low = np.maximum(self._regions[others, :2], self._regions[one, :2])
        high = np.minimum(self._regions[others, 2:], self._regions[one, 2:])
        first = _clipped(self._boxes[one], low, high)
        second = _clipped(self._boxes[others], low, high)
        shared = _area(_clipped(first, second[:, :2], second[:, 2:]))
        union = _area(first) + _area(second) - shared
        return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _edges(views: Sequence[View]) -> Boxes:
    """Return for each view the lines, left, top, right and bottom, beyond which a box is cut off.

    Infinite where the view ends with the frame.
    """
    edges = np.empty((len(views), 4))
    for row, view in zip(edges, views, strict=True):
        (x1, y1, x2, y2), (across, down) = view.region, CUT * _pixel(view)
        row[:2] = (x1 + across if x1 > 0 else -np.inf), (y1 + down if y1 > 0 else -np.inf)
        row[2:] = (x2 - across if x2 < 1 else np.inf), (y2 - down if y2 < 1 else np.inf)
    return edges


def _pixel(view: View) -> Boxes:
    """Return the width and height of one of its pixels."""
    x1, y1, x2, y2 = view.region
    return np.array([(x2 - x1) / view.width, (y2 - y1) / view.height])


def _kinds(boxes: Boxes, regions: Boxes, edges: Boxes) -> NDArray[np.int64]:
    cut = (boxes[:, :2] <= edges[:, :2]).any(axis=1) | (boxes[:, 2:] >= edges[:, 2:]).any(axis=1)
    fills = np.isclose(boxes, regions, rtol=0.0, atol=1e-5).all(axis=1)
    return np.where(fills, _FILLS, np.where(cut, _PIECE, _WHOLE)).astype(np.int64)


def _share(boxes: Boxes, box: Boxes) -> NDArray[np.float64]:
    """Return how much of each box lies in the one."""
    inside, area = _area(_clipped(boxes, box[:2], box[2:])), _area(boxes)
    return np.divide(inside, area, out=np.zeros_like(inside), where=area > 0)


def _clipped(boxes: Boxes, low: Boxes, high: Boxes) -> Boxes:
    """Return what of the boxes lies from `low` to `high`; without width or height where nothing does."""
    upper = np.maximum(boxes[..., :2], low)
    return np.concatenate((upper, np.maximum(np.minimum(boxes[..., 2:], high), upper)), axis=-1)


def _sides(boxes: Boxes) -> Boxes:
    return boxes[..., 2:] - boxes[..., :2]


def _area(boxes: Boxes) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.prod(_sides(boxes), axis=-1)
    return area
