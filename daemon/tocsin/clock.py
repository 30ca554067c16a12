"""The wall clock: what time it has for a moment of the monotonic one, and whether it can be believed.

Receivers refuse signatures from a wrong time.
"""

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

_TIMEX_BYTES = 256
"""More than `struct timex` takes on any Linux; all zero, it asks and changes nothing."""

_UNSYNCHRONIZED = 5
"""TIME_ERROR of adjtimex(2)."""

JUMP = 1.0
"""Seconds that are no drift: a time server pulls a clock by half a millisecond a second at most."""


TIMESYNCD = Path("/run/systemd/timesync/synchronized")
"""Touched by systemd-timesyncd with each answer of its server; the folder is there while that runs."""

_BELIEVED = 3 * 2048.0
"""Seconds: three times the longest that it waits between two questions."""


def wall_time(monotonic: float) -> datetime:
    """Return the wall-clock time of a moment on the monotonic clock."""
    return datetime.now(UTC) - timedelta(seconds=time.monotonic() - monotonic)


def monotonic_time(wall: datetime) -> float:
    """Return the moment on the monotonic clock of a wall-clock time; negative before the machine started."""
    return time.monotonic() - (datetime.now(UTC) - wall).total_seconds()


def synchronized() -> bool | None:
    """Return whether the clock is kept in step with a time server; None where nobody tells.

    The kernel is asked first. The service may not ask it, since the call is the one that sets the clock; then
    systemd-timesyncd counts.
    """
    state = _state()
    return _kept_by_timesyncd() if state is None or state < 0 else state != _UNSYNCHRONIZED


def _kept_by_timesyncd() -> bool | None:
    try:
        return time.time() - TIMESYNCD.stat().st_mtime < _BELIEVED
    except OSError:
        return False if TIMESYNCD.parent.is_dir() else None


class Jumps:
    """Notices that the wall clock was set, or the machine slept. Pure: both times are arguments, in seconds."""

    def __init__(self) -> None:
        self._ahead: float | None = None

    def turn(self, monotonic: float, wall: float) -> float | None:
        """Return by how much the wall clock has jumped since the last look, or None."""
        before, self._ahead = self._ahead, wall - monotonic
        jumped = 0.0 if before is None else self._ahead - before
        return jumped if abs(jumped) > JUMP else None


def _state() -> int | None:
    ask = _adjtimex()
    return None if ask is None else int(ask(ctypes.create_string_buffer(_TIMEX_BYTES)))


@cache
def _adjtimex() -> Callable[..., int] | None:
    """Looked up once: the state is asked for twice a second and with each alarm."""
    return getattr(ctypes.CDLL(None), "adjtimex", None)
