"""How fast a camera's pictures come is measured, and what it declares is hardly believed."""

import pytest

from tocsin.capture.rate import Ceiling, Meter, Rate


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
        pytest.param(0.04, 1.4, id="a fast camera stalls soon"),
        pytest.param(1.25, 3.0, id="a slow one has 2.4 periods"),
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
    assert seen == [1.4, 2.8, 5.6, 11.2, 15.0]
    assert _fed(rate, 2.0, 2.0, 2.0).read_timeout == pytest.approx(4.8)


def test_a_stall_of_a_camera_whose_rate_is_known_changes_nothing() -> None:
    """It is the camera that stopped."""
    rate = Rate(10.0)
    rate.opened(25.0)
    _fed(rate, 0.1, 0.1, 0.1).stalled()
    assert rate.read_timeout == 1.4


@pytest.mark.parametrize("period", [0.04, 0.2, 0.5, 1.0, 2.0, 3.0])
def test_a_stall_shows_within_three_seconds_or_five_periods(period: float) -> None:
    """FFmpeg tells at the second expiry of the timeout; what is left of the promise is for telling it on."""
    assert 2 * _fed(Rate(10.0), *[period] * 9).read_timeout <= max(3.0, 5 * period) - 0.15


def test_the_meter_counts_what_came_in_the_last_ten_seconds() -> None:
    """It follows a change of rate, and falls while nothing is reported."""
    meter = Meter()
    assert meter.rate(0.0) == 0.0
    meter.opened(0.0)
    for second in range(1, 21):
        meter.reported(float(second), 25)
    assert meter.rate(20.5) == pytest.approx(25.0)
    for second in range(21, 32):
        meter.reported(float(second), 5)
    assert meter.rate(31.5) == pytest.approx(5.0)
    assert meter.rate(41.0) < 1.0
    meter.opened(50.0)
    meter.reported(51.0, 10)
    assert meter.rate(51.0) == pytest.approx(10.0)


def _exceeded(rate: float, seconds: float, *, after: float = 0.0) -> bool:
    ceiling = Ceiling()
    ceiling.exceeded(0.0)
    return any(ceiling.exceeded(after + number / rate) for number in range(round(rate * seconds)))


@pytest.mark.parametrize(
    ("rate", "seconds", "expected"),
    [
        pytest.param(60.0, 60.0, False, id="the fastest camera"),
        pytest.param(72.0, 60.0, False, id="the fastest camera with a fast clock"),
        pytest.param(275.0, 4.0, False, id="a burst after a hold-up, as fast as it is decoded"),
        pytest.param(100.0, 6.5, True, id="a restreamer that repeats its last picture"),
    ],
)
def test_only_what_lasts_is_more_than_a_camera_sends(rate: float, seconds: float, expected: bool) -> None:
    """Five seconds in a row are above the ceiling."""
    assert _exceeded(rate, seconds, after=30.0) is expected


def test_pictures_that_were_left_out_count_in_the_period() -> None:
    """Where three of four pictures are not decoded, the period is still that of the camera."""
    rate = Rate(10.0)
    rate.opened(25.0)
    for number in range(12):
        rate.arrived(number * 0.16, left_out=3)
    assert rate.period == pytest.approx(0.04)
