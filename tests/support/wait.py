"""Waiting for a condition under a deadline, the only way in which these tests wait."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from support.parallel import WORKER

T = TypeVar("T")

SLOW = float(os.environ.get("TOCSIN_TEST_SCALE", "1"))
"""How slow the machine is, as whoever runs the tests says."""

SCALE = SLOW * (2 if WORKER else 1)
"""Every wait is this many times as long: tests that run side by side make each other wait."""

POLL_S = 0.02


def until(condition: Callable[[], T], timeout: float, what: str) -> T:
    """Return the first true value of `condition`; fail when `timeout` seconds pass without one."""
    deadline = time.monotonic() + timeout * SCALE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout * SCALE:g} s for {what}, last seen: {value!r}")
        time.sleep(POLL_S)
    return value
