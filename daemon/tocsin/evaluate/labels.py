"""What is labelled in the pictures of a recording: COCO's JSON matched to a video, an image or a folder of images.

For a video the id of an image is the number of the frame, from 0. Images are found by `file_name`: their path in
the folder or, where only one has it, their name alone. An image that is listed without annotations shows nothing
to be found; one that is not listed is not scored. `iscrowd: 1` marks a box to ignore. Beyond COCO, an image may
have `light` (high, medium, low, artificial) and `scene`, or `video_id` in its stead, and an annotation `track_id`.
An image of which only parts were looked at has `checked`, a list of `bbox` and `category_id`: what a model sees
elsewhere in it is neither right nor wrong.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from tocsin.errors import InputError
from tocsin.evaluate import coco
from tocsin.evaluate.matching import Checked, Truth
from tocsin.evaluate.scores import LightClass
from tocsin.footage.pictures import IMAGES, image_files
from tocsin.footage.shown import shown

_SHAPE_TOLERANCE = 0.02
"""By which share the shape of a picture may differ from the labelled one: scaling it rounds to whole pixels."""

_NAMED = 3

_MOST_FRAMES = 2**40


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """What is labelled in one picture.

    `width` and `height` are those of the picture that was labelled, in pixels; None where the labels do not say,
    and the boxes are in pixels of the picture itself. `light` and `scene` are None where the labels do not say, and
    `checked` where all of the picture was looked at.
    """

    name: str
    width: int | None
    height: int | None
    light: LightClass | None
    scene: str | None
    truth: Truth
    checked: Checked | None = None

    def misfit(self, width: int, height: int) -> str | None:
        """Say how a picture of this size cannot be the one that was labelled; None where it can."""
        if self.width is None or self.height is None:
            return None
        if abs(width * self.height / (height * self.width) - 1) <= _SHAPE_TOLERANCE:
            return None
        return f"expected the shape of {self.width}x{self.height} as labelled, found {width}x{height}"


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The ground truth of one recording.

    `description` is what the file says about itself. `pictures` by the index of the picture; `classes` are those of
    the model that are labelled: what it sees of others is neither right nor wrong. `faults` are sentences about
    what was left out, which was so many pictures and boxes.
    """

    path: Path
    description: str
    pictures: Mapping[int, Labelled]
    classes: frozenset[int]
    faults: tuple[str, ...]
    pictures_skipped: int
    boxes_skipped: int

    def absent(self, indices: Sequence[int]) -> str:
        """Say that these labelled frames are not in the video."""
        told = ", ".join(map(str, sorted(indices)[:_NAMED]))
        more = f" and {len(indices) - _NAMED} more" if len(indices) > _NAMED else ""
        return (
            f"{self.path}: expected the labelled frames {told}{more} in the video, found that it lacks them"
        )


def load(path: Path, recording: Path, known: Sequence[str], *, strict: bool = False) -> Labels:
    """Read the labels of a video, an image or a folder of images, for a model with the labels `known`.

    A single fault is told in the result, and what it concerns is left out; with `strict` it raises InputError.
    So do always a file that is no COCO JSON, categories of which the model knows none, and labels of which the
    folder has no image.
    """
    faults = coco.Faults(path, strict)
    root = coco.read(path)
    categories = coco.categories(path, coco.entries(path, root, "categories"), known)
    images = coco.images(faults, coco.entries(path, root, "images"), categories)
    objects = coco.objects(faults, coco.entries(path, root, "annotations"), images, categories)
    named = recording.is_dir() or recording.suffix.lower() in IMAGES
    places = _by_name(faults, images, recording) if named else _by_number(faults, images)
    return Labels(
        path=path,
        description=_description(path, root),
        pictures={index: _labelled(image, objects.get(image.id, [])) for index, image in places.items()},
        classes=frozenset(one.index for one in categories.values() if one.index is not None),
        faults=tuple(faults.sentences),
        pictures_skipped=faults.pictures,
        boxes_skipped=faults.boxes,
    )


def _description(path: Path, root: coco.Entry) -> str:
    info = root.get("info")
    said = info.get("description") if isinstance(info, dict) else None
    return shown(said, 400) if said else f"{path}, which does not say whose they are"


def _labelled(image: coco.Image, objects: Sequence[coco.Object]) -> Labelled:
    truth = Truth(
        boxes=np.array([one.box for one in objects], np.float64).reshape(-1, 4),
        classes=np.array([one.index for one in objects], np.int64),
        areas=np.array([one.area for one in objects], np.float64),
        crowd=np.array([one.crowd for one in objects], np.bool_),
        tracks=np.array([one.track for one in objects], np.int64),
    )
    return Labelled(
        image.name, image.width, image.height, image.light, image.scene, truth, _checked(image.checked)
    )


def _checked(spots: Sequence[coco.Spot] | None) -> Checked | None:
    if spots is None:
        return None
    return Checked(
        boxes=np.array([spot.box for spot in spots], np.float64).reshape(-1, 4),
        classes=np.array([spot.index for spot in spots], np.int64),
    )


def _by_number(faults: coco.Faults, images: Mapping[coco.Id, coco.Image]) -> dict[int, coco.Image]:
    """Return the images by the number of their frame in a video."""
    places: dict[int, coco.Image] = {}
    for image in images.values():
        if not isinstance(image.id, int) or not 0 <= image.id < _MOST_FRAMES:
            place, found = f"{faults.path}: {image.place}.id", coco.short(image.id)
            raise InputError(f"{place}: expected the number of a frame in the video, from 0, found {found}")
        places[image.id] = image
    told = {index: _trailing_number(image.name) for index, image in places.items()}
    offsets = {index - number for index, number in told.items() if number is not None}
    if len(places) > 1 and None not in told.values() and len(offsets) == 1 and offsets != {0}:
        faults.add(
            "images: expected ids that are frame numbers from 0, found ids that differ from the numbers in their"
            f" file names by {offsets.pop():+d}: the ids were used"
        )
    return places


def _trailing_number(name: str) -> int | None:
    found = re.search(r"(?<!\d)(\d{1,15})(?:\.[A-Za-z]+)?$", name)
    return int(found[1]) if found else None


def _by_name(
    faults: coco.Faults, images: Mapping[coco.Id, coco.Image], recording: Path
) -> dict[int, coco.Image]:
    """Return the images by their place in the sorted folder."""
    files = [PurePosixPath(name) for name, _ in image_files(recording)]
    by_path: dict[PurePosixPath, coco.Image] = {}
    for image in images.values():
        other = by_path.setdefault(PurePosixPath(image.name), image)
        if other is not image:
            place = f"{faults.path}: {image.place}.file_name"
            raise InputError(f"{place}: expected a name of its own, found {image.name!r} as in {other.place}")
    by_name = {path.name: image for path, image in by_path.items()}
    here, labelled = (Counter(path.name for path in paths) for paths in (files, by_path))
    places: dict[int, coco.Image] = {}
    for index, path in enumerate(files):
        if path in by_path:
            places[index] = by_path[path]
        elif here[path.name] == 1 and labelled[path.name] == 1:
            places[index] = by_name[path.name]
    first = next(iter(images.values())).name
    if not places:
        raise InputError(
            f"{faults.path}: expected labels of images in {recording}, found those of others: the labels begin"
            f" with {first!r}, the folder with {str(files[0])!r}"
        )
    seen = {image.id for image in places.values()}
    for image in (image for image in images.values() if image.id not in seen):
        faults.add(
            f"{image.place}.file_name: expected an image in {recording}, found none called {image.name!r}",
            pictures=1,
        )
    return places
