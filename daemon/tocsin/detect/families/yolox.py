"""YOLOX and its kin: [N, A, 5 + C], one anchor to a cell, as its exporter leaves it and decoded (also YOLOv6)."""

from functools import partial

import numpy as np

from tocsin.detect.families.family import Arrays, Family, Hints, Reading
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import Floats, check_finite, from_centre
from tocsin.detect.families.table import LARGE, STRIDES, cells, weighted, weighted_columns
from tocsin.detect.families.yolov5 import pick_weighted
from tocsin.detect.manifest import Colour, InputKeys
from tocsin.detect.session import Signature


def _read(signature: Signature, hints: Hints, *, decoded: bool) -> Reading | None:
    found = weighted_columns(signature, hints)
    if found is None:
        return None
    name, anchors, classes = found
    if decoded and hints.asked:
        return Reading((name,), classes, pick_weighted)
    strides = next((one for one in (STRIDES, LARGE) if anchors == cells(hints, one)), None)
    if strides is None:
        return None
    if decoded:
        return Reading((name,), classes, pick_weighted)
    return Reading((name,), classes, partial(_pick, grid=_grid(hints.width, hints.height, strides)))


def _grid(width: int, height: int, strides: tuple[int, ...]) -> Floats:
    """Return column, row and stride of each cell, float32 [A, 3], in the order of the output."""
    parts = []
    for stride in strides:
        down, across = np.mgrid[: height // stride, : width // stride]
        parts.append(np.stack([across.ravel(), down.ravel(), np.full(down.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def _pick(arrays: Arrays, floor: float, *, grid: Floats) -> Objects:
    """Centres are counted in cells from the corner of their own, sizes are logarithms of a number of cells."""
    objects, anchors = weighted(arrays[0], floor)
    corners, strides = grid[anchors, :2], grid[anchors, 2:]
    with np.errstate(over="ignore"):
        sizes = np.exp(objects.boxes[:, 2:]) * strides
    check_finite(sizes)
    boxes = np.concatenate([(objects.boxes[:, :2] + corners) * strides, sizes], axis=1)
    return Objects(from_centre(boxes), objects.scores, objects.classes)


_TAKES = InputKeys(colour=Colour.BGR, scale=1.0, mean=(0, 0, 0))

YOLOX = Family(
    gives="one output [N, A, 5 + classes], one anchor to a cell, boxes still on the grid",
    read=partial(_read, decoded=False),
    takes=_TAKES,
)
YOLOX_DECODED = Family(
    gives="one output [N, A, 5 + classes], one anchor to a cell: centre and size in input pixels, objectness, "
    "scores",
    read=partial(_read, decoded=True),
    takes=_TAKES,
)
