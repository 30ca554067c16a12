"""Boxes that the graph has decoded, with a score for every class of each: the bundled detector's way."""

from tocsin.detect.families.family import Arrays, Family, Hints, Reading, fits, named
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import dense
from tocsin.detect.manifest import InputKeys
from tocsin.detect.session import Signature


def _read(signature: Signature, _: Hints) -> Reading | None:
    outputs = named(signature)
    if "boxes" not in outputs or "scores" not in outputs:
        return None
    boxes, scores = outputs["boxes"].shape, outputs["scores"].shape
    if not fits(boxes, None, None, 4) or boxes[-1] != 4 or not fits(scores, None, boxes[1], None):
        return None
    return Reading((outputs["boxes"].name, outputs["scores"].name), scores[2], _pick)


def _pick(arrays: Arrays, floor: float) -> Objects:
    boxes, scores = arrays
    return dense(boxes, scores, floor)


BOXES_SCORES = Family(
    gives="boxes [N, A, 4] in input pixels and scores [N, A, classes] from 0 to 1",
    read=_read,
    takes=InputKeys(mean=(0, 0, 0)),
)
