"""Models in the forms of every exporter are opened by their path and find what is in the picture, where it is.

The graphs are built here and give, in each exporter's own form, what an independent encoder makes of known boxes.
What real exports were compared with stands in models/README.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from numpy.typing import NDArray

from support import exports
from support.pictures import frame, grey, view
from tocsin.detect.detector import Detector, open_detector
from tocsin.errors import ModelError
from tocsin.frame import fit

Values = NDArray[Any]
Outputs = dict[str, Values]

WIDTH, HEIGHT = 96, 64
NAMES = ("person", "knife", "gun")
CELLS = 12 * 8 + 6 * 4 + 3 * 2
TRUTH = (((0.1, 0.2, 0.3, 0.7), 0.9, 0), ((0.5, 0.1, 0.95, 0.4), 0.8, 2), ((0.45, 0.5, 0.8, 0.9), 0.7, 1))
"""Box relative to the frame, score and class."""
FAINT = 0.02
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def _pixels(keep_aspect: bool) -> list[tuple[float, ...]]:
    """The boxes in pixels of the input, for a frame of 640x480 on a margin or stretched over all of it."""
    wide, high = fit(640, 480, WIDTH, HEIGHT, keep_aspect)
    left, top = (WIDTH - wide) // 2, (HEIGHT - high) // 2
    return [
        (left + x1 * wide, top + y1 * high, left + x2 * wide, top + y2 * high)
        for (x1, y1, x2, y2), _, _ in TRUTH
    ]


def _centred(box: tuple[float, ...], wide: float = 1, high: float = 1) -> tuple[float, ...]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2 / wide, (y1 + y2) / 2 / high, (x2 - x1) / wide, (y2 - y1) / high


def _probabilities(count: int, places: list[int], classes: int = 3) -> Values:
    """A score for every class of every anchor; the objects stand at these places."""
    scores = np.full((count, classes), FAINT, np.float32)
    scores[:, 0] /= 2
    for place, (_, score, label) in zip(places, TRUTH, strict=True):
        scores[place, label] = score
    return scores


def _logit(scores: Values) -> Values:
    return np.log(scores / (1 - scores)).astype(np.float32)


def yolov8() -> Outputs:
    places, table = [3, 100, 120], np.zeros((CELLS, 7), np.float32)
    table[:, 2:4] = 4
    table[:, 4:] = _probabilities(CELLS, places)
    for place, box in zip(places, _pixels(True), strict=True):
        table[place, :4] = _centred(box)
    return {"output0": table.T[np.newaxis].copy()}


def yolov5(anchors: int = 3 * CELLS) -> Outputs:
    places, table = [5, 77, anchors - 1], np.zeros((anchors, 8), np.float32)
    table[:, 2:4], table[:, 4] = 4, 0.01
    table[:, 5:] = _probabilities(anchors, places)
    for place, box in zip(places, _pixels(True), strict=True):
        table[place, :4], table[place, 4] = _centred(box), 0.5
        table[place, 5:] *= 1.0
    table[:, 5:] = np.minimum(table[:, 5:], 1)
    return {"output": table[np.newaxis]}


def yolox() -> Outputs:
    """The cell of each level is found by walking over it, as the exporter's rows are laid out."""
    corners = [
        (x, y, stride)
        for stride in (8, 16, 32)
        for y in range(HEIGHT // stride)
        for x in range(WIDTH // stride)
    ]
    table = yolov5(CELLS)["output"][0].copy()
    for row, (x, y, stride) in enumerate(corners):
        centre_x, centre_y, wide, high = table[row, :4]
        table[row, :4] = (
            centre_x / stride - x,
            centre_y / stride - y,
            np.log(wide / stride),
            np.log(high / stride),
        )
    return {"output": table[np.newaxis]}


def end_to_end(kind: Any = np.float32) -> Outputs:
    rows = np.zeros((1, 300, 6), kind)
    for row, (box, (_, score, label)) in enumerate(zip(_pixels(True), TRUTH, strict=True)):
        rows[0, row] = (*box, score, label)
    return {"output0": rows}


def ultralytics_rtdetr() -> Outputs:
    rows = np.zeros((1, 30, 6), np.float32)
    for row, (box, (_, score, label)) in enumerate(zip(_pixels(False), TRUTH, strict=True)):
        rows[0, row] = (*_centred(box, WIDTH, HEIGHT), score, label)
    return {"output0": rows}


def detr_deploy() -> Outputs:
    boxes, scores, labels = (
        np.zeros((1, 9, 4), np.float32),
        np.zeros((1, 9), np.float32),
        np.zeros((1, 9), int),
    )
    for row, (box, score, label) in enumerate(TRUTH):
        boxes[0, row], scores[0, row], labels[0, row] = box, score, label
    return {"labels": labels, "boxes": boxes, "scores": scores}


def _queries(names: tuple[str, str], logits: Values) -> Outputs:
    boxes = np.full((1, len(logits), 4), 0.3, np.float32)
    for row, (box, _, _) in enumerate(TRUTH):
        boxes[0, row] = _centred(box)
    return {names[1]: logits[np.newaxis], names[0]: boxes}


def detr() -> Outputs:
    scores = _probabilities(20, [0, 1, 2])
    rest = 1 - scores.sum(axis=1, keepdims=True)
    return _queries(("pred_boxes", "logits"), np.log(np.concatenate([scores, rest], axis=1)) + 3)


def detr_sigmoid() -> Outputs:
    return _queries(("pred_boxes", "logits"), _logit(_probabilities(20, [0, 1, 2])))


def rf_detr() -> Outputs:
    unused = np.full((20, 1), 5, np.float32)
    return _queries(
        ("dets", "labels"), np.concatenate([_logit(_probabilities(20, [0, 1, 2])), unused], axis=1)
    )


def tensorflow() -> Outputs:
    boxes, scores = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10), np.float32)
    classes = np.ones((1, 10), np.float32)
    for row, ((x1, y1, x2, y2), score, label) in enumerate(TRUTH):
        boxes[0, row], scores[0, row], classes[0, row] = (y1, x1, y2, x2), score, label + 1
    scores[0, 5] = 0.99  # behind the number of detections: nobody's
    return {
        "detection_boxes": boxes,
        "detection_scores": scores,
        "detection_classes": classes,
        "num_detections": np.array([3], np.float32),
        "raw_detection_boxes": np.zeros((1, 50, 4), np.float32),
    }


def _one_picture(names: tuple[str, str, str], first: int) -> Outputs:
    labels = np.array([label + first for _, _, label in TRUTH], np.int64)
    scores = np.array([score for _, score, _ in TRUTH], np.float32)
    return {names[0]: np.array(_pixels(False), np.float32), names[1]: labels, names[2]: scores}


def torchvision() -> Outputs:
    return _one_picture(("boxes", "labels", "scores"), 1)


def detectron2() -> Outputs:
    return _one_picture(("pred_boxes", "pred_classes", "scores"), 0) | {"size": np.array([64, 96], np.int64)}


def without_names() -> Outputs:
    return dict(zip(("1234", "1235", "1236"), torchvision().values(), strict=True))


def nms_plugin() -> Outputs:
    boxes, scores, classes = np.zeros((1, 8, 4), np.float32), np.ones((1, 8), np.float32), np.full((1, 8), -1)
    for row, (box, (_, score, label)) in enumerate(zip(_pixels(True), TRUTH, strict=True)):
        boxes[0, row], scores[0, row], classes[0, row] = box, score, label
    boxes[0, 3:] = np.nan  # memory that nobody wrote
    return {
        "num_dets": np.array([[3]], np.int32),
        "det_boxes": boxes,
        "det_scores": scores,
        "det_classes": classes.astype(np.int32),
    }


def mmdeploy() -> Outputs:
    rows = np.zeros((1, 20, 5), np.float32)
    labels = np.zeros((1, 20), np.int64)
    for row, (box, (_, score, label)) in enumerate(zip(_pixels(True), TRUTH, strict=True)):
        rows[0, row], labels[0, row] = (*box, score), label
    return {"dets": rows, "labels": labels}


def boxes_scores() -> Outputs:
    boxes = np.tile(np.array([1, 1, 5, 5], np.float32), (1, 40, 1))
    boxes[0, [4, 5, 6]] = _pixels(True)
    return {"boxes": boxes, "scores": _probabilities(40, [4, 5, 6])[np.newaxis]}


@dataclass(frozen=True)
class Case:
    """One export: its outputs, its input, what its file tells, and what a manifest must add."""

    family: str
    outputs: Callable[[], Outputs]
    entry: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None
    names: tuple[str, ...] | None = NAMES
    shape: tuple[int | str, ...] = (1, 3, HEIGHT, WIDTH)
    kind: Any = np.float32
    factor: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)


LABELS = {"labels": list(NAMES)}
DYNAMIC = {"width": WIDTH, "height": HEIGHT}
CASES = [
    Case("boxes+scores", boxes_scores),
    Case("yolov8", yolov8),
    Case("yolov8", yolov8, metadata={"imgsz": f"[{HEIGHT}, {WIDTH}]"}, shape=("N", 3, "H", "W")),
    Case("yolov5", yolov5, factor=0.5),
    Case("yolox", yolox, {"family": "yolox"}, factor=0.5),
    Case("yolox-decoded", lambda: yolov5(CELLS), {"family": "yolox-decoded"}, factor=0.5),
    Case("end-to-end", end_to_end, metadata={"end2end": "True"}),
    Case("end-to-end", lambda: end_to_end(np.float16), kind=np.float16),
    Case("ultralytics-rtdetr", ultralytics_rtdetr, metadata={"head": "RTDETRDecoder"}),
    Case("detr-deploy", detr_deploy, LABELS, names=None, extra={"scaled": "boxes"}),
    Case("detr", detr, {**LABELS, "input": {**IMAGENET, "fit": "stretch"}}, names=None),
    Case("detr-sigmoid", detr_sigmoid, {**LABELS, "input": IMAGENET}, names=None),
    Case("rf-detr", rf_detr, LABELS, names=None),
    Case(
        "tensorflow",
        tensorflow,
        {**LABELS, "input": DYNAMIC},
        names=None,
        shape=(1, "H", "W", 3),
        kind=np.uint8,
    ),
    Case(
        "torchvision",
        torchvision,
        {**LABELS, "input": DYNAMIC},
        names=None,
        shape=(3, "H", "W"),
        extra={"open_lengths": True},
    ),
    Case(
        "torchvision",
        without_names,
        {**LABELS, "family": "torchvision"},
        names=None,
        extra={"open_lengths": True},
    ),
    Case("detectron2", detectron2, LABELS, names=None, shape=(3, HEIGHT, WIDTH)),
    Case("nms-plugin", nms_plugin),
    Case("mmdeploy", mmdeploy, {"input": IMAGENET}),
]


def _open(folder: Path, case: Case, entry: Mapping[str, Any] | None) -> Detector:
    path = exports.save(
        folder / "own.onnx",
        case.outputs(),
        shape=case.shape,
        kind=case.kind,
        metadata=case.metadata,
        names=case.names,
        **case.extra,
    )
    if entry is not None:
        described = {"models": {"own": {"file": "own.onnx", **entry}}}
        (folder / "manifest.yaml").write_text(yaml.safe_dump(described))
    return open_detector(str(path), "cpu", "auto", floor=0.3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family} of {case.outputs.__name__}")
def test_an_export_finds_what_is_in_the_picture(tmp_path: Path, case: Case) -> None:
    """Boxes lie in the frame to half a pixel of the input, with their classes and scores, best first."""
    detector = _open(tmp_path, case, case.entry)
    size = fit(640, 480, WIDTH, HEIGHT, detector.keep_aspect)
    (found,) = detector.detect([frame(view(grey(*size)))])
    assert [detector.labels[label] for label in found.classes] == [NAMES[label] for _, _, label in TRUTH]
    assert found.scores == pytest.approx([score * case.factor for _, score, _ in TRUTH], abs=2e-3)
    pixels = np.array([*size, *size])
    for box, (wanted, _, _) in zip(found.boxes, TRUTH, strict=True):
        assert np.abs(box * pixels - np.array(wanted) * pixels).max() < 0.5


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.entry],
    ids=lambda case: f"{case.family} of {case.outputs.__name__}",
)
def test_an_export_that_leaves_something_open_says_all_of_it(tmp_path: Path, case: Case) -> None:
    """Without its manifest it is refused in one sentence, which names the first keys that the manifest needs."""
    with pytest.raises(ModelError, match=r"own\.onnx: the file does not tell .*: set ") as caught:
        _open(tmp_path, case, None)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert any(key in sentence for key in ("labels", "family", "input.mean", "input.width"))


@pytest.mark.parametrize(
    ("scores", "values"),
    [
        pytest.param("probabilities", [0.1, 0.7, 0.2], id="probabilities"),
        pytest.param("softmax", np.log([0.1, 0.7, 0.2]) + 2, id="logits that compete"),
        pytest.param("sigmoid", np.log([0.1 / 0.9, 0.7 / 0.3, 0.2 / 0.8]), id="logits by themselves"),
    ],
)
def test_a_classifier_marks_the_whole_view(tmp_path: Path, scores: str, values: list[float]) -> None:
    """One box covers the view, margin or not, and has the class and its probability."""
    outputs = np.array([values], np.float32)
    case = Case("classifier", lambda: {"scores": outputs})
    entry = {
        "family": "classifier",
        "scores": scores,
        "input": {"mean": [0, 0, 0], "fit": "letterbox", **DYNAMIC},
    }
    detector = _open(tmp_path, case, entry)
    (found,) = detector.detect([frame(view(grey(*fit(640, 480, WIDTH, HEIGHT, keep_aspect=True))))])
    assert found.boxes.tolist() == [[0, 0, 1, 1]]
    assert found.classes.tolist() == [1]
    assert found.scores == pytest.approx([0.7], abs=1e-5)


def test_a_classifier_says_every_key_that_it_needs(tmp_path: Path) -> None:
    """Nobody has to start three times to learn what to write."""
    case = Case("classifier", lambda: {"output": np.zeros((1, 3), np.float32)}, names=None)
    with pytest.raises(ModelError, match=r"set family: classifier; scores: .*; labels; input\.mean"):
        _open(tmp_path, case, None)
    told = {"family": "classifier", "labels": ["a", "b", "c"], "input": {"mean": [0, 0, 0]}}
    with pytest.raises(
        ModelError, match=r"what its scores are: set scores: probabilities, softmax or sigmoid,"
    ):
        _open(tmp_path, case, told)


def test_a_model_of_another_time_is_refused(tmp_path: Path) -> None:
    """An operator set that ONNX Runtime does not know yet is one sentence with its number."""
    path = exports.save(tmp_path / "own.onnx", boxes_scores(), shape=(1, 3, HEIGHT, WIDTH), names=NAMES)
    model = onnx.load(str(path))
    model.opset_import[0].version = 99
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"own\.onnx: expected an ONNX model that can be run, found: "
    ) as caught:
        open_detector(str(path), "cpu", "auto", floor=0.3)
    assert "99" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_reads_the_file_above_is_refused(tmp_path: Path) -> None:
    """What a model keeps elsewhere is looked at before anything is opened."""
    path = exports.save(tmp_path / "own.onnx", boxes_scores(), shape=(1, 3, HEIGHT, WIDTH), names=NAMES)
    model = onnx.load(str(path))
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    told = tensor.external_data.add()
    told.key, told.value = "location", "../secret"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"the weights beside the model, found them in '\.\./secret', outside"
    ):
        open_detector(str(path), "cpu", "auto", floor=0.3)
