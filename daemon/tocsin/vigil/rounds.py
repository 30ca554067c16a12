"""Looks after the streams, the rules and the clock while the daemon runs, and says what it finds."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import structlog

from tocsin.alarm.watch import Rule
from tocsin.capture.status import StreamStatus
from tocsin.clock import Jumps, synchronized
from tocsin.deliver.event import EventType
from tocsin.errors import Degradation
from tocsin.vigil.heartbeat import Heartbeat
from tocsin.vigil.streams import Deafness, RateVigil, StreamVigil, bringing
from tocsin.vigil.unsettled import Unsettled

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Hears what is found."""

    def rule_deaf(self, stream: str, rule: str, deaf: bool) -> None: ...
    def clock_jumped(self) -> None: ...
    def clock_synchronized(self, synchronized: bool) -> None: ...


class Rounds:
    """Made twice a second; for the main thread. `beat_every` is the pace of the heartbeat, as in `Heartbeat`."""

    def __init__(
        self,
        rules: Mapping[str, Sequence[Rule]],
        beat_every: float,
        unsettled: Unsettled,
        observe: Observer,
    ) -> None:
        self._unsettled = unsettled
        self._observe = observe
        self._streams = StreamVigil()
        self._rates = RateVigil(rules)
        self._heartbeat = Heartbeat(beat_every, unsettled.say)
        self._jumps = Jumps()
        self._clock_is_right: bool | None = None

    def adopt(self, rules: Mapping[str, Sequence[Rule]], beat_every: float, removed: Collection[str]) -> None:
        """Go on with other streams and rules, without those streams that were removed."""
        self._streams.forget(removed)
        self._rates.adopt(rules)
        self._heartbeat.adopt(beat_every)

    def turn(
        self, now: float, statuses: Sequence[StreamStatus], analysed: Mapping[str, int], *, stuck: bool
    ) -> None:
        """Look at everything; `analysed` counts the frames of each stream since it came, `now` is monotonic."""
        self._look_at_clock(now)
        for kind, data in self._streams.turn(now, statuses):
            sentence = "the stream stays down" if kind is EventType.STREAM_DOWN else "the stream is back"
            log.warning(sentence, stream=data.stream, reason=data.reason, lasted=round(data.lasted or 0.0))
            self._unsettled.say(kind, data)
        self._unsettled.turn(now, analysed)
        degradations = self._unsettled.degradations
        brought = bringing(now, statuses)
        brought -= degradations.without_results(brought)  # what fails is said already, and not too slow
        for judged in self._rates.turn(now, analysed, brought):
            self._observe.rule_deaf(judged.stream, judged.rule, judged.deaf)
            self._tell_deaf(judged)  # every time: it may have been deaf before a restart
        degradations.results(now, analysed)
        self._heartbeat.turn(now, statuses, stuck=stuck)

    def _look_at_clock(self, now: float) -> None:
        """Say when the wall clock was set, and whether anything keeps it right."""
        jumped = self._jumps.turn(now, time.time())
        if jumped is not None:
            log.warning("the clock jumped", seconds=round(jumped, 1))
            self._observe.clock_jumped()
        is_right = synchronized() is True
        self._observe.clock_synchronized(is_right)
        if is_right != self._clock_is_right:
            self._clock_is_right = is_right
            if is_right:
                log.info("the clock is synchronized")
            else:
                log.warning("the clock is not synchronized, receivers may refuse what is signed by it")

    def _tell_deaf(self, judged: Deafness) -> None:
        degradations, place = self._unsettled.degradations, (judged.stream, judged.rule)
        if judged.deaf:
            why = "too few frames are analysed for the rule's hits to fit into its time"
            degradations.degraded(Degradation.TOO_SLOW, why, *place)
        else:
            degradations.restored(Degradation.TOO_SLOW, *place)
