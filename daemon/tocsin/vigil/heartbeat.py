"""A sign of life in fixed intervals: whoever misses it knows that no news is no good news."""

import math
from collections.abc import Callable, Sequence

from tocsin.capture.status import StreamState, StreamStatus
from tocsin.deliver.event import Data, EventType, HeartbeatData


class Heartbeat:
    """Says every so many seconds that the daemon is at work; 0 is never. Pure: time is an argument."""

    def __init__(self, every: float, say: Callable[[EventType, Data], None]) -> None:
        self._every = every
        self._say = say
        self._beaten = -math.inf  # when it last was

    def adopt(self, every: float) -> None:
        """Go on at another pace, which counts from the last beat."""
        self._every = every

    def turn(self, now: float, streams: Sequence[StreamStatus], *, stuck: bool) -> None:
        """Beat where it is time; not while a part of the daemon is stuck, which is what its absence tells."""
        if not self._every or now - self._beaten < self._every or stuck:
            return
        self._beaten = now
        up = sum(stream.state is StreamState.LIVE for stream in streams)
        self._say(EventType.TOCSIN_HEARTBEAT, HeartbeatData(self._every, len(streams), up))
