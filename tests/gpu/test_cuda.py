"""On a real NVIDIA GPU: what comes out of it is what the CPU finds. Skipped, and said so, where there is none."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from support.keeping import keep
from support.pictures import clip
from support.wait import SCALE, until
from tocsin.detect.bound import CUDA_GRAPHS, Bound, Way
from tocsin.detect.detector import Detector
from tocsin.detect.engine import Engine
from tocsin.detect.model import Model, open_model
from tocsin.detect.prepare import Canvas
from tocsin.detect.session import LocalSession, Placement
from tocsin.errors import InferenceFault
from tocsin.frame import Detections, Frame
from tocsin.resources import find

pytestmark = pytest.mark.skipif(
    not any(Path("/dev").glob("nvidia[0-9]*")), reason="needs an NVIDIA GPU, and none is visible here"
)

CUDA = "CUDAExecutionProvider"
NAMES = ["boxes", "scores"]
BUNDLED = find("models/nanodet-coco-416.onnx")


def _open(path: Path, **options: str) -> ort.InferenceSession:
    ort.preload_dlls()
    providers = [(CUDA, {"cudnn_conv_algo_search": "HEURISTIC", **options})]
    session = ort.InferenceSession(path, providers=providers, enable_fallback=0)
    assert session.get_providers()[0] == CUDA, "the session is on the GPU"
    return session


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """Sixteen frames of the bundled clip, as if each were the first of a stream of its own."""
    shots = clip(range(0, 256, 16), 416, 416)
    return [replace(shot, stream=f"camera{number}") for number, shot in enumerate(shots)]


@pytest.fixture(scope="module")
def known() -> tuple[Model, LocalSession, Placement]:
    """The bundled model on the CPU."""
    model, session, placement = open_model("nanodet-coco-416", "cpu")
    assert isinstance(session, LocalSession)
    return model, session, placement


@pytest.fixture(scope="module")
def wanted(known: tuple[Model, LocalSession, Placement], frames: list[Frame]) -> list[Detections]:
    """What the CPU sees in each frame."""
    model, session, placement = known
    found = Detector(model, session, placement, 1, 0.5).detect(frames)
    assert sum(len(one) for one in found) > 16, "there is something to see"
    return found


@pytest.fixture
def detector() -> Iterator[Detector]:
    """The bundled model on the GPU, as the daemon opens it when it is asked for by name."""
    model, session, placement = open_model("nanodet-coco-416", "cuda")
    assert (placement.device, placement.degraded) == ("cuda", None)
    detector = Detector(model, session, placement, 8, 0.5)
    detector.warm()
    yield detector
    detector.close()


def _batches(model: Model, frames: list[Frame], rows: int) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    canvas, batches = Canvas(model.takes, rows), []
    for start in range(0, len(frames), rows):
        some = frames[start : start + rows]
        for slot, shot in enumerate(some):
            canvas.put(slot, shot.views[0])
        batches.append(canvas.values(len(some)).copy())
    return batches


def _close(found: Detections, wanted: Detections) -> bool:
    """The same objects, half a pixel and a hundredth of score apart at most: TF32 has ten bits of mantissa."""
    return (
        found.classes.tolist() == wanted.classes.tolist()
        and np.allclose(found.boxes * 416, wanted.boxes * 416, atol=0.5)
        and np.allclose(found.scores, wanted.scores, atol=0.01)
    )


def test_the_gpu_sees_what_the_cpu_sees(
    detector: Detector, frames: list[Frame], wanted: list[Detections]
) -> None:
    """Frames of sixteen streams, eight in a call, each get their own boxes and scores."""
    found = detector.detect(frames)
    assert [_close(one, other) for one, other in zip(found, wanted, strict=True)] == [True] * len(frames)


def test_every_size_of_batch_gives_the_same(
    detector: Detector, frames: list[Frame], wanted: list[Detections]
) -> None:
    """From one view in a call to eight, those between two powers of two among them."""
    for rows in range(1, 9):
        found = detector.detect(frames[:rows])
        assert all(_close(one, other) for one, other in zip(found, wanted, strict=False)), rows


@pytest.mark.parametrize(("options", "way"), [({}, Way.BOUND), (CUDA_GRAPHS, Way.GRAPH)])
def test_a_faster_way_gives_what_the_plain_one_gives(
    known: tuple[Model, LocalSession, Placement], frames: list[Frame], options: dict[str, str], way: Way
) -> None:
    """Bound buffers and recorded graphs, over several sizes of batch in turns, and nothing is overwritten."""
    plain, bound = _open(BUNDLED), Bound(_open(BUNDLED, **options), "cuda")
    for rows in (1, 2, 4, 8, 2, 1):
        kept = [
            (bound.run(NAMES, {"images": batch}), plain.run(NAMES, {"images": batch}))
            for batch in _batches(known[0], frames, rows)[:2]
        ]
        for found, wanted in kept:
            for one, other in zip(found, wanted, strict=True):
                assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max()), rows
    assert bound.way is way, "it did not fall back"


def test_a_model_of_half_floats_runs(tmp_path: Path, known: tuple[Model, LocalSession, Placement]) -> None:
    """An input of float16 goes through the same buffers."""
    model = onnx.load(BUNDLED)
    given = model.graph.input[0]
    given.type.tensor_type.elem_type = TensorProto.FLOAT16
    name, given.name = given.name, "half"
    model.graph.node.insert(0, helper.make_node("Cast", ["half"], [name], to=TensorProto.FLOAT))
    onnx.save(model, tmp_path / "half.onnx")
    bound, plain = Bound(_open(tmp_path / "half.onnx"), "cuda"), _open(tmp_path / "half.onnx")
    feeds = {"half": np.random.default_rng(0).random((4, 3, 416, 416)).astype(np.float16)}
    for one, other in zip(bound.run(NAMES, feeds), plain.run(NAMES, feeds), strict=True):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())
    assert bound.way is Way.BOUND


class _Streams:
    """A feed that gives each frame once, as many as fit, and the observer of what becomes of them."""

    def __init__(self, frames: list[Frame]) -> None:
        self._left = list(frames)
        self._idle = threading.Event()  # never set: an empty feed waits its timeout
        self.released: list[str] = []
        self.found: dict[str, Detections] = {}
        self.rows: list[int] = []

    def take(self, limit: int, timeout: float) -> list[Frame]:
        taken, self._left = self._left[:limit], self._left[limit:]
        if not taken:
            self._idle.wait(timeout)
        return taken

    def release(self, frame: Frame) -> None:
        self.released.append(frame.stream)

    def sink(self, frame: Frame, found: Detections) -> None:
        self.found[frame.stream] = found

    def batch(self, views: int) -> None:
        self.rows.append(views)

    def stage(self, stage: str, seconds: float) -> None: ...

    def analysed(self, stream: str, age_seconds: float) -> None: ...

    def detected(self, stream: str, label: str, count: int) -> None: ...

    def inference_failed(self, fault: InferenceFault) -> None:
        raise AssertionError(f"inference failed: {fault}")


def test_streams_go_through_the_engine_in_batches(
    detector: Detector, frames: list[Frame], wanted: list[Detections]
) -> None:
    """Two batches overlap, each frame is released once, and each stream gets what is in its own picture."""
    streams, sentences = _Streams(frames), list[str]()
    engine = Engine(keep(detector), streams, streams.sink, streams, sentences.append)
    assert detector.overlaps
    engine.start()
    until(lambda: len(streams.found) == len(frames), 10, "all results")
    engine.stop(time.monotonic() + 5 * SCALE)
    assert streams.rows == [8, 8]
    assert sorted(streams.released) == sorted(frame.stream for frame in frames)
    assert all(_close(streams.found[frame.stream], one) for frame, one in zip(frames, wanted, strict=True))
    assert sentences == []
