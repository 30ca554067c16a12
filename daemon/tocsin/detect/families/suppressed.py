"""Graphs that suppress overlapping boxes themselves: with TensorRT's EfficientNMS or its like, and MMDeploy's."""

from tocsin.detect.families.family import Arrays, Family, Hints, Reading, fits, named
from tocsin.detect.families.objects import Objects
from tocsin.detect.families.pick import listed
from tocsin.detect.manifest import InputKeys
from tocsin.detect.session import Signature
from tocsin.errors import InferenceError, InferenceFault

_COUNTS = ("num_dets", "num_detections")
_REST = ("det_boxes", "det_scores", "det_classes")


def _read_plugin(signature: Signature, _: Hints) -> Reading | None:
    """num_dets [N, 1], det_boxes [N, K, 4], det_scores [N, K] and det_classes [N, K], as EfficientNMS gives them.

    https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin
    """
    outputs = named(signature)
    count = next((name for name in _COUNTS if name in outputs), None)
    if count is None or any(name not in outputs for name in _REST):
        return None
    boxes, scores, classes = (outputs[name].shape for name in _REST)
    if not (fits(boxes, None, None, 4) and fits(scores, None, boxes[1]) and fits(classes, None, boxes[1])):
        return None
    names = tuple(outputs[name].name for name in (count, *_REST))
    return Reading(names, None, _pick_plugin, overlapping=False)


def _pick_plugin(arrays: Arrays, floor: float) -> Objects:
    number, boxes, scores, classes = arrays
    count = int(number.reshape(-1)[0])
    if not 0 <= count <= len(boxes):
        raise InferenceError(
            InferenceFault.SHAPE, f"expected from 0 to {len(boxes)} detections, found {count}"
        )
    # what lies behind that number is whatever was in the memory
    return listed(boxes[:count], scores[:count], classes[:count], floor)


def _read_mmdeploy(signature: Signature, _: Hints) -> Reading | None:
    """dets [N, K, 5], x1 y1 x2 y2 in pixels and the score, and labels [N, K]: open-mmlab/mmdeploy's end2end."""
    outputs = named(signature)
    if "dets" not in outputs or "labels" not in outputs:
        return None
    dets, labels = outputs["dets"].shape, outputs["labels"].shape
    if not (fits(dets, None, None, 5) and dets[-1] == 5 and fits(labels, None, dets[1])):
        return None
    return Reading((outputs["dets"].name, outputs["labels"].name), None, _pick_mmdeploy, overlapping=False)


def _pick_mmdeploy(arrays: Arrays, floor: float) -> Objects:
    dets, labels = arrays
    return listed(dets[:, :4], dets[:, 4], labels, floor)


NMS_PLUGIN = Family(
    gives="num_dets [N, 1], det_boxes [N, K, 4] in input pixels, det_scores [N, K] and det_classes [N, K]",
    read=_read_plugin,
    takes=InputKeys(mean=(0, 0, 0)),
)
MMDEPLOY = Family(
    gives="dets [N, K, 5], x1 y1 x2 y2 in input pixels and the score, and labels [N, K]",
    read=_read_mmdeploy,
    takes=InputKeys(),
)
