"""What a data.yaml, or a folder without one, says about a data set: where each split lies, and the classes.

Both are strangers' data: nothing outside the folder is read on their word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tocsin.augment.bounds import Bounds
from tocsin.augment.dataset import finite, inside
from tocsin.augment.labellines import MOST_CLASSES
from tocsin.errors import InputError
from tocsin.footage.shown import shown

NAME = "data.yaml"

SPLITS = ("train", "val", "test", "minival")
"""The keys that name pictures."""

_ALSO = {"validation": "val", "valid": "val"}
"""Other words for a split."""

_CARRIED = ("kpt_shape", "flip_idx", "kpt_names")
"""Keys that say how label lines are to be read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a data set lies.

    `entries` are the splits, each with a folder of pictures or a list of them. `names` are those of the classes,
    empty where nobody says them. `carried` are keys that belong to the labels.
    """

    bounds: Bounds
    entries: tuple[tuple[str, Path], ...]
    names: Mapping[int, str]
    carried: Mapping[str, Any]


def layout(given: Path, root: Path | None, *, follow: bool) -> Layout:
    """Read a data.yaml or look into a folder; `root` overrides where the paths start. Raises InputError.

    With `follow` links may lead out of the data set.
    """
    file = given / NAME if given.is_dir() else given
    if not file.is_file():
        bounds = Bounds(given, follow=follow)
        return Layout(bounds, tuple(_folders(bounds)), _classes(bounds), {})
    if file != given:
        _check(Bounds(given, follow=follow), file)  # nobody named it
    content = _content(file)
    bounds = Bounds(_root(file, content, root, follow), follow=follow)
    carried = {key: content[key] for key in _CARRIED if key in content}
    return Layout(bounds, tuple(_entries(file, content, bounds)), _names(file, content), carried)


def within(root: Path, text: str) -> str:
    """Return an absolute path that lies in the root as one that starts there; an empty text for any other."""
    try:
        return str(PurePosixPath(text).relative_to(root.absolute().as_posix()))
    except ValueError:
        return ""


def _content(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            # a few hundred bytes of them unfold into gigabytes
            raise InputError(f"{file}: expected no aliases (*name), found one")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: expected a data.yaml, found that it cannot be read as text") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        found = shown(getattr(error, "problem", None) or "something else")
        raise InputError(f"{file}{line}: expected YAML, found: {found}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected keys such as train, val and names, found none")
    return {_ALSO.get(key, key): value for key, value in content.items() if isinstance(key, str)}


def _check(bounds: Bounds, place: Path) -> None:
    hindrance = bounds.hindrance(place)
    if hindrance is not None:
        raise InputError(f"{shown(place)}: expected what lies in {bounds.root}, found {hindrance}")


def _root(file: Path, content: Mapping[str, Any], given: Path | None, follow: bool) -> Path:
    """Return the folder that the paths of a data.yaml start from.

    Its own `path` counts where it leads to a folder inside that of the file. Most others are those of the machine
    that wrote it: then it is the file's folder, if it has what the splits name. A folder elsewhere is not read
    on a file's word; a person may name it.
    """
    if given is not None:
        return given
    here, written = file.parent, content.get("path")
    bounds = Bounds(here, follow=follow)
    if written is None or written == "":
        return here
    if isinstance(written, str):
        path = inside(written) if written not in (".", "./") else PurePosixPath()
        if path is not None and (here / path).is_dir() and bounds.hindrance(here / path) is None:
            return here / path
        if any(_folder(bounds, entry) for split in SPLITS for entry in _listed(content.get(split))):
            return here
    raise InputError(
        f"{file}: path: expected a folder inside {here}, found {shown(written)}: "
        "where it is right, give it with --images"
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _folder(bounds: Bounds, entry: object) -> Path | None:
    """Return the folder or list that a split names, where it is there and inside."""
    if not isinstance(entry, str):
        return None
    # an exporter in wide use writes ../train/images for what lies in train/images; trainers know
    root = bounds.root
    for text in (entry, entry.removeprefix("../"), within(root, entry)):
        path = inside(text) if text else None
        if path is not None and (root / path).exists() and bounds.hindrance(root / path) is None:
            return root / path
    return None


def _entries(file: Path, content: Mapping[str, Any], bounds: Bounds) -> list[tuple[str, Path]]:
    """Return each split with a folder of pictures or a list of them."""
    found: list[tuple[str, Path]] = []
    for split in SPLITS:
        for entry in _listed(content.get(split)):
            folder = _folder(bounds, entry)
            if folder is None:
                raise InputError(
                    f"{file}: {split}: expected a folder or list inside {bounds.root}, "
                    f"found {shown(entry)}{_why_not(bounds, entry)}"
                )
            found.append((split, folder))
    if not found:
        raise InputError(f"{file}: expected a split ({', '.join(SPLITS)}) with pictures, found none")
    return found


def _why_not(bounds: Bounds, entry: object) -> str:
    path = inside(entry) if isinstance(entry, str) else None
    hindrance = None if path is None else bounds.hindrance(bounds.root / path)
    return "" if hindrance is None else f", {hindrance}"


def _names(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    written, count = content.get("names"), content.get("nc")
    names = dict(enumerate(written)) if isinstance(written, list) else written
    if names is None and count is not None:
        if type(count) is not int or not 0 < count <= MOST_CLASSES:
            raise InputError(f"{file}: nc: expected 1 to {MOST_CLASSES} classes, found {shown(count)}")
        names = {number: f"class{number}" for number in range(count)}
    if not isinstance(names, dict) or not names or not all(map(_is_class, names)):
        raise InputError(f"{file}: names: expected the names of the classes, found {shown(written)}")
    for number, name in names.items():
        if not isinstance(name, str | bool) and not finite(name):
            raise InputError(f"{file}: names: expected one for class {number}, found {shown(name)}")
    return {number: str(name) for number, name in sorted(names.items())}


def _is_class(number: object) -> bool:
    return type(number) is int and 0 <= number < MOST_CLASSES


def _folders(bounds: Bounds) -> list[tuple[str, Path]]:
    """Return the splits of a folder without a data.yaml: those in `images`, or all of it for training."""
    given = bounds.root
    images = given / "images"
    if not images.is_dir():
        raise InputError(f"{given}: expected {NAME}, or the folders images and labels, found neither")
    _check(bounds, images)
    splits = [
        (_ALSO.get(folder.name, folder.name), folder)
        for folder in sorted(images.iterdir())
        if folder.is_dir() and _ALSO.get(folder.name, folder.name) in SPLITS
    ]
    return splits or [("train", images)]


def _classes(bounds: Bounds) -> dict[int, str]:
    """Return the classes that a labelling tool listed, a line each; none where it did not. Raises InputError."""
    for file in (bounds.root / "classes.txt", bounds.root / "labels" / "classes.txt"):
        if file.is_file():
            _check(bounds, file)
            lines = file.read_text(encoding="utf-8-sig", errors="replace").split("\n")
            return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}
