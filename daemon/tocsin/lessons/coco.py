"""Lessons as COCO's JSON; pure.

A rejected alarm is a picture without an annotation, a confirmed one has its object's. Both have `checked`, the box
that people looked at, and `tocsin`, what the alarm was: fields that COCO does not know and readers pass over.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.deliver.verdict import Verdict
from tocsin.lessons.lesson import Lesson, about, classes_of

NAME = "annotations.coco.json"


def files(lessons: Sequence[Lesson]) -> dict[str, bytes]:
    """Return the files beside the folder of pictures, by their names."""
    return {NAME: (json.dumps(document(lessons), indent=1, ensure_ascii=False) + "\n").encode()}


def document(lessons: Sequence[Lesson]) -> dict[str, Any]:
    """Return the content of the file: images in the order of their lessons, ids from 1 on."""
    categories = {name: number for number, name in enumerate(classes_of(lessons), 1)}
    numbered = list(enumerate(lessons, 1))
    return {
        "info": {"description": about(lessons)},
        "images": [_image(number, lesson, categories) for number, lesson in numbered],
        "annotations": [
            _annotation(number, lesson, categories)
            for number, lesson in numbered
            if lesson.verdict is not Verdict.REJECTED
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }


def _image(number: int, lesson: Lesson, categories: Mapping[str, int]) -> dict[str, Any]:
    image = {
        "id": number,
        "file_name": lesson.file_name,
        "width": lesson.width,
        "height": lesson.height,
        "date_captured": lesson.raised,
    }
    if lesson.verdict is not Verdict.ACKNOWLEDGED:
        image["checked"] = [{"bbox": list(lesson.seen), "category_id": categories[lesson.note.class_name]}]
    return {**image, "tocsin": lesson.told()}


def _annotation(number: int, lesson: Lesson, categories: Mapping[str, int]) -> dict[str, Any]:
    box = lesson.inside
    return {
        "id": number,
        "image_id": number,
        "category_id": categories[lesson.note.class_name],
        "bbox": list(box),
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
        "score": lesson.note.score,
    }
