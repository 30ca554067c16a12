"""Torchvision's and Detectron2's detectors (Faster R-CNN, RetinaNet, SSD): lists for one picture, without a batch.

https://docs.pytorch.org/vision/stable/models.html and detectron2/tools/deploy/export_model.py (tracing). The two
give the same shapes; torchvision counts classes from 1, since 0 is its background, and Detectron2 from 0.
"""

from functools import partial

import numpy as np

from tocsin.detect.families.family import Arrays, Family, Hints, Reading, fits, named
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import listed
from tocsin.detect.manifest import Colour, Fit, InputKeys
from tocsin.detect.session import Signature, Tensor

_SIZE = 2  # Detectron2 also gives the size of the picture, as a list of two
_WHOLE = ("tensor(int64)", "tensor(int32)")


def _read(signature: Signature, hints: Hints, *, names: tuple[str, str, str], first: int) -> Reading | None:
    outputs = named(signature)
    known = all(name in outputs for name in names)
    if known:
        found = [outputs[name] for name in names]
    else:  # exporters that were told no names give numbers for them: only the shapes are left
        found = _by_shape(signature.outputs)
        if not hints.asked and any(tensor.name in _TOLD for tensor in found):
            return None
    if not found or not fits(found[0].shape, None, 4) or any(len(one.shape) != 1 for one in found[1:]):
        return None
    outputs_read = tuple(tensor.name for tensor in found)
    return Reading(outputs_read, None, partial(_pick, first=first), overlapping=False, batched=False)


def _by_shape(outputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return boxes, scores and classes, the only ones of their kind; else nothing."""
    boxes = [one for one in outputs if len(one.shape) == 2 and one.shape[1] == 4]
    lists = [one for one in outputs if len(one.shape) == 1 and one.shape[0] != _SIZE]
    scores = [one for one in lists if one.type not in _WHOLE]
    classes = [one for one in lists if one.type in _WHOLE]
    return [boxes[0], scores[0], classes[0]] if len(boxes) == len(scores) == len(classes) == 1 else []


def _pick(arrays: Arrays, floor: float, *, first: int) -> Objects:
    boxes, scores, classes = arrays
    objects = listed(boxes, scores, classes, floor)
    real = objects.take(np.flatnonzero(objects.classes >= first))  # RetinaNet's list may hold its background
    return Objects(real.boxes, real.scores, real.classes - first)


_TORCHVISION = ("boxes", "scores", "labels")
_DETECTRON2 = ("pred_boxes", "scores", "pred_classes")
_TOLD = {*_TORCHVISION, *_DETECTRON2}

TORCHVISION = Family(
    gives="for one picture: boxes [K, 4] in input pixels, scores [K] and labels [K] from 1 on",
    read=partial(_read, names=_TORCHVISION, first=1),
    takes=InputKeys(mean=(0, 0, 0), fit=Fit.STRETCH),
)
DETECTRON2 = Family(
    gives="for one picture: pred_boxes [K, 4] in input pixels, scores [K] and pred_classes [K] from 0 on",
    read=partial(_read, names=_DETECTRON2, first=0),
    takes=InputKeys(colour=Colour.BGR, scale=1.0, mean=(0, 0, 0), fit=Fit.STRETCH),
)
