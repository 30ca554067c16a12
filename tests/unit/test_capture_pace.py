"""Which pictures are analysed, and how silence is measured."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.pace import Pace, Silence


@pytest.mark.parametrize(
    ("camera_fps", "max_fps", "expected"),
    [
        pytest.param(25.0, 10.0, 100, id="a faster camera is thinned to the limit"),
        pytest.param(10.0, 10.0, 100, id="a camera at the limit loses nothing"),
        pytest.param(5.0, 10.0, 50, id="a slower camera loses nothing"),
        pytest.param(30.0, 4.0, 40, id="a limit that does not divide the rate is still met"),
    ],
)
def test_ten_seconds_give_as_many_pictures_as_the_limit_allows(
    camera_fps: float, max_fps: float, expected: int
) -> None:
    """Ten seconds of a camera give max_fps pictures a second, or all of them."""
    pace = Pace(max_fps)
    due = sum(pace.due(number / camera_fps) for number in range(int(10 * camera_fps)))
    assert abs(due - expected) <= 1


@given(st.lists(st.floats(-0.03, 0.03), min_size=100, max_size=100))
def test_a_camera_at_the_limit_with_jitter_loses_nothing(jitter: list[float]) -> None:
    """Arrivals that wander by a third of a period around the limit's grid are all analysed."""
    pace = Pace(10.0)
    pace.due(0.0)
    assert all(pace.due((number + 1) / 10 + late) for number, late in enumerate(jitter))


def test_after_a_pause_pictures_do_not_come_in_a_burst() -> None:
    """A pause earns no credit: the next pictures keep their distance."""
    pace = Pace(10.0)
    assert pace.due(0.0)
    taken = [at for at in (5.0 + number / 50 for number in range(50)) if pace.due(at)]
    assert 10 <= len(taken) <= 11
    assert min(later - earlier for earlier, later in pairwise(taken)) >= 0.05


@given(
    st.floats(5.0, 60.0),
    st.floats(1.0, 30.0),
    st.lists(st.floats(0.0, 0.009), min_size=100, max_size=100),
    st.lists(st.booleans(), min_size=100, max_size=100),
)
def test_no_pick_is_missed_by_leaving_pictures_out(
    camera_fps: float, max_fps: float, decoding: list[float], needed: list[bool]
) -> None:
    """Whichever of the pictures that are not wanted are left out, the picks are those without leaving out."""
    every, some = Pace(max_fps), Pace(max_fps)
    for number, (late, is_needed) in enumerate(zip(decoding, needed, strict=True)):
        sent = number / camera_fps
        wanted = some.may_be_due(sent)
        assert some.may_be_due(sent) is wanted, "asking changes nothing"
        picked = (wanted or is_needed) and some.due(sent + late)
        assert picked is every.due(sent + late)


@given(st.floats(5.0, 60.0), st.floats(1.0, 30.0), st.integers(0, 8))
def test_a_picture_that_others_come_before_is_judged_by_the_grid(
    camera_fps: float, max_fps: float, held: int
) -> None:
    """Of pictures that are expected while some before them have not arrived, no pick is called unwanted."""
    pace, apart = Pace(max_fps), 1.0 / camera_fps
    wanted = [pace.may_be_due(number * apart, apart) for number in range(held)]
    for number in range(300):
        wanted.append(pace.may_be_due((number + held) * apart, apart))
        picked = pace.due(number * apart)
        assert wanted[number] or not picked
    if camera_fps > 3 * max_fps and apart > 0.02 and number > 2 * held:
        assert not all(wanted)


def test_silence_is_the_longest_gap_since_the_last_analysed_picture() -> None:
    """A short gap after a long one does not hide it; taking it starts afresh."""
    silence = Silence()
    for at in (0.0, 0.1, 3.1, 3.2):
        silence.arrived(at)
    assert silence.taken() == math.inf, "before the first picture there was nothing"
    for at in (3.3, 7.3, 7.4):
        silence.arrived(at)
    assert silence.taken() == pytest.approx(4.0)
    silence.arrived(7.5)
    assert silence.taken() == pytest.approx(0.1)


def test_a_seam_is_an_endless_silence() -> None:
    """What follows the seam of a looped file has nothing to do with what was before."""
    silence = Silence()
    silence.arrived(0.0)
    silence.taken()
    silence.seam()
    silence.arrived(0.1)
    assert silence.taken() == math.inf
