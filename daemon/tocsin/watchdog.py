"""Says whether the daemon moves: kicks the service manager's watchdog while every part does, else names the one."""

import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from tocsin.lifecycle import Pulses
from tocsin.thread import guarded

log = structlog.get_logger(__name__)

GIVE_UP = 45.0
"""Seconds after which a stuck part ends the daemon, also where no service manager watches: a restart mends it."""

ABANDON = 60.0
"""Seconds after which the process is torn down instead: then it is the main thread that does not move."""

_TURN = 0.5
_SAY_AGAIN = 10.0
_STOOD_STILL = 3.0
"""Seconds between two turns after which this process did not run at all, and with it no part."""


class Manager(Protocol):
    """Who hears how the daemon does."""

    def watchdog(self) -> None: ...
    def status(self, text: str) -> None: ...


class Watchdog:
    """Looks twice a second, in a thread of its own, which part has not moved within its limit.

    As long as there is none it kicks every `interval` seconds, None for never, and tells the status that `line`
    returns. A part that is stuck is named to the manager and in the log, and no kick follows while it is. After
    45 s `give_up` is called with that sentence, once a turn; where that ends nothing `abandon` is, which does not
    return. The time in which the whole process stood still, as in a suspended machine, is nobody's fault.
    """

    def __init__(
        self,
        pulses: Pulses,
        manager: Manager,
        interval: float | None,
        line: Callable[[], str],
        give_up: Callable[[str], None],
        abandon: Callable[[], None] = os.abort,
    ) -> None:
        self._pulses = pulses
        self._manager = manager
        self._interval = interval
        self._line = line
        self._give_up = give_up
        self._abandon = abandon
        # It waits for its own flag alone. Where it hangs itself, in a log that nobody reads, the kicks end too.
        self._thread = guarded("watchdog", self._run, give_up)
        self._stopping = threading.Event()
        self._turned: float | None = None
        self._awake_since = self._kicked = self._said = float("-inf")
        self._was_stuck = False

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Look no more: who stops is silent for longer than those may who work."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._stopping.wait(_TURN):
            self.turn(time.monotonic())

    def turn(self, now: float) -> None:
        """Look once; `now` is monotonic, in seconds."""
        if self._turned is not None and now - self._turned > _STOOD_STILL:
            self._awake_since = now
        self._turned = now
        stuck = self._pulses.overdue(now, self._awake_since)
        if not stuck:
            self._all_well(now)
            return
        worst = stuck[0]
        self._was_stuck = True
        if now - self._said >= _SAY_AGAIN:
            self._said = now
            self._manager.status(str(worst))  # before the log, which may be what hangs
            log.error("a part is stuck", part=worst.name, seconds=round(worst.seconds))
        if worst.seconds > GIVE_UP:
            self._give_up(str(worst))
        if worst.seconds > ABANDON:
            self._abandon()

    def _all_well(self, now: float) -> None:
        if self._was_stuck:
            self._was_stuck, self._said = False, float("-inf")
            log.warning("every part moves again")
        if self._interval is not None and now - self._kicked >= self._interval:
            self._kicked = now
            self._manager.watchdog()
            self._manager.status(self._line())
