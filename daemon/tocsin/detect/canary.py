"""The canary: a reference picture whose objects are known, shown to the live detector from time to time.

A device that drifts and a model that lost its head raise no error; what they see where the answer is known tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tocsin.detect.manifest import KnownObject
from tocsin.detect.session import Outputs
from tocsin.errors import InferenceError
from tocsin.frame import Box, Detections, Frame

IOU = 0.8
"""How much of a known box and a found one is common, at least."""

SCORE = 0.1
"""By how much a score may differ."""

CONFIDENT = 0.5
"""From this score on, and `SCORE` more for the doubt, an object that is not known is one too many."""

DRIFT = 0.02
"""By how much a number may differ from what it was, as a share of the largest of its output.

Of the bundled model, pixels rounded to half floats or to the ten bits of TF32 move a score by less than 0.001 and
other threads and kernels by 0.000001; red and blue exchanged move one by 0.11.
"""


class Eye(Protocol):
    """The part of the detector that the canary uses."""

    def inspect(self, frame: Frame, floor: float) -> tuple[Detections, Outputs]: ...


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture as the detector takes it, and what is in it; None where the first look is to tell."""

    frame: Frame
    objects: tuple[KnownObject, ...] | None


class Canary:
    """Looks whether a detector still sees what it should. For one thread at a time.

    Where the objects are not known, what the model answers to the first look is what it has to answer from then on,
    number by number: that shows a drift also of a model that has nothing to find in the picture.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._first: Outputs | None = None

    def afresh(self) -> "Canary":
        """Return a canary for another device: what was learned is forgotten, what is known is not."""
        return Canary(self._reference)

    def check(self, eye: Eye) -> str | None:
        """Show the picture, and return what is wrong with the answer in a sentence; None when nothing is."""
        known = self._reference.objects
        floor = min((one.score for one in known or ()), default=CONFIDENT) - SCORE
        try:
            found, outputs = eye.inspect(self._reference.frame, min(floor, CONFIDENT))
        except InferenceError as error:
            return f"expected an answer to the reference picture, found: {error}"
        if known is not None:
            return missed(known, found) or surplus(known, found)
        if self._first is None:
            self._first = {name: np.array(values) for name, values in outputs.items()}
            return None
        return drifted(self._first, outputs)


def missed(known: Sequence[KnownObject], found: Detections) -> str | None:
    """Name the first known object that was not found with about its box and its score."""
    for one in known:
        alike = [
            index
            for index in _of_class(found, one.class_name)
            if iou(one.box, found.boxes[index]) >= IOU and abs(found.scores[index] - one.score) <= SCORE
        ]
        if not alike:
            at = ", ".join(f"{edge:.2f}" for edge in one.box)
            return f"expected a {one.class_name} at {at} with score {one.score:.2f}, found none like it"
    return None


def surplus(known: Sequence[KnownObject], found: Detections) -> str | None:
    """Name the first object that was found with confidence and is not known."""
    for index, score in enumerate(found.scores):
        name = found.labels[found.classes[index]]
        expected = any(one.class_name == name and iou(one.box, found.boxes[index]) >= IOU for one in known)
        if score >= CONFIDENT + SCORE and not expected:
            return f"expected the known objects alone, found a further {name} with score {score:.2f}"
    return None


def drifted(first: Outputs, now: Outputs) -> str | None:
    """Name the first output whose numbers are not what they were.

    Numbers are compared by size and not by place, from the largest on: models that order or choose their boxes
    themselves may exchange two of the same score, or give one more.
    """
    for name, values in first.items():
        before, after = _sorted(values), _sorted(now[name])
        count = min(len(before), len(after))
        scale = max(float(np.abs(before).max(initial=0.0)), 1e-6)
        off = float(np.abs(before[:count] - after[:count]).max(initial=0.0)) / scale
        if not off <= DRIFT:
            return f"expected the numbers of the output {name} as at first, found them off by {off:.0%}"
    return None


def iou(one: Box, other: NDArray[np.float32]) -> float:
    """Return what two boxes have in common, as a share of what they cover together."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, float(width)) * max(0.0, float(height))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / max(float(sum(areas)) - common, 1e-12)


def _of_class(found: Detections, name: str) -> list[int]:
    return [index for index, number in enumerate(found.classes) if found.labels[number] == name]


def _sorted(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return -np.sort(-np.asarray(values, np.float64), axis=None)
