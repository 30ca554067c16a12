"""Whether the files that a model is made of are still the same."""

from contextlib import suppress
from pathlib import Path

from tocsin.detect.model import locate
from tocsin.detect.modelfile import check_file
from tocsin.errors import ModelError

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


def _of(file: Path) -> tuple[str | int, ...]:
    try:
        status = file.stat()
    except OSError:
        return (str(file),)
    return str(file), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
