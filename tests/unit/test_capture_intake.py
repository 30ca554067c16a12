"""What is made of the pictures of a stream; pictures are stubs here, and times are made up."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tocsin.capture.intake import Intake, Taken, Verdict
from tocsin.capture.source import Picture
from tocsin.capture.timestamps import Timestamps
from tocsin.errors import SourceError, SourceFault


@dataclass(frozen=True)
class _Frame:
    key_frame: bool = False
    is_corrupt: bool = False


_KEY, _OTHER, _NONE = _Frame(key_frame=True), _Frame(), None


class _Stream:
    """Feeds an intake one packet after the other, ten a second."""

    def __init__(self, *, period: float = 0.1, **options: Any) -> None:
        self._period = period
        self.intake = Intake(30.0, **options)
        self.intake.opened(10.0)
        self.tally: Counter[str] = Counter()
        self._packet = 0
        self.at = 100.0

    def feed(self, frame: _Frame | None, count: int = 1, **fields: Any) -> Taken:
        for _ in range(count):
            self._packet += 1
            self.at += self._period
            picture = Picture(None, self.at, 0.001, packet=self._packet, **fields)
            taken = self.intake.take(replace(picture, frame=frame), self.tally)  # type: ignore[arg-type]
        return taken

    def told(self) -> dict[str, int]:
        return {word: count for word, count in self.tally.items() if count}


def test_the_first_clean_picture_of_each_opening_is_told() -> None:
    """A damaged one is not it, nor is what comes before a keyframe."""
    stream = _Stream()
    assert stream.feed(_OTHER) == Taken(Verdict.QUARANTINED)
    assert stream.feed(_KEY) == Taken(Verdict.DUE, first=True)
    assert stream.feed(_OTHER) == Taken(Verdict.DUE)
    stream.intake.opened(10.0)
    assert stream.feed(_OTHER) == Taken(Verdict.QUARANTINED)
    assert stream.feed(_KEY).first


@pytest.mark.parametrize(
    ("harm", "counted"),
    [
        pytest.param({"damaged": True}, {"decode_errors": 1}, id="the decoder failed or complained"),
        pytest.param({"lost": 3}, {"lost": 3}, id="packets of the network never came"),
        pytest.param({"gap": True}, {}, id="a whole picture never came"),
    ],
)
def test_after_any_damage_nothing_is_clean_until_a_keyframe(
    harm: dict[str, Any], counted: dict[str, int]
) -> None:
    """And all of it is counted."""
    stream = _Stream()
    stream.feed(_KEY)
    stream.feed(_NONE, **harm)
    assert stream.feed(_OTHER, 3).verdict is Verdict.QUARANTINED
    assert stream.feed(_KEY).is_clean
    assert stream.told() == {"received": 5, "quarantined": 3, **counted}


def test_pictures_beyond_the_wanted_rate_are_clean_and_not_due() -> None:
    """They are believed, and count as having been there."""
    stream = _Stream()
    stream.intake = Intake(5.0)
    verdicts = [stream.feed(_KEY).verdict for _ in range(6)]
    assert verdicts == [Verdict.DUE, Verdict.RATE] * 3


@pytest.mark.parametrize("fields", [{}, {"damaged": True, "hollow": True}], ids=["nothing", "hollow packets"])
def test_data_without_a_picture_are_a_stall(fields: dict[str, Any]) -> None:
    """Within three seconds of the last picture, once the rate is known."""
    stream = _Stream()
    stream.feed(_KEY, 10)
    last = stream.at
    with pytest.raises(SourceError, match=r"data but no picture for 2\.[23] s") as caught:
        stream.feed(_NONE, 100, **fields)
    assert caught.value.fault is SourceFault.STALL
    assert stream.at - last < 3.0


def test_damage_is_no_stall_but_in_the_end_a_drought() -> None:
    """The stream shows no clean picture for ten seconds."""
    stream = _Stream()
    stream.feed(_KEY, 10)
    with pytest.raises(SourceError, match="no clean picture for 10 s") as caught:
        stream.feed(_NONE, 200, damaged=True)
    assert caught.value.fault is SourceFault.DECODE
    assert stream.intake.strict


def test_keyframes_that_were_all_refused_end_the_strictness_and_it_is_said() -> None:
    """The next opening decodes leniently."""
    stream = _Stream()
    with pytest.raises(SourceError, match="from now on it is decoded less strictly"):
        stream.feed(_NONE, 200, damaged=True, at_keyframe=True)
    assert not stream.intake.strict


def test_more_pictures_than_a_camera_sends_break_a_stream_but_not_a_file() -> None:
    """The fault says what was found."""
    stream, file = _Stream(period=1 / 75.4), _Stream(period=0.01, live=False)
    assert file.feed(_KEY, 2000).is_clean
    with pytest.raises(SourceError, match=r"expected 75 pictures a second at most, found 75\.4") as caught:
        stream.feed(_KEY, 2000)
    assert caught.value.fault is SourceFault.OVERRATE


def test_timestamps_that_jump_are_counted_and_decide_nothing() -> None:
    """An hour forth and back are two; a hold-up of the network is none."""
    stream = _Stream()
    for shown in (0.0, 0.1, 3600.2, 3600.3, 0.4, None, 0.6):
        assert stream.feed(_KEY, shown=shown).is_clean
    assert stream.tally["jumps"] == 2
    held_up = Timestamps()
    times = [(0.0, 0.0), (0.04, 3.0), (0.08, 3.01), (2.9, 3.02)]
    assert not any(held_up.jumped(shown, at) for shown, at in times)
