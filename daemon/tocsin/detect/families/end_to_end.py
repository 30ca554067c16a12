"""YOLOv10, YOLO26 with its end-to-end head, and every YOLO that was exported with its suppression: [N, K, 6]."""

from tocsin.detect.families.family import Arrays, Family, Hints, Reading
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import listed
from tocsin.detect.families.table import is_end_to_end, is_rtdetr, single
from tocsin.detect.manifest import InputKeys
from tocsin.detect.session import Signature

_LISTED = 1000
"""A graph that suppresses gives at most so many boxes; one that does not gives more."""


def _read(signature: Signature, hints: Hints) -> Reading | None:
    found = single(signature)
    if found is None or is_rtdetr(hints):
        return None
    name, boxes, columns = found
    if columns not in (None, 6) or (boxes is not None and boxes > _LISTED):
        return None
    if None in (boxes, columns) and not (hints.asked or is_end_to_end(hints)):
        return None
    return Reading((name,), None, _pick, overlapping=False)


def _pick(arrays: Arrays, floor: float) -> Objects:
    (table,) = arrays
    return listed(table[:, :4], table[:, 4], table[:, 5], floor)


END_TO_END = Family(
    gives="one output [N, K, 6]: x1 y1 x2 y2 in input pixels, score, class",
    read=_read,
    takes=InputKeys(mean=(0, 0, 0)),
)
