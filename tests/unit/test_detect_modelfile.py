"""A model file that keeps its weights elsewhere is opened only where that is beside it and nowhere else."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tocsin.detect.modelfile import check_file, external
from tocsin.errors import ModelError
from tocsin.resources import find


def _outside(location: str, name: str = "weights") -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def _model(place: str, location: str) -> onnx.ModelProto:
    """A model with its weights elsewhere, said in one of the places where a tensor may stand."""
    tensor = _outside(location)
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])]
    constant = helper.make_node("Constant", [], ["y"], value=tensor)
    graph = helper.make_graph([], "g", [], result)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "sparse":
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(tensor)
    elif place == "attribute":
        model.graph.node.append(constant)
    elif place == "sparse attribute":
        node = helper.make_node("Constant", [], ["y"])
        attribute = node.attribute.add()
        attribute.name, attribute.type = "sparse_value", onnx.AttributeProto.SPARSE_TENSOR
        attribute.sparse_tensor.indices.CopyFrom(tensor)
        model.graph.node.append(node)
    elif place == "branch":
        inner = helper.make_graph([constant], "inner", [], result)
        model.graph.node.append(
            helper.make_node(
                "If", ["c"], ["y"], then_branch=inner, else_branch=helper.make_graph([], "e", [], result)
            )
        )
    elif place == "function":
        model.functions.append(
            helper.make_function("own", "f", [], ["y"], [constant], [helper.make_opsetid("", 17)])
        )
    elif place == "training":
        model.training_info.add().initialization.initializer.append(tensor)
    return model


@pytest.mark.parametrize(
    "place",
    ["initializer", "sparse", "attribute", "sparse attribute", "branch", "function", "training"],
)
def test_weights_elsewhere_are_found_wherever_they_are_told(tmp_path: Path, place: str) -> None:
    """No tensor of the file names another file unseen, however deep it stands."""
    path = tmp_path / "model.onnx"
    path.write_bytes(_model(place, "../secret").SerializeToString())
    assert external(path) == ["../secret"]


def test_the_last_of_two_words_counts(tmp_path: Path) -> None:
    """A field that stands twice has its last value, as in every reader of the format."""
    path = tmp_path / "model.onnx"
    twice = b"\x0a\x08location\x12\x06beside\x12\x09../secret"
    tensor = b"\x6a" + bytes([len(twice)]) + twice
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    path.write_bytes(b"\x08\x07\x3a" + bytes([len(graph)]) + graph)
    (read,) = onnx.load(str(path), load_external_data=False).graph.initializer
    assert [entry.value for entry in read.external_data] == external(path) == ["../secret"]


def test_the_bundled_model_is_whole() -> None:
    """A model that holds its own weights names no other file."""
    assert external(find("models/nanodet-coco-416.onnx")) == []


def _saved(folder: Path, location: str) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(_model("initializer", location).SerializeToString())
    return path


def test_weights_beside_the_model_are_taken(tmp_path: Path) -> None:
    """What the exporters of large models write is opened."""
    (tmp_path / "parts").mkdir()
    for name in ("weights.bin", "parts/weights.bin"):
        (tmp_path / name).write_bytes(bytes(16))
        check_file(_saved(tmp_path, name), None)


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        pytest.param("../secret", "in '../secret', outside its folder", id="above"),
        pytest.param("a/../../secret", "outside its folder", id="above by a detour"),
        pytest.param("/etc/hostname", "outside its folder", id="absolute"),
        pytest.param("", "outside its folder", id="nowhere"),
        pytest.param("symlink", "where symlink is a symbolic link", id="a symbolic link"),
        pytest.param("linked/secret", "where linked is a symbolic link", id="a folder that is one"),
        pytest.param("hardlink", "has another name too: copy the file", id="a hard link"),
        pytest.param("folder", "which is no file", id="a folder"),
        pytest.param("fifo", "which is no file", id="a pipe"),
        pytest.param("*/_ORT_MEM_ADDR_/*", "no place in a file but one in memory", id="an address in memory"),
        pytest.param("missing", "No such file or directory", id="a file that is not there"),
        pytest.param("nul\0byte", "no name for a file", id="a name that is none"),
    ],
)
def test_a_model_that_reaches_out_of_its_folder_is_refused(
    tmp_path: Path, location: str, sentence: str
) -> None:
    """Whoever may write a model must not have the daemon read another file."""
    folder, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    (folder / "a").mkdir(parents=True)
    (folder / "folder").mkdir()
    elsewhere.mkdir()
    for secret in (elsewhere / "secret", tmp_path / "secret"):
        secret.write_bytes(bytes(16))
    (folder / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (folder / "*" / "_ORT_MEM_ADDR_" / "*").write_bytes(bytes(16))
    (folder / "symlink").symlink_to(elsewhere / "secret")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "hardlink").hardlink_to(elsewhere / "secret")
    os.mkfifo(folder / "fifo")
    with pytest.raises(ModelError) as caught:
        check_file(_saved(folder, location), None)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"{folder}/model.onnx: expected the weights beside the model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"\x08\x07\x3a\x7f\x0a", "a field of 127 bytes where 1 are left", id="cut in a field"),
        pytest.param(b"\x08\xff", "a number that breaks off", id="cut in a number"),
        pytest.param(b"\x08" + b"\xff" * 12, "a number that breaks off", id="a number without an end"),
        pytest.param(b"\x08\x07\x0f", "a field of unknown kind 7", id="no field"),
        pytest.param(b"\x08\x07\x15\x00", "a number that breaks off", id="cut in a fixed number"),
    ],
)
def test_a_file_that_is_no_row_of_fields_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """What could hide a file name from the check is not opened at all."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"found: Invalid data, {reason}") as caught:
        check_file(path, None)
    assert f"{len(content)} bytes, perhaps cut short" in str(caught.value)


def test_messages_without_an_end_are_refused(tmp_path: Path) -> None:
    """A file of nothing but graphs in graphs ends the check and not the process."""
    inner = b""
    for _ in range(120):  # a graph's node's attribute's graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            length, size = b"", len(inner)
            while size > 127:
                length, size = length + bytes([size & 127 | 128]), size >> 7
            inner = tag + length + bytes([size]) + inner
    length, size = b"", len(inner)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x07\x3a" + length + bytes([size]) + inner)
    with pytest.raises(ModelError, match="more than 100 messages inside one another"):
        check_file(path, None)
