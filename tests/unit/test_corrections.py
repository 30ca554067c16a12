"""Which changes of a stream's correction are told."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.corrections import LINES, WINDOW, CorrectionVigil, Shift
from tocsin.frame import Correction

NONE, STRETCH, CLAHE = Correction.NONE, Correction.STRETCH, Correction.CLAHE


def told(*frames: tuple[float, Correction]) -> list[tuple[float, Shift]]:
    vigil = CorrectionVigil()
    return [(at, shift) for at, correction in frames if (shift := vigil.update(correction, at)) is not None]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([(float(at), NONE) for at in range(200)], [], id="nothing is done"),
        pytest.param([(0.0, STRETCH), (0.1, STRETCH)], [(0.0, Shift(NONE, STRETCH, 1))], id="from the start"),
        pytest.param(
            [(0.0, NONE), (5.0, STRETCH), (6.0, STRETCH), (500.0, STRETCH), (501.0, NONE)],
            [(5.0, Shift(NONE, STRETCH, 1)), (501.0, Shift(STRETCH, NONE, 1))],
            id="dusk and dawn",
        ),
        pytest.param(
            [(0.0, NONE), (1.0, STRETCH), (2.0, CLAHE)],
            [(1.0, Shift(NONE, STRETCH, 1)), (2.0, Shift(STRETCH, CLAHE, 1))],
            id="one after another",
        ),
    ],
)
def test_a_change_is_told_as_it_happens(
    frames: list[tuple[float, Correction]], expected: list[tuple[float, Shift]]
) -> None:
    """And what goes on as it was is not."""
    assert told(*frames) == expected


def test_flapping_is_summed_up() -> None:
    """The first few changes are told, the others become one line with their number once a window."""
    frames = [(float(at), STRETCH if at % 2 else NONE) for at in range(round(WINDOW) + 1)]
    *single, (at, summary) = told(*frames)
    assert [shift.times for _, shift in single] == [1] * LINES
    assert at == WINDOW
    assert summary == Shift(STRETCH, NONE, round(WINDOW) - LINES)


def test_what_was_not_told_is_told_when_the_flapping_has_stopped() -> None:
    """The last line tells the truth, also where the correction is again what was told before."""
    flaps = [
        (at / 10, STRETCH if at % 2 else NONE) for at in range(6)
    ]  # five changes; the last is to stretch
    lines = told(*flaps, (30.0, STRETCH), (WINDOW, STRETCH), (WINDOW + 1, STRETCH), (3 * WINDOW, STRETCH))
    assert lines[LINES:] == [(WINDOW, Shift(STRETCH, STRETCH, 2))]


def test_time_that_runs_backwards_keeps_nothing_back() -> None:
    """The seam of a long recording begins a new window: what is untold is told then, and not hours later."""
    flaps = [(3600.0 + at, STRETCH if at % 2 else NONE) for at in range(5)]
    lines = told(*flaps, (0.0, NONE), (1.0, STRETCH))
    assert lines[LINES:] == [(0.0, Shift(STRETCH, NONE, 1)), (1.0, Shift(NONE, STRETCH, 1))]


@given(st.lists(st.tuples(st.floats(-5, 30), st.sampled_from(list(Correction))), max_size=200))
def test_lines_are_few_and_no_change_is_lost(steps: list[tuple[float, Correction]]) -> None:
    """Whatever the corrections and times: the numbers told add up, and what was told last is true in the end."""
    at, frames = 0.0, []
    for step, correction in steps:
        at += step
        frames.append((at, correction))
    at += 10 * WINDOW
    frames.append((at, frames[-1][1] if frames else NONE))
    lines = told(*frames)
    path = [NONE, *(correction for _, correction in frames)]
    assert sum(shift.times for _, shift in lines) == sum(a is not b for a, b in pairwise(path))
    assert (lines[-1][1].now if lines else NONE) is path[-1]
    for (_, before), (_, after) in pairwise(lines):
        assert after.before is before.now


def test_flapping_at_full_rate_is_three_lines_a_minute() -> None:
    """However fast it goes."""
    frames = [(at / 25, STRETCH if at % 2 else NONE) for at in range(25 * 600)]
    assert len(told(*frames)) == LINES * 600 / WINDOW
