"""The newest frame of each stream, between the supervisor and the engine: whatever is older is dropped."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from tocsin.frame import Frame


@dataclass(frozen=True, slots=True)
class _Lent:
    frame: Frame
    give_back: Callable[[], None]


class Newest:
    """At most one waiting frame a stream. The stream that was served longest ago goes first."""

    def __init__(self) -> None:
        # Guards all three tables. The supervisor puts, the engine takes and waits on it; both hold it for
        # microseconds. A put wakes the engine.
        self._changed = threading.Condition()
        self._waiting: dict[str, _Lent] = {}
        self._lent: dict[tuple[str, int], _Lent] = {}
        self._served: dict[str, int] = {}
        self._turn = 0

    def put(self, frame: Frame, give_back: Callable[[], None]) -> bool:
        """Offer a frame and return whether it took the place of one that nobody had taken.

        The silence before the lost frame counts for the new one. `give_back` is called once, from any thread, when
        the frame's pixels are no longer needed.
        """
        with self._changed:
            older = self._waiting.pop(frame.stream, None)
            if older is not None:
                frame = replace(frame, silence=max(frame.silence, older.frame.silence))
            self._waiting[frame.stream] = _Lent(frame, give_back)
            self._changed.notify()
        if older is not None:
            older.give_back()
        return older is not None

    def take(self, limit: int, timeout: float) -> list[Frame]:
        """Return the newest frames of some streams, together of up to `limit` views; empty after `timeout` seconds.

        The one that has waited longest comes whatever the number of its views, and others as far as there is room:
        nobody's many views keep a stream from its turn. Each must be given back with `release`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout)
            streams = self._next(limit)
            taken = [self._waiting.pop(stream) for stream in streams]
            # one number each, so that those of one batch keep their order in the next: with one number for all of
            # them, the last of nine streams got half as many turns as the first where eight fit into a batch
            self._served.update(zip(streams, itertools.count(self._turn + 1), strict=False))
            self._turn += len(streams)
            self._lent.update({(lent.frame.stream, lent.frame.number): lent for lent in taken})
        return [lent.frame for lent in taken]

    def _next(self, limit: int) -> list[str]:
        chosen: list[str] = []
        for stream in sorted(self._waiting, key=lambda stream: self._served.get(stream, 0)):
            views = len(self._waiting[stream].frame.views)
            if not chosen or views <= limit:
                chosen.append(stream)
                limit -= views
        return chosen

    def release(self, frame: Frame) -> None:
        """Give a frame's pixels back to its worker, which may overwrite them at once."""
        with self._changed:
            lent = self._lent.pop((frame.stream, frame.number), None)
        if lent is not None:  # None after `clear`: the workers are gone
            lent.give_back()

    def clear(self) -> None:
        """Forget every frame, so that the memory they lie in can go."""
        with self._changed:
            self._waiting.clear()
            self._lent.clear()
