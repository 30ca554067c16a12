"""The times of a file's pictures."""

import math

import pytest

from tocsin.capture.fileclock import FileClock


def test_a_file_in_real_time_keeps_its_distances_however_it_is_numbered() -> None:
    """The first picture is now, whatever its timestamp."""
    clock = FileClock(0.1, 100.0)
    assert [clock.tick(shown, 100.0)[0] for shown in (7.0, 7.1, 7.35)] == pytest.approx(
        [100.0, 100.1, 100.35]
    )


@pytest.mark.parametrize("to", [27.0, 1.0])
def test_a_jump_in_a_file_s_timestamps_is_a_seam_and_not_waited_for(to: float) -> None:
    """What follows comes one period later and has nothing to do with what was before."""
    clock = FileClock(0.1, 100.0)
    assert clock.tick(7.0, 100.0) == (100.0, False)
    assert clock.tick(to, 100.05) == (pytest.approx(100.1), True)
    assert clock.tick(to + 0.1, 100.1) == (pytest.approx(100.2), False)


@pytest.mark.parametrize("period", [0.04, 20.0])
def test_a_pause_that_fits_the_file_is_kept(period: float) -> None:
    """Four seconds in any file, and the period of one that shows a picture every twenty seconds."""
    clock = FileClock(period, 100.0)
    clock.tick(0.0, 100.0)
    pause = max(4.0, period)
    assert clock.tick(pause, 100.0) == (pytest.approx(100.0 + pause), False)


def test_pictures_without_timestamps_come_at_the_file_s_rate() -> None:
    """A raw stream has none."""
    clock = FileClock(0.5, 100.0)
    assert [clock.tick(None, 100.0)[0] for _ in range(3)] == pytest.approx([100.0, 100.5, 101.0])


def test_a_file_of_one_picture_takes_a_period_per_pass() -> None:
    """Each pass begins with a seam."""
    clock = FileClock(0.5, 100.0)
    seen = []
    for _ in range(3):
        seen.append(clock.tick(0.0, 100.0))
        clock.rewind()
    assert seen == [(100.0, False), (100.5, True), (101.0, True)]


def test_a_file_that_is_not_in_real_time_keeps_its_own_time_over_the_seam() -> None:
    """Its pictures are as far apart as they were recorded, however fast they come."""
    clock = FileClock(0.1, 100.0)
    first = [clock.tick(shown, None)[0] for shown in (0.0, 0.1)]
    clock.rewind()
    assert [*first, clock.tick(0.0, None)[0]] == pytest.approx([100.0, 100.1, 100.2])


def test_when_a_picture_is_expected_is_when_it_comes() -> None:
    """Its timestamp tells, but for the first picture and for one without a timestamp."""
    clock = FileClock(0.04, 100.0)
    assert clock.expected(0.0) == math.inf
    clock.tick(0.0, None)
    expected = clock.expected(0.08)
    assert clock.expected(None) == math.inf
    assert clock.tick(0.08, None)[0] == expected == pytest.approx(100.08)
    clock.rewind()
    assert clock.expected(0.0) == math.inf
