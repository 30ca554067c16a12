"""One judged alarm as something to learn from; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin.deliver.verdict import Verdict
from tocsin.evidence.note import Note

Edges = tuple[float, float, float, float]
"""x, y, width and height in pixels, as COCO has them."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """The frame that raised an alarm, of so many pixels, and what was said of the object that it was raised by.

    `note` is what the detector saw in that very frame; `raised` is the wall time as it stands in events.
    """

    verdict: Verdict
    stream: str
    rule: str
    model: str
    raised: str
    test: bool
    note: Note
    width: int
    height: int

    @classmethod
    def of(cls, alarm: Mapping[str, Any], note: Note, width: int, height: int) -> "Lesson":
        """Return the lesson of an alarm as `tocsin alarm list --json` has it."""
        words = {key: str(alarm[key]) for key in ("stream", "rule", "model")}
        return cls(
            verdict=Verdict(alarm["verdict"]),
            raised=str(alarm["opened"]),
            test=bool(alarm["test"]),
            note=note,
            width=width,
            height=height,
            **words,
        )

    @property
    def file_name(self) -> str:
        return f"{self.note.alarm_id}.jpg"

    @property
    def seen(self) -> Edges:
        """The box as the detector drew it, which may reach beyond the picture."""
        return self._pixels(self.note.box)

    @property
    def inside(self) -> Edges:
        """The part of the box that is in the picture."""
        return self._pixels([min(max(edge, 0.0), 1.0) for edge in self.note.box])

    def _pixels(self, box: Sequence[float]) -> Edges:
        left, right = (round(edge * self.width, 2) for edge in box[::2])
        top, bottom = (round(edge * self.height, 2) for edge in box[1::2])
        return left, top, round(right - left, 2), round(bottom - top, 2)

    def told(self) -> dict[str, Any]:
        """Return what formats have no field for; nobody's name is in it."""
        return {
            "alarm_id": self.note.alarm_id,
            "verdict": self.verdict.value,
            "class": self.note.class_name,
            "score": self.note.score,
            "box": list(self.note.box),
            "stream": self.stream,
            "rule": self.rule,
            "model": self.model,
            "test": self.test,
        }


def classes_of(lessons: Sequence[Lesson]) -> tuple[str, ...]:
    """Return the classes of their objects, sorted by name."""
    return tuple(sorted({lesson.note.class_name for lesson in lessons}))


def about(lessons: Sequence[Lesson]) -> str:
    """Say what a data set of them is, and what it is not."""
    counts = ((word, sum(lesson.verdict is word for lesson in lessons)) for word in Verdict)
    said = ", ".join(f"{count} {word}" for word, count in counts if count)
    if all(lesson.verdict is Verdict.ACKNOWLEDGED for lesson in lessons):
        return (
            f"alarms of which nobody said whether they were right: {said}; their boxes are the detector's own"
        )
    return f"alarms that people judged: {said}; in each picture nothing was judged but the alarm's own object"
