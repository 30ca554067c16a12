"""The manifest of an augmented data set: one JSON object a line, so that it grows safely while the work goes on.

The first line says what was asked for; every other line is one picture that lies finished on the disk.
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tocsin.augment.output import refusal, write
from tocsin.errors import InputError

NAME = "tocsin-augment.jsonl"

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One picture of the result, as a run remembers it: there may be a million, so equal values are one object.

    `picture` is its path in the result, `source` that of the picture it was made from, with the SHA-256 of that
    file and its size; `bytes` is its own. `size` is its width and height, `source_size` those of the source as its
    labels see it.
    """

    picture: str
    source: str
    sha256: str
    source_bytes: int
    source_size: tuple[int, int]
    condition: str
    size: tuple[int, int]
    correction: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    """One picture of the result, as the manifest tells it: `light` is what was measured before the correction."""

    record: Record
    seed: int
    light: Mapping[str, Any]
    reason: str | None


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

    def add(self, lines: Sequence[Line]) -> None:
        """Write down finished pictures. Raises OutputError."""
        text = b"".join(map(_written, lines))
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError as error:
            raise refusal(self._path, error) from error
        self.records.update((line.record.picture, _slim(line.record)) for line in lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _read(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:
    """Yield the records of a manifest that has the same options; a line that breaks off at its end is cut off."""
    end = 0
    try:
        with path.open("r+b") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                if number == 1:
                    _compare(path, _object(path, 1, line), {"tocsin_augment": _FORMAT, **options})
                else:
                    yield _record(path, number, line)
            if end == 0:
                raise InputError(f"{path}: expected a manifest of tocsin augment, found no first line")
            file.truncate(end)
    except OSError as error:
        raise refusal(path, error) from error


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
        return _slim(Record(**{**{key: found[key] for key in _REMEMBERED}, **sizes}))
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}:{number}: expected a picture of a manifest, found other keys") from error


_REMEMBERED = tuple(field.name for field in fields(Record))


def _slim(record: Record) -> Record:
    """Return a record that shares what it has in common with others. Raises TypeError where it is none."""
    return Record(
        picture=sys.intern(record.picture),
        source=sys.intern(record.source),
        sha256=sys.intern(record.sha256),
        source_bytes=record.source_bytes,
        source_size=_pair(*record.source_size),
        condition=sys.intern(record.condition),
        size=_pair(*record.size),
        correction=sys.intern(record.correction),
        bytes=record.bytes,
    )


@lru_cache
def _pair(width: int, height: int) -> tuple[int, int]:
    return width, height


def _written(line: Line) -> bytes:
    return _line({**asdict(line.record), "seed": line.seed, "light": line.light, "reason": line.reason})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(", ", ": ")).encode() + b"\n"
