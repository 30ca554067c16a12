"""Lessons as YOLO trainers read them; pure.

A rejected alarm is a picture with an empty label file. What the format has no place for stands in alarms.json.
"""

import json
from collections.abc import Sequence

import yaml

from tocsin.deliver.verdict import Verdict
from tocsin.lessons.lesson import Lesson, about, classes_of

SPLIT = "train"


def files(lessons: Sequence[Lesson]) -> dict[str, bytes]:
    """Return the files beside the folder of pictures, by their names."""
    names = dict(enumerate(classes_of(lessons)))
    numbers = {name: number for number, name in names.items()}
    alarms = {lesson.file_name: lesson.told() for lesson in lessons}
    return {
        **{_label_file(lesson): _line(lesson, numbers[lesson.note.class_name]) for lesson in lessons},
        "alarms.json": (json.dumps(alarms, indent=1, ensure_ascii=False) + "\n").encode(),
        "data.yaml": _data(about(lessons), names),
    }


def _label_file(lesson: Lesson) -> str:
    return f"labels/{SPLIT}/{lesson.note.alarm_id}.txt"


def _line(lesson: Lesson, number: int) -> bytes:
    """Return the class and the middle, width and height of the object as shares of the picture."""
    if lesson.verdict is Verdict.REJECTED:
        return b""
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in lesson.note.box)
    shares = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return f"{number} {' '.join(f'{share:.6f}' for share in shares)}\n".encode()


def _data(about_it: str, names: dict[int, str]) -> bytes:
    folder = f"images/{SPLIT}"
    content = {SPLIT: folder, "val": folder, "names": names}
    head = (
        f"# {about_it}\n"
        "# The paths start at the folder of this file. Validate on pictures of your own in place of these.\n"
    )
    return (head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)).encode()
