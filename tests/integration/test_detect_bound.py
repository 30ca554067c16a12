"""A session whose buffers are bound gives what the session gives. On the CPU, whose binding is the same code."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from structlog.testing import capture_logs

from support.graphs import save
from tocsin.detect import bound
from tocsin.detect.bound import LENT, Bound, Way
from tocsin.resources import find

NAMES = ["boxes", "scores"]


def _open(path: Path) -> ort.InferenceSession:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"], enable_fallback=0)


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    """The bundled detector, as it comes from ONNX Runtime."""
    return _open(find("models/nanodet-coco-416.onnx"))


def _batches(count: int, rows: int) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    random = np.random.default_rng(0)
    for _ in range(count):
        yield random.random((rows, 3, 416, 416), np.float32)


def _same(found: list[Any], wanted: Any) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_results_are_the_same_to_the_last_bit(session: ort.InferenceSession) -> None:
    """Over batches of several sizes, each size more than once, in turns."""
    bound = Bound(session, "cpu")
    assert bound.way is Way.BOUND
    for rows in (1, 3, 2, 1, 3):
        for batch in _batches(2, rows):
            feeds = {"images": batch}
            assert _same(bound.run(NAMES, feeds), session.run(NAMES, feeds)), rows
    assert bound.way is Way.BOUND


def test_outputs_stay_while_the_next_ones_are_made(session: ort.InferenceSession) -> None:
    """What a run gave is the same until the LENT-th run after it, which writes into the same memory."""
    bound = Bound(session, "cpu")
    batches = list(_batches(LENT + 1, 1))
    given = [bound.run(NAMES, {"images": batch}) for batch in batches[:LENT]]
    for outputs, batch in zip(given, batches, strict=False):
        assert _same(outputs, session.run(NAMES, {"images": batch}))
    again = bound.run(NAMES, {"images": batches[LENT]})
    assert [np.shares_memory(one, other) for one, other in zip(again, given[0], strict=True)] == [True, True]


@pytest.mark.parametrize("graphs", [False, True], ids=["bound", "graphs"])
def test_a_session_goes_with_its_last_user(tmp_path: Path, graphs: bool) -> None:
    """Its memory on the device is free for the next session at once, and not when Python next looks for cycles."""
    session = _open(save(tmp_path / "small.onnx"))
    gone = weakref.ref(session)
    runs = Bound(_Recording(session), "cpu", 0) if graphs else Bound(session, "cpu")
    gc.disable()
    try:
        runs.run(NAMES, {"images": np.full((1, 3, 32, 32), 0.75, np.float32)})
        assert runs.way is (Way.GRAPH if graphs else Way.BOUND)
        del runs, session
        assert gone() is None
    finally:
        gc.enable()


def test_outputs_come_in_the_order_in_which_they_are_asked_for(session: ort.InferenceSession) -> None:
    """As the session's own `run` gives them."""
    (batch,) = _batches(1, 1)
    scores, boxes = Bound(session, "cpu").run(["scores", "boxes"], {"images": batch})
    assert (scores.shape, boxes.shape) == ((1, 3549, 80), (1, 3549, 4))


def test_a_graph_of_fixed_batch_is_bound(tmp_path: Path) -> None:
    """The batch may be a number in the model."""
    session = _open(save(tmp_path / "two.onnx", batch=2))
    bound, feeds = Bound(session, "cpu"), {"images": np.full((2, 3, 32, 32), 0.75, np.float32)}
    assert _same(bound.run(NAMES, feeds), session.run(NAMES, feeds))
    assert bound.way is Way.BOUND


def _compress(path: Path, axis: int, shape: list[int | str | None]) -> Path:
    """Write a model that drops the second of the rows or columns of `images` [N, 2]; it declares that shape."""
    graph = helper.make_graph(
        [helper.make_node("Compress", ["images", "kept"], ["found"], axis=axis)],
        "odd",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, shape)],
        [helper.make_tensor("kept", TensorProto.BOOL, [2], [True, False])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        pytest.param(0, ["K", 2], id="a list over all pictures"),
        pytest.param(0, [None, 2], id="a list without a name for its length"),
        pytest.param(1, ["N", "K"], id="as many as were found"),
    ],
)
def test_what_is_not_known_beforehand_is_not_bound(
    tmp_path: Path, axis: int, shape: list[int | str | None]
) -> None:
    """An output whose size shows only after the run has no buffer that waits for it."""
    session = _open(_compress(tmp_path / "odd.onnx", axis, shape))
    bound, feeds = Bound(session, "cpu"), {"images": np.ones((3, 2), np.float32)}
    assert bound.way is Way.PLAIN
    assert _same(bound.run(["found"], feeds), session.run(["found"], feeds))


def test_a_model_that_declares_a_wrong_shape_runs_in_the_plain_way(tmp_path: Path) -> None:
    """Its first run shows it; it is said once, and the results are the session's own."""
    session = _open(_compress(tmp_path / "wrong.onnx", 0, ["N", 2]))
    bound, feeds = Bound(session, "cpu"), {"images": np.ones((3, 2), np.float32)}
    assert bound.way is Way.BOUND
    with capture_logs() as lines:
        for _ in range(2):
            assert _same(bound.run(["found"], feeds), session.run(["found"], feeds))
    assert bound.way is Way.PLAIN
    assert [(line["event"], line["way"], line["instead"]) for line in lines] == [
        ("a way to run the model faster fails", "bound", "plain")
    ]


class _Recording:
    """A session that says it was opened for graphs, and writes down which graph each run asks for."""

    def __init__(self, session: ort.InferenceSession, fails_on: str | None = None) -> None:
        self._session = session
        self._fails_on = fails_on
        self.says = "operation not permitted when stream is capturing"
        self.graphs: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {"CUDAExecutionProvider": {**bound.CUDA_GRAPHS}}

    def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        self.graphs.append(options.get_run_config_entry("gpu_graph_id"))
        if self.graphs[-1] == self._fails_on:
            raise RuntimeError(self.says)
        self._session.run_with_iobinding(binding, options)


def test_each_batch_size_has_a_graph_of_its_own(session: ort.InferenceSession) -> None:
    """A graph knows its memory by address: a size is always run with the same one, and gives the same results."""
    recording = _Recording(session)
    graphed = Bound(recording, "cpu", 0)
    assert graphed.way is Way.GRAPH
    kept = []
    for rows in (1, 2, 1):
        kept += [
            (graphed.run(NAMES, {"images": batch}), session.run(NAMES, {"images": batch}))
            for batch in _batches(2, rows)
        ]
    assert recording.graphs == ["1", "1", "2", "2", "1", "1"]
    assert all(_same(found, wanted) for found, wanted in kept), "no run has overwritten what another one gave"


def test_a_graph_that_cannot_be_recorded_is_done_without(session: ort.InferenceSession) -> None:
    """It is said once, and no further run asks for a graph."""
    recording = _Recording(session, fails_on="2")
    graphed = Bound(recording, "cpu", 0)
    with capture_logs() as lines:
        for rows in (1, 2, 1):
            for batch in _batches(1, rows):
                found = graphed.run(NAMES, {"images": batch})
                assert _same(found, session.run(NAMES, {"images": batch}))
    assert recording.graphs == ["1", "2", "-1", "-1"]
    assert [(line["way"], line["instead"]) for line in lines] == [("graph", "bound")]


@pytest.mark.parametrize("short", ["memory", "time"])
def test_what_another_way_would_lack_too_is_no_reason_for_it(
    session: ort.InferenceSession, short: str
) -> None:
    """A batch that does not fit, or a run that was told to end, leaves the smaller ones their graphs."""
    recording = _Recording(session, fails_on="2")
    graphed, options = Bound(recording, "cpu", 0), ort.RunOptions()
    if short == "memory":
        recording.says = "Error in execution: Failed to allocate memory for requested buffer of size 9"
    else:
        options.terminate = True
    with pytest.raises(RuntimeError):
        graphed.run(NAMES, {"images": next(_batches(1, 2))}, options)
    options.terminate = False
    graphed.run(NAMES, {"images": next(_batches(1, 1))}, options)
    assert (recording.graphs, graphed.way) == (["2", "1"], Way.GRAPH)


def test_a_run_that_fails_later_is_no_reason_to_run_otherwise(session: ort.InferenceSession) -> None:
    """A device that is lost is told of, not tried again in another way."""
    recording = _Recording(session)
    graphed = Bound(recording, "cpu", 0)
    (batch,) = _batches(1, 1)
    graphed.run(NAMES, {"images": batch})
    recording._fails_on = "1"
    with pytest.raises(RuntimeError, match="capturing"):
        graphed.run(NAMES, {"images": batch})
    assert graphed.way is Way.GRAPH
