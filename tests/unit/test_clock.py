"""The wall clock: what it has, and whether it can be believed."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tocsin import clock
from tocsin.clock import JUMP, Jumps, monotonic_time, synchronized, wall_time


@pytest.mark.parametrize("shift", [86_400.0, -86_400.0, 1.5], ids=["a day on", "a day back", "a little"])
def test_a_clock_that_is_set_has_jumped_once(shift: float) -> None:
    """By how much is told at the next look, and nothing after it."""
    jumps = Jumps()
    assert jumps.turn(10.0, 1_000_000.0) is None
    assert jumps.turn(10.5, 1_000_000.5) is None
    assert jumps.turn(11.0, 1_000_001.0 + shift) == pytest.approx(shift)
    assert jumps.turn(11.5, 1_000_001.5 + shift) is None


def test_a_clock_that_is_pulled_right_has_not_jumped() -> None:
    """However long a time server pulls at it."""
    jumps = Jumps()
    assert {jumps.turn(0.5 * n, 1_000_000.0 + 0.5 * n * 1.0005) for n in range(10_000)} == {None}


def test_a_look_that_came_late_is_no_jump() -> None:
    """Both clocks have gone on."""
    jumps = Jumps()
    jumps.turn(0.0, 0.0)
    assert jumps.turn(3600.0, 3600.0 + JUMP / 2) is None


@pytest.mark.parametrize(
    ("state", "told"),
    [(0, True), (5, False), (-1, None), (None, None)],
    ids=["in step", "not in step", "not allowed to ask", "nobody to ask"],
)
def test_the_kernel_says_whether_the_clock_is_right(
    monkeypatch: pytest.MonkeyPatch, state: int | None, told: bool | None
) -> None:
    """TIME_ERROR is no; where it cannot be asked nothing is known."""
    monkeypatch.setattr(clock, "_state", lambda: state)
    monkeypatch.setattr(clock, "TIMESYNCD", Path("/nowhere/synchronized"))
    assert synchronized() is told


@pytest.mark.parametrize(
    ("age", "told"),
    [(0.0, True), (6_000.0, True), (6_200.0, False), (None, False)],
    ids=["just now", "within its longest waits", "too long ago", "not yet"],
)
def test_where_the_kernel_may_not_be_asked_timesyncd_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, age: float | None, told: bool
) -> None:
    """By when its server last answered."""
    monkeypatch.setattr(clock, "_state", lambda: -1)
    mark = tmp_path / "synchronized"
    monkeypatch.setattr(clock, "TIMESYNCD", mark)
    if age is not None:
        mark.touch()
        os.utime(mark, (time.time() - age, time.time() - age))
    assert synchronized() is told


def test_the_kernel_can_be_asked() -> None:
    """The call is one that this machine knows; what it says is the machine's affair."""
    assert synchronized() in (True, False, None)


def test_wall_and_monotonic_time_are_inverse() -> None:
    """A stored time comes back as the moment on this machine's clock, however long ago."""
    for ago in (0.0, 3600.0, 10_000_000.0):
        wall = datetime.now(UTC) - timedelta(seconds=ago)
        assert abs((wall_time(monotonic_time(wall)) - wall).total_seconds()) < 0.5
