"""The TensorFlow Object Detection API (SSD, Faster R-CNN, R-FCN, EfficientDet), as tf2onnx converts its exports.

https://github.com/tensorflow/models/blob/master/research/object_detection/exporter_lib_v2.py: boxes are
y1 x1 y2 x2 from 0 to 1, classes count from 1, and the graph does its own resizing and normalising.
"""

from functools import partial

import numpy as np

from tocsin.detect.families.family import Arrays, Family, Hints, Reading, fits, named
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import Floats, listed
from tocsin.detect.manifest import Fit, InputKeys
from tocsin.detect.session import Signature
from tocsin.errors import InferenceError, InferenceFault

_NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def _read(signature: Signature, hints: Hints) -> Reading | None:
    outputs = named(signature)
    if any(name not in outputs for name in _NAMES):
        return None
    boxes, scores, classes, _ = (outputs[name].shape for name in _NAMES)
    if not (fits(boxes, None, None, 4) and fits(scores, None, boxes[1]) and fits(classes, None, boxes[1])):
        return None
    size = np.array([hints.width, hints.height] * 2, np.float32)
    names = tuple(outputs[name].name for name in _NAMES)
    return Reading(names, None, partial(_pick, size=size), overlapping=False)


def _pick(arrays: Arrays, floor: float, *, size: Floats) -> Objects:
    boxes, scores, classes, number = arrays
    count = int(number.reshape(-1)[0]) if np.isfinite(number).all() else -1
    if not 0 <= count <= len(boxes):
        raise InferenceError(
            InferenceFault.SHAPE,
            f"expected from 0 to {len(boxes)} detections, found {number.reshape(-1)[0]:.3g}",
        )
    objects = listed(boxes[:count], scores[:count], classes[:count] - 1, floor)
    return Objects(objects.boxes[:, [1, 0, 3, 2]] * size, objects.scores, objects.classes)


TENSORFLOW = Family(
    gives=f"{', '.join(_NAMES[:3])} and {_NAMES[3]}: boxes [N, K, 4] y1 x1 y2 x2 from 0 to 1, classes from 1 on",
    read=_read,
    takes=InputKeys(scale=1.0, mean=(0, 0, 0), fit=Fit.STRETCH),
)
