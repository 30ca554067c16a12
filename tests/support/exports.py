"""Tiny models in the shapes that exporters write, whose outputs are what a test says."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_KINDS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.uint8): TensorProto.UINT8,
}
SIZES = "orig_target_sizes"


def save(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    *,
    shape: Sequence[int | str],
    kind: Any = np.float32,
    metadata: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    scaled: str | None = None,
    open_lengths: bool = False,
) -> Path:
    """Write a model that takes one picture of this shape and kind, and gives these outputs whatever it shows.

    With `scaled` it has the second input of deployed DETRs, and that output is multiplied by its width and height.
    With `open_lengths` the first axis of each output is left open, as in graphs that suppress.
    """
    # each output waits for the picture: a number that is 0, and not known before
    nodes = [
        helper.make_node("Cast", ["picture"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    inputs = [helper.make_tensor_value_info("picture", _KINDS[np.dtype(kind)], shape)]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    if scaled is not None:
        inputs.append(helper.make_tensor_value_info(SIZES, TensorProto.INT64, ["N", 2]))
        nodes += [
            helper.make_node("Cast", [SIZES], ["sizes"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
            helper.make_node("Unsqueeze", ["twice", "second"], ["factor"]),
        ]
        constants.append(numpy_helper.from_array(np.array([1], np.int64), "second"))
    infos = []
    for number, (name, values) in enumerate(outputs.items()):
        constants.append(numpy_helper.from_array(np.asarray(values), f"values{number}"))
        wanted = _KINDS[values.dtype]
        nodes.append(helper.make_node("Cast", ["nothing"], [f"nothing{number}"], to=wanted))
        last = f"plain{number}" if name == scaled else name
        nodes.append(helper.make_node("Add", [f"values{number}", f"nothing{number}"], [last]))
        if name == scaled:
            nodes.append(helper.make_node("Mul", [last, "factor"], [name]))
        told = ["K", *values.shape[1:]] if open_lengths else values.shape
        infos.append(helper.make_tensor_value_info(name, wanted, told))
    graph = helper.make_graph(nodes, "export", inputs, infos, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    props = dict(metadata or {})
    if names is not None:
        props["names"] = json.dumps(dict(enumerate(names)))
    helper.set_model_props(model, props)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
