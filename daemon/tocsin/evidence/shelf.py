"""The folder in which pictures and clips lie for a time: found by their identity alone, and never by a path."""

import contextlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from tocsin.errors import EvidenceError, reason

FOLDER = "evidence"

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_PART = ".part"
_HELD = 0o400

_HEAD = 512
"""Bytes in which a film that can be played says so."""


class Kind(StrEnum):
    """What a piece of evidence is: the word in events, in links and in the names of files."""

    FRAME = "frame"
    CORRECTED = "corrected"
    CROP = "crop"
    FIRST = "first"
    PLAIN = "plain"
    CLIP = "clip"

    @property
    def suffix(self) -> str:
        """The end of the file's name."""
        return ".mp4" if self is Kind.CLIP else ".jpg"

    @property
    def media_type(self) -> str:
        """What the file is to a browser."""
        return "video/mp4" if self is Kind.CLIP else "image/jpeg"


class Came(StrEnum):
    """What came of a piece: the word in metrics."""

    KEPT = "kept"
    FAILED = "failed"


class Removal(StrEnum):
    """Why a piece was removed: the word in metrics."""

    AGE = "age"
    SIZE = "size"
    DISK = "disk"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long pieces are kept (seconds), how many bytes they may take together, and how many must stay free.

    `held_seconds` is for pieces that are held, where that is longer.
    """

    seconds: float
    most_bytes: int
    least_free: int
    held_seconds: float = 0.0

    def life(self, file: "_File") -> float:
        """Return for how many seconds a file is kept."""
        return max(self.seconds, self.held_seconds) if file.held else self.seconds


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    made: float
    size: int
    held: bool


class Shelf:
    """The folder; its methods may be called from any thread, each file by one of them at a time."""

    def __init__(self, state_dir: Path) -> None:
        """Make the folder where there is none, for this user alone. Raises EvidenceError."""
        self._path = state_dir / FOLDER
        self._folder = self._opened()

    def _opened(self) -> int:
        path = self._path
        try:
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
            try:
                os.fchmod(folder, 0o700)
            except OSError:
                os.close(folder)
                raise
        except OSError as error:
            raise EvidenceError(f"{path}: expected a folder of this user's, found {reason(error)}") from error
        return folder

    def close(self) -> None:
        os.close(self._folder)

    def begin(self, piece: str, kind: Kind) -> int:
        """Return the descriptor of a new file, which only this user can read. Raises EvidenceError.

        A folder that was removed meanwhile is made again.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        try:
            try:
                return os.open(_name(piece, kind) + _PART, flags, 0o600, dir_fd=self._folder)
            except FileNotFoundError:
                self._open_anew()
                return os.open(_name(piece, kind) + _PART, flags, 0o600, dir_fd=self._folder)
        except OSError as error:
            raise EvidenceError(f"expected room for a {kind}, found {reason(error)}") from error

    def _open_anew(self) -> None:
        folder = self._opened()
        try:
            os.dup2(folder, self._folder, inheritable=False)  # in its place: others use the number meanwhile
        finally:
            os.close(folder)

    def playable(self, piece: str, kind: Kind) -> bool:
        """Return whether a file that is not whole is a film of which there is something to be seen."""
        return self._playable(_name(piece, kind) + _PART)

    def has(self, piece: str, kind: Kind) -> bool:
        """Return whether there is a whole file."""
        descriptor = self.open(piece, kind)
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is not None

    def save(self, piece: str, kind: Kind) -> bool:
        """Return whether there is a file, whole or else a film that nobody makes any more, as far as it goes."""
        return self.has(piece, kind) or self._save(_name(piece, kind) + _PART)

    def _playable(self, name: str) -> bool:
        try:
            with os.fdopen(os.open(name, os.O_RDONLY | _FLAGS, dir_fd=self._folder), "rb") as file:
                return b"moov" in file.read(_HEAD)  # written when the first second was
        except OSError:
            return False

    def finish(self, piece: str, kind: Kind) -> None:
        """Let the file be found: it is whole now. Raises EvidenceError."""
        name = _name(piece, kind)
        try:
            os.rename(name + _PART, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            raise EvidenceError(f"expected to keep a {kind}, found {reason(error)}") from error

    def hold(self, piece: str, kind: Kind) -> None:
        """Keep a piece for longer than others, whether it is whole yet or not; nothing where there is none.

        Its file is the mark: nobody may write to it any more.
        """
        for name in (_name(piece, kind), _name(piece, kind) + _PART):
            with contextlib.suppress(OSError):
                file = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=self._folder)
                try:
                    os.fchmod(file, _HELD)
                finally:
                    os.close(file)

    def discard(self, piece: str, kind: Kind) -> None:
        """Remove a file that will never be whole."""
        self._remove(_name(piece, kind) + _PART)

    def open(self, piece: str, kind: Kind) -> int | None:
        """Return the descriptor of a whole file, or None where there is none."""
        try:
            return os.open(_name(piece, kind), os.O_RDONLY | _FLAGS, dir_fd=self._folder)
        except OSError:
            return None

    def sweep(
        self,
        now: float,
        limits: Limits,
        unfinished: Collection[str],
        beat: Callable[[], None] = lambda: None,
    ) -> Counter[Removal]:
        """Remove what is too old, then the oldest while there is too much of it or too little room.

        What is held goes last, but takes no more than half of the bytes from what is new.

        `now` is wall time, and `unfinished` has the pieces that are being made; what else is unfinished is left
        over from a daemon that died: a film of it is kept, for it can be played. `beat` is called for each file,
        of which a slow disk may have very many. Return how many were removed, and why. Raises EvidenceError.
        """
        removed: Counter[Removal] = Counter()
        kept: list[_File] = []
        for file in sorted(self._files(beat), key=lambda file: file.made):
            beat()
            piece, _, _ = file.name.partition(".")
            if file.name.endswith(_PART):
                if piece not in unfinished and not self._save(file.name):
                    removed[Removal.UNFINISHED] += self._remove(file.name)
            elif file.size == 0:  # finished on paper before the power went, and not on the disk
                removed[Removal.UNFINISHED] += self._remove(file.name)
            elif file.made < now - limits.life(file):
                removed[Removal.AGE] += self._remove(file.name)
            else:
                kept.append(file)
        total = sum(file.size for file in kept)
        for file in _last_to_go(kept, limits.most_bytes // 2):
            beat()
            why = self._excess(total, limits)
            if why is None:
                break
            removed[why] += self._remove(file.name)
            total -= file.size
        return removed

    def _excess(self, total: int, limits: Limits) -> Removal | None:
        if total > limits.most_bytes:
            return Removal.SIZE
        return Removal.DISK if self.free() < limits.least_free else None

    def free(self) -> int:
        """Return the bytes that this user may still write on the disk. Raises EvidenceError."""
        try:
            room = os.fstatvfs(self._folder)
        except OSError as error:
            raise EvidenceError(f"expected a disk to keep evidence on, found {reason(error)}") from error
        return room.f_bavail * room.f_frsize

    def _files(self, beat: Callable[[], None]) -> Iterator[_File]:
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    beat()
                    with contextlib.suppress(FileNotFoundError):
                        facts = entry.stat(follow_symlinks=False)
                        held = stat.S_IMODE(facts.st_mode) == _HELD
                        yield _File(entry.name, facts.st_mtime, facts.st_size, held)
        except OSError as error:
            raise EvidenceError(f"expected to see what is kept, found {reason(error)}") from error

    def _save(self, name: str) -> bool:
        """Keep what there is of a film."""
        if not self._playable(name):
            return False
        with contextlib.suppress(OSError):
            os.rename(name, name.removesuffix(_PART), src_dir_fd=self._folder, dst_dir_fd=self._folder)
            return True
        return False

    def _remove(self, name: str) -> bool:
        try:
            os.unlink(name, dir_fd=self._folder)
        except OSError:
            return False
        return True


def _last_to_go(files: Sequence[_File], most_held: int) -> list[_File]:
    """Return files, the oldest first, in the order in which they go: so many bytes of those that are held are last.

    These are the youngest of them.
    """
    taken, spared = 0, set[str]()
    for file in reversed(files):
        taken += file.size if file.held else 0
        if file.held and taken <= most_held:
            spared.add(file.name)
    return sorted(files, key=lambda file: file.name in spared)  # which keeps their order else


def path_of(state_dir: Path, piece: str, kind: Kind) -> Path:
    """Return where a whole piece lies, for who may read there."""
    return state_dir / FOLDER / _name(piece, kind)


def read_from(state_dir: Path, piece: str, kind: Kind) -> BinaryIO | None:
    """Open a whole piece for who may read there, mostly root; None where there is none. Raises OSError.

    The folder is the daemon's, and a link that got in there would lead root to any file: none is followed.
    """
    with contextlib.ExitStack() as undo:
        try:
            folder = os.open(state_dir / FOLDER, os.O_PATH | os.O_DIRECTORY | _FLAGS)
            undo.callback(os.close, folder)
            file = os.open(_name(piece, kind), os.O_RDONLY | os.O_NONBLOCK | _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return None
        opened = os.fdopen(file, "rb")
    if stat.S_ISREG(os.fstat(file).st_mode):
        return opened
    opened.close()  # a pipe, say, which would never end
    return None


def part_of(state_dir: Path, piece: str, kind: Kind) -> Path:
    """Return where a piece lies while it is being made."""
    return state_dir / FOLDER / (_name(piece, kind) + _PART)


def _name(piece: str, kind: Kind) -> str:
    assert re.fullmatch(r"[0-9a-f]{32}", piece), "only what was made here has a file"
    return f"{piece}.{kind}{kind.suffix}"
