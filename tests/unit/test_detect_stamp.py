"""The stamp of a model changes with any of its files, and with nothing else."""

import hashlib
import shutil
from pathlib import Path

import onnx
from onnx.external_data_helper import convert_model_to_external_data

from support import graphs
from tocsin.detect.stamp import digest, stamp


def test_any_file_of_a_model_changes_its_stamp(tmp_path: Path) -> None:
    """Its own, the manifest's, and those of its weights, be they written over or exchanged."""
    path = graphs.save(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(path))
    weights, manifest = tmp_path / "weights.bin", tmp_path / "manifest.yaml"
    seen = {stamp(str(path))}
    assert stamp(str(path)) in seen, "nothing changed"
    (tmp_path / "other.txt").write_text("beside it")
    assert stamp(str(path)) in seen

    def changed() -> bool:
        now = stamp(str(path))
        new = now not in seen
        seen.add(now)
        return new

    weights.write_bytes(weights.read_bytes() + b"\0")
    assert changed()
    shutil.copy(weights, tmp_path / "new.bin").replace(weights)
    assert changed()
    manifest.write_text("models: {tiny: {file: model.onnx}}\n")
    assert changed()
    path.write_bytes(b"")
    assert changed()
    path.unlink()
    assert changed()


def test_a_link_that_leads_elsewhere_changes_the_stamp(tmp_path: Path) -> None:
    """The usual way to exchange one release for another."""
    for name in ("one", "two"):
        graphs.save(tmp_path / f"{name}.onnx")
    link = tmp_path / "current.onnx"
    link.symlink_to("one.onnx")
    before = stamp(str(link))
    link.unlink()
    link.symlink_to("two.onnx")
    assert stamp(str(link)) != before


def test_a_name_that_nobody_knows_has_a_stamp_of_its_own() -> None:
    """What is wrong with it is said when it is opened."""
    assert stamp("no-such-model") == ()
    assert stamp("nanodet-coco-416") != ()


def test_the_digest_of_a_model_is_that_of_its_bytes(tmp_path: Path) -> None:
    """As sha256sum has it, of the file and of the weights beside it, each of which changes it."""
    path, weights = graphs.save(tmp_path / "model.onnx"), tmp_path / "weights.bin"
    assert digest(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
    model = onnx.load(str(path))
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(path))
    together = path.read_bytes() + weights.read_bytes()
    assert digest(str(path)) == hashlib.sha256(together).hexdigest()
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert digest(str(path)) != hashlib.sha256(together).hexdigest()
    assert digest("no-such-model") == digest(str(tmp_path / "none.onnx")) == ""
