"""The reference picture takes a camera's way, and the bundled model sees in it what an independent run saw."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from support import graphs
from tocsin import reference
from tocsin.capture.shrink import Shrinker
from tocsin.detect import manifest
from tocsin.detect.canary import iou
from tocsin.detect.detector import Detector, open_detector
from tocsin.errors import ModelError
from tocsin.footage.pictures import from_rgb
from tocsin.resources import find

BUNDLED = "nanodet-coco-416"
OWN = """
models:
  own:
    file: own.onnx
    canary: {picture: own.png, objects: [{class: thing, box: [0.25, 0.25, 0.75, 0.75], score: 1.0}]}
"""


@pytest.fixture(scope="module")
def bundled() -> Detector:
    detector = open_detector(BUNDLED, "cpu", "auto", floor=1.0)  # what rules ask for is no matter
    detector.warm()
    return detector


@pytest.mark.parametrize("name", [BUNDLED, f"{BUNDLED}-int8"])
def test_a_bundled_model_knows_its_picture(name: str) -> None:
    """What the daemon sees is well within what the manifest, made by another program, allows."""
    detector = open_detector(name, "cpu", "auto", floor=1.0)
    canary = reference.canary(name, detector)
    assert canary.check(detector) is None
    entry = manifest.read(find("models/manifest.yaml"))[name]
    assert entry.canary is not None
    found, _ = detector.inspect(canary._reference.frame, 0.3)
    for known in entry.canary.objects:
        best = max(range(len(found)), key=lambda index: iou(known.box, found.boxes[index]))
        assert iou(known.box, found.boxes[best]) >= 0.85
        assert found.scores[best] == pytest.approx(known.score, abs=0.03)
        assert found.labels[found.classes[best]] == known.class_name
    assert sorted(found.scores)[-len(entry.canary.objects) - 1] < 0.55, (
        "nothing else is near the 0.6 from which it would count"
    )


def test_a_detector_that_sees_too_little_is_noticed(bundled: Detector) -> None:
    """A session whose scores fall by a fifth misses the picture."""
    session = bundled._session

    class Weak:
        signature = session.signature

        def infer(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            outputs = session.infer(batch)
            return {**outputs, "scores": outputs["scores"] * np.float32(0.8)}

    bundled._session = Weak()
    try:
        assert "expected a person" in (reference.canary(BUNDLED, bundled).check(bundled) or "")
    finally:
        bundled._session = session


def test_the_picture_is_shrunk_as_a_camera_s(bundled: Detector) -> None:
    """Its pixels are those that a worker would have handed over, to the last bit."""
    shown = reference.canary(BUNDLED, bundled)._reference.frame
    stored = cv2.cvtColor(cv2.imread(str(find(reference.SHIPPED))), cv2.COLOR_BGR2RGB)
    expected = np.empty_like(shown.views[0].pixels)
    Shrinker().shrink(from_rgb(stored), expected)
    assert (shown.views[0].pixels == expected).all()
    assert (shown.width, shown.height) == (stored.shape[1], stored.shape[0])


def test_a_model_of_one_s_own_may_bring_its_picture(tmp_path: Path) -> None:
    """The manifest beside it names a picture in its folder; without one the shipped picture is learned."""
    path = graphs.save(tmp_path / "own.onnx")
    detector = open_detector(str(path), "cpu", "auto", floor=0.9)
    assert reference.canary(str(path), detector)._reference.objects is None
    (tmp_path / "manifest.yaml").write_text(OWN)
    cv2.imwrite(str(tmp_path / "own.png"), np.full((64, 64, 3), 255, np.uint8))
    assert reference.canary(str(path), detector).check(detector) is None
    cv2.imwrite(str(tmp_path / "own.png"), np.full((64, 64, 3), 100, np.uint8))
    assert reference.canary(str(path), detector).check(detector) is not None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "own.png: expected a reference picture, found: No such file"),
        (b"none", "own.png: expected an image"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    """The manifest is wrong, and the sentence says where."""
    path = graphs.save(tmp_path / "own.onnx")
    (tmp_path / "manifest.yaml").write_text(OWN)
    if content is not None:
        (tmp_path / "own.png").write_bytes(content)
    detector = open_detector(str(path), "cpu", "auto", floor=0.9)
    with pytest.raises(ModelError, match=why):
        reference.canary(str(path), detector)
