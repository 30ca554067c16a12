"""How the outputs of each family of models become boxes, scores and classes."""

from collections.abc import Mapping

from tocsin.detect.families.boxes_scores import BOXES_SCORES
from tocsin.detect.families.classifier import CLASSIFIER
from tocsin.detect.families.detr import DETR, DETR_DEPLOY, DETR_SIGMOID, RF_DETR, ULTRALYTICS_RTDETR
from tocsin.detect.families.end_to_end import END_TO_END
from tocsin.detect.families.family import Decoder, Family, Hints, Reading
from tocsin.detect.families.objects import IOU, Objects, suppress
from tocsin.detect.families.regions import DETECTRON2, TORCHVISION
from tocsin.detect.families.suppressed import MMDEPLOY, NMS_PLUGIN
from tocsin.detect.families.tensorflow import TENSORFLOW
from tocsin.detect.families.yolov5 import YOLOV5
from tocsin.detect.families.yolov8 import YOLOV8
from tocsin.detect.families.yolox import YOLOX, YOLOX_DECODED

__all__ = ["FAMILIES", "IOU", "Decoder", "Family", "Hints", "Objects", "Reading", "suppress"]

FAMILIES: Mapping[str, Family] = {
    "boxes+scores": BOXES_SCORES,
    "yolov5": YOLOV5,
    "yolov8": YOLOV8,
    "yolox": YOLOX,
    "yolox-decoded": YOLOX_DECODED,
    "end-to-end": END_TO_END,
    "detr-deploy": DETR_DEPLOY,
    "detr": DETR,
    "detr-sigmoid": DETR_SIGMOID,
    "rf-detr": RF_DETR,
    "ultralytics-rtdetr": ULTRALYTICS_RTDETR,
    "tensorflow": TENSORFLOW,
    "torchvision": TORCHVISION,
    "detectron2": DETECTRON2,
    "nms-plugin": NMS_PLUGIN,
    "mmdeploy": MMDEPLOY,
    "classifier": CLASSIFIER,
}
"""Every family that can be decoded, by the name that a manifest uses."""
