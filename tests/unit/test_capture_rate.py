"""How fast a camera's pictures come is measured, and what it declares is hardly believed."""

import pytest

from tocsin.capture.rate import Rate


def _fed(rate: Rate, *gaps: float) -> Rate:
    at = 0.0
    rate.arrived(at)
    for gap in gaps:
        at += gap
        rate.arrived(at)
    return rate


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param(None, 0.1, id="no declaration leaves the wanted rate"),
        pytest.param(5.0, 0.2, id="a sensible rate is believed"),
        pytest.param(90000.0, 1 / 60, id="no camera sends more than 60 a second"),
        pytest.param(0.01, 1.0, id="nor is a stream believed to be slower than one a second"),
    ],
)
def test_until_there_are_three_gaps_the_declared_rate_counts(declared: float | None, expected: float) -> None:
    """The declaration is a guess within limits."""
    rate = Rate(10.0)
    rate.opened(declared)
    assert _fed(rate, 1.25, 1.25).period == pytest.approx(expected)


def test_three_gaps_are_worth_more_than_any_declaration() -> None:
    """FFmpeg says 25 of every Motion JPEG stream."""
    rate = Rate(10.0)
    rate.opened(25.0)
    assert _fed(rate, 1.25, 1.25, 1.25).period == pytest.approx(1.25)


def test_outliers_do_not_move_the_period_and_a_new_rate_does() -> None:
    """Four long gaps in nine change nothing; a camera that becomes slower is followed."""
    rate = _fed(Rate(10.0), *[0.1] * 5, *[3.0] * 4)
    assert rate.period == pytest.approx(0.1)
    assert _fed(rate, *[2.0] * 9).period == pytest.approx(2.0)


def test_the_time_over_a_reconnection_or_a_seam_is_no_gap() -> None:
    """Outages say nothing about the rate."""
    rate = _fed(Rate(10.0), *[0.2] * 3)
    for at in (10.0, 20.0, 30.0, 40.0):
        rate.opened(None)
        rate.arrived(at)
    for at in (50.0, 60.0, 70.0, 80.0):
        rate.seam()
        rate.arrived(at)
    assert rate.period == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        pytest.param(0.04, 1.5, id="a fast camera stalls soon"),
        pytest.param(1.25, 3.125, id="a slow one has two and a half periods"),
        pytest.param(60.0, 15.0, id="and no camera more than a quarter of a minute"),
    ],
)
def test_the_read_timeout_follows_the_measured_period(gap: float, expected: float) -> None:
    """A slow camera is no stall."""
    assert _fed(Rate(10.0), gap, gap, gap).read_timeout == pytest.approx(expected)


def test_stalls_in_which_nothing_could_be_measured_double_the_patience() -> None:
    """A camera slower than the timeout gets more of it until its rate is seen."""
    rate = Rate(10.0)
    seen = []
    for _ in range(5):
        rate.opened(25.0)
        rate.arrived(0.0)
        seen.append(rate.read_timeout)
        rate.stalled()
    assert seen == [1.5, 3.0, 6.0, 12.0, 15.0]
    assert _fed(rate, 2.0, 2.0, 2.0).read_timeout == pytest.approx(5.0)


def test_a_stall_of_a_camera_whose_rate_is_known_changes_nothing() -> None:
    """It is the camera that stopped."""
    rate = Rate(10.0)
    rate.opened(25.0)
    _fed(rate, 0.1, 0.1, 0.1).stalled()
    assert rate.read_timeout == 1.5


def test_pictures_that_were_left_out_count_in_the_period() -> None:
    """Where three of four pictures are not decoded, the period is still that of the camera."""
    rate = Rate(10.0)
    rate.opened(25.0)
    for number in range(12):
        rate.arrived(number * 0.16, left_out=3)
    assert rate.period == pytest.approx(0.04)
