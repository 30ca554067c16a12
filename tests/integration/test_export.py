"""Judged alarms become a data set that the evaluation and the augmentation of this house take."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tocsin.augment import coco as augmentable
from tocsin.augment import yolo as augmentable_too
from tocsin.augment.dataset import Losses
from tocsin.deliver.verdict import Verdict
from tocsin.errors import EvidenceError, InputError, OutputError
from tocsin.evaluate import labels
from tocsin.evidence.link import new_key, piece_of
from tocsin.evidence.note import Note, noted
from tocsin.evidence.picture import jpeg
from tocsin.evidence.shelf import FOLDER, Kind, Shelf
from tocsin.lessons.form import Form
from tocsin.lessons.gather import Fate, Gatherer, check, gather

KEY = new_key()
PIXELS = np.full((48, 64, 3), 90, np.uint8)
BOX = (0.25, 0.25, 0.5, 0.75)


def nothing() -> None:
    """What a step of a progress bar is here."""


class House:
    """The state of a daemon, with alarms of which pictures are kept."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf(folder)
        self.gatherer = Gatherer(folder, KEY)
        self.alarms: list[dict[str, Any]] = []

    def alarm(self, verdict: Verdict, picture: Callable[[str], bytes] | None = None) -> str:
        """An alarm with that verdict; its picture is as usual, or as given for its id."""
        alarm_id = f"alarm_{len(self.alarms)}"
        told = {
            "stream": "yard",
            "rule": "visit",
            "model": "m",
            "test": False,
            "opened": "2026-11-21T10:00:00Z",
        }
        self.alarms.append({"alarm_id": alarm_id, "verdict": verdict.value, **told})
        piece = piece_of(alarm_id, Kind.PLAIN, KEY)
        with os.fdopen(self.shelf.begin(piece, Kind.PLAIN), "wb") as file:
            file.write((picture or usual)(alarm_id))
        self.shelf.finish(piece, Kind.PLAIN)
        return alarm_id


def usual(alarm_id: str) -> bytes:
    return noted(jpeg(PIXELS), Note(alarm_id, "person", 0.8, BOX).text())


def test_a_link_in_the_place_of_a_picture_is_not_followed(house: House, tmp_path: Path) -> None:
    """Root exports from a folder that is the daemon's, and would hand out what is root's alone."""
    house.alarm(Verdict.REJECTED)
    (path,) = (tmp_path / "state" / FOLDER).iterdir()
    path.rename(tmp_path / "elsewhere.jpg")
    path.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(EvidenceError, match="expected to read a picture, found too many"):
        house.gatherer.find(house.alarms[0])


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "state").mkdir(mode=0o700)
    return House(tmp_path / "state")


def test_an_export_is_read_by_the_evaluation_and_the_augmentation(house: House, tmp_path: Path) -> None:
    """A rejected alarm is a picture with nothing in it, a confirmed one holds its object."""
    right, wrong = house.alarm(Verdict.CONFIRMED), house.alarm(Verdict.REJECTED)
    out = tmp_path / "out"
    gathered = gather(house.alarms, house.gatherer, out, Form.COCO, nothing)
    assert gathered.labels == (out / "annotations.coco.json",)
    found = labels.load(gathered.labels[0], out / "images", ("dog", "person"), strict=True)
    pictures = {picture.name: picture for picture in found.pictures.values()}
    assert pictures[f"{right}.jpg"].truth.boxes.tolist() == [[16, 12, 32, 36]]
    assert len(pictures[f"{wrong}.jpg"].truth) == 0
    for picture in pictures.values():
        assert picture.checked is not None
        assert picture.checked.boxes.tolist() == [[16, 12, 32, 36]]
    losses = Losses(print, strict=True)
    assert len(augmentable.read(gathered.labels[0], None, losses).sources) == 2
    gathered = gather(house.alarms, house.gatherer, tmp_path / "yolo", Form.YOLO, nothing)
    again = augmentable_too.read(gathered.labels[0], None, losses)
    assert {source.label for source in again.sources} == {b"", b"0 0.375000 0.500000 0.250000 0.500000\n"}


def test_what_nobody_judged_lies_apart(house: House, tmp_path: Path) -> None:
    """A trainer would take it for background."""
    seen, wrong = house.alarm(Verdict.ACKNOWLEDGED), house.alarm(Verdict.REJECTED)
    out = tmp_path / "out"
    gathered = gather(house.alarms, house.gatherer, out, Form.COCO, nothing)
    assert set(gathered.labels) == {out / "annotations.coco.json", out / "to_label" / "annotations.coco.json"}
    assert [path.name for path in (out / "images").iterdir()] == [f"{wrong}.jpg"]
    assert [path.name for path in (out / "to_label" / "images").iterdir()] == [f"{seen}.jpg"]


def test_what_has_no_picture_any_more_is_counted(house: House, tmp_path: Path) -> None:
    """As is one that does not show the object, says it is another alarm's, or is none; the others are exported."""
    house.alarm(Verdict.REJECTED)
    house.alarm(Verdict.REJECTED, lambda _: jpeg(PIXELS))
    house.alarm(Verdict.REJECTED, lambda _: usual("alarm_0"))
    house.alarm(Verdict.REJECTED, lambda alarm_id: usual(alarm_id)[:-40])
    house.alarm(
        Verdict.REJECTED,
        lambda alarm_id: noted(jpeg(PIXELS), Note(alarm_id, "person", 0.8, (1.5, 0.1, 1.6, 0.2)).text()),
    )
    house.alarms.append({**house.alarms[0], "alarm_id": "alarm_swept"})
    house.alarms.append({**house.alarms[0], "alarm_id": "../../etc/passwd"})
    gathered = gather(house.alarms, house.gatherer, tmp_path / "out", Form.COCO, nothing)
    assert gathered.fates == {Verdict.REJECTED: {Fate.EXPORTED: 1, Fate.GONE: 1, Fate.UNCLEAR: 5}}
    content = json.loads(gathered.labels[0].read_text(encoding="utf-8"))
    assert [image["file_name"] for image in content["images"]] == ["alarm_0.jpg"]


def test_nothing_is_left_where_no_picture_is(house: House, tmp_path: Path) -> None:
    """Not even a folder, which would be in the way of the next try."""
    house.alarms.append({"alarm_id": "alarm_swept", "verdict": "rejected"})
    with pytest.raises(
        EvidenceError, match=r"^expected a picture of one of 1 alarms, found that none is kept"
    ):
        gather(house.alarms, house.gatherer, tmp_path / "out", Form.COCO, nothing)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(house: House, tmp_path: Path) -> None:
    """A folder with something in it is refused in a sentence, and so is a file."""
    house.alarm(Verdict.REJECTED)
    (tmp_path / "empty").mkdir()
    check(tmp_path / "empty")
    gather(house.alarms, house.gatherer, tmp_path / "empty", Form.COCO, nothing)
    before = (tmp_path / "empty" / "annotations.coco.json").read_bytes()
    with pytest.raises(
        InputError, match=r"expected a new or an empty folder, found 'annotations.coco.json' in it$"
    ):
        check(tmp_path / "empty")
    with pytest.raises(OutputError, match=r"found file exists$"):
        gather(house.alarms, house.gatherer, tmp_path / "empty", Form.COCO, nothing)
    assert (tmp_path / "empty" / "annotations.coco.json").read_bytes() == before
    with pytest.raises(InputError, match=r"found not a directory$"):
        check(tmp_path / "empty" / "annotations.coco.json")


def test_pictures_of_people_are_for_who_asked(house: House, tmp_path: Path) -> None:
    """The folders that are made let nobody else in, whatever the umask."""
    house.alarm(Verdict.REJECTED)
    before = os.umask(0)
    try:
        gather(house.alarms, house.gatherer, tmp_path / "new" / "out", Form.COCO, nothing)
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "out" / "images").stat().st_mode & 0o777 == 0o700
