"""Puts what a command made where it was asked for: whole, or not at all."""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tocsin.errors import InputError, OutputError


def check_target(option: str, out: Path, suffix: str, inputs: Sequence[Path]) -> None:
    """Say before the work begins what would hinder writing `out`, which `option` asked for.

    Raises InputError for a name that does not end in `suffix`, is that of one of the `inputs` or of something else
    than a file, lies in no folder or in one of the `inputs`; OutputError for a place where no file can be made.
    """
    if out.suffix.lower() != suffix:
        raise InputError(f"{option}: expected a name that ends in {suffix}, found {out}")
    try:
        _check_place(option, out, inputs)
    except OSError as error:  # a loop of links, a folder that cannot be entered
        raise OutputError(f"{out}: expected a place to write to, found: {error.strerror}") from error


def _check_place(option: str, out: Path, inputs: Sequence[Path]) -> None:
    folder = _target(out).parent
    for one in inputs:
        if one.is_dir() and folder.is_relative_to(one.resolve()):
            raise InputError(f"{option}: expected a place outside {one}, which is read, found {out}")
    if out.exists():
        if any(one.exists() and one.samefile(out) for one in inputs):
            raise InputError(f"{option}: expected another file than what is read, found {out}")
        if not out.is_file():
            what = "a folder" if out.is_dir() else "a device or a pipe"
            raise InputError(f"{option}: expected a file to write, found {what}: {out}")
    if not folder.is_dir():
        raise InputError(f"{option}: expected a name in a folder that is there, found {out}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: expected to be allowed to write into {folder}, found permission denied")


def _target(out: Path) -> Path:
    """Return where the file really goes: a link stays one. A loop of links, which leads nowhere, is replaced."""
    return Path(os.path.realpath(out))


def write(out: Path, content: bytes) -> None:
    """Write a file so that at any time `out` is either what it was or all of `content`. Raises OutputError."""
    partial = None
    try:
        target = _target(out)
        partial = target.with_name(f".{secrets.token_hex(6)}.partial")
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some file systems tell only now that they are full
        partial.replace(target)
    except OSError as error:
        raise OutputError(
            f"{out}: expected to write {len(content)} bytes there, found: {error.strerror}"
        ) from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
