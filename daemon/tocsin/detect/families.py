"""How the outputs of each family of detectors become boxes, scores and classes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.detect.session import Outputs, Signature, Tensor
from tocsin.errors import InferenceError, InferenceFault

IOU = 0.6
"""Boxes of one class that overlap by more than this (intersection over union) are one object."""

_ROUNDING = 1e-3  # what half-precision arithmetic may put above 1


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


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of output.

    `gives` says in words what the model must give. `matches` recognises it. `class_count` is None where the
    graph leaves it open. `decode(outputs, row, floor)` returns the objects of one row of the batch whose score
    is `floor` or more, after suppression; it raises InferenceError where the numbers are no result at all.
    """

    gives: str
    matches: Callable[[Signature], bool]
    class_count: Callable[[Signature], int | None]
    decode: Callable[[Outputs, int, float], Objects]


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


def _matches_boxes_scores(signature: Signature) -> bool:
    outputs = _named(signature)
    if "boxes" not in outputs or "scores" not in outputs:
        return False
    boxes, scores = outputs["boxes"].shape, outputs["scores"].shape
    if len(boxes) != 3 or len(scores) != 3:
        return False
    return boxes[2] == 4 and (boxes[1] == scores[1] or None in (boxes[1], scores[1]))


def _count_boxes_scores(signature: Signature) -> int | None:
    return _named(signature)["scores"].shape[2]


def _named(signature: Signature) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in signature.outputs}


def _decode_boxes_scores(outputs: Outputs, row: int, floor: float) -> Objects:
    """`boxes` [N, A, 4] x1 y1 x2 y2 in input pixels and `scores` [N, A, C], a probability for every class."""
    boxes, scores = outputs["boxes"][row], outputs["scores"][row]
    if len(boxes) != len(scores):
        raise InferenceError(
            InferenceFault.SHAPE, f"expected a score for each of {len(boxes)} boxes, found {len(scores)}"
        )
    # flat, since NumPy finds the few above the floor twenty times faster than in two dimensions
    found = np.flatnonzero(scores.reshape(-1) >= floor)
    anchors, classes = np.divmod(found, scores.shape[1])
    objects = Objects(boxes[anchors], scores[anchors, classes], classes)
    # one bad number says that the rest is no result either: the least score and the sum carry every NaN, and
    # the greatest one is among those found
    low, high = float(scores.min(initial=0)), float(objects.scores.max(initial=0))
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(boxes.sum())):
        raise InferenceError(
            InferenceFault.NONFINITE, "expected numbers from the detector, found NaN or infinity"
        )
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise InferenceError(
            InferenceFault.SHAPE, f"expected scores from 0 to 1, found {low:.3g} to {high:.3g}"
        )
    return objects.take(suppress(objects))


FAMILIES: Mapping[str, Family] = {
    "boxes+scores": Family(
        gives="boxes [N, A, 4] in input pixels and scores [N, A, classes] from 0 to 1",
        matches=_matches_boxes_scores,
        class_count=_count_boxes_scores,
        decode=_decode_boxes_scores,
    ),
}
"""Every family that can be decoded, by the name that a manifest uses."""
