"""What all formats of data sets have in common: labelled pictures, places in a folder, and what was left out."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeGuard

from tocsin.augment.manifest import Record
from tocsin.errors import InputError

FOREIGN = frozenset({".avif", ".dng", ".gif", ".heic", ".heif", ".jp2", ".mpo", ".pfm"})
"""Pictures that some trainers take and this command cannot read: said, and not passed over in silence."""

_SHOWN = 5
"""So many sentences of one kind are shown, then they are counted."""

_LARGEST = 2**53
"""Beyond it a float does not hold every whole number; no coordinate and no area comes near."""


class Loss(StrEnum):
    """Why a picture is not in the result."""

    MISSING = "missing picture"
    UNREADABLE = "unreadable picture"
    UNSUPPORTED = "unsupported picture"
    SIZE = "picture of another size than its labels"
    LABEL = "unusable label"
    PLACE = "unusable path"


class Losses:
    """Tells what is left out, the first few of each kind, and counts; `strict` makes the first one fatal."""

    def __init__(self, tell: Callable[[str], None], strict: bool) -> None:
        self._tell = tell
        self._strict = strict
        self.sentences: list[tuple[Loss, str]] = []
        self._counts: Counter[Loss] = Counter()

    def add(self, loss: Loss, sentence: str) -> None:
        """Count one more. Raises InputError with its sentence where that is asked for."""
        if self._strict:
            raise InputError(sentence)
        self.sentences.append((loss, sentence))
        self._counts[loss] += 1
        if self._counts[loss] <= _SHOWN:
            self._tell(f"left out: {sentence}")

    def tell_rest(self) -> None:
        """Tell how many there were beyond those that were told one by one."""
        for loss, count in self._counts.items():
            if count > _SHOWN:
                self._tell(f"left out: {count - _SHOWN} more, each for its {loss}")

    def counts(self) -> Counter[Loss]:
        """Return how many there are of each kind."""
        return self._counts.copy()


@dataclass(frozen=True, slots=True)
class Source:
    """One labelled picture.

    `name` is its path in the data set, the word for it in messages, in the manifest and for the dice. `target` is
    where it goes in the result, before the condition is put into its name. `size` is the width and height that
    its labels speak of, where they do. `label` is the content of the label file that lies beside each picture of
    the result; None where there is none. `key` finds its labels again where one file holds them all.
    """

    name: str
    path: Path
    target: PurePosixPath
    split: str
    size: tuple[int, int] | None = None
    label: bytes | None = None
    key: int = 0


class Dataset(Protocol):
    """A data set that was read."""

    @property
    def folders(self) -> Sequence[Path]:
        """The folders that it lies in: the result lies in none of them."""

    @property
    def sources(self) -> Sequence[Source]:
        """Its usable pictures, in a fixed order."""

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know about it, as sentences."""

    def finish(self, out: Path, made: Mapping[str, Sequence[Record]]) -> Path:
        """Write the file that a trainer takes, and return its path.

        `made` holds what became of each source, by its name. Raises OutputError.
        """


def label_target(target: PurePosixPath) -> PurePosixPath:
    """Return where the label file of a picture of the result goes: `labels` in the place of `images`."""
    return PurePosixPath("labels", *target.parts[1:]).with_suffix(".txt")


def inside(text: str) -> PurePosixPath | None:
    """Return a path that a label file names, or None unless it leads to something inside the folder it starts from.

    Label files are strangers' data: an absolute path or `..` would read, and write, wherever they like.
    """
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in text:
        return None
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half a letter, as JSON can write it: no file has such a name
        return None
    return path


def finite(value: object) -> TypeGuard[float]:
    """Say whether a value is a number that can be reckoned with: no NaN, and not too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
