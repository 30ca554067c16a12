"""A rule is on duty by the clock on the wall of its place."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alarm.hours import WEEK, Day, Hours, Span

MADRID = ZoneInfo("Europe/Madrid")
NIGHT = Span((Day.FRI, Day.SUN), 22 * 60, 6 * 60)
NOON = Span((Day.MON,), 12 * 60, 13 * 60)


def hours(*spans: Span) -> Hours:
    return Hours("Europe/Madrid", spans)


@pytest.mark.parametrize(
    ("span", "at", "on_duty"),
    [
        # 2026-11-20 is a Friday
        pytest.param(NIGHT, (20, 21, 59), False, id="the minute before it starts"),
        pytest.param(NIGHT, (20, 22, 0), True, id="the minute in which it starts"),
        pytest.param(NIGHT, (21, 5, 59), True, id="its last minute is on Saturday"),
        pytest.param(NIGHT, (21, 6, 0), False, id="its end is not part of it"),
        pytest.param(NIGHT, (21, 22, 0), False, id="Saturday's night was not asked for"),
        pytest.param(NIGHT, (20, 5, 0), False, id="Thursday's night neither"),
        pytest.param(NIGHT, (23, 5, 0), True, id="Sunday's night is in the next week"),
        pytest.param(NOON, (23, 12, 59), True, id="by day"),
        pytest.param(NOON, (23, 13, 0), False, id="and not later"),
        pytest.param(NOON, (24, 12, 30), False, id="nor on another day"),
        pytest.param(Span((Day.SAT,), 0, 24 * 60), (21, 23, 59), True, id="a whole day, to midnight"),
        pytest.param(Span((Day.SAT,), 0, 24 * 60), (22, 0, 0), False, id="and no further"),
    ],
)
def test_spans(span: Span, at: tuple[int, int, int], on_duty: bool) -> None:
    """Days and minutes are those of the place, and a night belongs to the day on which it starts."""
    local = datetime(2026, 11, *at, tzinfo=MADRID)
    assert hours(span).on_duty(local.astimezone(UTC)) is on_duty
    assert hours(NOON, span).on_duty(local) is (on_duty or hours(NOON).on_duty(local))


def minutes_on_duty(span: Span, day: datetime) -> int:
    began = day.astimezone(UTC)
    return sum(hours(span).on_duty(began + timedelta(minutes=minute)) for minute in range(26 * 60))


def test_the_clock_s_changes() -> None:
    """A night over the change to summer time is an hour shorter, one over the change back an hour longer."""
    night = Span((Day.SAT,), 22 * 60, 6 * 60)
    assert minutes_on_duty(night, datetime(2026, 3, 28, 12, tzinfo=MADRID)) == 7 * 60
    assert minutes_on_duty(night, datetime(2026, 10, 24, 12, tzinfo=MADRID)) == 9 * 60
    assert minutes_on_duty(night, datetime(2026, 11, 21, 12, tzinfo=MADRID)) == 8 * 60


@given(
    st.lists(st.sampled_from(WEEK), min_size=1, unique=True),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.integers(0, 7 * 1440 - 1),
)
def test_a_span_is_what_is_counted_from_its_starts(
    days: list[Day], start: int, end: int, minute: int
) -> None:
    """It holds for as many minutes from each start as there are to its end, and at no other time."""
    span = Span(tuple(days), start, end)
    length = end - start if end > start else end - start + 1440
    since = [(minute - (1440 * WEEK.index(day) + start)) % (7 * 1440) for day in days]
    assert span.holds(minute // 1440, minute % 1440) is any(passed < length for passed in since)
