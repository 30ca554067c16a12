"""From judged alarms to a folder: their pictures, as far as there are any, and the labels beside them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tocsin.deliver.verdict import Verdict
from tocsin.errors import EvidenceError, InputError, OutputError, reason
from tocsin.evidence.link import piece_of
from tocsin.evidence.note import Note, text_in
from tocsin.evidence.shelf import Kind, path_of, read_from
from tocsin.image import decode
from tocsin.lessons import coco, yolo
from tocsin.lessons.form import Form
from tocsin.lessons.lesson import Lesson

TO_LABEL = "to_label"
"""The folder of what nobody judged: a trainer would take it for background."""

_ALARM = re.compile(r"\w{1,80}", re.ASCII)

_LARGEST = 1 << 28
"""Bytes of a picture: a JPEG of the largest that OpenCV reads has fewer, and what a worker wrote need be none."""

Alarm = Mapping[str, Any]
"""As `tocsin alarm list --json` has it."""


class Fate(StrEnum):
    """What became of an alarm: the word in `--json`."""

    EXPORTED = "exported"
    GONE = "gone"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is in the folder now: the label files and how many alarms of each verdict met which fate."""

    labels: tuple[Path, ...]
    fates: Mapping[Verdict, Counter[Fate]]


class Gatherer:
    """Finds the pictures of alarms in a daemon's state, whose key is `key`."""

    def __init__(self, state: Path, key: bytes) -> None:
        self._state = state
        self._key = key

    def find(self, alarm: Alarm) -> tuple[Fate, Lesson | None, bytes]:
        """Return what becomes of an alarm, its lesson and the content of its picture where there is one.

        A picture is unclear that is none, or does not say where in it the object is: that of an alarm that waited
        for the light is not in it. Raises EvidenceError where it may not be read.
        """
        alarm_id = str(alarm["alarm_id"])
        if not _ALARM.fullmatch(alarm_id):
            return Fate.UNCLEAR, None, b""
        content = self._content(piece_of(alarm_id, Kind.PLAIN, self._key))
        if content is None:
            return Fate.GONE, None, b""
        note = Note.read(text_in(content))
        if note is None or note.alarm_id != alarm_id:
            return Fate.UNCLEAR, None, b""
        try:
            height, width = decode(content).shape[:2]
        except InputError:
            return Fate.UNCLEAR, None, b""
        lesson = Lesson.of(alarm, note, width, height)
        if min(lesson.inside[2:]) <= 0:
            return Fate.UNCLEAR, None, b""
        return Fate.EXPORTED, lesson, content

    def _content(self, piece: str) -> bytes | None:
        """Return a picture's file; of one that is too large, so much that it is none. Raises EvidenceError."""
        try:
            file = read_from(self._state, piece, Kind.PLAIN)
            if file is None:
                return None
            with file:
                return file.read(_LARGEST)
        except OSError as error:
            path = path_of(self._state, piece, Kind.PLAIN)
            raise EvidenceError(f"{path}: expected to read a picture, found {reason(error)}") from error


def gather(
    alarms: Sequence[Alarm], gatherer: Gatherer, out: Path, form: Form, step: Callable[[], None]
) -> Gathered:
    """Write a data set of the alarms into a folder that is empty or not there; `step` is called after each.

    Raises OutputError, and EvidenceError where there is no picture to be had.
    """
    fates: dict[Verdict, Counter[Fate]] = {Verdict(alarm["verdict"]): Counter() for alarm in alarms}
    groups: dict[Path, list[Lesson]] = {}
    for alarm in alarms:
        fate, lesson, content = gatherer.find(alarm)
        fates[Verdict(alarm["verdict"])][fate] += 1
        if lesson is not None:
            folder = out / TO_LABEL if lesson.verdict is Verdict.ACKNOWLEDGED else out
            groups.setdefault(folder, []).append(lesson)
            _write(folder / _images(form) / lesson.file_name, content)
        step()
    if not groups:
        raise EvidenceError(
            f"expected a picture of one of {len(alarms)} alarms, found that none is kept any more"
        )
    labels = [path for folder, lessons in groups.items() for path in _label(folder, lessons, form)]
    return Gathered(tuple(labels), fates)


def _images(form: Form) -> Path:
    return Path("images") if form is Form.COCO else Path("images", yolo.SPLIT)


def _label(folder: Path, lessons: Sequence[Lesson], form: Form) -> Iterator[Path]:
    """Write the labels; yield the file that a trainer is told."""
    files = coco.files(lessons) if form is Form.COCO else yolo.files(lessons)
    for name, content in files.items():
        _write(folder / name, content)
    yield folder / list(files)[-1]


def check(out: Path) -> None:
    """Raise InputError for a folder that has something in it: nothing is ever written over."""
    try:
        strange = _first(os.listdir(out)) if out.exists() else None  # noqa: PTH208 - names are enough
    except OSError as error:
        raise InputError(f"{out}: expected a new or an empty folder, found {reason(error)}") from error
    if strange is not None:
        raise InputError(f"{out}: expected a new or an empty folder, found {strange!r} in it")


def _first(names: Iterable[str]) -> str | None:
    return min(names, default=None)


def _write(path: Path, content: bytes) -> None:
    """Write a file that is not there, in folders that only this user can look into where they are made."""
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise OutputError(f"{path}: expected to write there, found {reason(error)}") from error
