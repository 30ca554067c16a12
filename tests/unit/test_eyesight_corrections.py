"""Which changes of a stream's correction are told."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.eyesight.corrections import FLAPS, HELD, HELD_AT_MOST, WINDOW, CorrectionVigil, Flapping, Held
from tocsin.frame import Correction

NONE, STRETCH, CLAHE, LOCAL = (
    Correction.NONE,
    Correction.STRETCH,
    Correction.CLAHE,
    Correction.LOCAL_STRETCH,
)
Told = list[tuple[float, Held | Flapping]]


def told(*frames: tuple[float, Correction]) -> Told:
    vigil = CorrectionVigil()
    return [(at, one) for at, correction in frames if (one := vigil.update(correction, at)) is not None]


def shown(*stretches: tuple[float, float, Correction]) -> list[tuple[float, Correction]]:
    """Ten frames a second of each correction, from one second to another."""
    return [
        (tenth / 10, correction)
        for begins, ends, correction in stretches
        for tenth in range(round(begins * 10), round(ends * 10))
    ]


@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        pytest.param([(0, 200, NONE)], [], id="nothing is done"),
        pytest.param([(0, 9, STRETCH)], [(2.0, Held(NONE, STRETCH))], id="from the start"),
        pytest.param(
            [(0, 5, NONE), (5, 500, STRETCH), (500, 510, NONE)],
            [(7.0, Held(NONE, STRETCH)), (502.0, Held(STRETCH, NONE))],
            id="dusk and dawn",
        ),
        pytest.param(
            [(0, 20, NONE), (20, 20.2, LOCAL), (20.2, 21, STRETCH), (21, 45, NONE)],
            [],
            id="a blackout passes through others to where it was",
        ),
        pytest.param(
            [(0, 5, NONE), (5, 5.4, LOCAL), (5.4, 30, STRETCH)],
            [(7.4, Held(NONE, STRETCH))],
            id="where it ended is told, not the way there",
        ),
        pytest.param(
            [(0, 5, STRETCH), (5, 8, NONE), (8, 20, STRETCH)],
            [(2.0, Held(NONE, STRETCH))],
            id="soon after a line the next takes longer",
        ),
    ],
)
def test_a_change_is_told_once_it_has_held(
    stretches: list[tuple[float, float, Correction]], expected: Told
) -> None:
    """And what goes on as it was is not."""
    assert told(*shown(*stretches)) == [(pytest.approx(at), one) for at, one in expected]


def test_flapping_is_summed_up_once_a_window_and_its_end_is_told() -> None:
    """With how often and between what; when it has held, one line says where it ended."""
    flaps = [(float(at), STRETCH if at % 2 else NONE) for at in range(1, 62)]
    lines = told((0.0, NONE), *flaps, *((61.0 + at / 10, STRETCH) for at in range(400)))
    (first, flapping), (second, held) = lines
    assert (first, flapping) == (WINDOW + 1, Flapping(61, WINDOW, frozenset({NONE, STRETCH})))
    assert (second, held) == (pytest.approx(61.0 + 2 * HELD), Held(NONE, STRETCH))


def test_flapping_that_ends_where_it_began_is_told_as_over() -> None:
    """Both corrections of the line are the same then."""
    flaps = [(float(at), STRETCH if at % 2 else NONE) for at in range(62)]
    lines = told(*flaps, *((62.0 + at / 10, NONE) for at in range(400)))
    assert lines[-1][1] == Held(NONE, NONE)
    assert [type(one) for _, one in lines] == [Flapping, Held]


def test_changes_that_are_over_are_not_said_to_go_on() -> None:
    """What changed twice and settled long before the window's end is no flapping."""
    frames = shown((0, 10, NONE), (10, 10.5, LOCAL), (10.5, 11, STRETCH), (11, 50, NONE), (50, 50.5, STRETCH))
    lines = told(*frames, *shown((50.5, 80, NONE), (80, 600, NONE), (600, 601, CLAHE), (601, 700, NONE)))
    assert lines == []


def test_after_a_quiet_minute_a_change_is_told_as_soon_as_the_first() -> None:
    """However long the lines before it had to wait."""
    restless = [(float(at), STRETCH if at % 20 < 10 else NONE) for at in range(300)]
    lines = told(*restless, *shown((300, 400, NONE), (400, 410, STRETCH)))
    assert lines[-1] == (pytest.approx(400 + HELD), Held(NONE, STRETCH))


def test_time_that_runs_backwards_keeps_nothing_back() -> None:
    """The seam of a long recording begins anew: what holds after it is told."""
    frames = [(3600.0, NONE), (3601.0, STRETCH), *shown((0, 5, STRETCH))]
    assert told(*frames) == [(HELD, Held(NONE, STRETCH))]


@given(st.lists(st.tuples(st.floats(-5, 90), st.sampled_from(list(Correction))), max_size=200))
def test_what_was_told_last_is_true_in_the_end(steps: list[tuple[float, Correction]]) -> None:
    """Whatever the corrections and times: once nothing changes, the last line names what is done."""
    at, frames = 0.0, []
    for step, correction in steps:
        at += step
        frames.append((at, correction))
    last = frames[-1][1] if frames else NONE
    lines = told(*frames, (at, last), (at + HELD_AT_MOST, last))
    holds = [one for _, one in lines if isinstance(one, Held)]
    assert (holds[-1].now if holds else NONE) is last
    assert not lines or isinstance(lines[-1][1], Held)
    for before, after in pairwise(holds):
        assert after.before is before.now
    assert all(one.changes >= FLAPS for _, one in lines if isinstance(one, Flapping))


@pytest.mark.parametrize("period", [0.04, 1.0, 2.5, 5.0, 12.0, 20.0, 33.0, 61.0])
def test_lines_are_few_however_fast_it_changes(period: float) -> None:
    """An hour of it is at most two lines a minute, but for the first."""
    frames = [(at / 10, STRETCH if at / 10 // period % 2 else NONE) for at in range(36000)]
    lines = told(*frames)
    assert len(lines) <= 2 * 60 + 4
    assert lines
