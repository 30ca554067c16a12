"""The manifest of an augmented data set: one JSON object a line, so that it grows safely while the work goes on.

The first line says what was asked for; every other line is one picture that lies finished on the disk.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tocsin.augment.output import refusal, write
from tocsin.errors import InputError

NAME = "tocsin-augment.jsonl"

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One picture of the result.

    `picture` is its path in the result, `source` that of the picture it was made from, with the SHA-256 of that
    file and its size; `bytes` is its own. `size` is its width and height, `source_size` those of the source as its
    labels see it. `light` is what was measured before the correction.
    """

    picture: str
    source: str
    sha256: str
    source_bytes: int
    source_size: tuple[int, int]
    condition: str
    seed: int
    size: tuple[int, int]
    light: Mapping[str, Any]
    correction: str
    reason: str | None
    bytes: int


class Manifest:
    """The manifest of one folder, opened by one run at a time."""

    def __init__(self, folder: Path, descriptor: int, records: Iterable[Record]) -> None:
        self._path = folder / NAME
        self._descriptor = descriptor
        self.records = {record.picture: record for record in records}

    @classmethod
    def open(cls, folder: Path, options: Mapping[str, Any]) -> Self:
        """Begin a manifest in an empty folder, or go on with the one that is there.

        Raises InputError where it was made with other options, is damaged or in use, and OutputError.
        """
        path = folder / NAME
        if not path.exists():
            write(path, _line({"tocsin_augment": _FORMAT, **options}))
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise refusal(path, error) from error
        try:
            # held until the run is over: two runs would each write what the other one does
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(folder, descriptor, _read(path, options))
        except BlockingIOError as error:
            os.close(descriptor)
            raise InputError(f"{folder}: expected a folder of its own, found another run at work") from error
        except BaseException:
            os.close(descriptor)
            raise

    def add(self, records: Sequence[Record]) -> None:
        """Write down finished pictures. Raises OutputError."""
        text = b"".join(_line(asdict(record)) for record in records)
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError as error:
            raise refusal(self._path, error) from error
        self.records.update({record.picture: record for record in records})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _read(path: Path, options: Mapping[str, Any]) -> list[Record]:
    """Return the records of a manifest that has the same options; a line that breaks off at its end is cut off."""
    try:
        whole, last, _ = path.read_bytes().rpartition(b"\n")
        os.truncate(path, len(whole) + len(last))
    except OSError as error:
        raise refusal(path, error) from error
    lines = whole.splitlines()
    if not lines:
        raise InputError(f"{path}: expected a manifest of tocsin augment, found no first line")
    _compare(path, _object(path, 1, lines[0]), {"tocsin_augment": _FORMAT, **options})
    return [_record(path, number, line) for number, line in enumerate(lines[1:], 2)]


def _compare(path: Path, had: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key, value in json.loads(_line(asked)).items():
        if had.get(key) != value:
            raise InputError(
                f"{path.parent}: expected the options that it was begun with, found {_words(key)} "
                f"{_value(value)} where it was {_value(had.get(key))}: take those, or another folder"
            )


def _words(key: str) -> str:
    return key.replace("_", " ")


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: expected a line of a manifest, found no JSON") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}:{number}: expected an object, found {type(found).__name__}")
    return found


def _record(path: Path, number: int, line: bytes) -> Record:
    found = _object(path, number, line)
    try:
        sizes = {key: tuple(found[key]) for key in ("size", "source_size")}
        return Record(**{**found, **sizes})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}:{number}: expected a picture of a manifest, found other keys") from error


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(", ", ": ")).encode() + b"\n"
