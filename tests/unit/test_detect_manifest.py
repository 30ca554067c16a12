"""A manifest is read strictly."""

from pathlib import Path

import pytest

from tocsin.detect.manifest import CanaryKeys, Colour, Fit, InputKeys, KnownObject, Layout, read
from tocsin.errors import ModelError
from tocsin.resources import find

SMALL = """
models:
  blades:
    file: blades.onnx
    family: boxes+scores
    input: {width: 640, height: 384, layout: nhwc, colour: bgr, scale: 1, mean: [1, 2, 3], fit: stretch, pad: 0}
    labels: [knife, gun]
    canary: {picture: desk.jpg, objects: [{class: knife, box: [0.1, 0.2, 0.3, 0.4], score: 0.7}]}
"""


@pytest.mark.parametrize("name", ["nanodet-coco-416", "nanodet-coco-416-int8"])
def test_the_shipped_manifest_describes_the_shipped_models(name: str) -> None:
    """A bundled model's file stands beside its manifest, with digest, licence and origin."""
    shipped = find("models/manifest.yaml")
    entry = read(shipped)[name]
    assert (shipped.parent / entry.file).is_file()
    assert entry.sha256 is not None
    assert entry.licence
    assert entry.origin
    assert (entry.input.width, entry.input.height) == (416, 416)


def test_every_key_is_read(tmp_path: Path) -> None:
    """A user's manifest sets what a file cannot tell."""
    path = tmp_path / "manifest.yaml"
    path.write_text(SMALL)
    entry = read(path)["blades"]
    assert entry.labels == ("knife", "gun")
    known = KnownObject(class_name="knife", box=(0.1, 0.2, 0.3, 0.4), score=0.7)
    assert entry.canary == CanaryKeys(picture="desk.jpg", objects=(known,))
    assert entry.input == InputKeys(
        width=640,
        height=384,
        layout=Layout.NHWC,
        colour=Colour.BGR,
        scale=1.0,
        mean=(1.0, 2.0, 3.0),
        fit=Fit.STRETCH,
        pad=0,
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param(
            "layout: nhwc",
            "layout: nchv",
            r"models\.blades\.input\.layout: input should be",
            id="a wrong word",
        ),
        pytest.param("picture: desk", "picture: ../desk", r"canary\.picture", id="a picture elsewhere"),
        pytest.param(
            "class: knife", "clazz: knife", r"canary\.objects\[0\]\.class", id="an object without a class"
        ),
        pytest.param("file: blades", "fiel: blades", r"models\.blades\.file: ", id="a missing key"),
        pytest.param(
            "pad: 0", "pad: 0, padding: 1", r"models\.blades\.input\.padding: ", id="an unknown key"
        ),
        pytest.param("file: blades", "file: ../blades", r"models\.blades\.file: ", id="a file elsewhere"),
        pytest.param("models:", "detectors:", "expected the one key models at the top", id="another top"),
        pytest.param("class: knife, box", "class: [], box", r":8: .*: expected text$", id="no text"),
        pytest.param("[1, 2, 3]", "1", r":6: models\.blades\.input\.mean: expected a list$", id="no list"),
        pytest.param(
            "[knife, gun]", "knife", r":7: models\.blades\.labels: expected a list$", id="a label alone"
        ),
        pytest.param(
            "pad: 0}",
            "pad: 0}\n    file: x",
            r":7: models\.blades\.file: .* found it on line 4 too",
            id="twice",
        ),
        pytest.param(SMALL, "", "expected the one key models at the top, found nothing", id="an empty file"),
        pytest.param("pad: 0}", "pad: 0", r"manifest\.yaml:\d+: expected YAML", id="no YAML"),
    ],
)
def test_a_fault_is_named_with_its_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    """A manifest with a fault is refused in one sentence that says where it is."""
    path = tmp_path / "manifest.yaml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(ModelError, match=sentence) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder in its place is a model error too."""
    with pytest.raises(ModelError, match="expected a readable file, found: is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param("fit: stretch", "fit: &fit stretch", "an anchor or alias", id="an alias"),
        pytest.param("scale: 1,", "scale: .nan,", r"input\.scale: ", id="no number"),
        pytest.param("mean: [1, 2, 3]", "mean: [nan, 2, 3]", r"input\.mean\[0\]: ", id="no number by name"),
        pytest.param("width: 640", f"width: {'9' * 5000}", r"input\.width: ", id="a number without an end"),
        pytest.param("labels: [knife, gun]", f"labels: {'[' * 3000}", "20 levels", id="lists in lists"),
        pytest.param(
            "labels: [knife, gun]", f"labels: [{'knife, ' * 200_000}]", "at most 1 MiB", id="too long"
        ),
        pytest.param("[knife, gun]", r'["\e[31mknife", gun]', "control character", id="a control character"),
        pytest.param("pad: 0}", "pad: 0, pad: 1}", "expected this key once", id="a key twice"),
    ],
)
def test_a_manifest_is_no_way_to_harm(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    """As strict as the configuration: what comes with a stranger's model neither unfolds nor reaches a log."""
    assert SMALL.count(old) == 1
    test_a_fault_is_named_with_its_key(tmp_path, old, new, sentence)


def test_words_mean_what_they_show(tmp_path: Path) -> None:
    """A class `no` is no truth value, and a day is a text."""
    path = tmp_path / "manifest.yaml"
    path.write_text(SMALL.replace("[knife, gun]", "[no, 2026-99-99]"))
    assert read(path)["blades"].labels == ("no", "2026-99-99")
