"""OpenVINO's own runtime stands in for ONNX Runtime: the same model, the same words, the same numbers."""

import os
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from support import exports, graphs
from support.counterpart import need
from support.pictures import clip
from tocsin.detect import openvino
from tocsin.detect.model import open_model
from tocsin.detect.openvino import open_openvino
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import open_session
from tocsin.errors import InferenceError, InferenceFault, ModelError, StartError
from tocsin.resources import find

BUNDLED = find("models/nanodet-coco-416.onnx")


@pytest.fixture(autouse=True)
def _installed() -> None:
    need(lambda: find_spec("openvino") is not None, "install OpenVINO: pip install 'tocsin[openvino]'")


def _frames(count: int) -> NDArray[Any]:
    """What the bundled model is shown of the clip."""
    model = open_model("nanodet-coco-416", "cpu")[0]
    canvas = Canvas(model.takes, count)
    for slot, frame in enumerate(clip(range(0, count * 50, 50), model.takes.width, model.takes.height)):
        canvas.put(slot, frame.views[0])
    return canvas.values(count)


def test_the_bundled_model_gives_the_same_numbers() -> None:
    """Boxes agree to a hundredth of a pixel and scores to four digits, for every size of a batch."""
    session, _ = open_openvino(BUNDLED)
    other, _ = open_session(BUNDLED, "cpu")
    frames = _frames(4)
    for count in (1, 2, 3, 4, 1):
        found, wanted = session.infer(frames[:count]), other.infer(frames[:count])
        assert (wanted["scores"][..., 0] > 0.5).any(axis=1).all(), "there is somebody in every picture"
        assert list(found) == list(wanted)
        assert np.abs(found["boxes"] - wanted["boxes"]).max() < 0.01
        assert np.abs(found["scores"] - wanted["scores"]).max() < 1e-4


def test_it_says_where_it_runs() -> None:
    """On a machine without a GPU of Intel's nothing is accelerated, and nothing is degraded."""
    placement = open_openvino(BUNDLED)[1]
    if placement.provider == "OpenVINO CPU":
        assert placement.accelerated == 0
        assert placement.degraded is None
    assert placement.device == "openvino"
    assert placement.nodes > 100


@pytest.mark.parametrize(
    ("shape", "kind", "outputs", "extra"),
    [
        pytest.param(
            ("N", 3, 64, 96), np.float32, {"out": np.ones((1, 7, 21), np.float32)}, {}, id="open batch"
        ),
        pytest.param((1, 3, 64, 96), np.float16, {"out": np.ones((1, 9, 6), np.float16)}, {}, id="float16"),
        pytest.param(
            (1, "H", "W", 3),
            np.uint8,
            {"boxes": np.ones((1, 9, 4), np.float32), "number": np.array([9.0], np.float32)},
            {},
            id="bytes, channels last, open size",
        ),
        pytest.param(
            (3, 64, 96),
            np.float32,
            {"boxes": np.ones((5, 4), np.float32), "labels": np.arange(5, dtype=np.int64)},
            {"open_lengths": True},
            id="one picture, whole numbers, open lengths",
        ),
        pytest.param(
            ("N", 3, 64, 96),
            np.float32,
            {"labels": np.ones((1, 9), np.int64), "boxes": np.full((1, 9, 4), 0.5, np.float32)},
            {"scaled": "boxes"},
            id="a second input",
        ),
    ],
)
def test_every_form_of_export_reads_the_same(
    tmp_path: Path, shape: Any, kind: Any, outputs: dict[str, NDArray[Any]], extra: dict[str, Any]
) -> None:
    """Names, shapes, kinds and metadata are those that ONNX Runtime tells, and so are the numbers."""
    path = exports.save(
        tmp_path / "m.onnx",
        outputs,
        shape=shape,
        kind=kind,
        names=["a", "b"],
        metadata={"imgsz": "[64, 96]"},
        **extra,
    )
    session, other = open_openvino(path)[0], open_session(path, "cpu")[0]
    assert session.signature.inputs == other.signature.inputs
    assert session.signature.metadata == other.signature.metadata
    told = [(one.name, one.type, len(one.shape)) for one in session.signature.outputs]
    assert told == [(one.name, one.type, len(one.shape)) for one in other.signature.outputs]
    sizes = {"N": 1, "H": 64, "W": 96}
    picture = np.zeros([sizes.get(side, side) for side in shape], kind)
    beside = {exports.SIZES: np.array([[96, 64]], np.int64)} if "scaled" in extra else None
    found, wanted = session.infer(picture, beside), other.infer(picture, beside)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        assert found[name] == pytest.approx(values)


def test_results_outlast_the_next_run(tmp_path: Path) -> None:
    """What was returned is not written over."""
    session, _ = open_openvino(graphs.save(tmp_path / "m.onnx"))
    bright = session.infer(np.ones((1, 3, 32, 32), np.float32))
    session.infer(np.zeros((1, 3, 32, 32), np.float32))
    assert bright["scores"].max() == pytest.approx(1.0)


def test_a_batch_that_fails_is_told_in_a_sentence(tmp_path: Path) -> None:
    """An error of OpenVINO's becomes one of ours without the places in its source, and the next batch runs."""
    session, _ = open_openvino(graphs.save(tmp_path / "m.onnx"))
    with pytest.raises(InferenceError, match=r"failed on a batch: RuntimeError: .*shape") as caught:
        session.infer(np.ones((1, 3, 30, 32), np.float32))
    assert caught.value.fault is InferenceFault.RUNTIME
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)
    assert session.infer(np.ones((1, 3, 32, 32), np.float32))["scores"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    "error", [MemoryError("std::bad_alloc"), RuntimeError("[GPU] out of memory")], ids=["host", "gpu"]
)
def test_memory_that_runs_out_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is a batch that failed, which a smaller one may not, and not the end of the thread."""
    session, _ = open_openvino(graphs.save(tmp_path / "m.onnx"))

    class Full:
        def start_async(self, _: Any, share_inputs: bool) -> None:
            raise error

    monkeypatch.setattr(session, "_request", Full())
    with pytest.raises(InferenceError, match="failed on a batch") as caught:
        session.infer(np.ones((1, 3, 32, 32), np.float32))
    assert caught.value.fault is InferenceFault.OOM


def _save(path: Path, nodes: list[Any], constants: dict[str, NDArray[Any]]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline the batch has failed, the cores are free, and the next batch runs."""
    steps = 500
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "first"], ["x0"]),
        *(helper.make_node("MatMul", [f"x{step}", "more"], [f"x{step + 1}"]) for step in range(steps)),
        helper.make_node("Identity", [f"x{steps}"], ["scores"]),
    ]
    constants = {
        "first": np.full((32, 1024), 1 / 32, np.float32),
        "more": np.full((1024, 1024), 1 / 1024, np.float32),
    }
    session, _ = open_openvino(_save(tmp_path / "m.onnx", nodes, constants))
    monkeypatch.setattr(openvino, "DEADLINE", 0.2)
    with pytest.raises(InferenceError, match=r"took more than .* and was ended") as caught:
        session.infer(np.ones((2048, 3, 32, 32), np.float32))
    assert caught.value.fault is InferenceFault.DEADLINE
    monkeypatch.setattr(openvino, "DEADLINE", 60.0)
    assert session.infer(np.ones((1, 3, 32, 32), np.float32))["scores"] == pytest.approx(1.0, abs=1e-3)


def _loop(before: str, after: str) -> Any:
    """A loop that multiplies until the end of time."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Mul", ["value", "factor"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(np.array(1.0001, np.float32), "factor")],
    )
    return helper.make_node("Loop", ["turns", "true", before], [after], body=body)


def _scan() -> Any:
    """A loop inside what has an end."""
    number = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [])
        for name in ("state", "one", "next", "each")
    ]
    nodes = [
        helper.make_node("Identity", ["state"], ["m"]),
        _loop("m", "long"),
        helper.make_node("Add", ["long", "one"], ["next"]),
        helper.make_node("Identity", ["next"], ["each"]),
    ]
    body = helper.make_graph(nodes, "scan", number[:2], number[2:])
    return helper.make_node("Scan", ["zero", "mean"], ["last", "scores"], body=body, num_scan_inputs=1)


@pytest.mark.parametrize("node", [_loop("mean", "scores"), _scan()], ids=["a loop", "a loop inside a scan"])
def test_a_loop_is_refused(tmp_path: Path, node: Any) -> None:
    """OpenVINO goes on with a loop whatever it is told, and the process could not even end."""
    mean = helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0)
    constants = {"turns": np.array(2**62), "true": np.array(True), "zero": np.array(0, np.float32)}
    path = _save(tmp_path / "m.onnx", [mean, node], constants)
    with pytest.raises(ModelError, match=r"m\.onnx: expected a graph that OpenVINO can end, found a Loop"):
        open_openvino(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A file that is cut short is told as that of one sentence."""
    path = tmp_path / "m.onnx"
    path.write_bytes(BUNDLED.read_bytes()[:100_000])
    with pytest.raises(
        ModelError, match=r"m\.onnx: expected an ONNX model that OpenVINO can run, found: "
    ) as caught:
        open_openvino(path)
    assert "\n" not in str(caught.value)


def test_without_the_package_it_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that is asked for cannot be had, and the sentence holds the command."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        StartError,
        match=r"^detector\.device: expected openvino, .* not installed: pip install 'tocsin\[openvino\]'$",
    ):
        open_session(BUNDLED, "openvino")


SILENT = """
import sys
told = []
words = ("socket", "subprocess", "os.fork")
sys.addaudithook(lambda event, _: told.append(event) if event.startswith(words) else None)
import socket
socket.socket().close()
assert told, "the hook hears of sockets"
told.clear()
from pathlib import Path
from tocsin.detect.openvino import open_openvino
open_openvino(Path(sys.argv[1]))
assert sys.modules["openvino"] is not None
print(told, sys.modules["openvino_telemetry"])
"""


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    """Its import would tell its maker over the network that it is used; opened by the daemon it opens no socket."""
    assert distribution("openvino-telemetry").version, "the package that reports is installed"
    clean = {
        key: value for key, value in os.environ.items() if key != "CI"
    }  # under CI it would be silent anyway
    run = subprocess.run(
        [sys.executable, "-c", SILENT, str(BUNDLED)],
        env={**clean, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (run.stdout, run.stderr) == ("[] None\n", "")
    assert list(tmp_path.iterdir()) == [], "nor is a user's number kept"
