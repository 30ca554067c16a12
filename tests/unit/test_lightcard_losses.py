"""What is counted and said of a recording's losses."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tocsin.errors import InputError
from tocsin.footage.pictures import Picture, refuse
from tocsin.lightcard.losses import Losses, Lost


def picture(index: int, at: float, damaged: bool = False) -> Picture:
    frame: Any = SimpleNamespace(is_corrupt=damaged)
    return cast("Picture", SimpleNamespace(index=index, at=at, frame=frame))


def losses(strict: bool = False) -> Losses:
    return Losses(Path("v.avi"), refuse if strict else None)


def test_a_whole_recording_lost_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where its header tells half a second more."""
    seen = losses()
    for number in range(100):
        seen.arrived(picture(number, number / 10))
    lost = seen.ended(10.4)
    assert lost == Lost()
    assert lost.words() == []
    assert capsys.readouterr().err == ""


def test_a_recording_that_is_shorter_than_its_header_says_lost_something(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Frames that were cut out leave no other trace where a format numbers them anew."""
    seen = losses()
    for number in range(80):
        seen.arrived(picture(number, number / 10))
    assert seen.ended(10.0).words() == ["2.0 s fewer than the file's header says"]
    said = "v.avi: expected 10.0 s of frames, as the file's header says, found 8.0 s"
    assert capsys.readouterr().err == f"tocsin: warning: {said}\n"


def test_gaps_in_time_are_counted_and_the_first_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With where it is; slow recordings have none."""
    seen = losses()
    for number, at in enumerate((0.0, 0.1, 0.2, 0.3, 5.3, 5.4, 7.4)):
        seen.arrived(picture(number, at))
    assert seen.ended(None).words() == ["7.0 s without frames in 2 gaps"]
    err = capsys.readouterr().err
    assert err == "tocsin: warning: v.avi: 0.3 s: expected frames, found none for 5.0 s\n"
    slow = losses()
    for number in range(20):
        slow.arrived(picture(number, number * 10.0))
    assert slow.ended(None) == Lost()


def test_unreadable_and_damaged_frames_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The first of each kind is told, and the number of all."""
    seen = losses()
    for number in range(3):
        seen.skip(f"v.avi: frame {number}: expected a picture, found damaged data")
    for number in range(3, 5):
        seen.arrived(picture(number, number / 10, damaged=number == 4))
    assert seen.ended(None).words() == ["3 frames could not be read", "1 frame damaged"]
    assert capsys.readouterr().err.splitlines() == [
        "tocsin: warning: v.avi: frame 0: expected a picture, found damaged data",
        "tocsin: warning: v.avi: frame 4: expected a whole picture, found a damaged one",
    ]


@pytest.mark.parametrize("kind", ["skipped", "damaged", "gap", "missing"])
def test_with_strict_each_loss_is_the_end(kind: str) -> None:
    """Whatever is lost."""
    seen = losses(strict=True)
    with pytest.raises(InputError, match="expected"):
        suffer(seen, kind)


def suffer(seen: Losses, kind: str) -> None:
    """Let a recording of four frames lose something."""
    if kind == "skipped":
        seen.skip("v.avi: frame 0: expected a picture, found damaged data")
    for number in range(4):
        seen.arrived(picture(number, number / 10, damaged=kind == "damaged"))
    if kind == "gap":
        seen.arrived(picture(4, 9.0))
    if kind == "missing":
        seen.ended(60.0)
