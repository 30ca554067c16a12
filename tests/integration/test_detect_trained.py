"""Exports with trained weights, as their makers publish them, find what their own way of use finds.

What is expected comes from ONNX Runtime alone, with preparation, decoding and suppression written out here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import yaml
from numpy.typing import NDArray

from support.pictures import clip, frame, view
from support.trained import Carried
from tocsin.detect.detector import open_detector
from tocsin.frame import Detections, Frame, fit

NUDENET = Carried("nudenet", "3.4.2", "nudenet/320n.onnx")
DDDDOCR = Carried("ddddocr", "1.6.1", "ddddocr/common_det.onnx")
RAPIDOCR = Carried(
    "rapidocr-onnxruntime", "1.4.4", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
)
FLOOR = 0.15
OVERLAP = 0.6
"""Of two boxes of one class that overlap by more, the one with the lower score is the same object."""

Floats = NDArray[np.float64]
Candidate = tuple[Floats, float, int]


def _run(model: Path, values: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: values})
    return np.asarray(output[0], np.float32)


def _letterboxed(picture: Frame, size: int, *, bgr: bool, scale: float) -> NDArray[np.float32]:
    """The picture in the middle of a grey square, as floats, channels first."""
    shown = picture.views[0]
    code = cv2.COLOR_YUV2BGR_I420 if bgr else cv2.COLOR_YUV2RGB_I420
    square = np.full((size, size, 3), 114, np.uint8)
    top, left = (size - shown.height) // 2, (size - shown.width) // 2
    square[top : top + shown.height, left : left + shown.width] = cv2.cvtColor(shown.pixels, code)
    return (square.astype(np.float32) * scale).transpose(2, 0, 1)[np.newaxis]


def _yolov8(model: Path, picture: Frame) -> Iterator[Candidate]:
    table = _run(model, _letterboxed(picture, 320, bgr=False, scale=1 / 255))
    for x, y, w, h, *scores in table.T.astype(np.float64):
        for label, score in enumerate(scores):
            if score >= FLOOR:
                yield np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), score, label


def _yolox(model: Path, picture: Frame) -> Iterator[Candidate]:
    table = _run(model, _letterboxed(picture, 416, bgr=True, scale=1.0))
    row = 0
    for stride in (8, 16, 32):
        for down in range(416 // stride):
            for across in range(416 // stride):
                x, y, w, h, certain, *scores = table[row].astype(np.float64)
                row += 1
                cx, cy = (x + across) * stride, (y + down) * stride
                w, h = np.exp(w) * stride, np.exp(h) * stride
                for label, score in enumerate(scores):
                    if certain * score >= FLOOR:
                        box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                        yield box, certain * score, label


def _overlap(one: Floats, other: Floats) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def _kept(candidates: Iterator[Candidate]) -> list[Candidate]:
    """The best of those that lie upon one another, class by class."""
    kept: list[Candidate] = []
    for box, score, label in sorted(candidates, key=lambda one: -one[1]):
        if all(label != known or _overlap(box, seen) <= OVERLAP for seen, _, known in kept):
            kept.append((box, score, label))
    return kept


def _in_frame(box: Floats, picture: Frame, size: int) -> Floats:
    shown = picture.views[0]
    top, left = (size - shown.height) // 2, (size - shown.width) // 2
    moved = box - np.array([left, top, left, top])
    return np.clip(moved / np.array([shown.width, shown.height] * 2), 0, 1)


def _assert_alike(found: Detections, wanted: list[Candidate], picture: Frame, size: int) -> None:
    assert len(wanted) >= 1, "the picture shows something that this model knows"
    assert found.classes.tolist() == [label for _, _, label in wanted]
    assert found.scores == pytest.approx([score for _, score, _ in wanted], abs=1e-3)
    for box, (expected, _, _) in zip(found.boxes, wanted, strict=True):
        assert np.abs(box - _in_frame(expected, picture, size)).max() * size < 0.5


def _drawn(draw: Callable[[NDArray[np.uint8]], None], width: int, height: int) -> Frame:
    """A frame with what is drawn on white."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    draw(canvas)
    return frame(view(cv2.cvtColor(canvas, cv2.COLOR_BGR2YUV_I420)))


def _write(canvas: NDArray[np.uint8], words: str, at: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, words, at, cv2.FONT_HERSHEY_DUPLEX, scale, (20, 20, 20), 2, cv2.LINE_AA)


def test_a_trained_yolov8_finds_what_its_export_finds(tmp_path: Path) -> None:
    """An export of Ultralytics with its metadata needs nothing said, on frames of a street."""
    model = NUDENET.unpack(tmp_path)
    detector = open_detector(str(model), "cpu", "auto", FLOOR)
    assert detector.labels[1] == "FACE_FEMALE"
    seen = 0
    for picture in clip(range(0, 250, 25), detector.input_width, detector.input_height):
        wanted = _kept(_yolov8(model, picture))
        (found,) = detector.detect([picture])
        if wanted:
            _assert_alike(found, wanted, picture, 320)
        assert len(found.classes) == len(wanted)
        seen += len(wanted)
    assert seen >= 1, "the clip shows something that this model knows"


def test_a_trained_yolox_finds_what_its_export_finds(tmp_path: Path) -> None:
    """An export on its grid needs its family and labels said, on words that stand apart."""
    model = DDDDOCR.unpack(tmp_path)
    entry = {"models": {"words": {"file": model.name, "family": "yolox", "labels": ["word"]}}}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(entry))
    detector = open_detector(str(model), "cpu", "auto", FLOOR)

    def draw(canvas: NDArray[np.uint8]) -> None:
        for words, at in (("FIRE", (30, 70)), ("exit", (230, 150)), ("42", (120, 260))):
            _write(canvas, words, at, 1.6)

    picture = _drawn(draw, *fit(400, 300, 416, 416, keep_aspect=True))
    wanted = _kept(_yolox(model, picture))
    (found,) = detector.detect([picture])
    assert len(wanted) >= 3, "there are three words"
    _assert_alike(found, wanted, picture, 416)


def test_a_trained_classifier_tells_upright_words_from_turned_ones(tmp_path: Path) -> None:
    """A classifier of whole views gives its own verdict, and the number that its graph gives."""
    model = RAPIDOCR.unpack(tmp_path)
    entry = {
        "file": model.name,
        "family": "classifier",
        "scores": "probabilities",
        "labels": ["upright", "turned"],
        "input": {"width": 192, "height": 48, "mean": [0.5] * 3, "std": [0.5] * 3, "colour": "bgr"},
    }
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({"models": {"words": entry}}))
    detector = open_detector(str(model), "cpu", "auto", FLOOR)
    for turned, verdict in ((False, "upright"), (True, "turned")):

        def draw(canvas: NDArray[np.uint8], turned: bool = turned) -> None:
            _write(canvas, "EMERGENCY", (8, 33), 0.95)
            if turned:
                canvas[:] = canvas[::-1, ::-1].copy()

        picture = _drawn(draw, 192, 48)
        bgr = cv2.cvtColor(picture.views[0].pixels, cv2.COLOR_YUV2BGR_I420)
        values = (bgr.astype(np.float32) / 255 - 0.5) / 0.5
        scores = _run(model, values.transpose(2, 0, 1)[np.newaxis])
        (found,) = detector.detect([picture])
        assert detector.labels[found.classes[0]] == verdict
        assert float(found.scores[0]) == pytest.approx(float(scores.max()), abs=1e-4)
