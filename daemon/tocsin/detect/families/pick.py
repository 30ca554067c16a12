"""From a model's numbers to the few that are objects, and the check that they are numbers of the kind expected."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.detect.families.objects import Objects
from tocsin.errors import InferenceError, InferenceFault

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

_ROUNDING = 1e-3  # what half-precision arithmetic may put above 1
FAINT = 0.1
"""What scores less means nothing: a good detector has a long tail of it."""

_MANY = 8  # so many scores are never equal by chance


def dense(boxes: Floats, scores: Floats, floor: float, *, classes_first: bool = False) -> Objects:
    """Pick from a score for every class of every box: `scores` [A, C], or [C, A] with `classes_first`.

    The boxes of the result are those rows of `boxes` [A, 4], whatever form they have. Raises InferenceError for
    numbers that are none, that are no probabilities, or of which all are one.
    """
    if len(boxes) != scores.shape[1 if classes_first else 0]:
        raise _unexpected(f"a score for each of {len(boxes)} boxes", str(scores.shape[int(classes_first)]))
    # flat, since NumPy finds the few above the floor twenty times faster than in two dimensions
    flat = scores.reshape(-1)
    found = np.flatnonzero(flat >= floor)
    rows, columns = np.divmod(found, scores.shape[1])
    anchors, classes = (columns, rows) if classes_first else (rows, columns)
    objects = Objects(boxes[anchors], flat[found], classes)
    check_scores(flat, objects.scores)
    check_finite(boxes)
    return objects


def listed(boxes: Floats, scores: Floats, classes: NDArray[Any], floor: float) -> Objects:
    """Pick from a list of boxes [K, 4], each with one score [K] and one class [K] as any kind of number.

    Raises InferenceError for numbers that are none, and for classes that are no whole numbers from 0 on.
    """
    if not len(boxes) == len(scores) == len(classes):
        raise _unexpected(
            f"a score and a class for each of {len(boxes)} boxes", f"{len(scores)} and {len(classes)}"
        )
    rows = np.flatnonzero(scores >= floor)
    check_scores(scores, scores[rows])
    check_finite(boxes)
    if classes.dtype.kind == "f":
        check_finite(classes)
    numbers = classes[rows].astype(np.float64)
    whole = np.rint(numbers).astype(np.int64)
    if len(whole) and (np.abs(numbers - whole).max() > _ROUNDING or whole.min() < 0):
        raise _unexpected("classes as whole numbers from 0 on", f"{numbers.min():.3g} to {numbers.max():.3g}")
    return Objects(boxes[rows], scores[rows], whole)


def check_scores(scores: Floats, found: Floats, *, alike: bool = False) -> None:
    """Raise InferenceError unless all `scores` can be probabilities; `found` are those above the floor.

    One bad number says that the rest is no result either: the least score carries every NaN, and the greatest
    is among those found. Nor are many scores that are all the same, unless they may be `alike` or are below
    FAINT: in an empty picture those of a graph of whole numbers all have its least step.
    """
    low, high = float(scores.min(initial=np.inf)), float(found.max(initial=0))
    if len(scores) == 0:
        return
    if not (math.isfinite(low) and math.isfinite(high)):
        raise not_finite()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise _unexpected("scores from 0 to 1", f"{low:.3g} to {max(high, low):.3g}")
    if not alike and len(scores) >= _MANY and low >= FAINT and low == scores[0] == scores.max():
        raise InferenceError(
            InferenceFault.IMPLAUSIBLE, f"expected scores that differ, found {len(scores)} times {low:.3g}"
        )


def check_finite(values: NDArray[Any]) -> None:
    """Raise InferenceError where there is a NaN or an infinity: the sum carries each of them."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(values.sum())
    if not math.isfinite(total):
        raise not_finite()


def not_finite() -> InferenceError:
    return InferenceError(
        InferenceFault.NONFINITE, "expected numbers from the detector, found NaN or infinity"
    )


def sigmoid(logits: Floats) -> Floats:
    """Return the probabilities of logits, each by itself. Raises InferenceError for what is no number."""
    check_finite(logits)
    return np.exp(-np.logaddexp(np.float32(0), -logits))


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of logits that compete along the last axis. Raises InferenceError likewise."""
    check_finite(logits)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def from_centre(boxes: Floats) -> Floats:
    """Return x1 y1 x2 y2 of boxes given by centre, width and height."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _unexpected(expected: str, found: str) -> InferenceError:
    return InferenceError(InferenceFault.SHAPE, f"expected {expected}, found {found}")
