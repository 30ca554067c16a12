"""Links in a data set: followed where they stay in it, and told where they lead out of it."""

import json
import os
from pathlib import Path

import pytest

from support.augmenting import augment
from support.datasets import coco, picture, save, tree, yolo
from tocsin.augment.bounds import Bounds
from tocsin.augment.dataset import Loss
from tocsin.errors import InputError

OUT = "found a link that leads out of it (see --follow-links)"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder beside the data sets, with a picture and a file that is nobody's business."""
    save(tmp_path / "elsewhere/images/a.jpg", picture(5))
    (tmp_path / "elsewhere/labels").mkdir()
    (tmp_path / "elsewhere/labels/a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "elsewhere/secret").write_text("hunter2:x:0:0\n")
    return tmp_path / "elsewhere"


def moved(place: Path, target: Path) -> Path:
    """Put what lies there somewhere else, and a link in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    place.rename(target)
    place.symlink_to(target)
    return place


def test_a_label_file_elsewhere_is_not_read(tmp_path: Path, elsewhere: Path) -> None:
    """The picture goes with it, nothing of its content is told, and the others stay."""
    file = yolo(tmp_path / "in")
    label = tmp_path / "in/labels/train/01.txt"
    label.unlink()
    label.symlink_to(elsewhere / "secret")
    ran = augment(file, tmp_path / "out")
    assert ran.told == [f"left out: {label}: expected what lies in {tmp_path}/in, {OUT}"]
    assert ran.outcome.losses[0][0] is Loss.PLACE
    assert ran.outcome.sources == 5
    assert not [path for path in tree(tmp_path / "out") if "/01__" in path and "train" in path]


def test_followed_links_tell_no_content_either(tmp_path: Path, elsewhere: Path) -> None:
    """A file in the place of labels is read on the person's word, and still not shown."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/labels/train/01.txt").unlink()
    (tmp_path / "in/labels/train/01.txt").symlink_to(elsewhere / "secret")
    (told,) = augment(file, tmp_path / "out", follow=True).told
    assert told.endswith("01.txt:1: expected a class and four or more numbers, found none in place 1")


@pytest.mark.parametrize("make", [yolo, coco], ids=["yolo", "coco"])
def test_a_picture_elsewhere_is_left_out(tmp_path: Path, elsewhere: Path, make: type) -> None:
    """Unless the person says that links may lead anywhere."""
    file = make(tmp_path / "in")
    first = sorted((tmp_path / "in/images").rglob("0*"))[0]
    moved(first, elsewhere / first.name)
    ran = augment(file, tmp_path / "out")
    whole = augment(file, tmp_path / "whole", follow=True)
    assert whole.told == []
    assert ran.outcome.sources == whole.outcome.sources - 1
    assert [loss for loss, _ in ran.outcome.losses] == [Loss.PLACE]
    assert ran.told[0].endswith(OUT)


def test_a_missing_picture_behind_a_link_is_not_looked_for(tmp_path: Path, elsewhere: Path) -> None:
    """Whether a file is there elsewhere is not told."""
    file = coco(tmp_path / "in")
    (tmp_path / "in/images/more").symlink_to(elsewhere)
    data = json.loads(file.read_text())
    data["images"][0]["file_name"] = "more/none.png"
    data["images"][1]["file_name"] = "more/images/a.jpg"
    file.write_text(json.dumps(data))
    assert [sentence.endswith(OUT) for sentence in augment(file, tmp_path / "out").told] == [True, True]


def test_a_split_elsewhere_is_refused(tmp_path: Path, elsewhere: Path) -> None:
    """The file's word is not enough to walk through a folder beside; a person's is."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/out").symlink_to(elsewhere)
    file.write_text("train: out\nnames: [knife]\n")
    with pytest.raises(
        InputError, match=r"train: expected a folder or list inside .*found out, a link that leads"
    ):
        augment(file, tmp_path / "out")
    assert augment(file, tmp_path / "out", follow=True).outcome.sources == 1


def test_a_path_elsewhere_is_refused(tmp_path: Path, elsewhere: Path) -> None:
    """So it is with the folder that all paths start from."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/far").symlink_to(elsewhere)
    file.write_text("path: far\ntrain: images\nnames: [knife]\n")
    assert augment(file, tmp_path / "followed", follow=True).outcome.sources == 1
    assert augment(file, tmp_path / "named", images=tmp_path / "in/far").outcome.sources == 1
    moved(tmp_path / "in/images", tmp_path / "disk/images")
    with pytest.raises(InputError, match=r"path: expected a folder inside .*found far: .*--images"):
        augment(file, tmp_path / "out")


def test_a_folder_elsewhere_is_left_out(tmp_path: Path, elsewhere: Path) -> None:
    """A link inside a split, to a folder; inside the data set such a link is walked, as trainers do."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/images/train/far").symlink_to(elsewhere / "images")
    (tmp_path / "in/more").mkdir()
    save(tmp_path / "in/more/b.jpg", picture(3))
    (tmp_path / "in/images/train/near").symlink_to(tmp_path / "in/more")
    ran = augment(file, tmp_path / "out")
    assert (
        ran.told[0] == f"left out: {tmp_path}/in/images/train/far: expected what lies in {tmp_path}/in, {OUT}"
    )
    assert ran.outcome.sources == 7
    assert augment(file, tmp_path / "whole", follow=True).outcome.sources == 8


@pytest.mark.parametrize("follow", [False, True])
def test_links_in_circles_end(tmp_path: Path, follow: bool) -> None:
    """Each folder is walked once."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/images/train/again").symlink_to(tmp_path / "in/images/train")
    (tmp_path / "in/images/train/nothing").symlink_to("nothing")
    assert augment(file, tmp_path / "out", follow=follow).outcome.sources == 6


def test_the_folder_that_a_person_names_may_be_a_link(tmp_path: Path) -> None:
    """Whoever names it knows where it leads; what lies in it lies inside."""
    yolo(tmp_path / "disk/knives")
    (tmp_path / "in").symlink_to(tmp_path / "disk/knives")
    assert augment(tmp_path / "in", tmp_path / "out").told == []
    assert augment(tmp_path / "in/data.yaml", tmp_path / "other").told == []


def test_pictures_of_coco_on_another_disk_are_named(tmp_path: Path) -> None:
    """`images` as a link is common: the sentence says how to have it read."""
    file = coco(tmp_path / "in")
    moved(tmp_path / "in/images", tmp_path / "disk/images")
    with pytest.raises(InputError, match=r"in/images: expected what lies in .*/in, found a link .*--images"):
        augment(file, tmp_path / "out")
    assert augment(file, tmp_path / "out", images=tmp_path / "in/images").outcome.sources == 3
    assert augment(file, tmp_path / "other", follow=True).outcome.sources == 3


@pytest.mark.parametrize("name", ["images", "classes.txt", "data.yaml"])
def test_what_nobody_named_is_not_read_elsewhere(tmp_path: Path, name: str) -> None:
    """What a folder has in a place that is looked at, and not named, is a stranger's word, too."""
    file = yolo(tmp_path / "in")
    if name != "data.yaml":
        file.unlink()
        (tmp_path / "in/classes.txt").write_text("knife\ngun\n")
    moved(tmp_path / "in" / name, tmp_path / "disk" / name)
    with pytest.raises(
        InputError, match=rf"in/{name}: expected what lies in .*/in, found a link that leads out"
    ):
        augment(tmp_path / "in", tmp_path / "out")
    assert augment(tmp_path / "in", tmp_path / "out", follow=True).outcome.sources == 6


def test_a_data_yaml_elsewhere_may_be_named(tmp_path: Path) -> None:
    """The paths in it start where the link lies."""
    file = moved(yolo(tmp_path / "in"), tmp_path / "disk/data.yaml")
    assert augment(file, tmp_path / "out").outcome.sources == 6


@pytest.mark.parametrize("make", [yolo, coco], ids=["yolo", "coco"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, make: type) -> None:
    """What gives no end is no picture."""
    file = make(tmp_path / "in")
    first = sorted((tmp_path / "in/images").rglob("0*"))[0]
    first.unlink()
    os.mkfifo(first)
    (told,) = augment(file, tmp_path / "out").told
    assert told.endswith("found a device or a pipe")


def test_labels_in_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    """Neither directly nor through a link."""
    file = yolo(tmp_path / "in")
    os.mkfifo(tmp_path / "in/pipe")
    label = tmp_path / "in/labels/train/00.txt"
    label.unlink()
    label.symlink_to(tmp_path / "in/pipe")
    (told,) = augment(file, tmp_path / "out").told
    assert told.endswith(
        "labels/train/00.txt: expected what lies in " + f"{tmp_path}/in, found a device or a pipe"
    )


def test_a_folder_of_a_longer_name_lies_outside(tmp_path: Path) -> None:
    """`in2` is not in `in`, and everything is in the root of the file system."""
    for name in ("in", "in2"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "in2")
    assert Bounds(tmp_path / "in").hindrance(tmp_path / "in/link") is not None
    assert Bounds(Path("/")).hindrance(tmp_path / "in/link") is None
