"""The README's way from a trained model to one that Tocsin runs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.pictures import frame, view
from tocsin.detect.detector import open_detector
from tocsin.image import to_i420


def exported(path: Path) -> Path:
    """Write a model with the output of YOLOv8 and its successors: centre, size and two scores of 84 anchors."""
    # the second anchor scores what the picture is bright, for the second class; it lies in the middle
    rows = [[4, 4, 8, 8, 0, 0], [32, 24, 16, 8, 0, 0], *[[60, 60, 8, 8, 0, 0]] * 82]
    anchors = np.array(rows, np.float32).T[None]
    mask = np.zeros((1, 6, 84), np.float32)
    mask[0, 5, 1] = 1
    constants = {"anchors_at": anchors, "mask": mask, "axes": np.array([1, 2, 3], np.int64)}
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=1),
            helper.make_node("Squeeze", ["mean", "last"], ["bright"]),
            helper.make_node("Mul", ["bright", "mask"], ["scored"]),
            helper.make_node("Add", ["scored", "anchors_at"], ["output0"]),
        ],
        "trained",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 84])],
        [
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
            numpy_helper.from_array(np.array([3], np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'gun', 1: 'knife'}", "imgsz": "[64, 64]", "task": "detect"})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_what_the_trainer_exports_is_read_as_it_is(tmp_path: Path) -> None:
    """Its classes are known, and a box lies where the trained model says it does."""
    detector = open_detector(str(exported(tmp_path / "best.onnx")), "cpu", "auto", floor=0.5)
    assert detector.labels == ("gun", "knife")
    white = np.full((64, 64, 3), 230, np.uint8)
    (detections,) = detector.detect([frame(view(to_i420(white)))])
    assert [detector.labels[number] for number in detections.classes] == ["knife"]
    np.testing.assert_allclose(detections.boxes[0] * 64, [24, 20, 40, 28], atol=0.01)
