"""Data sets in the manner of YOLO trainers: a data.yaml, or the folders images and labels.

What names which pictures, and where their labels lie, follows the trainers' own rules: for each picture the file
in `labels` instead of the last `images` of its path, .txt; no such file means no objects.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tocsin.augment.bounds import Bounds
from tocsin.augment.dataset import FOREIGN, Loss, Losses, Source, inside, label_target
from tocsin.augment.datayaml import NAME, SPLITS, layout, within
from tocsin.augment.labellines import check, highest
from tocsin.augment.manifest import Record
from tocsin.augment.output import write
from tocsin.errors import InputError
from tocsin.fields import counted
from tocsin.footage.pictures import IMAGES
from tocsin.footage.shown import shown

_LARGEST_LABEL = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Yolo:
    """A data set whose labels lie beside its pictures, one text file each."""

    root: Path
    sources: tuple[Source, ...]
    names: Mapping[int, str]
    carried: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.root,)

    def finish(self, out: Path, made: Mapping[str, Sequence[Record]]) -> Path:
        used = {source.split for source in self.sources if made.get(source.name)}
        splits = {split: f"images/{split}" for split in SPLITS if split in used}
        first = next(iter(splits.values()))
        text = "# Made by tocsin augment; the paths start at the folder of this file.\n"
        for split in ("train", "val"):
            if split not in splits:  # trainers insist on both
                text += f"# The data set has no split {split}: this is another one, and scores on it mean little.\n"
                splits[split] = first
        content = {**splits, "names": dict(self.names), **self.carried}
        path = out / NAME
        write(path, (text + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)).encode())
        return path


def read(given: Path, root: Path | None, losses: Losses, *, follow: bool = False) -> Yolo:
    """Read what a data.yaml, or a folder, says about a data set; `root` overrides where its paths start.

    With `follow` links may lead out of it. Raises InputError where there is nothing to be read.
    """
    found = layout(given, root, follow=follow)
    folder, names = found.bounds.root, found.names
    sources = tuple(_sources(found.bounds, found.entries, names, losses))
    if sources and all(source.label is None for source in sources):
        where = folder / _label_file(Path(sources[0].name))
        raise InputError(
            f"{given}: expected labels, such as {shown(where)}, found none for any picture "
            "(a COCO data set is named by its .json)"
        )
    notes = list(_notes(sources))
    if not names:
        last = max((highest(source.label) for source in sources), default=-1)
        names = {number: f"class{number}" for number in range(last + 1)}
        notes.append(f"there is no {given / NAME}: the classes get the names class0 and so on")
    return Yolo(folder, sources, names, found.carried, tuple(notes))


def _sources(
    bounds: Bounds, entries: Sequence[tuple[str, Path]], names: Mapping[int, str], losses: Losses
) -> Iterator[Source]:
    several = {split for split, _ in entries if [other for other, _ in entries].count(split) > 1}
    taken: dict[PurePosixPath, Path] = {}
    for split, entry in entries:
        for path, inner in _pictures(bounds, entry, losses):
            # `images` must not stand twice in a path: trainers would look for the labels elsewhere
            start = entry.relative_to(bounds.root).parts if split in several and entry.is_dir() else ()
            parts = (part for part in (*start, *inner.parts) if part != "images")
            place = PurePosixPath("images", split, *parts)
            source = _source(path, place, split, bounds, names, losses)
            if source is None:
                continue
            if place in taken:
                losses.add(
                    Loss.PLACE,
                    f"{shown(path)}: expected a place of its own, found that it is that of {shown(taken[place])}",
                )
                continue
            taken[place] = path
            yield source


def _pictures(bounds: Bounds, entry: Path, losses: Losses) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the pictures of a folder, sorted, or of a list, each with its place inside."""
    folder = entry.is_dir()
    paths = sorted(_walk(bounds, entry, losses)) if folder else _list(bounds.root, entry, losses)
    for path in paths:
        if path.suffix.lower() in FOREIGN:
            losses.add(Loss.UNSUPPORTED, f"{shown(path)}: expected one of {', '.join(sorted(IMAGES))}")
        elif path.suffix.lower() in IMAGES:
            inner = path.relative_to(entry if folder else bounds.root)
            if _may_be_read(bounds, path, losses):
                yield path, PurePosixPath(*inner.parts)


def _walk(bounds: Bounds, folder: Path, losses: Losses) -> Iterator[Path]:
    """Yield all files of a folder; a folder that links lead to more than once, or in circles, is walked once."""
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        losses.add(Loss.UNREADABLE, f"{shown(error.filename)}: expected a folder, found: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in sorted(folders) if _may_be_read(bounds, Path(place, name), losses)]
        yield from (Path(place, name) for name in files)


def _may_be_read(bounds: Bounds, path: Path, losses: Losses) -> bool:
    hindrance = bounds.hindrance(path)
    if hindrance is not None:
        losses.add(Loss.PLACE, f"{shown(path)}: expected what lies in {bounds.root}, found {hindrance}")
    return hindrance is None


def _list(root: Path, file: Path, losses: Losses) -> Iterator[Path]:
    """Yield the pictures of a text file, a path a line, which starts at the file or at the root.

    A line that names no picture is not shown: the file may be anything.
    """
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        written = line.strip()
        if not written:
            continue
        if PurePosixPath(written).suffix.lower() not in IMAGES | FOREIGN:
            losses.add(Loss.PLACE, f"{shown(file)}:{number}: expected the path of a picture, found none")
            continue
        path = inside(written.removeprefix("./")) or inside(within(root, written))
        if path is None:
            losses.add(Loss.PLACE, f"{file}:{number}: expected a path inside {root}, found {shown(written)}")
        else:
            beside = file.parent / path
            yield beside if beside.is_file() else root / path


def _source(
    path: Path,
    place: PurePosixPath,
    split: str,
    bounds: Bounds,
    names: Mapping[int, str],
    losses: Losses,
) -> Source | None:
    name = path.relative_to(bounds.root).as_posix()
    file = bounds.root / _label_file(path.relative_to(bounds.root))
    if not _may_be_read(bounds, file, losses):
        return None
    try:
        label = file.read_bytes() if file.stat().st_size <= _LARGEST_LABEL else b"\0"
    except FileNotFoundError:
        return Source(name, path, place, split)
    except OSError as error:
        losses.add(Loss.LABEL, f"{shown(file)}: expected labels, found: {error.strerror}")
        return None
    rubbish = check(label, names)
    if rubbish is not None:
        # the picture goes with its labels: an object that nobody marked would be taught as background
        losses.add(Loss.LABEL, f"{shown(file)}:{rubbish}")
        return None
    return Source(name, path, place, split, label=label)


def _label_file(path: Path) -> Path:
    """Return where the labels of a picture lie, both from the root."""
    parts = list(path.parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _notes(sources: Sequence[Source]) -> Iterator[str]:
    bare = sum(source.label is None for source in sources)
    if bare:
        yield f"{counted(bare, 'picture')} without a label file: taken as without objects"
    labels = {label_target(source.target): source for source in sources}
    if len(labels) < len(sources):
        yield "some pictures share a label file, since only the ends of their names differ"
