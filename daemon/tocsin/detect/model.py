"""From the word in the configuration to a model that is known, whole and open."""

import ast
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from tocsin.detect import manifest
from tocsin.detect.families import FAMILIES, Family
from tocsin.detect.manifest import Entry, InputFormat, Layout
from tocsin.detect.session import Device, LocalSession, Placement, Signature, open_session
from tocsin.errors import ModelError
from tocsin.resources import find

_BEGINNINGS = (
    (b"version https://git-lfs", "a git-lfs pointer instead of the file itself"),
    (b"<", "a web page"),
    (b"PK\x03\x04", "a zip archive, as PyTorch saves its models"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "JSON"),
    (b"\x08", "the beginning of an ONNX model, perhaps cut short"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """What is known about an open model; `batch` is the number of rows that its graph fixes, or None."""

    name: str
    path: Path
    takes: InputFormat
    family: Family
    labels: tuple[str, ...]
    batch: int | None


@dataclass(frozen=True, slots=True)
class UnknownClass:
    """A class that a rule names and the model does not know; `suggestion` is the nearest that it does."""

    name: str
    suggestion: str | None

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"expected a class of the model, found {self.name}{hint}"


def check_classes(labels: Sequence[str], wanted: Sequence[str]) -> list[UnknownClass]:
    """Return the wanted classes that are not among the labels, in their order."""
    return [UnknownClass(name, _nearest(name, labels)) for name in wanted if name not in labels]


def open_model(word: str, device: Device) -> tuple[Model, LocalSession, Placement]:
    """Open what `detector.model` names: a name in the shipped manifest, or a path to an .onnx file.

    Raises ModelError for a file that is none or whose meaning is not clear, StartError for a device that cannot
    be had.
    """
    name, path, entry = _locate(word)
    check_file(path, entry.sha256 if entry else None)
    session, placement = open_session(path, device)
    return describe(name, path, entry, session.signature), session, placement


def _locate(word: str) -> tuple[str, Path, Entry | None]:
    if "/" in word or word.endswith(".onnx"):
        return _own(Path(word))
    shipped = find("models/manifest.yaml")
    entries = manifest.read(shipped)
    if word not in entries:
        near = _nearest(word, tuple(entries))
        hint = f" (did you mean {near}?)" if near else ""
        known = ", ".join(sorted(entries))
        raise ModelError(f"detector.model: expected {known} or a path to an .onnx file, found {word}{hint}")
    return word, shipped.parent / entries[word].file, entries[word]


def _own(path: Path) -> tuple[str, Path, Entry | None]:
    """A user's file, with what a manifest beside it says about it."""
    beside = path.parent / "manifest.yaml"
    if beside.is_file():
        for name, entry in manifest.read(beside).items():
            if entry.file == path.name:
                return name, path, entry
    return path.stem, path, None


def check_file(path: Path, sha256: str | None) -> None:
    """Raise ModelError unless the file can be an ONNX model and, where a digest is given, has that digest."""
    try:
        with path.open("rb") as file:
            first = file.read(64)
            size = path.stat().st_size
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else None
    except OSError as error:
        raise ModelError(f"{path}: expected a model file, found: {error.strerror}") from error
    kind = _kind(first)
    if not first.startswith(b"\x08"):  # the field of the format's version, which every writer puts first
        raise ModelError(f"{path}: expected an ONNX model, found {kind} ({size} bytes)")
    if found != sha256:
        raise ModelError(f"{path}: expected the sha256 {sha256}, found {found} ({size} bytes, {kind})")


def _kind(first: bytes) -> str:
    if not first:
        return "an empty file"
    for beginning, kind in _BEGINNINGS:
        if first.lstrip().startswith(beginning):
            return kind
    return f"something else that begins with {first[:8].hex(' ')}"


def describe(name: str, path: Path, entry: Entry | None, signature: Signature) -> Model:
    """Put together what the manifest and the file say. Raises ModelError where they differ or leave a gap.

    Without a manifest the input is taken as the exporters that write `names` make it: RGB from 0 to 1, in a
    letterbox of grey 114.
    """
    takes = _input(path, entry, signature)
    family = _family(path, entry, signature)
    labels = entry.labels if entry and entry.labels != "metadata" else _names(path, signature)
    count = family.class_count(signature)
    if count is not None and count != len(labels):
        raise ModelError(f"{path}: expected {count} labels, one for each score, found {len(labels)}")
    return Model(name, path, takes, family, tuple(labels), signature.inputs[0].shape[0])


def _input(path: Path, entry: Entry | None, signature: Signature) -> InputFormat:
    tensor = signature.inputs[0]
    if len(signature.inputs) != 1 or len(tensor.shape) != 4 or tensor.type != "tensor(float)":
        found = ", ".join(f"{one.name} {_shape(one.shape)} {one.type}" for one in signature.inputs)
        raise ModelError(f"{path}: expected one input of four dimensions, tensor(float), found {found}")
    if entry is None:
        return _guess(path, signature)
    takes = entry.input
    wanted = (3, takes.height, takes.width) if takes.layout is Layout.NCHW else (takes.height, takes.width, 3)
    if any(has not in (None, want) for has, want in zip(tensor.shape[1:], wanted, strict=True)):
        raise ModelError(
            f"{path}: expected an input of {_shape((None, *wanted))}, found {_shape(tensor.shape)}"
        )
    return takes


def _guess(path: Path, signature: Signature) -> InputFormat:
    shape = signature.inputs[0].shape
    layouts = [layout for layout, axis in ((Layout.NCHW, 1), (Layout.NHWC, 3)) if shape[axis] == 3]
    if len(layouts) != 1:
        raise _gap(path, f"the order of the axes {_shape(shape)}", "input.layout")
    height, width = shape[2:] if layouts[0] is Layout.NCHW else shape[1:3]
    if height is None or width is None:
        sides = _literal(signature.metadata.get("imgsz", ""))
        if not (isinstance(sides, list) and len(sides) == 2 and all(isinstance(side, int) for side in sides)):
            raise _gap(path, f"the size of the input {_shape(shape)}", "input.width and input.height")
        height, width = sides
    return InputFormat(width=width, height=height, layout=layouts[0])


def _family(path: Path, entry: Entry | None, signature: Signature) -> Family:
    known = ", ".join(f"{name} ({family.gives})" for name, family in FAMILIES.items())
    found = ", ".join(f"{tensor.name} {_shape(tensor.shape)}" for tensor in signature.outputs)
    if entry is not None and entry.family not in FAMILIES:
        raise ModelError(f"{path}: family: expected one of {known}, found {entry.family}")
    for name, family in FAMILIES.items():
        if family.matches(signature) and (entry is None or entry.family == name):
            return family
    raise ModelError(f"{path}: expected the outputs of one of {known}, found {found}")


def _names(path: Path, signature: Signature) -> tuple[str, ...]:
    """The classes in order, as exporters write them: an object from index to name, or a list."""
    if "names" not in signature.metadata:
        raise _gap(path, "the names of its classes", "labels")
    names = _literal(signature.metadata["names"])
    if isinstance(names, dict):
        numbered = {str(index): name for index, name in names.items()}
        names = [numbered.get(str(index)) for index in range(len(numbered))]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise _gap(path, "in its metadata a name for each class", "labels")
    return tuple(names)


def _literal(text: str) -> object:
    """Exporters write JSON or the text of a Python value."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _gap(path: Path, what: str, keys: str) -> ModelError:
    return ModelError(
        f"{path}: the file does not tell {what}: set {keys} for it in a manifest.yaml beside it"
    )


def _shape(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("N" if size is None else str(size) for size in shape) + "]"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(get_close_matches(name, known, n=1)), None)
