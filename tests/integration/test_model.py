"""Real model files in the real ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from support import blockmodel, graphs
from support.pictures import clip, frame, grey, view
from tocsin.detect import device
from tocsin.detect import session as adapter
from tocsin.detect.detector import Detector, open_detector
from tocsin.errors import InferenceError, InferenceFault, ModelError
from tocsin.frame import Detections
from tocsin.resources import find

LABELS = Path(__file__).parent.parent / "data" / "pedestrians-labels.coco.json"
WHITE, BLACK = 235, 16


@pytest.fixture(scope="module")
def bundled() -> Detector:
    """The bundled detector on the CPU."""
    return open_detector("nanodet-coco-416", "cpu", "auto", floor=0.5)


def _overlap(boxes: NDArray[np.float32], box: NDArray[np.float64]) -> NDArray[np.float64]:
    corner, far = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(far - corner, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / (areas - shared)


def _labelled(number: int, crowd: int) -> NDArray[np.float64]:
    """The labelled boxes of a frame, relative to it."""
    notes = json.loads(LABELS.read_text())["annotations"]
    boxes = [note["bbox"] for note in notes if note["image_id"] == number and note["iscrowd"] == crowd]
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return corners / (768, 576, 768, 576)


def _persons(found: Detections) -> NDArray[np.float32]:
    return found.boxes[found.classes == found.labels.index("person")]


@pytest.mark.parametrize("model", ["nanodet-coco-416", "nanodet-coco-416-int8"])
def test_the_bundled_model_finds_the_persons(model: str) -> None:
    """On frames of the bundled clip it finds nine in ten of the labelled persons and nobody who is not there."""
    detector = open_detector(model, "cpu", "auto", floor=0.5)
    hits = persons = strangers = 0
    for shot in clip(range(0, 201, 40), detector.input_width, detector.input_height):
        boxes = _persons(detector.detect([shot])[0])
        labels = _labelled(shot.number, crowd=0)
        persons += len(labels)
        hits += sum(_overlap(boxes, label).max(initial=0) > 0.5 for label in labels)
        known = np.concatenate([labels, _labelled(shot.number, crowd=1)]).astype(np.float32)
        strangers += sum(_overlap(known, box).max(initial=0) <= 0.5 for box in boxes.astype(np.float64))
    assert persons == 36, "the labels are there"
    assert hits / persons >= 0.9
    assert strangers <= 1


def test_the_bundled_model_says_what_it_is(bundled: Detector) -> None:
    """Name, input, classes, device and batch are known once it is open."""
    assert bundled.model_name == "nanodet-coco-416"
    assert (bundled.input_width, bundled.input_height, bundled.keep_aspect) == (416, 416, True)
    assert len(bundled.labels) == 80
    assert (bundled.labels[0], bundled.labels[43], bundled.labels[76]) == ("person", "knife", "scissors")
    assert (bundled.provider, bundled.device, bundled.degraded) == ("CPUExecutionProvider", "cpu", None)
    assert bundled.max_batch == 1
    assert bundled.warm() > 0


def test_a_batch_gives_what_single_frames_give() -> None:
    """The results do not depend on which frames travel together."""
    several = open_detector("nanodet-coco-416", "cpu", 3, floor=0.5)
    shots = list(clip(range(0, 30, 10), 416, 416))
    for alone, together in zip(
        [several.detect([shot])[0] for shot in shots], several.detect(shots), strict=True
    ):
        assert len(alone) == len(together) > 0
        np.testing.assert_allclose(alone.boxes, together.boxes, atol=1e-4)
        np.testing.assert_allclose(alone.scores, together.scores, atol=1e-4)


def test_nothing_is_printed(
    bundled: Detector, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening on a machine whose GPU does not load, and running, leaves stdout and stderr alone."""
    monkeypatch.setattr(device, "visible", lambda: True)
    open_detector("nanodet-coco-416", "auto", "auto", floor=0.5).warm()
    assert capfd.readouterr() == ("", "")


def test_an_unknown_name_comes_with_the_known_ones() -> None:
    """A misspelt model is refused with what there is."""
    with pytest.raises(
        ModelError,
        match=r"expected nanodet-coco-416, nanodet-coco-416-int8 or a path .* \(did you mean nanodet-coco-416\?\)",
    ):
        open_detector("nanodet-coco-461", "cpu", "auto", floor=0.5)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(3_000_000, id="in its weights"),
        pytest.param(7_600_000, id="near its end"),
        pytest.param(2, id="after two bytes"),
    ],
)
def test_a_model_that_was_cut_short_is_named(tmp_path: Path, cut: int) -> None:
    """A download that broke off is a model error with the file's name."""
    path = tmp_path / "cut.onnx"
    path.write_bytes(find("models/nanodet-coco-416.onnx").read_bytes()[:cut])
    with pytest.raises(
        ModelError, match=r"cut\.onnx: expected an ONNX model that can be run, found: Invalid"
    ):
        open_detector(str(path), "cpu", "auto", floor=0.5)


def test_a_model_of_ones_own_needs_only_its_path(tmp_path: Path) -> None:
    """Shapes and the names in the file are enough to run it."""
    detector = open_detector(str(graphs.save(tmp_path / "own.onnx")), "cpu", "auto", floor=0.5)
    assert (detector.model_name, detector.labels) == ("own", ("thing", "other"))
    bright, dark = detector.detect([frame(view(grey(32, 32, luma))) for luma in (WHITE, BLACK)])
    assert bright.boxes[0] == pytest.approx(np.array(graphs.BOX) / 32)
    assert len(dark) == 0


def test_channels_last_see_the_same(tmp_path: Path) -> None:
    """The order of the axes follows the file."""
    path = graphs.save(tmp_path / "own.onnx", nhwc=True)
    detector = open_detector(str(path), "cpu", 2, floor=0.5)
    assert [
        len(one) for one in detector.detect([frame(view(grey(32, 32, luma))) for luma in (BLACK, WHITE)])
    ] == [0, 1]


def test_a_bright_block_is_found_where_it_is(tmp_path: Path) -> None:
    """Through letterbox, batch, decoder and back, a block's cells are found at their place in the frame."""
    detector = open_detector(str(blockmodel.build(tmp_path / "blocks.onnx")), "cpu", "auto", floor=0.5)
    pixels = grey(64, 48, BLACK)
    pixels[16:32, 24:40] = WHITE  # whole cells of 8 pixels, since the margin above is 8
    found = detector.detect([frame(view(pixels))])[0]
    assert {detector.labels[index] for index in found.classes} == {"block"}
    assert (found.pixels == 8).all()
    spans = found.boxes[:, :2].min(axis=0), found.boxes[:, 2:].max(axis=0)
    assert np.concatenate(spans) == pytest.approx([24 / 64, 16 / 48, 40 / 64, 32 / 48])
    assert len(found) == 4


def test_a_manifest_beside_it_says_what_the_file_does_not(tmp_path: Path) -> None:
    """A file without names and sizes runs with the description that stands beside it."""
    path = graphs.save(tmp_path / "own.onnx", labels=None, size=("H", "W"))
    wanted = r"set input\.width and input\.height; labels, in a manifest\.yaml beside it"
    with pytest.raises(ModelError, match=wanted):
        open_detector(str(path), "cpu", "auto", floor=0.5)
    (tmp_path / "manifest.yaml").write_text(
        "models: {blades: {file: own.onnx, family: boxes+scores, "
        "input: {width: 32, height: 32}, labels: [knife, gun]}}"
    )
    detector = open_detector(str(path), "cpu", "auto", floor=0.5)
    assert (detector.model_name, detector.labels) == ("blades", ("knife", "gun"))
    assert len(detector.detect([frame(view(grey(32, 32, WHITE)))])[0]) == 1


def test_no_number_costs_its_frame_only(tmp_path: Path) -> None:
    """A real NaN of one row of a batch is a failed inference there, and a result in the next row."""
    path = graphs.save(tmp_path / "own.onnx", score="root")
    detector = open_detector(str(path), "cpu", 2, floor=0.5)
    dark, bright = detector.attempt([frame(view(grey(32, 32, luma))) for luma in (BLACK, WHITE)]).results
    assert isinstance(dark, InferenceError)
    assert dark.fault is InferenceFault.NONFINITE
    assert isinstance(bright, Detections)
    assert len(bright) == 1


def test_a_graph_without_its_last_step_is_refused(tmp_path: Path) -> None:
    """Raw logits are never taken for scores."""
    path = graphs.save(tmp_path / "own.onnx", score="logit")
    detector = open_detector(str(path), "cpu", "auto", floor=0.5)
    with pytest.raises(InferenceError, match="expected scores from 0 to 1, found -3"):
        detector.detect([frame(view(grey(32, 32, BLACK)))])


def test_a_fixed_batch_bounds_the_setting(tmp_path: Path) -> None:
    """A graph for two pictures runs on one, takes two by itself, and refuses to be asked for more."""
    path = graphs.save(tmp_path / "own.onnx", batch=2)
    assert open_detector(str(path), "cpu", "auto", floor=0.5).max_batch == 2
    detector = open_detector(str(path), "cpu", 1, floor=0.5)
    assert len(detector.detect([frame(view(grey(32, 32, WHITE)))])[0]) == 1
    with pytest.raises(
        ModelError, match=r"takes 2 pictures at a time: expected detector\.max_batch to be no more"
    ):
        open_detector(str(path), "cpu", 4, floor=0.5)


def test_a_run_that_the_runtime_refuses_is_an_inference_error(tmp_path: Path) -> None:
    """The runtime's own exception does not escape the adapter."""
    session, _ = adapter.open_session(graphs.save(tmp_path / "own.onnx"), "cpu")
    with pytest.raises(InferenceError, match="the detector failed on a batch: InvalidArgument") as caught:
        session.infer(np.zeros((1, 3, 16, 16), np.float32))
    assert caught.value.fault is InferenceFault.RUNTIME


def test_words_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """Bytes in the file's metadata that are no UTF-8 are a sentence, and no traceback."""
    path = graphs.save(tmp_path / "own.onnx", labels=("knife", "gun"))
    whole = path.read_bytes()
    assert whole.count(b"knife") == 1
    path.write_bytes(whole.replace(b"knife", b"kni\xff\xfe"))
    with pytest.raises(
        ModelError, match=r"own\.onnx: expected names and metadata in UTF-8, found other bytes"
    ):
        open_detector(str(path), "cpu", "auto", 0.4)
