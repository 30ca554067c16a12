"""What people said about alarms becomes labels: what was right is an object, what was wrong is none."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from tocsin.augment.labellines import check
from tocsin.deliver.verdict import Verdict
from tocsin.evidence.note import Note
from tocsin.lessons import coco, yolo
from tocsin.lessons.command import judged
from tocsin.lessons.lesson import Lesson, classes_of

NOTE = Note("alarm_1", "person", 0.81, (0.25, 0.5, 0.5, 1.0))
RIGHT = Lesson(Verdict.CONFIRMED, "yard", "visit", "m", "2026-11-21T10:15:02.418Z", False, NOTE, 640, 480)
WRONG = replace(
    RIGHT, verdict=Verdict.REJECTED, note=Note("alarm_2", "dog", 0.4, (-0.1, 0.0, 0.1, 0.25)), test=True
)
SEEN = replace(RIGHT, verdict=Verdict.ACKNOWLEDGED, note=replace(NOTE, alarm_id="alarm_3"))


def test_a_rejected_alarm_is_no_object() -> None:
    """Its picture has no annotation; the false box stands where no trainer takes it for one."""
    found = coco.document([RIGHT, WRONG])
    assert [one["image_id"] for one in found["annotations"]] == [1]
    wrong = found["images"][1]
    assert wrong["file_name"] == "alarm_2.jpg"
    assert wrong["checked"] == [{"bbox": [-64.0, 0.0, 128.0, 120.0], "category_id": 1}]
    assert wrong["tocsin"] == {
        "alarm_id": "alarm_2",
        "verdict": "rejected",
        "class": "dog",
        "score": 0.4,
        "box": [-0.1, 0.0, 0.1, 0.25],
        "stream": "yard",
        "rule": "visit",
        "model": "m",
        "test": True,
    }
    assert found["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]


def test_a_confirmed_alarm_is_an_object_with_its_score() -> None:
    """And its box is what was checked."""
    found = coco.document([RIGHT])
    assert found["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [160.0, 240.0, 160.0, 240.0],
            "area": 38400.0,
            "iscrowd": 0,
            "score": 0.81,
        }
    ]
    assert found["images"][0]["checked"] == [{"bbox": [160.0, 240.0, 160.0, 240.0], "category_id": 1}]


def test_what_is_written_says_what_it_is() -> None:
    """So that nobody takes pictures of which one box was judged for labelled ones."""
    said = coco.document([RIGHT, RIGHT, WRONG])["info"]["description"]
    assert said.startswith("alarms that people judged: 2 confirmed, 1 rejected; in each picture nothing was")
    proposed = coco.document([SEEN])
    assert proposed["info"]["description"].startswith("alarms of which nobody said whether they were right")
    assert "checked" not in proposed["images"][0]
    assert len(proposed["annotations"]) == 1, "as a proposal to whoever labels it"


def test_nobody_is_named() -> None:
    """Data sets travel."""
    assert set(RIGHT.told()) == set(WRONG.told())
    assert not {"by", "why", "judged"} & set(RIGHT.told())


def test_yolo_has_a_line_for_what_is_there_and_an_empty_file_for_what_is_not() -> None:
    """As its trainers take pictures of background."""
    inside = replace(RIGHT, note=replace(NOTE, box=(-0.2, 0.5, 0.5, 1.2)))
    found = yolo.files([inside, WRONG])
    assert found["labels/train/alarm_1.txt"] == b"1 0.250000 0.750000 0.500000 0.500000\n"
    assert found["labels/train/alarm_2.txt"] == b""
    told = yaml.safe_load(found["data.yaml"])
    assert told == {"train": "images/train", "val": "images/train", "names": {0: "dog", 1: "person"}}
    assert check(found["labels/train/alarm_1.txt"], told["names"]) is None
    assert json.loads(found["alarms.json"])["alarm_2.jpg"]["box"] == [-0.1, 0.0, 0.1, 0.25]


def test_a_class_has_one_number() -> None:
    """However many lessons are of it."""
    assert classes_of([RIGHT, SEEN, WRONG]) == ("dog", "person")


def test_a_month_of_alarms_comes_in_pages() -> None:
    """None is missing and none there twice, also where a page ends among those of one moment."""
    began = datetime(2026, 11, 1, tzinfo=UTC)
    times = [began + timedelta(microseconds=400 * number) for number in range(3, 40)]
    rows = [
        {"alarm_id": f"alarm_{number}", "opened": at.isoformat(timespec="milliseconds")}
        for number, at in enumerate(times)
    ]
    pages: list[int] = []

    def ask(asked: Mapping[str, Any]) -> dict[str, Any]:
        until = asked.get("until")
        fit = [
            row
            for row, at in zip(rows, times, strict=True)
            if until is None or at < datetime.fromisoformat(until)
        ]
        page = fit[-asked["limit"] :]
        pages.append(len(page))
        return {"alarms": page, "left_out": False}

    found = judged(ask, Verdict.REJECTED, {"until": None}, most=10)
    assert sorted(row["alarm_id"] for row in found) == sorted(row["alarm_id"] for row in rows)
    assert len(found) == len(rows)
    assert len(pages) >= 4, "there was more than one page"
