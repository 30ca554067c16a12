"""COCO's JSON: read into images, categories and objects; faults of single entries are collected by their places."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from tocsin.errors import InputError
from tocsin.evaluate.scores import LightClass
from tocsin.footage.shown import harmless, shown

_SHORT = 60

_LARGEST = 2**53
"""No number of pixels and no track is larger; what is larger would overflow in reckoning."""

Id = int | str
Entry = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """Collects what is wrong with single entries of a file."""

    path: Path
    strict: bool
    sentences: list[str] = field(default_factory=list)
    pictures: int = 0
    boxes: int = 0
    """How many of them are not there because of these faults."""

    def add(self, sentence: str, *, pictures: int = 0, boxes: int = 0) -> None:
        """Note a fault that leaves out so much. With `strict` it is the end: InputError."""
        if self.strict:
            raise InputError(f"{self.path}: {sentence}")
        self.sentences.append(f"{self.path}: {sentence}")
        self.pictures += pictures
        self.boxes += boxes


@dataclass(frozen=True, slots=True)
class Spot:
    """A box that somebody looked at: `box` is x1 y1 x2 y2 in pixels, `index` the model's class."""

    box: tuple[float, float, float, float]
    index: int


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of the file; `place` is where in the file it stands, and None is what the file does not say."""

    id: Id
    place: str
    name: str
    width: int | None
    height: int | None
    light: LightClass | None
    scene: str | None
    checked: tuple[Spot, ...] | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """A category of the file; `index` is the model's class of that name, None where it has none."""

    name: str
    index: int | None


@dataclass(frozen=True, slots=True)
class Object:
    """An annotation: `box` is x1 y1 x2 y2 in pixels, `index` the model's class, `track` -1 where there is none."""

    box: tuple[float, float, float, float]
    index: int
    area: float
    crowd: bool
    track: int


def read(path: Path) -> Entry:
    """Return the file's outermost object. Raises InputError."""
    try:
        root = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: expected labels, found that they cannot be read: {error.strerror}"
        ) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}: {where}: expected JSON, found a fault: {error.msg.lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected labels in COCO's JSON, found a file that is no text") from error
    except ValueError as error:  # as CPython guards itself
        raise InputError(
            f"{path}: expected labels in COCO's JSON, found a number of thousands of digits"
        ) from error
    except RecursionError as error:
        raise InputError(f"{path}: expected labels in COCO's JSON, found lists too deep in lists") from error
    if not isinstance(root, dict):
        raise InputError(
            f"{path}: expected an object with images, annotations and categories, found {_kind(root)}"
        )
    return root


def entries(path: Path, root: Entry, key: str) -> list[Entry]:
    """Return one of the file's lists of objects. Raises InputError."""
    if key not in root:
        found = shown(", ".join(list(root)[:5])) or "nothing"
        raise InputError(f"{path}: expected images, annotations and categories, found no {key} but {found}")
    if not isinstance(root[key], list):
        raise InputError(f"{path}: {key}: expected a list, found {_kind(root[key])}")
    for number, entry in enumerate(root[key]):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: {key}[{number}]: expected an object, found {_kind(entry)}")
    listed: list[Entry] = root[key]
    return listed


def categories(path: Path, listed: Sequence[Entry], known: Sequence[str]) -> dict[Id, Category]:
    """Return the categories by their id, matched to the model's labels `known` by name.

    Capitals and underscores make no difference. Raises InputError, also where the model knows none of them.
    """
    indices = {_plain(label): index for index, label in reversed(list(enumerate(known)))}
    found: dict[Id, Category] = {}
    for number, entry in enumerate(listed):
        place = f"{path}: categories[{number}]"
        key, name = _id(entry, place), entry.get("name")
        if not isinstance(name, str):
            raise InputError(f"{place}.name: expected a text, found {_kind(name)}")
        if key in found:
            raise InputError(f"{place}.id: expected an id of its own, found {short(key)} again")
        found[key] = Category(name, indices.get(_plain(name)))
    if all(category.index is None for category in found.values()):
        names = shown(", ".join(category.name for category in found.values())) or "none"
        raise InputError(
            f"{path}: categories: expected one that the model knows ({_few(known)}), found {names}"
        )
    return found


def images(faults: Faults, listed: Sequence[Entry], named: Mapping[Id, Category]) -> dict[Id, Image]:
    """Return the images by their id. Raises InputError where they have none, or one in common."""
    found: dict[Id, Image] = {}
    for number, entry in enumerate(listed):
        place = f"images[{number}]"
        key, name = _id(entry, f"{faults.path}: {place}"), entry.get("file_name", "")
        if key in found:
            other = found[key].place
            raise InputError(
                f"{faults.path}: {place}.id: expected an id of its own, found {short(key)} as in {other}"
            )
        if not isinstance(name, str):
            raise InputError(f"{faults.path}: {place}.file_name: expected a text, found {_kind(name)}")
        width, height = _size(faults, place, entry)
        scene = entry.get("scene", entry.get("video_id"))
        image = Image(
            id=key,
            place=place,
            name=name,
            width=width,
            height=height,
            light=_light(faults, place, entry),
            scene=None if scene is None else str(scene),
        )
        found[key] = replace(image, checked=_checked(faults, entry, image, named))
    if not found:
        raise InputError(f"{faults.path}: images: expected the labelled pictures, found none")
    return found


def objects(
    faults: Faults, listed: Sequence[Entry], known: Mapping[Id, Image], named: Mapping[Id, Category]
) -> dict[Id, list[Object]]:
    """Return the objects of each image by its id, without those that have faults or that the model cannot know."""
    found: dict[Id, list[Object]] = defaultdict(list)
    foreign: Counter[str] = Counter()
    for number, entry in enumerate(listed):
        place = f"annotations[{number}]"
        image, category = (_reference(entry.get(key)) for key in ("image_id", "category_id"))
        if image not in known:
            faults.add(
                f"{place}.image_id: expected the id of an image, found {short(entry.get('image_id'))}",
                boxes=1,
            )
        elif category not in named:
            told = short(entry.get("category_id"))
            faults.add(f"{place}.category_id: expected the id of a category, found {told}", boxes=1)
        elif (index := named[category].index) is None:
            foreign[named[category].name] += 1
        else:
            try:
                found[image].append(_object(place, entry, index, known[image]))
            except InputError as error:
                faults.add(str(error), boxes=1)
    for name, boxes in foreign.items():
        left_out = f"{boxes} box{'' if boxes == 1 else 'es'} left out"
        faults.add(
            f"category {name!r}: expected a class of the model, found none of that name: {left_out}",
            boxes=boxes,
        )
    return found


def _size(faults: Faults, place: str, entry: Entry) -> tuple[int | None, int | None]:
    width, height = entry.get("width"), entry.get("height")
    if width is None and height is None:
        return None, None
    if _is_number(width) and _is_number(height) and width >= 1 and height >= 1:
        return int(width), int(height)
    faults.add(f"{place}: expected a width and a height in pixels, found {_kind(width)} and {_kind(height)}")
    return None, None


def _light(faults: Faults, place: str, entry: Entry) -> LightClass | None:
    light = entry.get("light")
    if light is None:
        return None
    if light in list(LightClass):
        return LightClass(light)
    faults.add(f"{place}.light: expected {', '.join(LightClass)}, found {short(light)}: measured instead")
    return None


def _checked(
    faults: Faults, entry: Entry, image: Image, named: Mapping[Id, Category]
) -> tuple[Spot, ...] | None:
    """Return what was looked at in a picture; None where the file does not say that it was less than all of it."""
    listed = entry.get("checked")
    if listed is None:
        return None
    place = f"{image.place}.checked"
    if not isinstance(listed, list):
        raise InputError(f"{faults.path}: {place}: expected a list, found {_kind(listed)}")
    found = []
    for number, spot in enumerate(listed):
        try:
            if not isinstance(spot, dict) or _reference(spot.get("category_id")) not in named:
                raise InputError(f"{place}[{number}]: expected a bbox and the category_id of a category")
            index = named[spot["category_id"]].index
            box = _box(f"{place}[{number}].bbox", spot.get("bbox"), image)
        except InputError as error:
            faults.add(str(error))
            continue
        if index is not None:  # the model cannot see anything of that class there
            found.append(Spot(_edges(box), index))
    return tuple(found)


def _edges(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, width, height = box
    return left, top, left + width, top + height


def _object(place: str, entry: Entry, index: int, image: Image) -> Object:
    """Return one object. Raises InputError with the place inside the file."""
    left, top, width, height = _box(f"{place}.bbox", entry.get("bbox"), image)
    crowd, area, track = entry.get("iscrowd", 0), entry.get("area"), entry.get("track_id", -1)
    if crowd not in (0, 1):
        raise InputError(f"{place}.iscrowd: expected 0 or 1, found {short(crowd)}")
    if area is not None and not (_is_number(area) and area >= 0):
        raise InputError(f"{place}.area: expected a number of pixels, found {short(area)}")
    if not isinstance(track, int) or abs(track) > _LARGEST:
        raise InputError(f"{place}.track_id: expected a whole number, found {short(track)}")
    return Object(
        box=_edges((left, top, width, height)),
        index=index,
        area=width * height if area is None else float(area),
        crowd=bool(crowd),
        track=track,
    )


def _box(place: str, box: object, image: Image) -> tuple[float, float, float, float]:
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
        raise InputError(f"{place}: expected four numbers [x, y, width, height], found {short(box)}")
    left, top, width, height = map(float, box)
    if width <= 0 or height <= 0:
        raise InputError(f"{place}: expected a width and a height above 0, found {short(box)}")
    beyond = left >= (image.width or math.inf) or top >= (image.height or math.inf)
    if beyond or left + width <= 0 or top + height <= 0:
        raise InputError(f"{place}: expected a box that meets the picture, found {short(box)}")
    return left, top, width, height


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _reference(value: object) -> Id:
    """Return what may be an id; something else is the empty text, which no entry has."""
    return value if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _id(entry: Entry, place: str) -> Id:
    found = _reference(entry.get("id"))
    if found == "":
        raise InputError(f"{place}.id: expected a number or a text, found {_kind(entry.get('id'))}")
    return found


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def short(value: object) -> str:
    """Return a value as it stands in the file, cut where it is long."""
    text = harmless(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def _kind(value: object) -> str:
    """Return what a value is, in words where it is large."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return short(value)
