"""What the daemon notices about itself: streams that stay down, and rules that too few frames reach.

Pure but for what it is told: `turn` is called by the main loop with everything it judges.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tocsin.alarm.confirm import deaf, interrupted
from tocsin.alarm.watch import Rule
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.deliver.event import EventType, StreamData

DOWN_AFTER = 10.0
"""Seconds before a stream that brings nothing is reported: a short outage mends itself."""

UP_AFTER = 3.0
"""Seconds of pictures before its return is reported: a camera that drops out again at once is not back."""

RELAPSE = 60.0
"""Seconds: a return that lasted less was none, and the next takes twice as long to be believed ..."""

UP_AFTER_AT_MOST = 60.0
"""... up to this: two events in about as many minutes from a camera that comes and goes all night."""

RATE_WINDOW = 10.0
"""Seconds over which the rate of analysed frames is taken."""

Notice = tuple[EventType, StreamData]


@dataclass(frozen=True, slots=True)
class Deafness:
    """Whether a rule is deaf at the rate at which a stream's frames are analysed."""

    stream: str
    rule: str
    deaf: bool


class StreamVigil:
    """Says once that a stream is down, and once that it is up again."""

    def __init__(self) -> None:
        self._down: dict[str, tuple[float, str]] = {}  # since when, and the reason that was reported
        self._back: dict[str, float] = {}  # when its return was reported
        self._up_after: dict[str, float] = {}

    def forget(self, streams: Collection[str]) -> None:
        """Forget streams that are gone."""
        for known in (self._down, self._back, self._up_after):
            for stream in streams:
                known.pop(stream, None)

    def turn(self, now: float, statuses: Sequence[StreamStatus]) -> list[Notice]:
        """Return what is to be said, given how every stream is at the monotonic time `now`."""
        return [notice for status in statuses if (notice := self._judge(now, status)) is not None]

    def _judge(self, now: float, status: StreamStatus) -> Notice | None:
        stream = status.stream
        if status.state in (StreamState.LIVE, StreamState.ENDED):
            if stream not in self._down or now - status.since < self._up_after[stream]:
                return None
            self._back[stream] = now
            since, reason = self._down.pop(stream)
            return EventType.STREAM_UP, StreamData(stream, reason, now - since)
        if stream in self._down or now - status.since < DOWN_AFTER:
            return None
        reason = status.fault.value if status.fault else status.state.value
        self._down[stream] = status.since, reason
        self._up_after[stream] = self._patience_after(stream, status.since)
        return EventType.STREAM_DOWN, StreamData(stream, reason, now - status.since)

    def _patience_after(self, stream: str, broken_at: float) -> float:
        """Return for how long pictures must come before the end of an outage that began then is reported."""
        back = self._back.get(stream)
        if back is None or broken_at - back >= RELAPSE:
            return UP_AFTER
        return min(2 * self._up_after[stream], UP_AFTER_AT_MOST)


def bringing(now: float, statuses: Sequence[StreamStatus]) -> set[str]:
    """Return the streams that are up and not silent for longer than their patience.

    A worker that hangs, and a stream that stalls, count as live for seconds before that is noticed.
    """
    return {
        status.stream
        for status in statuses
        if status.state is StreamState.LIVE and not interrupted(_silence(now, status), status.period)
    }


def _silence(now: float, status: StreamStatus) -> float:
    return now - max(status.since, status.last_frame_at or status.since)


class RateVigil:
    """Measures how many frames of each stream are analysed a second, and which rules are deaf at that rate."""

    def __init__(self, rules: Mapping[str, Sequence[Rule]]) -> None:
        self._rules = rules
        self._since: dict[str, tuple[float, int]] = {}

    def adopt(self, rules: Mapping[str, Sequence[Rule]]) -> None:
        """Go on with other streams and rules."""
        self._rules = rules
        self._since = {stream: window for stream, window in self._since.items() if stream in rules}

    def turn(self, now: float, analysed: Mapping[str, int], brought: Collection[str]) -> list[Deafness]:
        """Return the judgement on every rule of each stream whose window is full.

        `analysed` counts frames since the stream came; `brought` are the streams that bring any, as `bringing`
        says. The window of another begins anew: what nobody could analyse proves nothing about the detector.
        """
        judged: list[Deafness] = []
        for stream, rules in self._rules.items():
            if stream not in brought:
                self._since.pop(stream, None)
                continue
            began, count = self._since.setdefault(stream, (now, analysed[stream]))
            if now - began < RATE_WINDOW:
                continue
            rate = (analysed[stream] - count + 1) / (now - began)  # one more: the window cuts one off
            self._since[stream] = now, analysed[stream]
            judged += [Deafness(stream, rule.name, deaf(rule.hits, rule.within, rate)) for rule in rules]
        return judged
