"""Classifiers: one verdict on the whole view, which becomes a box that covers it."""

from functools import partial

import numpy as np

from tocsin.detect.families.family import Arrays, Family, Hints, Reading
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import Floats, check_finite, check_scores, sigmoid, softmax
from tocsin.detect.manifest import Fit, InputKeys, Scores
from tocsin.detect.session import Signature
from tocsin.errors import InferenceError, InferenceFault

_ULTRALYTICS = InputKeys(mean=(0, 0, 0))
_SUM = 1e-2  # what half precision may take from a sum of probabilities


def _read(signature: Signature, hints: Hints) -> Reading | None:
    if len(signature.outputs) != 1 or len(signature.outputs[0].shape) != 2:
        return None
    told = hints.metadata.get("task") == "classify"  # by Ultralytics, whose graphs end in probabilities
    scores = hints.scores or (Scores.PROBABILITIES if told else None)
    if scores is None:
        return None
    tensor = signature.outputs[0]
    box = np.array([[0, 0, hints.width, hints.height]], np.float32)
    pick = partial(_pick, box=box, scores=scores)
    return Reading(
        (tensor.name,), tensor.shape[1], pick, overlapping=False, takes=_ULTRALYTICS if told else InputKeys()
    )


def _pick(arrays: Arrays, floor: float, *, box: Floats, scores: Scores) -> Objects:
    """Every class that reaches the floor is an object."""
    (values,) = arrays
    check_finite(values)
    if scores is Scores.SOFTMAX:
        values = softmax(values)
    elif scores is Scores.SIGMOID:
        values = sigmoid(values)
    classes = np.flatnonzero(values >= floor)
    check_scores(values, values[classes], alike=True)
    if scores is Scores.PROBABILITIES and len(values) > 1 and float(values.sum()) > 1 + _SUM:
        raise InferenceError(
            InferenceFault.SHAPE,
            f"expected probabilities that are 1 together, found {float(values.sum()):.3g}: set scores",
        )
    return Objects(np.repeat(box, len(classes), axis=0), values[classes], classes)


CLASSIFIER = Family(
    gives="one output [N, classes], with scores: probabilities, softmax or sigmoid in a manifest",
    read=_read,
    takes=InputKeys(fit=Fit.STRETCH),
)
