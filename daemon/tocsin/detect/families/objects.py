"""What a decoder found, and what remains of it where boxes overlap."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

IOU = 0.6
"""Boxes of one class that overlap by more than this (intersection over union) are one object."""

CANDIDATES = 5000
"""So many of the best boxes compete at most: more cost time, and a picture with as many objects is none."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What was found in one view, best score first.

    `boxes` float32 [K, 4], x1 y1 x2 y2 in pixels of the model's input; `scores` float32 [K]; `classes` int64 [K].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "Objects":
        """Return these rows, in this order."""
        return Objects(self.boxes[rows], self.scores[rows], self.classes[rows])


def ranked(objects: Objects, limit: int | None = None) -> Objects:
    """Return the objects best first, at most `limit` of them; equals keep their order."""
    return objects.take(np.argsort(-objects.scores, kind="stable")[:limit])


def suppress(objects: Objects, iou: float = IOU) -> NDArray[np.int64]:
    """Return the rows that remain, best first, when overlapping boxes of one class become the best of them."""
    if len(objects.scores) == 0:
        return np.empty(0, np.int64)
    corners = objects.boxes.astype(np.float64)
    corners[:, 2:] -= corners[:, :2]
    # lists, since OpenCV converts them about twice as fast as an array
    kept = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), objects.scores.tolist(), objects.classes.tolist(), 0.0, iou
    )
    return np.asarray(kept, np.int64).reshape(-1)
