"""Waiting for a condition under a deadline, the only way in which these tests wait."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from support.parallel import WORKER

T = TypeVar("T")

SCALE = float(os.environ.get("TOCSIN_TEST_SCALE", "2" if WORKER else "1"))
"""Every wait is this many times as long: raise it on a slow or busy machine. Tests side by side make it busy."""

POLL_S = 0.02


def until(condition: Callable[[], T], timeout: float, what: str) -> T:
    """Return the first true value of `condition`; fail when `timeout` seconds pass without one."""
    deadline = time.monotonic() + timeout * SCALE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout * SCALE:g} s for {what}, last seen: {value!r}")
        time.sleep(POLL_S)
    return value
