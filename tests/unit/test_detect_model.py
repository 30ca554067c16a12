"""What a model's file and its description say is put together, or refused with the keys to set."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tocsin.detect.describe import describe
from tocsin.detect.manifest import Entry, InputFormat, InputKeys, Layout, Numbers
from tocsin.detect.model import check_classes
from tocsin.detect.modelfile import check_file
from tocsin.detect.session import Signature, Tensor
from tocsin.errors import ModelError

PATH = Path("/models/own.onnx")
NAMES = {"names": "{0: 'knife', 1: 'gun'}"}
Shape = tuple[int | None, ...]


def _signature(
    shape: Shape = (None, 3, 320, 640),
    metadata: Mapping[str, str] = NAMES,
    scores: str = "scores",
    kind: str = "tensor(float)",
) -> Signature:
    return Signature(
        inputs=(Tensor("images", shape, kind),),
        outputs=(
            Tensor("boxes", (None, 99, 4), "tensor(float)"),
            Tensor(scores, (None, 99, 2), "tensor(float)"),
        ),
        metadata=metadata,
    )


@pytest.mark.parametrize(
    ("signature", "layout"),
    [
        pytest.param(_signature(), Layout.NCHW, id="channels first"),
        pytest.param(_signature((1, 320, 640, 3)), Layout.NHWC, id="channels last"),
        pytest.param(
            _signature((None, 3, None, None), NAMES | {"imgsz": "[320, 640]"}),
            Layout.NCHW,
            id="size in metadata",
        ),
        pytest.param(
            _signature(metadata={"names": json.dumps({"0": "knife", "1": "gun"})}), Layout.NCHW, id="JSON"
        ),
        pytest.param(_signature(metadata={"names": '["knife", "gun"]'}), Layout.NCHW, id="a list of names"),
    ],
)
def test_a_file_tells_enough_by_itself(signature: Signature, layout: Layout) -> None:
    """Shapes and the exporter's metadata give input, labels, family and batch."""
    model = describe("own", PATH, None, signature)
    assert model.takes == InputFormat(width=640, height=320, layout=layout)
    assert model.labels == ("knife", "gun")
    assert model.batch == signature.inputs[0].shape[0]


@pytest.mark.parametrize(
    ("signature", "sentence"),
    [
        pytest.param(_signature(metadata={}), "names of its classes: set labels", id="no names"),
        pytest.param(
            _signature(metadata={"names": "{0: 'a', 2: 'b'}"}), "set labels", id="a gap in the names"
        ),
        pytest.param(
            _signature(metadata={"names": "__import__('os')"}), "set labels", id="names that are code"
        ),
        pytest.param(
            _signature(metadata={"names": f"[{'9' * 5000}]"}), "set labels", id="a number without an end"
        ),
        pytest.param(_signature(metadata={"names": "[" * 9999}), "set labels", id="lists in lists"),
        pytest.param(_signature(metadata={"names": "{[]: 'knife'}"}), "set labels", id="a list as a key"),
        pytest.param(
            _signature((None, 3, None, None), NAMES | {"imgsz": "[60000, 640]"}),
            "expected an input of 2 to 8192 pixels a side, found 640x60000",
            id="a size that is none",
        ),
        pytest.param(
            _signature((None, 3, None, None), NAMES | {"imgsz": "[-640, 640]"}),
            "found 640x-640",
            id="a size below nothing",
        ),
        pytest.param(
            _signature((None, 3, 1, 8193)), "2 to 8192 pixels a side, found 8193x1", id="a size in the graph"
        ),
        pytest.param(
            _signature(metadata={"names": "['knife']"}), "expected 2 labels, .* found 1", id="too few names"
        ),
        pytest.param(
            _signature((None, 3, None, None)), "set input.width and input.height", id="an open size"
        ),
        pytest.param(
            _signature((None, 3, 3, 3)), "order of the axes .*: set input.layout", id="either layout"
        ),
        pytest.param(
            _signature((None, 1, 32, 32)), "order of the axes .*: set input.layout", id="one channel"
        ),
        pytest.param(
            _signature(kind="tensor(int32)"), r"expected one input .* tensor\(int32\)", id="other numbers"
        ),
        pytest.param(
            _signature((None, None, None, 3), {}),
            "size of the input .* names of its classes: set input.width and input.height; labels, in a manifest",
            id="an open size, channels last, and no names",
        ),
        pytest.param(
            _signature((None, 3, None, None), scores="logits"),
            "tell the size of the input .*: set input.width and input.height, in a manifest",
            id="an open size and perhaps another family",
        ),
        pytest.param(
            _signature((32, 32)), r"expected one input of three or four dimensions", id="two dimensions"
        ),
        pytest.param(
            _signature(scores="logits"),
            r"expected the outputs of one of the families boxes\+scores",
            id="another family",
        ),
    ],
)
def test_what_a_file_leaves_open_is_refused(signature: Signature, sentence: str) -> None:
    """One sentence names the file and what to set, instead of a guess that would cost detections."""
    with pytest.raises(ModelError, match=sentence) as caught:
        describe("own", PATH, None, signature)
    assert str(caught.value).startswith(f"{PATH}: ")


def _entry(width: int = 640, family: str = "boxes+scores") -> Entry:
    return Entry(
        file="own.onnx",
        family=family,
        input=InputKeys(width=width, height=320, pad=0),
        labels=("blade", "pistol"),
    )


def test_a_manifest_comes_before_the_file() -> None:
    """What somebody wrote down counts more than what an exporter did."""
    model = describe("own", PATH, _entry(), _signature((None, 3, None, None)))
    assert model.takes.pad == 0
    assert model.labels == ("blade", "pistol")


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        pytest.param(
            _entry(width=512), r"expected an input of \[N, 3, 320, 512\], found \[N, 3, 320, 640\]", id="size"
        ),
        pytest.param(
            _entry(family="yolo12"), r"family: expected one of boxes\+scores, .*, found yolo12", id="family"
        ),
    ],
)
def test_a_manifest_that_contradicts_the_file_is_refused(entry: Entry, sentence: str) -> None:
    """A description of another model is not believed."""
    with pytest.raises(ModelError, match=sentence):
        describe("own", PATH, entry, _signature())


def _one_output(shape: Shape, metadata: Mapping[str, str] = NAMES, kind: str = "tensor(float)") -> Signature:
    return Signature(
        (Tensor("images", (1, 3, 320, 640), kind),), (Tensor("output", shape, "tensor(float)"),), metadata
    )


CELLS = 80 * 40 + 40 * 20 + 20 * 10


@pytest.mark.parametrize(
    ("signature", "family"),
    [
        pytest.param(_one_output((1, 6, CELLS)), "yolov8", id="a column for each anchor"),
        pytest.param(
            _one_output((None, None, None), NAMES | {"stride": "32"}), "yolov8", id="all open, with a stride"
        ),
        pytest.param(_one_output((1, 3 * CELLS, 7)), "yolov5", id="three rows to a cell"),
        pytest.param(_one_output((1, 300, 6)), "end-to-end", id="a short list"),
        pytest.param(
            _one_output((None, None, None), NAMES | {"end2end": "True"}),
            "end-to-end",
            id="all open, end to end",
        ),
        pytest.param(
            _one_output((1, None, 6), NAMES | {"args": "{'nms': True}"}), "end-to-end", id="suppressed in it"
        ),
        pytest.param(
            _one_output((1, 300, 6), NAMES | {"head": "RTDETRDecoder"}), "ultralytics-rtdetr", id="RT-DETR"
        ),
        pytest.param(_one_output((1, 2), NAMES | {"task": "classify"}), "classifier", id="classes alone"),
    ],
)
def test_the_family_is_known_by_shapes_and_metadata(signature: Signature, family: str) -> None:
    """Exactly one family reads the outputs of each exporter."""
    assert describe("own", PATH, None, signature).family.name == family


@pytest.mark.parametrize(
    ("signature", "sentence"),
    [
        pytest.param(
            _one_output((1, CELLS, 7)), "those of yolox or yolox-decoded: set family", id="a row to a cell"
        ),
        pytest.param(_one_output((1, 2)), "set family: classifier; scores: .*; input.mean", id="a vector"),
        pytest.param(
            _one_output((1, 2), {}), "set family: classifier; scores: .*; labels; input.mean", id="bare"
        ),
        pytest.param(
            _one_output((1, 3 * CELLS + 1, 7)),
            "expected the outputs of one of the families",
            id="another grid",
        ),
    ],
)
def test_what_several_families_could_read_is_refused(signature: Signature, sentence: str) -> None:
    """One sentence holds every key that is missing."""
    with pytest.raises(ModelError, match=sentence):
        describe("own", PATH, None, signature)


def test_a_manifest_may_name_the_family_that_no_shape_tells() -> None:
    """A grid of one's own is read as the family that is asked for, and no other kind of output is."""
    signature = _one_output((1, 100, 7))
    assert describe("own", PATH, Entry(file="own.onnx", family="yolov5"), signature).family.name == "yolov5"
    with pytest.raises(ModelError, match=r"family: expected logits .*, found output \[1, 100, 7\]"):
        describe("own", PATH, Entry(file="own.onnx", family="detr"), signature)


def test_whole_numbers_are_the_pixels_themselves() -> None:
    """A model that takes bytes gets no arithmetic, and a manifest that asks for some is refused."""
    signature = _one_output((1, 6, CELLS), kind="tensor(uint8)")
    takes = describe("own", PATH, None, signature).takes
    assert (takes.numbers, takes.scale, takes.mean) == (Numbers.UINT8, 1.0, (0, 0, 0))
    scaled = Entry(file="own.onnx", input=InputKeys(scale=0.5))
    with pytest.raises(ModelError, match="expected scale 1, mean 0 and std 1 for an input of whole numbers"):
        describe("own", PATH, scaled, signature)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(b"", r"an empty file \(0 bytes\)", id="empty"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "a git-lfs pointer", id="git-lfs"),
        pytest.param(b"\n<!DOCTYPE html><html>", r"a web page \(22 bytes\)", id="HTML"),
        pytest.param(b"PK\x03\x04", "a zip archive", id="a PyTorch checkpoint"),
        pytest.param(b"\x89PNG\r\n", "something else that begins with 89 50 4e 47", id="a picture"),
    ],
)
def test_a_file_that_is_no_model_is_named_for_what_it_is(tmp_path: Path, content: bytes, found: str) -> None:
    """The error says which file, how large, and what its first bytes look like."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"model.onnx: expected an ONNX model, found {found}"):
        check_file(path, None)


def test_a_digest_must_agree(tmp_path: Path) -> None:
    """A model that was cut short or exchanged is not started."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x07")
    with pytest.raises(
        ModelError, match=r"expected the sha256 00*, found .* \(2 bytes, the beginning of an ONNX"
    ):
        check_file(path, "0" * 64)
    check_file(path, hashlib.sha256(b"\x08\x07").hexdigest())


@pytest.mark.parametrize(("name", "reason"), [("missing.onnx", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, reason: str) -> None:
    """A missing file and a folder are one sentence each."""
    with pytest.raises(ModelError, match=f"expected a model file, found: {reason}"):
        check_file(tmp_path / name, None)


def test_an_unknown_class_comes_with_the_nearest_one() -> None:
    """A misspelt class of a rule is named with the one that was probably meant."""
    unknown = check_classes(("person", "knife"), ("knife", "persn", "zebra"))
    assert [str(one) for one in unknown] == [
        "expected a class of the model, found persn (did you mean person?)",
        "expected a class of the model, found zebra (it has person, knife)",
    ]
