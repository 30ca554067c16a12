"""Whether a file can be a model, before anybody opens it as one."""

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tocsin.errors import ModelError

_BEGINNINGS = (
    (b"version https://git-lfs", "a git-lfs pointer instead of the file itself"),
    (b"<", "a web page"),
    (b"PK\x03\x04", "a zip archive, as PyTorch saves its models"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "JSON"),
    (b"\x08", "the beginning of an ONNX model, perhaps cut short"),
)


def check_file(path: Path, sha256: str | None) -> list[str]:
    """Return where the file keeps parts of the model, as `external` does; most models keep all in themselves.

    Raises ModelError unless it can be an ONNX model, with the digest where one is given. What it keeps in other
    files must lie in its own folder, under no second name: whoever may write a model must not have the daemon
    read something else.
    """
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
    locations = external(path)
    for location in locations:
        _check_external(path, location)
    return locations


def _kind(first: bytes) -> str:
    if not first:
        return "an empty file"
    for beginning, kind in _BEGINNINGS:
        if first.lstrip().startswith(beginning):
            return kind
    return f"something else that begins with {first[:8].hex(' ')}"


# A location such as "*/_ORT_MEM_ADDR_/*" names an address in memory: so runtimes hand models to one another.
# OpenVINO believes it of a file too, and reads whatever the process has there.
_MEMORY = "_MEM_ADDR_"


def _check_external(path: Path, location: str) -> None:
    """ONNX Runtime refuses most of this by itself, with a sentence that is harder to read, but no hard link."""
    where = f"{path}: expected the weights beside the model, found them in {location!r}"
    if _MEMORY in location:
        raise ModelError(f"{where}, which is no place in a file but one in memory")
    if not location or location.startswith("/") or ".." in Path(location).parts:
        raise ModelError(f"{where}, outside its folder")
    folder = path.parent
    for step in [*reversed(Path(location).parents[:-1]), Path(location)]:
        try:
            status = os.lstat(folder / step)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no name for a file"
            raise ModelError(f"{where}: {reason}") from error
        if stat.S_ISLNK(status.st_mode):
            raise ModelError(f"{where}, where {step} is a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{where}, which is no file")
    if status.st_nlink > 1:
        raise ModelError(f"{where}, which has another name too: copy the file instead of linking it")


# The format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. A message is a row of fields, each a number,
# a kind and a value. These are the fields of each message that lead to a tensor; all else is passed over.
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_WAYS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_DEEPEST = 100  # messages inside one another: what protobuf itself takes


def external(path: Path) -> list[str]:
    """Return where the model says that parts of it lie, each place once and in order.

    Raises ModelError for a file that is no row of fields.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return list(dict.fromkeys(_locations(data, 0, len(data), "model", 0)))
    except OSError as error:
        raise ModelError(f"{path}: expected a model file, found: {error.strerror}") from error
    except _FormatError as error:
        raise ModelError(
            f"{path}: expected an ONNX model that can be run, found: Invalid data, {error} ({path.stat().st_size} "
            "bytes, perhaps cut short)"
        ) from error


class _FormatError(Exception):
    """The data are no message; never leaves this module."""


def _locations(data: mmap.mmap, start: int, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise _FormatError(f"more than {_DEEPEST} messages inside one another")
    ways = _WAYS[message]
    for number, begin, stop in _fields(data, start, end):
        inner = ways.get(number)
        if inner == "entry":
            key, value = _entry(data, begin, stop)
            if key == b"location":
                yield value.decode("utf-8", "surrogateescape")
        elif inner is not None:
            yield from _locations(data, begin, stop, inner, depth + 1)


def _entry(data: mmap.mmap, start: int, end: int) -> tuple[bytes, bytes]:
    """A pair of texts, of which the last of each kind counts."""
    parts = {number: data[begin:stop] for number, begin, stop in _fields(data, start, end)}
    return parts.get(1, b""), parts.get(2, b"")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field that holds bytes."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind == _BYTES:
            length, at = _varint(data, at, end)
            if length > end - at:
                raise _FormatError(f"a field of {length} bytes where {end - at} are left")
            yield tag >> 3, at, at + length
            at += length
        elif kind in (_EIGHT, _FOUR):
            at += 8 if kind == _EIGHT else 4
        else:
            raise _FormatError(f"a field of unknown kind {kind}")
    if at > end:
        raise _FormatError("a number that breaks off")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _FormatError("a number that breaks off")
