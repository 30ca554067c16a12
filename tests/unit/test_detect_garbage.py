"""Numbers that are no result are refused, in bounded time, and said to be that."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tocsin.detect.families import FAMILIES, Decoder, Hints
from tocsin.detect.families.objects import CANDIDATES
from tocsin.detect.session import Outputs, Signature, Tensor
from tocsin.errors import InferenceError, InferenceFault

SIDE, ANCHORS, CLASSES = 416, 3549, 80
Floats = NDArray[np.float32]


def _decoder(family: str, *outputs: tuple[str, tuple[int, ...]]) -> Decoder:
    signature = Signature((), tuple(Tensor(name, shape, "tensor(float)") for name, shape in outputs), {})
    reading = FAMILIES[family].read(signature, Hints(SIDE, SIDE, CLASSES, asked=True))
    assert reading is not None, "the family reads its own outputs"
    return Decoder(family, reading, SIDE, SIDE, CLASSES)


DENSE = _decoder("boxes+scores", ("boxes", (1, ANCHORS, 4)), ("scores", (1, ANCHORS, CLASSES)))
V8 = _decoder("yolov8", ("output", (1, 4 + CLASSES, ANCHORS)))
V5 = _decoder("yolov5", ("output", (1, 3 * ANCHORS, 5 + CLASSES)))
YOLOX = _decoder("yolox", ("output", (1, ANCHORS, 5 + CLASSES)))
LISTED = _decoder("end-to-end", ("output", (1, 300, 6)))
QUERIES = _decoder("detr-sigmoid", ("pred_boxes", (1, 300, 4)), ("logits", (1, 300, CLASSES)))


def _scattered(seed: int = 0) -> tuple[Floats, Floats]:
    """Boxes all over the input, and a low score for each class."""
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 300, (1, ANCHORS, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 100, (1, ANCHORS, 2))], axis=2)
    return boxes.astype(np.float32), random.random((1, ANCHORS, CLASSES), dtype=np.float32) * 0.2


def _fault(decoder: Decoder, outputs: Outputs, floor: float = 0.5) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        decoder.decode(outputs, 0, floor)
    return caught.value


SHAPES: list[tuple[Decoder, tuple[int, ...]]] = [
    (V8, (1, 4 + CLASSES, ANCHORS)),
    (V5, (1, 3 * ANCHORS, 5 + CLASSES)),
    (YOLOX, (1, ANCHORS, 5 + CLASSES)),
    (LISTED, (1, 300, 6)),
]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("decoder", "shape"), SHAPES, ids=lambda one: getattr(one, "name", ""))
def test_one_bad_number_anywhere_refuses_the_picture(
    decoder: Decoder, shape: tuple[int, ...], bad: float
) -> None:
    """Neither an alarm nor an all-clear comes from a table that holds a NaN or an infinity."""
    random = np.random.default_rng(1)
    for _ in range(5):
        table = random.random(shape, dtype=np.float32) * 0.1
        table[tuple(random.integers(0, size) for size in shape)] = bad
        assert _fault(decoder, {"output": table}).fault is InferenceFault.NONFINITE


@pytest.mark.parametrize("name", ["pred_boxes", "logits"])
def test_a_bad_number_before_the_sigmoid_is_seen(name: str) -> None:
    """A NaN in logits or boxes does not become a probability."""
    outputs = {
        "pred_boxes": np.full((1, 300, 4), 0.5, np.float32),
        "logits": np.random.default_rng(0).normal(-5, 1, (1, 300, CLASSES)).astype(np.float32),
    }
    outputs[name][0, 17, 2] = np.nan
    assert _fault(QUERIES, outputs).fault is InferenceFault.NONFINITE


def test_scores_that_are_all_one_number_are_no_result() -> None:
    """A model that says the same of everything says nothing; next to nothing of everything is an all-clear."""
    boxes, scores = _scattered()
    for value in (0.3, 0.9):
        error = _fault(DENSE, {"boxes": boxes, "scores": np.full_like(scores, value)})
        assert error.fault is InferenceFault.IMPLAUSIBLE
        assert "expected scores that differ" in str(error)
    for value in (0, 1 / 256):  # the least step of a graph of whole numbers
        assert len(DENSE.decode({"boxes": boxes, "scores": np.full_like(scores, value)}, 0, 0.5).scores) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            lambda boxes: boxes + 10_000, "inside the input of 416x416, found 5 of 5", id="far away"
        ),
        pytest.param(lambda boxes: boxes[..., [2, 3, 0, 1]], "found 5 of 5 outside", id="turned round"),
        pytest.param(lambda boxes: boxes / SIDE, "boxes in pixels, found all of them", id="from 0 to 1"),
    ],
)
def test_boxes_that_lie_nowhere_are_no_result(change: Callable[[Floats], Floats], sentence: str) -> None:
    """Boxes of another form than the family's are not cut to the picture's edge and believed."""
    boxes, scores = _scattered()
    scores[0, :5, 0] = 0.9
    error = _fault(DENSE, {"boxes": change(boxes), "scores": scores})
    assert error.fault is InferenceFault.IMPLAUSIBLE
    assert sentence in str(error)


def test_one_stray_box_costs_nothing() -> None:
    """A box on the margin of a letterbox is for the geometry to drop."""
    boxes, scores = _scattered()
    scores[0, :2, 0] = 0.9
    boxes[0, 0] = (-50, -50, -10, -10)
    assert len(DENSE.decode({"boxes": boxes, "scores": scores}, 0, 0.5).scores) == 2


def test_thousands_of_objects_are_no_result_and_take_little_time() -> None:
    """A model that sees something everywhere is refused before it can hold up the others."""
    boxes, scores = _scattered()
    outputs = {"boxes": boxes, "scores": scores * 5}
    DENSE.decode({"boxes": boxes, "scores": scores}, 0, 0.5)
    begun = time.perf_counter()
    error = _fault(DENSE, outputs, floor=0.05)
    taken = time.perf_counter() - begun
    assert error.fault is InferenceFault.IMPLAUSIBLE
    assert "expected at most 2000 objects in a view" in str(error)
    assert np.count_nonzero(outputs["scores"] >= 0.05) > 50 * CANDIDATES, "there is work to be spared"
    assert taken < 2, "0.11 s on the machine that this was written on; without a bound some minutes"


def test_a_class_without_a_label_is_refused() -> None:
    """A list of labels that is too short is found out by the first object that has none."""
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = (10, 10, 50, 50, 0.9, CLASSES)
    assert "expected classes below 80, one for each label, found 80" in str(_fault(LISTED, {"output": rows}))
    rows[0, 0, 5] = 1.5
    assert "expected classes as whole numbers" in str(_fault(LISTED, {"output": rows}))


@pytest.mark.parametrize("number", [-1, 9, np.nan])
def test_a_number_of_detections_that_cannot_be_is_refused(number: float) -> None:
    """More detections than there are rows, or less than none, are no list."""
    decoder = _decoder(
        "tensorflow",
        ("detection_boxes", (1, 8, 4)),
        ("detection_scores", (1, 8)),
        ("detection_classes", (1, 8)),
        ("num_detections", (1,)),
    )
    outputs = {
        "detection_boxes": np.zeros((1, 8, 4), np.float32),
        "detection_scores": np.zeros((1, 8), np.float32),
        "detection_classes": np.ones((1, 8), np.float32),
        "num_detections": np.array([number], np.float32),
    }
    assert _fault(decoder, outputs).fault is InferenceFault.SHAPE
