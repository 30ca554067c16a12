"""Tiny detectors of the family boxes+scores, whose answer is known from the brightness of the picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BOX = (8.0, 8.0, 24.0, 24.0)
"""The one box of the second anchor; the first one's is elsewhere and never scores."""


def save(
    path: Path,
    *,
    labels: Sequence[str] | None = ("thing", "other"),
    nhwc: bool = False,
    size: tuple[int | str, int | str] = (32, 32),
    batch: int | str = "N",
    score: str = "mean",
    scores_name: str = "scores",
) -> Path:
    """Write a model with two anchors and two classes; class 0 of anchor 1 scores what `score` says.

    `mean` is the picture's brightness, 0 to 1; `root` the square root of what it exceeds one half by, no number
    for a dark picture; `logit` six times that without the root; `lookup` is `mean`, with a table looked up in which
    pictures above three quarters have no place.
    """
    shape = [batch, *size, 3] if nhwc else [batch, 3, *size]
    mean = [helper.make_node("ReduceMean", ["images", "axes"], ["bright"], keepdims=0)]
    steps = {
        "mean": [helper.make_node("Identity", ["bright"], ["answer"])],
        "root": [
            helper.make_node("Sub", ["bright", "half"], ["above"]),
            helper.make_node("Sqrt", ["above"], ["answer"]),
        ],
        "logit": [
            helper.make_node("Sub", ["bright", "half"], ["above"]),
            helper.make_node("Mul", ["above", "six"], ["answer"]),
        ],
        "lookup": [
            helper.make_node("Add", ["bright", "quarter"], ["place"]),
            helper.make_node("Cast", ["place"], ["row"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "row"], ["found"]),
            helper.make_node("Add", ["bright", "found"], ["answer"]),
        ],
    }[score]
    spread = [
        helper.make_node("Reshape", ["answer", "column"], ["cube"]),
        helper.make_node("Mul", ["cube", "mask"], [scores_name]),
        helper.make_node("Mul", ["cube", "zero"], ["nothing"]),
        helper.make_node("Greater", ["nothing", "six"], ["never"]),
        helper.make_node("Where", ["never", "corners", "corners"], ["boxes"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "half": np.array(0.5, np.float32),
        "quarter": np.array(0.25, np.float32),
        "six": np.array(6.0, np.float32),
        "zero": np.array(0.0, np.float32),
        "column": np.array([-1, 1, 1], np.int64),
        "mask": np.array([[[0, 0], [1, 0]]], np.float32),
        "table": np.zeros(1, np.float32),
        "corners": np.array([[[0, 0, 4, 4], BOX]], np.float32),
    }
    graph = helper.make_graph(
        [*mean, *steps, *spread],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 2, 4]),
            helper.make_tensor_value_info(scores_name, TensorProto.FLOAT, [batch, 2, 2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if labels is not None:
        helper.set_model_props(model, {"names": json.dumps(dict(enumerate(labels)))})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def save_endless(path: Path, limit: float = 0.9) -> Path:
    """Write the same model for pictures of 32x32 with a loop that never ends where a pixel is above the limit."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Mul", ["seen", "one"], ["next"])],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
        helper.make_node("Greater", ["brightest", "limit"], ["begin"]),
        helper.make_node("Loop", ["turns", "begin", "one"], ["factor"], body=body),
    ]
    constants = {
        "limit": np.array(limit, np.float32),
        "turns": np.array(2**62, np.int64),
        "one": np.array(1.0, np.float32),
    }
    return _with(path, nodes, constants, "factor")


def save_greedy(path: Path) -> Path:
    """Write the same model for pictures of 32x32 that wants 4 TiB for each further picture of a batch."""
    nodes = [
        helper.make_node("Shape", ["images"], ["pictures"], start=0, end=1),
        helper.make_node("Sub", ["pictures", "one"], ["further"]),
        helper.make_node("Mul", ["further", "tebi"], ["wanted"]),
        helper.make_node("Add", ["wanted", "one"], ["size"]),
        helper.make_node(
            "ConstantOfShape", ["size"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))
        ),
        helper.make_node("ReduceMax", ["ones"], ["factor"], keepdims=0),
    ]
    constants = {"one": np.array([1], np.int64), "tebi": np.array([2**40], np.int64)}
    return _with(path, nodes, constants, "factor")


def _with(path: Path, nodes: Sequence[onnx.NodeProto], constants: dict[str, Any], factor: str) -> Path:
    """Write the plain model with its scores multiplied by what further nodes make of the pictures."""
    model = onnx.load(save(path))
    (last,) = [node for node in model.graph.node if "scores" in node.output]
    last.output[0] = "plain"
    model.graph.node.extend([*nodes, helper.make_node("Mul", ["plain", factor], ["scores"])])
    known = {tensor.name for tensor in model.graph.initializer}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items() if name not in known
    )
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
