"""`tocsin check --model` says what is understood of a model, and what it sees."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from support import blockmodel, exports, graphs
from tocsin.commands import modelcheck
from tocsin.commands.modelcheck import preparation
from tocsin.detect import device
from tocsin.detect.manifest import Colour, Fit, InputFormat, Layout, Numbers


def _check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tocsin", "check", *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """A detector that finds what is bright."""
    return blockmodel.build(tmp_path / "blocks.onnx")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A dark picture of 256x192 with one bright cell, from (64, 64) to (96, 96)."""
    picture = np.full((192, 256, 3), 20, np.uint8)
    picture[64:96, 64:96] = 255
    path = tmp_path / "photo.png"
    assert cv2.imwrite(str(path), picture)
    return path


def test_everything_that_matters_is_said(blocks: Path) -> None:
    """Inputs, outputs, family, labels, preparation, provider, and the speed for one picture and for several."""
    done = _check("--model", str(blocks))
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        r"model     blocks \(.*/blocks\.onnx\)",
        r"input     images \[N, 3, 64, 64\] float",
        r"output    boxes \[N, 64, 4\] float",
        r"output    scores \[N, 64, 2\] float",
        r"family    boxes\+scores",
        r"labels    2 labels: block, other",
        r"pixels    64x64, in its shape on a margin of 114, RGB CHW float: pixel \* 0\.003922",
        r"runs on   \w+ExecutionProvider \(\w+\)",
        r"speed     [\d.]+ ms a frame, 1 at a time, and [\d.]+ ms to read what it gives",
        r"speed     [\d.]+ ms a frame, 8 at a time, .*",
    ):
        assert re.search(f"^{line}$", done.stdout, re.MULTILINE), (line, done.stdout)


def test_what_would_take_too_long_is_not_tried(blocks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow model is timed with one picture, since the deadline would end several of them, and that is said."""
    monkeypatch.setattr(modelcheck, "DEADLINE", 0.0)
    examined = modelcheck.examine(str(blocks), "cpu", None, 0.5)
    assert [speed.batch for speed in examined.speeds] == [1]
    assert "          8 at a time take too long to be tried here" in list(modelcheck.lines(examined))


def test_what_it_sees_is_drawn_where_it_is(blocks: Path, photo: Path, tmp_path: Path) -> None:
    """The picture has a box around the one bright block, and the list has its place."""
    out = tmp_path / "seen.png"
    done = _check("--model", str(blocks), "--image", str(photo), "--out", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    assert "found     1 object\n" in done.stdout
    assert "block 0.90 at 0.250 0.333 0.375 0.500" in done.stdout
    seen, plain = cv2.imread(str(out)), cv2.imread(str(photo))
    assert seen is not None
    assert plain is not None
    changed = np.abs(seen.astype(int) - plain).max(axis=2) > 60
    assert changed[64, 64:97].all()
    assert changed[96, 64:97].all()
    assert not changed[100:].any(), "nothing is drawn where nothing is"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        pytest.param(["a.yaml", "--device", "cpu"], 2, "expected --model beside them", id="a device alone"),
        pytest.param([], 2, "expected either FILE or --model, found neither", id="nothing"),
        pytest.param(["a.yaml", "--model", "b"], 2, "found both", id="both"),
        pytest.param(["a.yaml", "--image", "b.png"], 2, "expected --model beside them", id="an image alone"),
        pytest.param(
            ["--model", "b", "--out", "c.png"], 2, "--out: expected --image beside it", id="no image"
        ),
        pytest.param(
            ["--model", "nanodet-coco-416", "--device", "tensorrt"],
            75,
            "detector.device: expected tensorrt, found that ",
            id="no such device",
            marks=pytest.mark.skipif(device.visible(), reason="this machine has a GPU"),
        ),
        pytest.param(
            ["--model", "nanodet"],
            78,
            "expected nanodet-coco-416, nanodet-coco-416-int8 or a path",
            id="no such model",
        ),
        pytest.param(
            ["--model", "nanodet-coco-416", "--image", "/nowhere.png"],
            2,
            "/nowhere.png: expected an image, found nothing there",
            id="no such image",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], code: int, sentence: str) -> None:
    """What is missing or too much is said, with the exit code of its kind."""
    done = _check(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_that_leaves_something_open_is_told_what_to_set(tmp_path: Path) -> None:
    """The sentence of the refusal is what the command prints."""
    outputs = {"logits": np.zeros((1, 9, 4), np.float32), "pred_boxes": np.zeros((1, 9, 4), np.float32)}
    path = exports.save(tmp_path / "own.onnx", outputs, shape=(1, 3, 64, 96))
    done = _check("--model", str(path))
    assert (done.returncode, done.stdout) == (78, "")
    assert "set family; labels; input.mean" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_file_says_of_itself_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    """Names are a stranger's text: control characters are written out, and no line goes on for ever."""
    path = graphs.save(tmp_path / "own.onnx", labels=("\x1b[2Jknife\n\ud800", "x" * 9999))
    done = _check("--model", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert r"2 labels: \x1b[2Jknife\n\ud800, xxx" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) < 600


def test_the_preparation_is_said_in_words() -> None:
    """Size, shape, colours, axes, numbers and the arithmetic stand in one line."""
    takes = InputFormat(
        width=300,
        height=200,
        layout=Layout.NHWC,
        colour=Colour.BGR,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        fit=Fit.STRETCH,
        numbers=Numbers.FLOAT16,
    )
    assert preparation(takes) == (
        "300x200, stretched, BGR HWC float16: (pixel * 0.003922 - [0.5, 0.5, 0.5]) / [0.2, 0.2, 0.2]"
    )
