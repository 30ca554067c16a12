"""YOLOv8, YOLOv9, YOLO11, YOLO12, YOLOv5u, and YOLO26 without its end-to-end head: [N, 4 + C, A]."""

from tocsin.detect.families.family import Arrays, Family, Hints, Reading
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import dense, from_centre
from tocsin.detect.families.table import is_end_to_end, is_rtdetr, single
from tocsin.detect.manifest import InputKeys
from tocsin.detect.session import Signature


def _read(signature: Signature, hints: Hints) -> Reading | None:
    found = single(signature)
    if found is None or is_end_to_end(hints) or is_rtdetr(hints):
        return None
    name, rows, anchors = found
    if rows is None:
        # nothing but who exported it tells it from the others
        known = anchors is None and (hints.asked or "stride" in hints.metadata)
        return Reading((name,), hints.classes, _pick) if known else None
    if rows < 5 or (anchors is not None and anchors <= rows):
        return None
    return Reading((name,), rows - 4, _pick)


def _pick(arrays: Arrays, floor: float) -> Objects:
    (table,) = arrays
    objects = dense(table[:4].T, table[4:], floor, classes_first=True)
    return Objects(from_centre(objects.boxes), objects.scores, objects.classes)


YOLOV8 = Family(
    gives="one output [N, 4 + classes, A]: centre and size in input pixels, and scores",
    read=_read,
    takes=InputKeys(mean=(0, 0, 0)),
)
