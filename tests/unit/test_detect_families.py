"""Outputs of a detector become objects, or are refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tocsin.detect.families import FAMILIES, IOU, Decoder, Hints
from tocsin.detect.session import Signature, Tensor
from tocsin.errors import InferenceError, InferenceFault

HINTS = Hints(width=320, height=320)
SIGNATURE = Signature(
    (),
    (
        Tensor("boxes", (None, None, 4), "tensor(float)"),
        Tensor("scores", (None, None, None), "tensor(float)"),
    ),
    {},
)
READING = FAMILIES["boxes+scores"].read(SIGNATURE, HINTS)
assert READING is not None, "the family reads its own outputs"
DECODE = Decoder("boxes+scores", READING, 320, 320, 5).decode
Found = set[tuple[int, int]]


def _outputs(
    seed: int, rows: int = 2, anchors: int = 300, classes: int = 5
) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 200, (rows, anchors, 2))
    size = random.uniform(10, 120, (rows, anchors, 2))
    boxes = np.concatenate([corner, corner + size], axis=2).astype(np.float32)
    return {"boxes": boxes, "scores": random.random((rows, anchors, classes), dtype=np.float32)}


def _by_hand(boxes: NDArray[np.float32], scores: NDArray[np.float32], floor: float) -> Found:
    """Anchor and class of what remains: for each class the best box, then the best that it does not cover."""
    kept: Found = set()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for label in range(scores.shape[1]):
        waiting = [anchor for anchor in np.argsort(-scores[:, label]) if scores[anchor, label] >= floor]
        while waiting:
            best = waiting.pop(0)
            kept.add((int(best), label))
            corner = np.maximum(boxes[best, :2], boxes[waiting, :2])
            far = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
            shared = np.clip(far - corner, 0, None).prod(axis=1)
            overlap = shared / (area[best] + area[waiting] - shared)
            waiting = [anchor for anchor, share in zip(waiting, overlap, strict=True) if share <= IOU]
    return kept


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("floor", [0.05, 0.5, 0.9])
def test_the_decoder_agrees_with_a_plain_computation(seed: int, floor: float) -> None:
    """On random outputs the same boxes of the same classes remain as by the definition of suppression."""
    outputs = _outputs(seed)
    objects = DECODE(outputs, 1, floor)
    boxes, scores = outputs["boxes"][1], outputs["scores"][1]
    anchors = [int(np.flatnonzero((boxes == box).all(axis=1))[0]) for box in objects.boxes]
    assert set(zip(anchors, objects.classes.tolist(), strict=True)) == _by_hand(boxes, scores, floor)
    assert objects.scores.tolist() == scores[anchors, objects.classes].tolist()
    assert (np.diff(objects.scores) <= 0).all(), "the best comes first"


def test_boxes_of_two_classes_do_not_suppress_each_other() -> None:
    """A person who carries a knife hides nothing."""
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, 10]]], np.float32)
    scores = np.array([[[0.9, 0], [0, 0.8]]], np.float32)
    assert DECODE({"boxes": boxes, "scores": scores}, 0, 0.5).classes.tolist() == [0, 1]


@pytest.mark.parametrize(("width", "remain"), [(61, 1), (59, 2)])
def test_six_tenths_of_overlap_are_one_object(width: int, remain: int) -> None:
    """Two boxes of one class that share more than 0.6 of what they cover together are one."""
    boxes = np.array([[[0, 0, 100, 10], [0, 0, width, 10]]], np.float32)
    scores = np.array([[[0.9], [0.8]]], np.float32)
    assert len(DECODE({"boxes": boxes, "scores": scores}, 0, 0.5).scores) == remain


def test_nothing_above_the_floor_is_an_empty_answer() -> None:
    """An all-clear has arrays of length zero and the right types."""
    objects = DECODE({key: value * 0 for key, value in _outputs(0).items()}, 0, 0.5)
    assert objects.boxes.shape == (0, 4)
    assert objects.classes.dtype == np.int64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["boxes", "scores"])
def test_one_bad_number_is_neither_an_alarm_nor_an_all_clear(name: str, bad: float) -> None:
    """A NaN or an infinity anywhere refuses the whole row, and that row alone."""
    outputs = _outputs(3)
    outputs[name][0, 17, 2] = bad
    with pytest.raises(InferenceError) as caught:
        DECODE(outputs, 0, 0.5)
    assert caught.value.fault is InferenceFault.NONFINITE
    assert len(DECODE(outputs, 1, 0.5).scores) > 0


def test_scores_that_are_no_probabilities_are_refused() -> None:
    """A graph that was cut before its sigmoid is not taken for one that sees nothing."""
    outputs = _outputs(0)
    outputs["scores"] = outputs["scores"] * 8 - 4
    with pytest.raises(InferenceError, match="expected scores from 0 to 1, found -4") as caught:
        DECODE(outputs, 0, 0.5)
    assert caught.value.fault is InferenceFault.SHAPE


def test_as_many_scores_as_boxes_are_expected() -> None:
    """Scores that belong to other boxes are refused."""
    outputs = _outputs(0)
    outputs["scores"] = outputs["scores"][:, :-1]
    with pytest.raises(InferenceError, match="expected a score for each of 300 boxes, found 299"):
        DECODE(outputs, 0, 0.5)


@pytest.mark.parametrize(
    ("boxes", "scores", "matches"),
    [
        pytest.param((None, 99, 4), (None, 99, 80), True, id="both named and of one length"),
        pytest.param((None, None, 4), (None, None, None), True, id="left open by the graph"),
        pytest.param((None, 99, 4), (None, 98, 80), False, id="of different length"),
        pytest.param((None, 99, 5), (None, 99, 80), False, id="five numbers to a box"),
        pytest.param((99, 4), (99, 80), False, id="without a batch"),
    ],
)
def test_a_family_is_recognised_by_names_and_shapes(
    boxes: tuple[int | None, ...], scores: tuple[int | None, ...], matches: bool
) -> None:
    """Outputs named boxes and scores are taken only in the shapes that can be decoded."""
    outputs = (Tensor("scores", scores, "tensor(float)"), Tensor("boxes", boxes, "tensor(float)"))
    reading = FAMILIES["boxes+scores"].read(Signature((), outputs, {}), HINTS)
    assert (reading is not None) is matches
