"""A picture says what it shows, to whoever asks for it, and nobody is misled by what is no note."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tocsin.evidence.note import Note, noted, text_in
from tocsin.evidence.picture import jpeg

NOTE = Note("alarm_1", "person", 0.8125, (0.1, 0.2, 0.3, 0.4))
PIXELS = np.full((48, 64, 3), 90, np.uint8)


def test_a_note_is_found_again_and_changes_no_pixel(tmp_path: Path) -> None:
    """As a comment in the file, where a viewer sees nothing of it."""
    bare = jpeg(PIXELS)
    picture = noted(bare, NOTE.text())
    assert Note.read(text_in(picture)) == NOTE
    path = tmp_path / "plain.jpg"
    path.write_bytes(picture)
    shown, plain = cv2.imread(str(path)), cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert plain is not None
    assert (shown == plain).all()
    assert picture[6:10] == b"JFIF", "its own segment stays the first"


def test_a_picture_without_a_note_has_none() -> None:
    """As an older one, and what is no picture at all, or the first half of one."""
    assert text_in(jpeg(PIXELS)) == text_in(b"") == text_in(b"\xff\xd8\xff") == text_in(b"GIF89a") == ""
    assert noted(jpeg(PIXELS), "") == jpeg(PIXELS)
    picture = noted(jpeg(PIXELS), NOTE.text())
    for length in range(len(picture)):
        assert Note.read(text_in(picture[:length])) in (None, NOTE)


KNOWN = json.loads(NOTE.text())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 100_000,
        json.dumps({**KNOWN, "box": [0.1, 0.2, 0.3]}),
        json.dumps({**KNOWN, "box": [0.3, 0.2, 0.1, 0.4]}),
        json.dumps({**KNOWN, "box": [0.1, 0.2, float("nan"), 0.4]}),
        json.dumps({**KNOWN, "box": [0.1, 0.2, 10**400, 0.4]}),
        json.dumps({**KNOWN, "score": "high"}),
        json.dumps({**KNOWN, "class": ["person"]}),
        json.dumps({**KNOWN, "box": [-1e308, 0.2, 1e308, 0.4]}),
        json.dumps({**KNOWN, "class": "per\ud800son"}),
        json.dumps({**KNOWN, "class": "\x1b]0;person\x07"}),
        json.dumps({**KNOWN, "score": float("inf")}),
        json.dumps({"class": "person"}),
    ],
)
def test_what_is_no_note_is_none(text: str) -> None:
    """A process that a camera took over may write whatever it likes."""
    assert Note.read(text) is None
