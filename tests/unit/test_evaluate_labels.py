"""Labels in COCO's JSON are read as they are meant, and what is wrong with them is told with its place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tocsin.errors import InputError
from tocsin.evaluate.labels import Labels, load
from tocsin.evaluate.scores import LightClass
from tocsin.resources import find

KNOWN = ("person", "baseball bat", "knife")
VIDEO = Path("clip.mp4")


def image(key: Any = 0, **more: Any) -> dict[str, Any]:
    return {"id": key, "width": 640, "height": 480, **more}


def annotation(**more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 0, "category_id": 1, "bbox": [10, 20, 30, 40], **more}


def labels(
    images: Any = None, annotations: Any = None, categories: Any = None, **more: Any
) -> dict[str, Any]:
    """A sound file with one person in frame 0, but for what is given."""
    return {
        "images": [image()] if images is None else images,
        "annotations": [annotation()] if annotations is None else annotations,
        "categories": [{"id": 1, "name": "person"}] if categories is None else categories,
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, content: Any, recording: Path = VIDEO, *, strict: bool = False) -> Labels:
    path = folder / "labels.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return load(path, recording, KNOWN, strict=strict)


@contextmanager
def refused(folder: Path, sentence: str) -> Iterator[None]:
    with pytest.raises(InputError) as caught:
        yield
    assert str(caught.value) == f"{folder}/labels.json: {sentence}"


def images_in(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).touch()
    return folder / "images"


def test_a_video(folder: Path) -> None:
    """Boxes become corners, classes the model's, and a frame without annotations is labelled as empty."""
    found = read(
        folder,
        labels(
            images=[image(0), image(7, light="low", scene="gate"), image(9, video_id=3)],
            annotations=[
                annotation(),
                annotation(image_id=7, category_id=5, iscrowd=1, area=900.5, track_id=12),
            ],
            categories=[{"id": 1, "name": "Person"}, {"id": 5, "name": "Baseball_Bat"}],
        ),
    )
    assert list(found.pictures) == [0, 7, 9]
    assert (found.classes, found.faults, found.boxes_skipped) == ({0, 1}, (), 0)
    first, second, third = (found.pictures[index] for index in (0, 7, 9))
    assert first.truth.boxes.tolist() == [[10, 20, 40, 60]]
    assert (first.truth.areas.tolist(), first.truth.crowd.tolist(), first.truth.tracks.tolist()) == (
        [1200],
        [False],
        [-1],
    )
    assert (first.width, first.height, first.light, first.scene) == (640, 480, None, None)
    assert (second.light, second.scene) == (LightClass.LOW, "gate")
    assert (second.truth.classes.tolist(), second.truth.areas.tolist()) == ([1], [900.5])
    assert (second.truth.crowd.tolist(), second.truth.tracks.tolist()) == ([True], [12])
    assert (len(third.truth), third.truth.boxes.shape, third.scene) == (0, (0, 4), "3")


def test_the_bundled_labels() -> None:
    """The bundled labels are those of the bundled clip, without a fault, and say that no person made them."""
    path = find("assets/pedestrians.coco.json")
    found = load(path, find("assets/pedestrians.mp4"), KNOWN, strict=True)
    assert sorted(found.pictures) == list(range(260))
    assert all(one.misfit(768, 576) is None for one in found.pictures.values())
    counted = sum(int((~one.truth.crowd).sum()) for one in found.pictures.values())
    assert counted == 1454
    assert "Machine labels, not human" in json.loads(path.read_text())["info"]["description"]


def test_categories_that_the_model_lacks(folder: Path) -> None:
    """Boxes of a category that the model lacks are left out and counted by category; unused ones are no fault."""
    content = labels(
        annotations=[
            annotation(),
            annotation(category_id=2),
            annotation(category_id=2),
            annotation(category_id=3),
        ],
        categories=[{"id": k, "name": name} for k, name in enumerate(("person", "drone", "kite", "boat"), 1)],
    )
    found = read(folder, content)
    lacks = "expected a class of the model, found none of that name"
    assert found.faults == (
        f"{folder}/labels.json: category 'drone': {lacks}: 2 boxes left out",
        f"{folder}/labels.json: category 'kite': {lacks}: 1 box left out",
    )
    assert (found.boxes_skipped, len(found.pictures[0].truth), found.classes) == (3, 1, {0})
    with refused(folder, f"category 'drone': {lacks}: 2 boxes left out"):
        read(folder, content, strict=True)


BAD_BOX = "annotations[0].bbox: expected four numbers [x, y, width, height], found "


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"bbox": [1, 2, 3]}, BAD_BOX + "[1, 2, 3]"),
        ({"bbox": [1, 2, 3, "4"]}, BAD_BOX + '[1, 2, 3, "4"]'),
        ({"bbox": [1, 2, 3, None]}, BAD_BOX + "[1, 2, 3, null]"),
        ({"bbox": [1, 2, 3, True]}, BAD_BOX + "[1, 2, 3, true]"),
        ({"bbox": [1, 2, 3, float("nan")]}, BAD_BOX + "[1, 2, 3, NaN]"),
        ({"bbox": None}, BAD_BOX + "null"),
        ({"bbox": list(range(1000))}, BAD_BOX + f"{str(list(range(1000)))[:57]}..."),
        (
            {"bbox": [1, 2, 0, 4]},
            "annotations[0].bbox: expected a width and a height above 0, found [1, 2, 0, 4]",
        ),
        (
            {"bbox": [1, 2, 3, -4]},
            "annotations[0].bbox: expected a width and a height above 0, found [1, 2, 3, -4]",
        ),
        (
            {"bbox": [640, 0, 9, 9]},
            "annotations[0].bbox: expected a box that meets the picture, found [640, 0, 9, 9]",
        ),
        (
            {"bbox": [0, -9, 9, 9]},
            "annotations[0].bbox: expected a box that meets the picture, found [0, -9, 9, 9]",
        ),
        ({"iscrowd": 2}, "annotations[0].iscrowd: expected 0 or 1, found 2"),
        ({"iscrowd": "no"}, 'annotations[0].iscrowd: expected 0 or 1, found "no"'),
        ({"area": "big"}, 'annotations[0].area: expected a number of pixels, found "big"'),
        ({"bbox": [1, 2, 3, 10**400]}, BAD_BOX + f"[1, 2, 3, 1{'0' * 46}..."),
        ({"bbox": [1, 2, 3, 1e308]}, BAD_BOX + "[1, 2, 3, 1e+308]"),
        ({"area": 10**400}, f"annotations[0].area: expected a number of pixels, found 1{'0' * 56}..."),
        ({"track_id": 10**30}, f"annotations[0].track_id: expected a whole number, found 1{'0' * 30}"),
        ({"iscrowd": "\x9b2J\ud800"}, r'annotations[0].iscrowd: expected 0 or 1, found "\x9b2J\ud800"'),
        ({"track_id": 1.5}, "annotations[0].track_id: expected a whole number, found 1.5"),
        ({"image_id": 4}, "annotations[0].image_id: expected the id of an image, found 4"),
        ({"image_id": [0]}, "annotations[0].image_id: expected the id of an image, found [0]"),
        ({"category_id": 2}, "annotations[0].category_id: expected the id of a category, found 2"),
        ({"category_id": None}, "annotations[0].category_id: expected the id of a category, found null"),
    ],
)
def test_one_bad_box(folder: Path, wrong: dict[str, Any], sentence: str) -> None:
    """A box with a fault is left out, told with its place, and counted; strictly it is the end."""
    content = labels(annotations=[annotation(**wrong), annotation(id=2)])
    found = read(folder, content)
    assert (found.faults, found.boxes_skipped) == ((f"{folder}/labels.json: {sentence}",), 1)
    assert len(found.pictures[0].truth) == 1
    with refused(folder, sentence):
        read(folder, content, strict=True)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"light": "night"},
            'images[0].light: expected high, medium, low, artificial, found "night": measured instead',
        ),
        ({"light": 3}, "images[0].light: expected high, medium, low, artificial, found 3: measured instead"),
        ({"width": 0}, "images[0]: expected a width and a height in pixels, found 0 and 480"),
        ({"height": None}, "images[0]: expected a width and a height in pixels, found 640 and nothing"),
    ],
)
def test_one_bad_image(folder: Path, wrong: dict[str, Any], sentence: str) -> None:
    """What an image says wrongly about itself is told, and its boxes still count."""
    found = read(folder, labels(images=[image(**wrong)]))
    assert (found.faults, found.boxes_skipped) == ((f"{folder}/labels.json: {sentence}",), 0)
    assert len(found.pictures[0].truth) == 1
    assert found.pictures[0].light is None


def test_a_picture_of_which_parts_were_looked_at(folder: Path) -> None:
    """Its boxes are known with the classes that somebody looked for; without the key all of it was looked at."""
    spots = [{"bbox": [10, 20, 30, 40], "category_id": 1}, {"bbox": [0, 0, 9, 9], "category_id": 2}]
    content = labels(
        [image(checked=spots), image(1), image(2, checked=[])],
        categories=[{"id": 1, "name": "person"}, {"id": 2, "name": "unicorn"}],
    )
    pictures = read(folder, content).pictures
    checked = pictures[0].checked
    assert checked is not None
    assert (checked.boxes.tolist(), checked.classes.tolist()) == ([[10, 20, 40, 60]], [0])
    assert pictures[1].checked is None
    assert pictures[2].checked is not None
    assert len(pictures[2].checked.boxes) == 0


@pytest.mark.parametrize(
    ("spot", "sentence"),
    [
        (
            {"bbox": [1, 2, 3], "category_id": 1},
            ".bbox: expected four numbers [x, y, width, height], found [1, 2, 3]",
        ),
        ({"bbox": [1, 2, 3, 4]}, ": expected a bbox and the category_id of a category"),
        ("here", ": expected a bbox and the category_id of a category"),
    ],
)
def test_one_bad_part(folder: Path, spot: Any, sentence: str) -> None:
    """It is told, and the others stand."""
    good = {"bbox": [10, 20, 30, 40], "category_id": 1}
    found = read(folder, labels([image(checked=[good, spot])]))
    assert found.faults == (f"{folder}/labels.json: images[0].checked[1]{sentence}",)
    assert found.pictures[0].checked is not None
    assert len(found.pictures[0].checked.boxes) == 1
    with refused(folder, "images[0].checked: expected a list, found 7"):
        read(folder, labels([image(checked=7)]))


def test_many_faults_are_counted(folder: Path) -> None:
    """Each of many faults has its sentence; how many of them are printed is decided by who prints."""
    found = read(folder, labels(annotations=[annotation(bbox=[])] * 250))
    assert (len(found.faults), found.boxes_skipped) == (250, 250)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "line 1, column 1: expected JSON, found a fault: expecting value"),
        (b'{"images": [\n1,,', "line 2, column 3: expected JSON, found a fault: expecting value"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "expected labels in COCO's JSON, found a file that is no text"),
        (b"[" * 100_000, "expected labels in COCO's JSON, found lists too deep in lists"),
        ([], "expected an object with images, annotations and categories, found a list"),
        ({}, "expected images, annotations and categories, found no categories but nothing"),
        (
            {"shapes": [], "version": "5.0"},
            "expected images, annotations and categories, found no categories but shapes, version",
        ),
        (labels(images={}), "images: expected a list, found an object"),
        (labels(images=[]), "images: expected the labelled pictures, found none"),
        (labels(images=["a.jpg"]), 'images[0]: expected an object, found "a.jpg"'),
        (labels(images=[{"file_name": "a.jpg"}]), "images[0].id: expected a number or a text, found nothing"),
        (
            labels(images=[image(), image()]),
            "images[1].id: expected an id of its own, found 0 as in images[0]",
        ),
        (labels(images=[image(file_name=3)]), "images[0].file_name: expected a text, found 3"),
        (
            labels(images=[image("0001")]),
            'images[0].id: expected the number of a frame in the video, from 0, found "0001"',
        ),
        (
            labels(images=[image(-1)]),
            "images[0].id: expected the number of a frame in the video, from 0, found -1",
        ),
        (
            labels(categories=[]),
            "categories: expected one that the model knows (person, baseball bat, knife), found none",
        ),
        (
            labels(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]),
            "categories: expected one that the model knows (person, baseball bat, knife), found cat, dog",
        ),
        (labels(categories=[{"id": 1}]), "categories[0].name: expected a text, found nothing"),
        (
            labels(categories=[{"id": 1, "name": "person"}, {"id": 1, "name": "knife"}]),
            "categories[1].id: expected an id of its own, found 1 again",
        ),
    ],
)
def test_no_labels(folder: Path, content: Any, sentence: str) -> None:
    """A file that is no COCO JSON is refused with the place and what is wrong there."""
    with refused(folder, sentence):
        read(folder, content)


def test_no_file(folder: Path) -> None:
    """A file that is not there is told with the system's reason."""
    with refused(folder, "expected labels, found that they cannot be read: No such file or directory"):
        load(folder / "labels.json", VIDEO, KNOWN)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        pytest.param((0, 1, 2), False, id="ids are the numbers"),
        pytest.param((1, 2, 3), True, id="numbers begin at one and ids at nought"),
        pytest.param((5, 1, 7), False, id="numbers of something else"),
    ],
)
def test_ids_that_are_no_frame_numbers(folder: Path, numbers: tuple[int, ...], told: bool) -> None:
    """File names whose numbers all lie as far from the ids are told: the ids may count from elsewhere."""
    names = [image(key, file_name=f"frame_{number:06}.png") for key, number in enumerate(numbers)]
    faults = read(folder, labels(images=names)).faults
    assert bool(faults) is told
    for fault in faults:
        assert fault == (
            f"{folder}/labels.json: images: expected ids that are frame numbers from 0, found ids that differ from"
            " the numbers in their file names by -1: the ids were used"
        )


def test_images_are_found_by_their_path(folder: Path) -> None:
    """An image is found by its path in the folder; its id may be anything."""
    recording = images_in(folder, "a/1.jpg", "b/1.jpg", "c.png")
    found = read(
        folder,
        labels(
            images=[image("x", file_name="b/1.jpg"), image(99, file_name="./c.png")],
            annotations=[annotation(image_id="x")],
        ),
        recording,
    )
    assert {index: one.name for index, one in found.pictures.items()} == {1: "b/1.jpg", 2: "./c.png"}
    assert (len(found.pictures[1].truth), len(found.pictures[2].truth)) == (1, 0)
    assert found.faults == ()


def test_images_are_found_by_their_name(folder: Path) -> None:
    """Where folders differ the name alone is enough, but not where two have it."""
    recording = images_in(folder, "a/1.jpg", "b/1.jpg", "b/2.jpg")
    content = labels(
        images=[image(0, file_name="train/2.jpg"), image(1, file_name="train/1.jpg")], annotations=[]
    )
    found = read(folder, content, recording)
    assert {index: one.name for index, one in found.pictures.items()} == {2: "train/2.jpg"}
    sentence = f"images[1].file_name: expected an image in {recording}, found none called 'train/1.jpg'"
    assert found.faults == (f"{folder}/labels.json: {sentence}",)
    with refused(folder, sentence):
        read(folder, content, recording, strict=True)


def test_one_image(folder: Path) -> None:
    """The labels of a folder serve for one image of it; the others are told to be missing."""
    recording = images_in(folder, "1.jpg", "2.jpg") / "2.jpg"
    found = read(folder, labels(images=[image(0, file_name="1.jpg"), image(1, file_name="2.jpg")]), recording)
    assert {index: one.name for index, one in found.pictures.items()} == {0: "2.jpg"}
    assert len(found.faults) == 1


def test_labels_of_other_images(folder: Path) -> None:
    """Labels of which the folder has no image are refused, with an example of each."""
    recording = images_in(folder, "yard_1.jpg")
    with refused(
        folder,
        f"expected labels of images in {recording}, found those of others: the labels begin with 'gate_1.jpg',"
        " the folder with 'yard_1.jpg'",
    ):
        read(folder, labels(images=[image(0, file_name="gate_1.jpg")]), recording)


def test_one_name_for_two_images(folder: Path) -> None:
    """Two labelled images of one name are refused: nobody knows which is meant."""
    with refused(folder, "images[1].file_name: expected a name of its own, found '1.jpg' as in images[0]"):
        read(
            folder,
            labels(images=[image(0, file_name="1.jpg"), image(1, file_name="1.jpg")]),
            images_in(folder, "1.jpg"),
        )


@pytest.mark.parametrize(
    ("size", "misfit"),
    [
        ((640, 480), None),
        ((320, 240), None),
        ((854, 640), None),
        ((480, 640), "expected the shape of 640x480 as labelled, found 480x640"),
        ((1280, 720), "expected the shape of 640x480 as labelled, found 1280x720"),
    ],
)
def test_misfits(folder: Path, size: tuple[int, int], misfit: str | None) -> None:
    """A picture of another shape than the labelled one is told; one of another size is not, nor one unsized."""
    assert read(folder, labels()).pictures[0].misfit(*size) == misfit
    assert read(folder, labels(images=[{"id": 0}])).pictures[0].misfit(*size) is None


@pytest.mark.parametrize(
    ("indices", "told"), [([388], "388"), ([5, 4, 3], "3, 4, 5"), ([9, 8, 7, 6, 5], "5, 6, 7 and 2 more")]
)
def test_frames_that_the_video_lacks(folder: Path, indices: list[int], told: str) -> None:
    """Labelled frames that are not there are told by their first numbers and their count."""
    assert read(folder, labels()).absent(indices) == (
        f"{folder}/labels.json: expected the labelled frames {told} in the video, found that it lacks them"
    )


def test_a_number_of_thousands_of_digits(folder: Path) -> None:
    """Python reads no number of more than 4300 digits: the file is named, not the guard."""
    content = json.dumps(labels()).replace('"id": 1', f'"id": {"1" * 5000}').encode()
    with refused(folder, "expected labels in COCO's JSON, found a number of thousands of digits"):
        read(folder, content)


def test_numbers_beyond_all_frames(folder: Path) -> None:
    """Neither an id nor a file name of hundreds of digits is the number of a frame, nor does it end the command."""
    place = "images[0].id: expected the number of a frame in the video, from 0, found"
    with refused(folder, f"{place} 1{'0' * 56}..."):
        read(folder, labels(images=[image(10**400)]))
    assert len(read(folder, labels(images=[image(0, file_name="1" * 5000), image(1)])).pictures) == 2


@pytest.mark.parametrize(
    ("info", "description"),
    [
        ({"description": "by hand"}, "by hand"),
        ({"description": "\x1b[2Jby\ud800 hand\n"}, r"\x1b[2Jby\ud800 hand\n"),
        ({"description": "a" * 500}, f"{'a' * 400}..."),
        ({}, "{path}, which does not say whose they are"),
        (None, "{path}, which does not say whose they are"),
    ],
)
def test_what_labels_say_of_themselves(folder: Path, info: Any, description: str) -> None:
    """It is told in letters that do nothing to a terminal, and not without end."""
    found = read(folder, labels(info=info)).description
    assert found == description.replace("{path}", f"{folder}/labels.json")
