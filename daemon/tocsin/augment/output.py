"""The folder that is written to: who may write there, and files that are whole or not there at all."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tocsin.errors import InputError, OutputError

PART = ".part"
"""What stands behind the name of a file that is not finished. It is no name of its own, so that the next try writes
over what a killed run left behind."""


def prepare(out: Path, inputs: Sequence[Path], own: str) -> None:
    """Make the folder unless it is there; it must be empty, or hold the file `own` of an earlier run.

    Raises OutputError, and InputError for a folder that is, lies in or holds one of `inputs`, or is not ours.
    """
    place = out.resolve()
    for folder in (folder.resolve() for folder in inputs):
        if place == folder or folder in place.parents or place in folder.parents:
            raise InputError(f"{out}: expected a folder apart from the data set, found that of {folder}")
    if place.exists() and not place.is_dir():
        raise InputError(f"{out}: expected a folder, found a file")
    try:
        place.mkdir(parents=True, exist_ok=True)
        strange = {entry.name for entry in place.iterdir()} - {own + PART}
    except OSError as error:
        raise refusal(out, error) from error
    if strange and own not in strange:
        raise InputError(
            f"{out}: expected an empty folder or one that tocsin augment began, "
            f"found {sorted(strange)[0]!r} in it and no {own}"
        )


def write(path: Path, *parts: bytes) -> None:
    """Write a file in one step: whoever looks finds the old one, none, or the whole new one. Raises OutputError."""
    write_all(path, parts)


def write_all(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file in one step, piece by piece; for one too large to be held at once. Raises OutputError."""
    part = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.writelines(parts)
            file.flush()
            # without it a power cut may leave an empty file under the final name
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise refusal(path, error) from error


def refusal(path: Path, error: OSError) -> OutputError:
    """Say that something could not be written, and what that means."""
    return OutputError(
        f"{path}: expected to write there, found: {error.strerror}; "
        "what is done stays valid, and the same command goes on from here"
    )
