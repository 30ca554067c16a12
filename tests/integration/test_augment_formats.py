"""Data sets of both formats are read as trainers read them, and written so that they can be read again."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from support.augmenting import ALWAYS, OFF, augment
from support.datasets import coco, picture, records, save, tree, turned, yolo
from tocsin.augment import yolo as yolo_format
from tocsin.augment.dataset import Loss
from tocsin.errors import InputError


def content(out: Path) -> dict[str, Any]:
    found = json.loads((out / "annotations.json").read_text())
    assert isinstance(found, dict)
    return found


def size(file: Path) -> tuple[int, int]:
    return cv2.imread(str(file)).shape[1::-1]


# YOLO


def test_a_yolo_set_comes_out_as_one(tmp_path: Path) -> None:
    """Pictures and labels of each split lie where trainers look, and the data.yaml names them."""
    ran = augment(yolo(tmp_path / "in"), tmp_path / "out")
    found = tree(tmp_path / "out")
    assert sorted(found) == sorted(
        [
            "data.yaml",
            "tocsin-augment.jsonl",
            *(
                f"{folder}/train/{number:02}__{condition}.{end}"
                for folder, end in (("images", "jpg"), ("labels", "txt"))
                for number in range(4)
                for condition in ("as-recorded", "ev+1")
            ),
            *(
                f"{folder}/val/{number:02}__as-recorded.{end}"
                for folder, end in (("images", "jpg"), ("labels", "txt"))
                for number in range(2)
            ),
        ]
    )
    assert found["labels/train/03__ev+1.txt"] == b"1 0.5 0.5 0.25 0.4\n"
    assert yaml.safe_load(found["data.yaml"]) == {
        "train": "images/train",
        "val": "images/val",
        "names": {0: "knife", 1: "gun"},
    }
    assert ran.outcome.trainer_file == tmp_path / "out" / "data.yaml"
    assert ran.told == []


def test_the_result_is_a_data_set_itself(tmp_path: Path) -> None:
    """It can be augmented again, with names that stay apart."""
    first = augment(yolo(tmp_path / "in"), tmp_path / "out").outcome
    second = augment(first.trainer_file, tmp_path / "again", conditions="veil0.5").outcome
    assert second.sources == 10
    assert len(second.records) == 8 * 2 + 2


def test_validation_is_corrected_as_recorded(tmp_path: Path) -> None:
    """What a trainer measures on sees the correction of the daemon, and no simulated light."""
    augment(yolo(tmp_path / "in"), tmp_path / "out", recipe=ALWAYS)
    val = [record for record in records(tmp_path / "out") if record["picture"].startswith("images/val")]
    assert {(record["condition"], record["correction"] != "none") for record in val} == {
        ("as-recorded", True)
    }


def test_other_splits_can_be_shown_in_other_light(tmp_path: Path) -> None:
    """`--splits` names them; one that is not there is refused."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out", splits=("train", "val"))
    assert (tmp_path / "out/images/val/01__ev+1.jpg").is_file()
    with pytest.raises(InputError, match="--splits: expected some of train, val, found test"):
        augment(file, tmp_path / "other", splits=("train", "test"))


def test_a_folder_without_a_data_yaml_is_read(tmp_path: Path) -> None:
    """Splits are the folders in images; classes get numbers for names where nobody named them."""
    yolo(tmp_path / "in").unlink()
    ran = augment(tmp_path / "in", tmp_path / "out")
    assert yaml.safe_load(ran.outcome.trainer_file.read_text()) == {
        "train": "images/train",
        "val": "images/val",
        "names": {0: "class0", 1: "class1"},
    }
    assert any("the classes get the names" in sentence for sentence in ran.told)


def test_a_flat_folder_is_for_training(tmp_path: Path) -> None:
    """Trainers insist on a validation split, so the data.yaml names the same one and says so."""
    save(tmp_path / "in/images/a.png", picture(1))
    label = tmp_path / "in/labels/a.txt"
    label.parent.mkdir()
    label.write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "in/classes.txt").write_text("knife\n")
    file = augment(tmp_path / "in", tmp_path / "out").outcome.trainer_file
    assert yaml.safe_load(file.read_text()) == {
        "train": "images/train",
        "val": "images/train",
        "names": {0: "knife"},
    }
    assert "# The data set has no split val" in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("path: .\ntrain: images/train\nval: images/val\n", id="path is the folder itself"),
        pytest.param("path: /home/me/knives\ntrain: images/train\nval: images/val\n", id="a path elsewhere"),
        pytest.param("path: ../datasets/in\ntrain: images/train\nval: images/val\n", id="a path above"),
        pytest.param("train: ../images/train\nval: ../images/val\n", id="an exporter's way"),
        pytest.param("train: [images/train]\nval: [images/val]\n", id="lists"),
        pytest.param("train: {here}/images/train\nvalidation: images/val\n", id="an absolute folder inside"),
        pytest.param("train: train.txt\nval: images/val\n", id="a list of pictures in a file"),
    ],
)
def test_the_ways_to_name_a_split(tmp_path: Path, text: str) -> None:
    """As trainers understand them, and as exporters write them."""
    file = yolo(tmp_path / "in")
    file.write_text(text.replace("{here}", str(tmp_path / "in")) + "names: [knife, gun]\n")
    listed = [f"./images/train/{number:02}.jpg" for number in range(3)]
    listed.append(str(tmp_path / "in/images/train/03.jpg"))
    (tmp_path / "in/train.txt").write_text("\n".join(listed))
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 6
    labels = [path for path in tree(tmp_path / "out") if path.startswith("labels/train/")]
    assert len(labels) == 8


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: /etc\nval: images/val\nnames: [a]", "train: expected a folder or list inside .*found /etc"),
        ("train: ../../etc\nnames: [a]", r"train: expected a folder or list inside .*found \.\./\.\./etc"),
        ("path: /etc\ntrain: nowhere\nnames: [a]", "path: expected a folder inside .*found /etc: .*--images"),
        ("train: images/train\nnames: 7", "names: expected the names of the classes, found 7"),
        ("names: [a]", "expected a split"),
        ("[1, 2", r"data.yaml:1: expected YAML, found: "),
        ("a: &x [1]\nb: *x", "expected no aliases"),
        ("just text", "expected keys such as train"),
    ],
)
def test_a_bad_data_yaml_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    """One sentence with the place; nothing outside its folder is read on its word."""
    file = yolo(tmp_path / "in")
    file.write_text(text)
    with pytest.raises(InputError, match=sentence):
        augment(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nc: -3", "nc: expected 1 to 100000 classes, found -3"),
        ("nc: 0", "nc: expected 1 to 100000 classes, found 0"),
        ("nc: 100001", "nc: expected 1 to 100000 classes, found 100001"),
        ("nc: true", "nc: expected 1 to 100000 classes, found True"),
        ("nc: two", "nc: expected 1 to 100000 classes, found two"),
        ("nc: 0x" + "f" * 5000, "nc: expected 1 to 100000 classes, found what is too long to be shown"),
        ("names: []", r"names: expected the names of the classes, found \[\]"),
        ("names: {}", "names: expected the names of the classes, found {}"),
        ("names: {-1: a}", "names: expected the names of the classes, found {-1: 'a'}"),
        ("names: {100000: a}", "names: expected the names of the classes, found {100000: 'a'}"),
        ("names: [a, [b]]", r"names: expected one for class 1, found \['b'\]"),
        ("names: {0: 0x" + "f" * 5000 + "}", "names: expected one for class 0, found what is too long"),
        ("", "names: expected the names of the classes, found None"),
    ],
)
def test_classes_that_are_none_are_told(tmp_path: Path, text: str, sentence: str) -> None:
    """The file is there, and what is wrong with it is said."""
    file = yolo(tmp_path / "in")
    file.write_text(f"train: images/train\n{text}\n")
    with pytest.raises(InputError, match=rf"data.yaml: {sentence}"):
        augment(file, tmp_path / "out")


def test_classes_may_be_counted_or_named_strangely(tmp_path: Path) -> None:
    """A count alone gives numbers for names; half a letter in a name is carried along as it is."""
    file = yolo(tmp_path / "in")
    for number, (text, names) in enumerate(
        [
            ("nc: 2", {0: "class0", 1: "class1"}),
            ('names: ["\\ud800", yes]', {0: "\ud800", 1: "True"}),
            ("7: 1\nnames: [7, 8.5]", {0: "7", 1: "8.5"}),
        ]
    ):
        file.write_text(f"train: images/train\n{text}\n")
        made = augment(file, tmp_path / f"out{number}").outcome.trainer_file
        assert yaml.safe_load(made.read_text())["names"] == names


def test_a_list_that_is_none_is_not_shown(tmp_path: Path) -> None:
    """A split may name any file of the data set; a line that names no picture may be private."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/list").write_text("hunter2\nimages/train/00.jpg\n../up.jpg\nimages/train/00.txt\n")
    file.write_text("train: list\nnames: [knife, gun]\n")
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 1
    assert ran.told == [
        f"left out: {tmp_path}/in/list:1: expected the path of a picture, found none",
        f"left out: {tmp_path}/in/list:3: expected a path inside {tmp_path}/in, found ../up.jpg",
        f"left out: {tmp_path}/in/list:4: expected the path of a picture, found none",
    ]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures are not lost in silence."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/images/train/more").mkdir()
    scan = os.scandir

    def refused(path: str) -> Any:
        if Path(path).name == "more":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scan(path)

    monkeypatch.setattr(yolo_format.os, "scandir", refused)
    ran = augment(file, tmp_path / "out")
    assert ran.told == [
        f"left out: {tmp_path}/in/images/train/more: expected a folder, found: Permission denied"
    ]


def test_a_person_may_name_a_folder_elsewhere(tmp_path: Path) -> None:
    """`--images` overrides where the paths of a data.yaml start."""
    yolo(tmp_path / "in")
    file = tmp_path / "lists/data.yaml"
    file.parent.mkdir()
    file.write_text("path: /elsewhere\ntrain: images/train\nnames: [knife, gun]\n")
    assert augment(file, tmp_path / "out", images=tmp_path / "in").outcome.sources == 4


def test_same_names_in_two_folders_stay_apart(tmp_path: Path) -> None:
    """Folders below a split are kept, but for `images`, which would lead trainers astray."""
    for camera in ("door", "yard"):
        save(tmp_path / f"in/{camera}/images/a.jpg", picture(len(camera)))
        label = tmp_path / f"in/{camera}/labels/a.txt"
        label.parent.mkdir()
        label.write_text(f"0 0.5 0.5 0.1 0.{len(camera)}\n")
    file = tmp_path / "in/data.yaml"
    file.write_text("train: [door/images, yard/images]\nnames: [knife]\n")
    augment(file, tmp_path / "out")
    found = tree(tmp_path / "out")
    assert "images/train/door/a__ev+1.jpg" in found
    assert found["labels/train/yard/a__ev+1.txt"] == b"0 0.5 0.5 0.1 0.4\n"


def test_a_picture_without_a_label_file_has_no_objects(tmp_path: Path) -> None:
    """It stays without one, which means the same to a trainer; how many there are is told."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/labels/train/02.txt").unlink()
    (tmp_path / "in/labels/train/03.txt").write_text("")
    ran = augment(file, tmp_path / "out")
    found = tree(tmp_path / "out")
    assert "images/train/02__ev+1.jpg" in found
    assert "labels/train/02__ev+1.txt" not in found
    assert found["labels/train/03__ev+1.txt"] == b""
    assert ran.told == ["note: 1 picture without a label file: taken as without objects"]


def test_no_labels_at_all_is_a_mistake(tmp_path: Path) -> None:
    """The sentence says where they were looked for."""
    file = yolo(tmp_path / "in")
    for label in (tmp_path / "in/labels").rglob("*.txt"):
        label.unlink()
    with pytest.raises(InputError, match=r"expected labels, such as .*labels/train/00.txt, found none"):
        augment(file, tmp_path / "out")


def test_key_points_are_carried(tmp_path: Path) -> None:
    """What says how the lines are to be read stands in the new data.yaml too."""
    file = yolo(tmp_path / "in")
    file.write_text(file.read_text() + "kpt_shape: [1, 3]\nflip_idx: [0]\n")
    made = augment(file, tmp_path / "out").outcome.trainer_file
    assert yaml.safe_load(made.read_text())["kpt_shape"] == [1, 3]


# COCO


def test_a_coco_set_comes_out_as_one(tmp_path: Path) -> None:
    """Each picture has its own image and all the objects of its source; COCO's own reader is content."""
    made = augment(coco(tmp_path / "in"), tmp_path / "out").outcome.trainer_file
    found = COCO(str(made))
    assert len(found.getImgIds()) == 6
    assert len(found.getAnnIds()) == 12
    for image in found.loadImgs(found.getImgIds()):
        assert size(tmp_path / "out/images" / image["file_name"]) == (image["width"], image["height"])
        objects = found.loadAnns(found.getAnnIds(image["id"]))
        assert [one["bbox"] for one in objects] == [[4.0, 4.0, 16.0, 24.0], [5.0, 4.0, 16.0, 24.0]]
    first = content(tmp_path / "out")["images"][1]
    assert first["file_name"] == "00__ev+1.png"
    assert (first["source_id"], first["condition"]) == (100, "ev+1")


def test_boxes_shrink_with_the_picture(tmp_path: Path) -> None:
    """Box, area, polygon, mask and key points are those of the small picture, and what was looked at in it is."""
    mask = {"size": [48, 64], "counts": [48 * 32, 48 * 32]}
    checked = [{"bbox": [8, 8, 16, 24], "category_id": 3}]
    image = {"id": 1, "file_name": "00.png", "width": 64, "height": 48, "checked": checked}
    labels = [
        {"bbox": [8, 8, 16, 24], "area": 384, "segmentation": [[8, 8, 24, 8, 24, 32]]},
        {"bbox": [32, 0, 32, 48], "iscrowd": 1, "segmentation": mask, "keypoints": [32, 24, 2]},
    ]
    annotations = [{"id": 9 + n, "image_id": 1, "category_id": 3, **one} for n, one in enumerate(labels)]
    file = coco(tmp_path / "in", images=[image], annotations=annotations)
    recipe = type(OFF)(OFF.policy, 32, 32, keep_aspect=True, shrink=True, quality=95)
    augment(file, tmp_path / "out", recipe=recipe)
    found = content(tmp_path / "out")
    assert (found["images"][0]["width"], found["images"][0]["height"]) == (32, 24)
    assert size(tmp_path / "out/images/00__ev+1.png") == (32, 24)
    polygon, crowd = found["annotations"][:2]
    assert polygon["bbox"] == [4, 4, 8, 12]
    assert polygon["area"] == 96
    assert polygon["segmentation"] == [[4, 4, 12, 4, 12, 16]]
    assert crowd["segmentation"] == {"size": [24, 32], "counts": [24 * 16, 24 * 16]}
    assert crowd["keypoints"] == [16, 12, 2]
    assert found["images"][0]["checked"] == [{"bbox": [4, 4, 8, 12], "category_id": 3}]


def test_what_is_unusable_is_left_out_and_told(tmp_path: Path) -> None:
    """Each with its place in the file; the rest is there."""
    file = coco(tmp_path / "in", count=10)
    data = json.loads(file.read_text())
    data["images"][1]["file_name"] = "../../../etc/passwd.png"
    data["images"][2]["file_name"] = "/etc/hostname.png"
    data["images"][3]["file_name"] = "missing.png"
    data["images"][4]["width"] = 63
    data["images"][5]["id"] = None
    data["images"][6]["file_name"] = "00.png"
    data["annotations"][14]["bbox"] = [1, 2, "x", 4]
    data["annotations"][16]["category_id"] = 99
    (tmp_path / "in/images/09.png").write_bytes(b"rubbish")
    file.write_text(json.dumps(data))
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 1
    assert [loss for loss, _ in ran.outcome.losses] == [
        Loss.LABEL,
        Loss.PLACE,
        Loss.PLACE,
        Loss.PLACE,
        Loss.LABEL,
        Loss.LABEL,
        Loss.MISSING,
        Loss.SIZE,
        Loss.UNREADABLE,
    ]
    told = "\n".join(ran.told)
    assert "images[1].file_name: expected a path inside" in told
    assert "annotations[14].bbox: expected x, y, width and height, found [1, 2, 'x', 4]" in told
    assert "annotations[16].category_id: expected one of the categories, found 99" in told
    assert "04.png: expected 63x48 pixels as its labels say, found 64x48" in told
    assert {record["source"] for record in records(tmp_path / "out")} == {"00.png"}
    assert not list(tmp_path.rglob("passwd*"))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        pytest.param("bbox", f"[1, 2, 3, {'9' * 400}]", "bbox: expected x, y, width and height, ", id="huge"),
        pytest.param(
            "bbox", f"[1, 2, 3, {'9' * 5000}]", "bbox: expected x, y, width and height, ", id="longer"
        ),
        pytest.param("bbox", "[1, 2, 3, 1e999]", "bbox: expected x, y, width and height, ", id="endless"),
        pytest.param(
            "bbox", '["\\ud800", 2, 3, 4]', "bbox: expected x, y, width and height, ", id="half a letter"
        ),
        pytest.param(
            "category_id", '"\\ud800"', "category_id: expected one of the categories, ", id="a category"
        ),
        pytest.param(
            "category_id", "9" * 5000, "category_id: expected one of the categories, ", id="a huge one"
        ),
        pytest.param("segmentation", f"[[1, 2, {'9' * 400}, 4]]", "segmentation: expected ", id="a polygon"),
        pytest.param(
            "segmentation",
            f'{{"size": [48, {"9" * 400}], "counts": [1]}}',
            "segmentation: expected ",
            id="a mask",
        ),
        pytest.param("keypoints", f"[1, {'9' * 400}, 2]", "keypoints: expected ", id="key points"),
    ],
)
def test_strange_numbers_and_letters_cost_one_picture(
    tmp_path: Path, key: str, value: str, sentence: str
) -> None:
    """Its place is told in one sentence that fits on a screen, and the rest of the file is used."""
    file = coco(tmp_path / "in")
    data = json.loads(file.read_text())
    data["annotations"][2][key] = "STRANGE"
    file.write_text(json.dumps(data).replace('"STRANGE"', value))
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 2
    (told,) = ran.told
    assert told.startswith(f"left out: {file}: annotations[2].{sentence}")
    assert told.isprintable()
    assert len(told) < 400


@pytest.mark.parametrize("digits", [400, 5000])
def test_strange_numbers_of_an_image_are_told(tmp_path: Path, digits: int) -> None:
    """An id or a width without end is as good as none."""
    file = coco(tmp_path / "in")
    data = json.loads(file.read_text())
    data["images"][0]["width"] = "STRANGE"
    data["images"][1]["file_name"] = "\ud800.png"
    data["images"].append({"id": "STRANGE", "file_name": 7})
    file.write_text(json.dumps(data).replace('"STRANGE"', "9" * digits))
    ran = augment(file, tmp_path / "out")
    assert {image["source_id"] for image in content(tmp_path / "out")["images"]} == {100, 102}
    assert all(sentence.isprintable() and len(sentence) < 400 for sentence in ran.told)
    assert len(ran.told) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"labels.json:1: expected JSON, found: "),
        ('{\n"images": [}', r"labels.json:2: expected JSON, found: "),
        ("[]", "expected the lists images, annotations, categories"),
        ('{"images": {}, "annotations": [], "categories": []}', "expected the lists"),
        (
            '{"images": [], "annotations": [], "categories": []}',
            "expected pictures that can be used, found none",
        ),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_a_bad_label_file_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    """One sentence with the place."""
    file = coco(tmp_path / "in")
    file.write_text(text)
    with pytest.raises(InputError, match=sentence):
        augment(file, tmp_path / "out")


def test_turned_pictures_are_as_their_labels_see_them(tmp_path: Path) -> None:
    """A viewer's picture where the labels have its size, the stored pixels where only they do; never a guess."""
    images = []
    for number, (width, height) in enumerate([(48, 64), (64, 48)]):
        turned(save(tmp_path / f"in/images/{number}.jpg", picture(3)), 6)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": width, "height": height})
    augment(coco(tmp_path / "in", images=images, annotations=[]), tmp_path / "out")
    assert size(tmp_path / "out/images/0__as-recorded.jpg") == (48, 64)
    assert size(tmp_path / "out/images/1__as-recorded.jpg") == (64, 48)
    stored = cv2.imread(str(tmp_path / "in/images/1.jpg"), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    found = cv2.imread(str(tmp_path / "out/images/1__as-recorded.jpg"))
    assert np.abs(found.astype(int) - stored).mean() < 3
    assert all(b"Exif" not in data for data in tree(tmp_path / "out/images").values())
