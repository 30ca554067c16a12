"""Whether the files that a model is made of are still the same."""

import hashlib
from contextlib import suppress
from pathlib import Path

from tocsin.detect.model import locate
from tocsin.detect.modelfile import check_file
from tocsin.errors import ModelError

_PIECE = 1 << 20
"""Bytes of a file that are read at once."""

Stamp = tuple[tuple[str | int, ...], ...]


def stamp(word: str) -> Stamp:
    """Return what changes with any file of the model that `detector.model` names.

    Those are the .onnx file, the manifest beside it, and the files in its folder that it keeps weights in. Looks at
    the time of the last change, which no program can set back, and at no content: large files cost nothing. A model
    that cannot be used has a stamp too; what is wrong with it is said when it is opened.
    """
    try:
        _, path, _ = locate(word)
        files = [path, path.parent / "manifest.yaml"]
    except ModelError:
        return ()
    with suppress(ModelError):
        files += [path.parent / location for location in check_file(path, None)]
    return tuple(_of(file) for file in files)


def digest(word: str) -> str:
    """Return the sha256 of a model: of its .onnx file, and of the files that it keeps weights in right after it.

    That is what `cat model.onnx weights.bin | sha256sum` says. Empty where it cannot be read.
    """
    total = hashlib.sha256()
    try:
        _, path, _ = locate(word)
        for file in (path, *(path.parent / location for location in check_file(path, None))):
            with file.open("rb") as content:
                while piece := content.read(_PIECE):
                    total.update(piece)
    except (ModelError, OSError):
        return ""
    return total.hexdigest()


def _of(file: Path) -> tuple[str | int, ...]:
    try:
        status = file.stat()
    except OSError:
        return (str(file),)
    return str(file), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
