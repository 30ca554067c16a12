"""Data sets in COCO's manner: one JSON file with images, annotations and categories."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path, PurePosixPath
from typing import Any

from tocsin.augment.bounds import Bounds
from tocsin.augment.dataset import Loss, Losses, Source, finite, inside
from tocsin.augment.manifest import Record
from tocsin.augment.output import write_all
from tocsin.augment.rle import scaled, sound
from tocsin.errors import InputError
from tocsin.fields import counted
from tocsin.footage.pictures import IMAGES
from tocsin.footage.shown import shown

NAME = "annotations.json"

SPLIT = "train"
"""A file is one split; it is there to be learned from."""

_MOST_DIGITS = 400
"""Any more, and no float holds the number: it is as good as endless."""

_LONGEST = 2**20
"""Pixels along a side: OpenCV reads none that is longer."""

_COPIED = ("info", "licenses", "categories")


@dataclass(frozen=True, slots=True)
class Coco:
    """A data set whose labels stand in one file."""

    file: Path
    images: Path
    content: Mapping[str, Any]
    annotations: Mapping[int, Sequence[Mapping[str, Any]]]
    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.images,)

    def finish(self, out: Path, made: Mapping[str, Sequence[Record]]) -> Path:
        path = out / NAME
        write_all(path, (piece.encode() for piece in self._pieces(made)))
        return path

    def _pieces(self, made: Mapping[str, Sequence[Record]]) -> Iterator[str]:
        """Yield the file piece by piece: with every condition it is too large to be held twice."""
        yield "{"
        for key in _COPIED:
            if key in self.content:
                yield f'"{key}": {json.dumps(self.content[key])},\n'
        yield '"images": ['
        yield from _joined(self._images(made))
        yield '],\n"annotations": ['
        yield from _joined(self._annotations(made))
        yield "]}\n"

    def _pictures(self, made: Mapping[str, Sequence[Record]]) -> Iterator[tuple[int, Source, Record]]:
        number = 0
        for source in self.sources:
            for record in made.get(source.name, ()):
                number += 1
                yield number, source, record

    def _images(self, made: Mapping[str, Sequence[Record]]) -> Iterator[dict[str, Any]]:
        for number, source, record in self._pictures(made):
            image = self.content["images"][source.key]
            yield {
                **image,
                "id": number,
                "file_name": str(PurePosixPath(record.picture).relative_to("images")),
                "width": record.size[0],
                "height": record.size[1],
                "source_id": image["id"],
                "condition": record.condition,
                **_checked(image, record),
            }

    def _annotations(self, made: Mapping[str, Sequence[Record]]) -> Iterator[dict[str, Any]]:
        number = 0
        for picture, source, record in self._pictures(made):
            across = record.size[0] / record.source_size[0]
            down = record.size[1] / record.source_size[1]
            for annotation in self.annotations[source.key]:
                number += 1
                same = (across, down) == (1.0, 1.0)
                carried = annotation if same else _scaled(annotation, across, down, record.size)
                yield {**carried, "id": number, "image_id": picture}


def read(file: Path, images: Path | None, losses: Losses, *, follow: bool = False) -> Coco:
    """Read a label file; its pictures lie in `images`, by default the folder of that name beside it, or its own.

    With `follow` links may lead out of that folder. Raises InputError where it is none.
    """
    content = _content(file)
    bounds = Bounds(_folder(file, follow) if images is None else images, follow=follow)
    if not bounds.root.is_dir():
        raise InputError(f"{bounds.root}: expected the folder of the pictures, found none")
    places: dict[int | str, int] = {}
    for place, image in enumerate(content["images"]):
        number = _id(image, "id")
        if number is None:
            losses.add(Loss.LABEL, f"{file}: images[{place}]: expected an image with an id")
        elif number in places:
            losses.add(
                Loss.LABEL, f"{file}: images[{place}]: expected an id of its own, found {shown(number)}"
            )
        else:
            places[number] = place
    annotations, broken = _annotations(file, content, places)
    sources = tuple(_sources(file, bounds, content, [*places.values()], broken, losses))
    stray = len(content["annotations"]) - sum(map(len, annotations.values())) - len(broken)
    notes = (f"{file}: {counted(stray, 'annotation')} of no usable image",) if stray else ()
    return Coco(file, bounds.root, content, annotations, sources, notes)


def _folder(file: Path, follow: bool) -> Path:
    beside = file.parent / "images"
    if not beside.is_dir():
        return file.parent
    hindrance = Bounds(file.parent, follow=follow).hindrance(beside)
    if hindrance is not None:
        raise InputError(
            f"{beside}: expected what lies in {file.parent}, found {hindrance}: "
            "where it is right, give it with --images"
        )
    return beside


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes(), parse_int=_whole)
    except OSError as error:
        raise InputError(f"{file}: expected a label file, found: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}: expected JSON, found: {error.msg.lower()}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: expected JSON, found what cannot be read as such") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise InputError(f"{file}: expected the lists {', '.join(lists)} of COCO, found no such thing")
    return content


def _whole(digits: str) -> int | float:
    """Return a number in the file; Python refuses whole files for one of thousands of digits."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _annotations(
    file: Path, content: Mapping[str, Any], places: Mapping[int | str, int]
) -> tuple[dict[int, list[Mapping[str, Any]]], dict[int, str]]:
    """Return the annotations of each image by its place, and for images with a bad one a sentence about it."""
    known = {_id(one, "id") for one in content["categories"]} - {None}
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    broken: dict[int, str] = {}
    for number, annotation in enumerate(content["annotations"]):
        image = _id(annotation, "image_id")
        place = None if image is None else places.get(image)
        if place is None:
            continue
        wrong = _wrong(annotation, known)
        if wrong is None:
            found[place].append(annotation)
        else:
            broken.setdefault(place, f"{file}: annotations[{number}].{wrong}")
    return found, broken


def _id(value: object, key: str) -> int | str | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, int | str) else None


def _wrong(annotation: Mapping[str, Any], categories: set[int | str | None]) -> str | None:
    """Say what keeps an annotation from being carried along; None where nothing does."""
    category, box = annotation.get("category_id"), annotation.get("bbox")
    if _id(annotation, "category_id") not in categories:
        return f"category_id: expected one of the categories, found {shown(category)}"
    if not isinstance(box, list) or len(box) != 4 or not all(finite(value) for value in box):
        return f"bbox: expected x, y, width and height, found {shown(box)}"
    if box[2] < 0 or box[3] < 0:
        return f"bbox: expected no negative width or height, found {shown(box)}"
    if not _is_shape(annotation.get("segmentation", [])):
        return f"segmentation: expected polygons or a mask, found {shown(annotation['segmentation'])}"
    if not _is_points(annotation.get("keypoints", []), 3):
        return f"keypoints: expected x, y and a flag each, found {shown(annotation['keypoints'])}"
    return None


def _is_shape(value: object) -> bool:
    if isinstance(value, dict):
        return sound(value)
    return isinstance(value, list) and all(_is_points(shape, 2) for shape in value)


def _is_points(value: object, each: int) -> bool:
    return isinstance(value, list) and len(value) % each == 0 and all(finite(number) for number in value)


def _sources(
    file: Path,
    bounds: Bounds,
    content: Mapping[str, Any],
    places: Sequence[int],
    broken: Mapping[int, str],
    losses: Losses,
) -> Iterator[Source]:
    taken: set[PurePosixPath] = set()
    for place in places:
        image = content["images"][place]
        written = image.get("file_name")
        inner = _inner(bounds.root, written)
        here = f"{file}: images[{place}].file_name"
        if place in broken:
            losses.add(Loss.LABEL, broken[place])
        elif inner is None:
            losses.add(Loss.PLACE, f"{here}: expected a path inside {bounds.root}, found {shown(written)}")
        elif inner.suffix.lower() not in IMAGES:
            losses.add(
                Loss.UNSUPPORTED,
                f"{here}: expected one of {', '.join(sorted(IMAGES))}, found {shown(written)}",
            )
        elif inner in taken:
            losses.add(Loss.PLACE, f"{here}: expected each picture once, found {shown(written)} again")
        elif hindrance := bounds.hindrance(bounds.root / inner):
            losses.add(Loss.PLACE, f"{here}: expected what lies in {bounds.root}, found {hindrance}")
        else:
            taken.add(inner)
            target = PurePosixPath("images", inner)
            yield Source(str(inner), bounds.root / inner, target, SPLIT, _size(image), key=place)


def _inner(folder: Path, written: object) -> PurePosixPath | None:
    path = inside(written) if isinstance(written, str) else None
    if path is not None and "\\" in str(path) and not (folder / path).exists():
        return inside(str(path).replace("\\", "/"))  # written on Windows
    return path


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if type(width) is int and type(height) is int and 0 < width <= _LONGEST and 0 < height <= _LONGEST:
        return width, height
    return None


def _scaled(
    annotation: Mapping[str, Any], across: float, down: float, size: tuple[int, int]
) -> dict[str, Any]:
    """Return an annotation for the picture that is so many times as wide and high, and has this size."""
    carried = {**annotation, "bbox": _times(annotation["bbox"], across, down)}
    if finite(annotation.get("area")):
        carried["area"] = annotation["area"] * across * down
    shapes = annotation.get("segmentation")
    if isinstance(shapes, dict):
        carried["segmentation"] = scaled(shapes, size)
    elif shapes is not None:
        carried["segmentation"] = [_times(shape, across, down) for shape in shapes]
    if "keypoints" in annotation:
        carried["keypoints"] = _times(annotation["keypoints"], across, down, 1)
    return carried


def _checked(image: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """Return the parts of a picture that somebody looked at, where they are told, for the picture as it is now."""
    across, down = (now / before for now, before in zip(record.size, record.source_size, strict=True))
    try:
        spots = [{**spot, "bbox": _times(spot["bbox"], across, down)} for spot in image["checked"]]
    except (KeyError, TypeError):  # none, or what an evaluation refuses
        return {}
    return {"checked": spots}


def _times(values: Sequence[float], *factors: float) -> list[float]:
    return [value * factor for value, factor in zip(values, cycle(factors), strict=False)]


def _joined(objects: Iterator[dict[str, Any]]) -> Iterator[str]:
    between = "\n"
    for one in objects:
        yield between + json.dumps(one)
        between = ",\n"
