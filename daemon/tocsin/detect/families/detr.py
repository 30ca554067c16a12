"""The kin of DETR: a fixed number of queries, none of which sees what another one sees.

`detr-deploy` is RT-DETR, RT-DETRv2, D-FINE and DEIM as their `export_onnx.py` makes them, with the size of the
picture as a second input; `rf-detr` is RF-DETR's `export`; `detr` and `detr-sigmoid` are the raw outputs of the
models of Hugging Face's transformers; `ultralytics-rtdetr` is RT-DETR as Ultralytics exports it.
"""

from functools import partial

import numpy as np

from tocsin.detect.families.family import Arrays, Family, Hints, Pick, Reading, fits, named
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import Floats, check_finite, dense, from_centre, listed, sigmoid, softmax
from tocsin.detect.families.table import is_rtdetr, single
from tocsin.detect.manifest import Fit, InputKeys
from tocsin.detect.session import Signature

IMAGENET = InputKeys(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), fit=Fit.STRETCH)

SIZES = "orig_target_sizes"
"""The second input of the deployed form, int64 [N, 2]: the width and height that boxes are to be scaled to."""


def _read_deploy(signature: Signature, _: Hints) -> Reading | None:
    outputs = named(signature)
    if not {"labels", "boxes", "scores"} <= set(outputs):
        return None
    boxes, labels, scores = (outputs[name].shape for name in ("boxes", "labels", "scores"))
    if len(signature.inputs) != 2 or signature.inputs[1].name != SIZES:
        return None
    if not (fits(boxes, None, None, 4) and fits(labels, None, boxes[1]) and fits(scores, None, boxes[1])):
        return None
    return Reading(("boxes", "scores", "labels"), None, _pick_deploy, overlapping=False)


def _pick_deploy(arrays: Arrays, floor: float) -> Objects:
    boxes, scores, labels = arrays
    return listed(boxes, scores, labels, floor)


def _read_raw(
    signature: Signature, hints: Hints, *, names: tuple[str, str], background: bool
) -> Reading | None:
    outputs = named(signature)
    if any(name not in outputs for name in names):
        return None
    boxes, logits = outputs[names[0]].shape, outputs[names[1]].shape
    if not fits(boxes, None, None, 4) or boxes[-1] != 4 or not fits(logits, None, boxes[1], None):
        return None
    count = logits[2]
    if count is not None and background:
        count -= 1
    # with or without a background: the number of names tells, where there are names
    if not hints.asked and hints.classes is not None and count not in (None, hints.classes):
        return None
    size = np.array([hints.width, hints.height] * 2, np.float32)
    pick = partial(_pick_raw, size=size, background=background)
    return Reading(tuple(outputs[name].name for name in names), count, pick, overlapping=False)


def _pick_raw(arrays: Arrays, floor: float, *, size: Floats, background: bool) -> Objects:
    """Centre and size from 0 to 1, and logits; the background is the last class, and competes with the others."""
    boxes, logits = arrays
    scores = np.ascontiguousarray(softmax(logits)[:, :-1]) if background else sigmoid(logits)
    objects = dense(boxes, scores, floor)
    return Objects(from_centre(objects.boxes) * size, objects.scores, objects.classes)


def _read_rf(signature: Signature, hints: Hints) -> Reading | None:
    """Its last class is never used where it was trained on a user's own: there may be a name less."""
    outputs = named(signature)
    if "labels" in outputs and len(outputs["labels"].shape) != 3:
        return None
    reading = _read_raw(
        signature,
        Hints(hints.width, hints.height, asked=True),
        names=("dets", "labels"),
        background=False,
    )
    if reading is None or reading.classes is None or hints.classes != reading.classes - 1:
        return reading
    return Reading(reading.outputs, hints.classes, partial(_without_last, reading.pick), overlapping=False)


def _without_last(pick: Pick, arrays: Arrays, floor: float) -> Objects:
    boxes, logits = arrays
    check_finite(logits)
    return pick((boxes, np.ascontiguousarray(logits[:, :-1])), floor)


def _read_ultralytics(signature: Signature, hints: Hints) -> Reading | None:
    found = single(signature)
    if found is None or not (hints.asked or is_rtdetr(hints)):
        return None
    name, _, columns = found
    if columns is None or columns < 5:
        return None
    # newer versions choose the best class in the graph; a model of two classes of an older one has that shape too
    chosen = columns == 6 and ("head" in hints.metadata or hints.classes != 2)
    size = np.array([hints.width, hints.height] * 2, np.float32)
    pick = partial(_pick_ultralytics, size=size, chosen=chosen)
    return Reading((name,), None if chosen else columns - 4, pick, overlapping=False)


def _pick_ultralytics(arrays: Arrays, floor: float, *, size: Floats, chosen: bool) -> Objects:
    """Centre and size from 0 to 1, then score and class, or a score for every class."""
    (table,) = arrays
    if chosen:
        objects = listed(table[:, :4], table[:, 4], table[:, 5], floor)
    else:
        objects = dense(table[:, :4], np.ascontiguousarray(table[:, 4:]), floor)
    return Objects(from_centre(objects.boxes) * size, objects.scores, objects.classes)


DETR_DEPLOY = Family(
    gives=f"boxes [N, K, 4] in the pixels of the second input {SIZES}, scores [N, K] and labels [N, K]",
    read=_read_deploy,
    takes=InputKeys(mean=(0, 0, 0), fit=Fit.STRETCH),
)
DETR = Family(
    gives="logits [N, Q, classes + 1] and pred_boxes [N, Q, 4]: centre and size from 0 to 1; the last class is the "
    "background",
    read=partial(_read_raw, names=("pred_boxes", "logits"), background=True),
    takes=InputKeys(),
)
DETR_SIGMOID = Family(
    gives="logits [N, Q, classes] and pred_boxes [N, Q, 4]: centre and size from 0 to 1; no background",
    read=partial(_read_raw, names=("pred_boxes", "logits"), background=False),
    takes=InputKeys(fit=Fit.STRETCH),
)
RF_DETR = Family(
    gives="dets [N, Q, 4], centre and size from 0 to 1, and labels [N, Q, classes] as logits",
    read=_read_rf,
    takes=IMAGENET,
)
ULTRALYTICS_RTDETR = Family(
    gives="one output [N, K, 6] or [N, K, 4 + classes]: centre and size from 0 to 1, then score and "
    "class or scores",
    read=_read_ultralytics,
    takes=InputKeys(mean=(0, 0, 0), fit=Fit.STRETCH),
)
