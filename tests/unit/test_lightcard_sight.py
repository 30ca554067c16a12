"""What of a recording cannot be seen, and what the daemon would say about it."""

import pytest

from support.pictures import light
from tocsin.eyesight.impairment import Impairment
from tocsin.frame import Light
from tocsin.lightcard.sight import Sight, Unseen

GOOD = light(mean=120.0, p1=20.0, p99=230.0)
DARK = light(mean=2.4, p1=0.0, p99=8.0)
DIM = light(mean=8.0, p1=0.0, p99=19.0)
"""Seen, but not so well that a stream that was reported would count as restored."""


def watched(*stretches: tuple[Light, float, float], every: float = 0.1) -> Sight:
    sight = Sight()
    for seen, begins, ends in stretches:
        for number in range(round(begins / every), round(ends / every)):
            sight.add(seen, number * every)
    return sight


def test_a_blackout_is_a_stretch_from_its_first_picture_to_its_last() -> None:
    """With when the daemon would report it, after ten seconds, and when its end, after five."""
    sight = watched((GOOD, 0, 20), (DARK, 20, 45), (GOOD, 45, 90))
    (stretch,) = sight.stretches()
    assert stretch.reason is Impairment.TOO_DARK
    found = (stretch.begins, stretch.ends, stretch.reported, stretch.restored)
    assert found == pytest.approx((20.0, 44.9, 30.0, 50.0))
    assert sight.pictures == {Impairment.TOO_DARK: 250}


def test_what_is_dark_for_a_moment_is_counted_and_not_reported() -> None:
    """Nine seconds are less than the daemon waits for."""
    sight = watched((GOOD, 0, 20), (DARK, 20, 29), (GOOD, 29, 60))
    assert sight.stretches() == ()
    assert sight.pictures == {Impairment.TOO_DARK: 90}


def test_a_stretch_that_outlasts_the_recording_has_no_end() -> None:
    """Pictures that would not end it belong to it, though they can just be seen."""
    (stretch,) = watched((DARK, 0, 15), (DIM, 15, 20)).stretches()
    assert stretch.restored is None
    assert stretch.ends == pytest.approx(19.9)
    assert stretch == Unseen(Impairment.TOO_DARK, stretch.begins, stretch.ends, stretch.reported)


def test_sparse_pictures_count_for_the_time_between_them() -> None:
    """One picture in ten seconds, as --every gives them, is no outage."""
    (stretch,) = watched((GOOD, 0, 100), (DARK, 100, 200), every=10.0).stretches()
    assert (stretch.begins, stretch.reported) == (100.0, 110.0)


def test_a_gap_proves_no_darkness() -> None:
    """Two dark pictures with a minute of nothing between them are not reported."""
    assert watched((GOOD, 0, 20), (DARK, 20, 21), (DARK, 81, 82), (GOOD, 82, 90)).stretches() == ()
