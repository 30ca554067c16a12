"""What a picture shows, written into the picture itself: it finds its labels again wherever it is copied to."""

import json
import math
from dataclasses import dataclass
from typing import Self

from tocsin.frame import Box

_START, _COMMENT, _PIXELS = b"\xff\xd8", 0xFE, 0xDA
_BEFORE = frozenset({0xE0})
"""Segments that stay before a comment: who reads JFIF expects its own first."""

_LONGEST = 4096
"""Characters: a note has some two hundred."""

_FAR = 100.0
"""Widths and heights of the picture, from its corner: a detector draws over the edge, and not so far."""


@dataclass(frozen=True, slots=True)
class Note:
    """The object of an alarm as it was in the very frame of a picture; `box` is relative to that.

    What an alarm's events tell is what was seen last.
    """

    alarm_id: str
    class_name: str
    score: float
    box: Box

    def text(self) -> str:
        """Return the note as JSON."""
        box = [round(edge, 6) for edge in self.box]
        known = {
            "alarm_id": self.alarm_id,
            "class": self.class_name,
            "score": round(self.score, 4),
            "box": box,
        }
        return json.dumps(known)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the note of a text, None where it is none: it was written by the process that a camera feeds."""
        try:
            known = json.loads(text)
            left, top, right, bottom = (float(edge) for edge in known["box"])
            note = cls(known["alarm_id"], known["class"], float(known["score"]), (left, top, right, bottom))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return None
        # what is printable has no half of a letter either, which no file of labels could hold
        words = (isinstance(one, str) and one.isprintable() for one in (note.alarm_id, note.class_name))
        near = all(abs(edge) <= _FAR for edge in note.box)
        if not all(words) or not math.isfinite(note.score) or not near or left >= right or top >= bottom:
            return None
        return note


def noted(jpeg: bytes, text: str) -> bytes:
    """Return a JPEG file with a text in it, as a comment that viewers ignore; without a text as it is."""
    if not text:
        return jpeg
    assert jpeg.startswith(_START), "it was made a moment ago"
    at = len(_START)
    while jpeg[at] == 0xFF and jpeg[at + 1] in _BEFORE:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    content = text.encode()
    return jpeg[:at] + b"\xff\xfe" + (len(content) + 2).to_bytes(2) + content + jpeg[at:]


def text_in(jpeg: bytes) -> str:
    """Return the first comment in a JPEG file; an empty text where there is none, or no JPEG."""
    at = len(_START) if jpeg.startswith(_START) else len(jpeg)
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _PIXELS:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if jpeg[at + 1] == _COMMENT:
            return jpeg[at + 4 : end].decode("utf-8", "replace")[:_LONGEST]
        at = max(end, at + 4)
    return ""
