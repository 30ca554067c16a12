"""The end of a run that does not end: a model may loop for ever, and nothing in ONNX Runtime bounds it."""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import onnxruntime as ort

POLL = 0.5
"""Seconds between two looks at the clock; a run is told to end so much after its limit at most."""


class Deadline:
    """Tells a run to end when it takes too long. For one run at a time.

    ONNX Runtime looks between two nodes of the graph, and at each turn of a loop, whether it shall end: one node
    that never returns cannot be ended by anybody but the watchdog.
    """

    def __init__(self) -> None:
        self._options = ort.RunOptions()
        # Guards the two below and `terminate`: without it a run that ends in time could have its flag raised
        # after it was lowered, and the next run would be ended instead. Held for moments by the thread that runs
        # the model and by the watcher.
        self._lock = threading.Lock()
        self._ends: float | None = None
        self._watched = False
        self.passed = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[ort.RunOptions]:
        """Give the options for one run, which is told to end after so many seconds; then `passed` is true."""
        if not self._watched:
            self._watched = True
            _watch(self)
        with self._lock:
            self.passed = False
            self._ends = time.monotonic() + seconds
        try:
            yield self._options
        finally:
            with self._lock:
                self._ends = None
                if self.passed:
                    self._options.terminate = False

    def look(self, now: float) -> None:
        """Tell the run to end if its time is over; called by the watcher."""
        with self._lock:
            if self._ends is not None and now >= self._ends:
                self.passed = True
                self._options.terminate = True


def _watch(deadline: Deadline) -> None:
    """Start the thread that looks at a deadline until it is gone: one a session, so that a run starts none."""
    known = weakref.ref(deadline)

    def look() -> None:
        while (alive := known()) is not None:
            alive.look(time.monotonic())
            del alive  # the session must be free to go while this thread sleeps
            time.sleep(POLL)

    threading.Thread(target=look, name="deadline", daemon=True).start()
