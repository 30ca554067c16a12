"""Tiny ONNX detectors built on the spot: they report bright blocks, so that every timeline is exact."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LABELS = ("block", "other")
SIZE, CELLS = 64, 8
BRIGHT = 0.75
"""Mean brightness (0 to 1) of a cell above which it is a block."""
HIGH, LOW = 0.9, 0.01
"""The score of a bright cell and of a dark one."""

_OPSET, _IR_VERSION = 17, 8
_MATRIX = 256


def build(
    path: Path,
    *,
    size: int = SIZE,
    cells: int = CELLS,
    work: int = 0,
    nan_when_bright: bool = False,
    labels: Sequence[str] = LABELS,
    block: int = 0,
) -> Path:
    """Write a detector to `path` and return it.

    Input `images` float32 [N, 3, size, size], RGB, 0 to 1. Outputs `boxes` float32 [N, cells * cells, 4],
    x1 y1 x2 y2 in input pixels, and `scores` float32 [N, cells * cells, 2] for the two labels: a cell's score for
    the label `block` is HIGH when its mean brightness lies clearly above BRIGHT and LOW when it lies clearly below;
    that for the other is 0.
    Cells come row by row. `work` is a number of matrix products that do nothing but take time. With
    `nan_when_bright` every score of a picture that holds a bright cell is not a number.
    """
    assert size % cells == 0, "cells are whole pixels"
    nodes = [*_brightness(size // cells), *_scores(cells, block), *_boxes()]
    if work:
        nodes += _work()
    nodes += _nan() if nan_when_bright else [helper.make_node("Identity", ["clean_scores"], ["scores"])]
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, size, size])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", cells * cells, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", cells * cells, len(LABELS)]),
        ],
        _constants(size, cells, work),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="tocsin-tests",
    )
    helper.set_model_props(model, {"names": json.dumps({str(i): name for i, name in enumerate(labels)})})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def build_slow(path: Path, seconds: float) -> Path:
    """A detector whose run takes about so long on one thread here, measured now, whatever the batch."""
    work = 50
    per_product = _seconds_per_run(build(path, work=work)) / work
    return build(path, work=max(1, round(seconds / per_product)))


def _seconds_per_run(path: Path) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    picture = {"images": np.zeros((1, 3, SIZE, SIZE), np.float32)}
    session.run(None, picture)
    return min(_timed(lambda: session.run(None, picture)) for _ in range(5))


def _timed(work: Callable[[], object]) -> float:
    """Return the time that this thread had a core: others at work would make the model too small."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _brightness(pixels: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1),
        helper.make_node(
            "AveragePool", ["grey"], ["cells"], kernel_shape=[pixels, pixels], strides=[pixels, pixels]
        ),
    ]


def _scores(cells: int, block: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Reshape", ["cells", "as_list"], ["listed"]),
        helper.make_node("Sub", ["listed", "bright"], ["above"]),
        helper.make_node("Mul", ["above", "steepness"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["is_bright"]),
        helper.make_node("Mul", ["is_bright", "span"], ["spread"]),
        helper.make_node("Add", ["spread", "low"], ["block"]),
        helper.make_node("Mul", ["block", "zero"], ["other"]),
        helper.make_node(
            "Concat", ["other", "block"] if block else ["block", "other"], ["clean_scores"], axis=2
        ),
    ]


def _boxes() -> list[onnx.NodeProto]:
    # The boxes are constant but for the batch, which is read off the scores.
    return [
        helper.make_node("Shape", ["clean_scores"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "ones"], ["repeats"], axis=0),
        helper.make_node("Tile", ["grid", "repeats"], ["boxes"]),
    ]


def _work() -> list[onnx.NodeProto]:
    # The matrix depends on the picture, so that nothing can be computed beforehand, and its result on nothing.
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["matrix_in", "mixer"], ["matrix_out"]),
            helper.make_node("Identity", ["go_on_in"], ["go_on_out"]),
        ],
        "product",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("matrix_in", TensorProto.FLOAT, [_MATRIX, _MATRIX]),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("matrix_out", TensorProto.FLOAT, [_MATRIX, _MATRIX]),
        ],
    )
    return [
        helper.make_node("ReduceMean", ["grey"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mixer", "mean"], ["matrix"]),
        helper.make_node("Loop", ["rounds", "", "matrix"], ["product"], body=body),
    ]


def _nan() -> list[onnx.NodeProto]:
    # The logarithm of a negative number is none: the brightest cell decides for its whole picture.
    return [
        helper.make_node("ReduceMax", ["above"], ["brightest"], axes=[1], keepdims=1),
        helper.make_node("Neg", ["brightest"], ["reserve"]),
        helper.make_node("Log", ["reserve"], ["poison"]),
        helper.make_node("Mul", ["poison", "zero"], ["poison_or_zero"]),
        helper.make_node("Add", ["clean_scores", "poison_or_zero"], ["scores"]),
    ]


def _constants(size: int, cells: int, work: int) -> Sequence[TensorProto]:
    step = size // cells
    corners = [(x * step, y * step) for y in range(cells) for x in range(cells)]
    values = {
        "as_list": np.array([-1, cells * cells, 1], np.int64),
        "bright": np.float32(BRIGHT),
        "steepness": np.float32(200),
        "span": np.float32(HIGH - LOW),
        "low": np.float32(LOW),
        "zero": np.float32(0),
        "ones": np.array([1, 1], np.int64),
        "grid": np.array([[(x, y, x + step, y + step) for x, y in corners]], np.float32),
    }
    if work:
        values["rounds"] = np.array(work, np.int64)
        values["mixer"] = np.eye(_MATRIX, dtype=np.float32)
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
