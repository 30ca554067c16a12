"""An object is confirmed by enough sightings in the window, and by nothing else."""

import math
import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.alarm.confirm import Confirmation, deaf, interrupted

PERIOD = 0.1


def play(confirmation: Confirmation, frames: str, start: float = 0.0, first_silence: float = PERIOD) -> str:
    """Feed one frame for each character, `x` for a sighting; return `!` for each that confirms."""
    told = ""
    for number, frame in enumerate(frames):
        silence = first_silence if number == 0 else PERIOD
        told += "!" if confirmation.update(frame == "x", start + number * PERIOD, PERIOD, silence) else "."
    return told


@pytest.mark.parametrize(
    ("hits", "of", "within", "frames", "told"),
    [
        pytest.param(5, 5, 3.0, "xxxxx", "....!", id="five of five: the fifth confirms, not the sixth"),
        pytest.param(5, 5, 3.0, "xxxx.xxxxx", ".........!", id="five of five: one miss starts afresh"),
        pytest.param(5, 10, 3.0, "x.x.x.x.x", "........!", id="five of ten: misses between are allowed"),
        pytest.param(3, 4, 3.0, "xx..x", ".....", id="the first of the window is forgotten in time"),
        pytest.param(3, 4, 3.0, "xx.x", "...!", id="the whole window counts"),
        pytest.param(1, 1, 0.0, ".x.", ".!.", id="one of one: every sighting confirms"),
        pytest.param(2, 10, 3.0, "xx.", ".!.", id="a frame without a sighting never confirms"),
        pytest.param(3, 10, 0.2, "xxx", "..!", id="sightings exactly as far apart as allowed count"),
        pytest.param(4, 10, 0.3, "xxxx", "...!", id="also where three times 0.1 is rounded up"),
        pytest.param(3, 10, 0.2, "x.xx", "....", id="sightings further apart than allowed do not"),
        pytest.param(2, 3, 3.0, "xxx", ".!!", id="it stays confirmed while it is seen"),
    ],
)
def test_window(hits: int, of: int, within: float, frames: str, told: str) -> None:
    """The k-th sighting in the window confirms, no frame later."""
    assert play(Confirmation(hits, of, within), frames) == told


@pytest.mark.parametrize(
    ("silence", "period", "empties"),
    [
        pytest.param(1.0, 0.1, False, id="a second is borne with"),
        pytest.param(1.01, 0.1, True, id="more than a second is a gap at 10 frames a second"),
        pytest.param(5.0, 1.0, False, id="five periods are borne with at one frame a second"),
        pytest.param(5.1, 1.0, True, id="more than five periods are a gap"),
        pytest.param(math.inf, 0.1, True, id="the start of a stream and the seam of a file are gaps"),
        pytest.param(math.nan, 0.1, True, id="a silence that is no number is taken for a gap"),
        pytest.param(0.9, math.nan, False, id="a period that is no number leaves a second"),
        pytest.param(1.1, math.nan, True, id="and no more than a second"),
    ],
)
def test_silence(silence: float, period: float, empties: bool) -> None:
    """Only a silence longer than a second and five periods empties the window, before the frame counts."""
    assert interrupted(silence, period) is empties
    confirmation = Confirmation(3, 10, 100.0)
    play(confirmation, "xx")
    assert confirmation.update(True, 5.0, period, silence) is not empties
    assert confirmation.first_seen == (5.0 if empties else 0.0)


def test_sighting_after_a_gap_counts() -> None:
    """The frame that ends a silence is the first of the new window."""
    confirmation = Confirmation(3, 3, 3.0)
    play(confirmation, "xx")
    assert play(confirmation, "xxx", start=9.0, first_silence=8.9) == "..!"


def test_first_seen() -> None:
    """The first of the sightings that confirm is remembered, not one that has left the window."""
    confirmation = Confirmation(2, 3, 3.0)
    assert confirmation.first_seen is None
    play(confirmation, "x...x.x")
    assert confirmation.first_seen == pytest.approx(0.4)


def test_time_that_runs_backwards() -> None:
    """A jump back empties the window; the frame itself counts."""
    confirmation = Confirmation(3, 3, 3.0)
    play(confirmation, "xx", start=100.0)
    assert play(confirmation, "xxx", start=50.0) == "..!"


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_time_that_is_none(at: float) -> None:
    """A frame without a finite time is not counted, and leaves no trace."""
    confirmation = Confirmation(3, 3, 3.0)
    play(confirmation, "xx")
    if at != -math.inf:  # which runs backwards as well
        assert not confirmation.update(True, at, PERIOD, PERIOD)
        assert play(confirmation, "x", start=0.2) == "!"
    else:
        assert not confirmation.update(True, at, PERIOD, PERIOD)
        assert play(confirmation, "xxx", start=0.2) == "..!"


@pytest.mark.parametrize(("hits", "of"), [(0, 5), (6, 5), (-1, 0)])
def test_window_too_small(hits: int, of: int) -> None:
    """A window that cannot hold its hits is refused."""
    with pytest.raises(ValueError, match=rf"expected 1 to {of} hits of the last {of} frames, found {hits}"):
        Confirmation(hits, of, 1.0)


@pytest.mark.parametrize(
    ("hits", "within", "rate", "is_deaf"),
    [
        pytest.param(5, 3.0, 10.0, False, id="five hits in three seconds at 10 frames a second fit"),
        pytest.param(5, 3.0, 1.0, True, id="at one frame a second they need four seconds"),
        pytest.param(5, 4.0, 1.0, False, id="four seconds are just enough"),
        pytest.param(30, 0.29, 100.0, False, id="rounding makes no rule deaf"),
        pytest.param(1, 0.0, 0.1, False, id="one hit fits always"),
        pytest.param(2, 60.0, 0.0, True, id="two hits never come at no rate"),
        pytest.param(1, 0.0, 0.0, False, id="one hit needs no rate"),
    ],
)
def test_deaf(hits: int, within: float, rate: float, is_deaf: bool) -> None:
    """A rule is deaf where its hits take longer than they may."""
    assert deaf(hits, within, rate) is is_deaf


@given(st.integers(1, 60), st.floats(0, 10), st.floats(0.1, 60))
@example(31, 0.3, 100.0)
def test_deaf_is_what_the_window_does(hits: int, within: float, rate: float) -> None:
    """In a steady stream that shows the object always, a rule is confirmed at its k-th frame or deaf."""
    confirmation = Confirmation(hits, hits, within)
    told = [confirmation.update(True, number / rate, 1 / rate, 1 / rate) for number in range(hits)]
    assert told[:-1] == [False] * (hits - 1)
    slack = within * rate - (hits - 1)
    if abs(slack) > 1e-3:  # at the very border rounding decides, up to a thousandth of a frame
        assert told[-1] is not deaf(hits, within, rate)


@dataclass
class Shown:
    seen: bool
    at: float
    gap: bool


@given(
    st.integers(1, 6),
    st.integers(0, 6),
    st.floats(0.05, 2),
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.05, 0.1, 0.9, 3.0, -5.0])), max_size=60),
)
def test_window_equals_its_definition(
    hits: int, more: int, within: float, steps: list[tuple[bool, float]]
) -> None:
    """The window confirms exactly where counting from the whole history says so."""
    of = hits + more
    confirmation = Confirmation(hits, of, within)
    history: list[Shown] = []
    now = 0.0
    for seen, step in steps:
        now += step
        history.append(Shown(seen, now, gap=step > 1 or step < 0))
        since_gap = max((i for i, shown in enumerate(history) if shown.gap), default=0)
        window = history[since_gap:][-of:]
        count = sum(shown.seen and now - shown.at <= within + 1e-6 for shown in window)
        assert confirmation.update(seen, now, PERIOD, abs(step)) is (seen and count >= hits)


def test_needs_no_library() -> None:
    """The formula for deaf rules and the states of an alarm load neither arrays, nor polygons, nor a schema."""
    code = (
        "import sys, tocsin.alarm.confirm, tocsin.alarm.episode;"
        "print([name for name in ('numpy', 'shapely', 'pydantic', 'cv2') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
