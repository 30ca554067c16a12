"""What the YOLO families share: one output with a row or a column for each anchor, and what tells them apart.

Shapes and forms are those of https://docs.ultralytics.com/modes/export/ and of the export scripts of
ultralytics/yolov5, WongKinYiu/yolov7 and Megvii-BaseDetection/YOLOX.
"""

import numpy as np

from tocsin.detect.families.family import Hints
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import Floats, Whole, check_finite, check_scores
from tocsin.detect.session import Signature

STRIDES = (8, 16, 32)
LARGE = (*STRIDES, 64)
"""The pixels to a cell on each level; the variants for large pictures have a fourth."""


def single(signature: Signature) -> tuple[str, int | None, int | None] | None:
    """Return the name and the last two axes of the only output; None where it is another kind of output."""
    if len(signature.outputs) != 1 or len(signature.outputs[0].shape) != 3:
        return None
    tensor = signature.outputs[0]
    return tensor.name, tensor.shape[1], tensor.shape[2]


def weighted_columns(signature: Signature, hints: Hints) -> tuple[str, int | None, int] | None:
    """Return name, anchors and classes of an output [N, A, 5 + C] for `weighted`; None where it is no such one."""
    found = single(signature)
    if found is None or is_rtdetr(hints):
        return None
    name, anchors, columns = found
    return None if columns is None or columns < 6 else (name, anchors, columns - 5)


def is_rtdetr(hints: Hints) -> bool:
    """Say whether Ultralytics exported an RT-DETR, whose shapes are those of a YOLO."""
    about = hints.metadata.get("head", "") + hints.metadata.get("description", "")
    return "rtdetr" in about.lower().replace("-", "")


def is_end_to_end(hints: Hints) -> bool:
    """Say whether Ultralytics exported a graph that leaves nothing to suppress."""
    return hints.metadata.get("end2end") == "True" or "'nms': True" in hints.metadata.get("args", "")


def cells(hints: Hints, strides: tuple[int, ...] = STRIDES) -> int:
    """Return how many cells there are on all levels."""
    return sum((hints.width // stride) * (hints.height // stride) for stride in strides)


def weighted(table: Floats, floor: float) -> tuple[Objects, Whole]:
    """Return the objects of a table [A, 5 + C] and the anchor of each; the boxes are its first four columns.

    The score of a class is multiplied by the fifth column, the probability that there is anything, and so at
    most that: only what reaches the floor there is looked at.
    """
    check_finite(table)
    likely = np.flatnonzero(table[:, 4] >= floor)
    check_scores(table[:, 4], table[likely, 4])
    check_scores(table[likely, 5:].reshape(-1), table[likely, 5:].reshape(-1), alike=True)
    scores = table[likely, 4:5] * table[likely, 5:]
    rows, classes = np.nonzero(scores >= floor)
    anchors = likely[rows]
    return Objects(table[anchors, :4], scores[rows, classes], classes.astype(np.int64)), anchors
