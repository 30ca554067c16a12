"""YOLOv5, YOLOv7 and their kin: [N, A, 5 + C], three anchors to a cell."""

from tocsin.detect.families.family import Arrays, Family, Hints, Reading
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import from_centre
from tocsin.detect.families.table import LARGE, cells, weighted, weighted_columns
from tocsin.detect.manifest import InputKeys
from tocsin.detect.session import Signature


def _read(signature: Signature, hints: Hints) -> Reading | None:
    found = weighted_columns(signature, hints)
    if found is None:
        return None
    name, anchors, classes = found
    # where the graph leaves the number of anchors open, only the one exporter that writes `stride` is known
    known = (
        "stride" in hints.metadata
        if anchors is None
        else anchors in (3 * cells(hints), 3 * cells(hints, LARGE))
    )
    return Reading((name,), classes, pick_weighted) if known or hints.asked else None


def pick_weighted(arrays: Arrays, floor: float) -> Objects:
    """Centre and size in input pixels, the probability that there is anything, and one for each class."""
    objects, _ = weighted(arrays[0], floor)
    return Objects(from_centre(objects.boxes), objects.scores, objects.classes)


YOLOV5 = Family(
    gives="one output [N, A, 5 + classes], three anchors to a cell: centre and size in input pixels, objectness, "
    "scores",
    read=_read,
    takes=InputKeys(mean=(0, 0, 0)),
)
