"""What the detector lacks at the moment: events, a metric, log lines, the status."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from tocsin.deliver.event import DetectorData, EventType
from tocsin.deliver.standing import Standing as Told
from tocsin.errors import Degradation

log = structlog.get_logger(__name__)


PROVEN_AFTER = 30.0
"""Seconds of results after which what failed before a restart is over; as long as it takes without one."""

_BEFORE = "it was so before the restart"

_Key = tuple[Degradation, str | None, str | None]


class Observer(Protocol):
    """Hears what the detector is, and whether anything is wrong with it."""

    def detector_info(self, model: str, device: str, provider: str) -> None: ...

    def detector_degraded(self, degraded: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing that is wrong; `stream`, and `rule`, are set where only that one is concerned."""

    reason: Degradation
    why: str
    stream: str | None
    rule: str | None


class Degradations:
    """Says once that something is wrong with the detector, and once that it is over; from any thread.

    `say` hands an event to the outbox and returns at once.
    """

    def __init__(self, say: Callable[[EventType, DetectorData], None], observe: Observer) -> None:
        self._say = say
        self._observe = observe
        # Guards what stands, and the model and provider that events name. The engine's thread and the main one
        # write; nobody waits for anything while holding it.
        self._changing = threading.Lock()
        self._standing: dict[_Key, Standing] = {}
        # What an earlier life of the daemon told and this one has not seen yet, and since when there are results
        # that speak against it.
        self._carried: dict[_Key, float | None] = {}
        self._model = self._provider = ""
        # The rules of each stream; None: whatever comes.
        self._watched: Mapping[str, Collection[str]] | None = None

    def resume(self, told: Iterable[Told], watched: Mapping[str, Collection[str]]) -> None:
        """Take over what an earlier life of the daemon told; before anything else is.

        `watched` gives each stream's rules. What was wrong with a stream or rule that is gone is over, and so is
        the loss of an accelerator: this life looks for one anew, and says what it finds.
        """
        for one in told:
            reason = Degradation(one.data["reason"])
            stream, rule = one.data["stream"], one.data["rule"]
            self._standing[reason, stream, rule] = Standing(reason, _BEFORE, stream, rule)
            self._carried[reason, stream, rule] = None
            self._model, self._provider = one.data["model"], one.data["provider"]
            log.info("it was degraded before the restart", reason=reason.value, stream=stream, rule=rule)
            if reason is Degradation.LOST:
                self.restored(reason, stream, rule)
        self.adopt(watched)
        self._observe.detector_degraded(bool(self._standing))

    def adopt(self, watched: Mapping[str, Collection[str]]) -> None:
        """Go on with other streams and their rules: what was wrong with one that is gone is over.

        Nothing is wrong with it any more either, whatever becomes of the frames that were on their way.
        """
        with self._changing:
            self._watched = watched
        for one in self.standing():
            if self._is_gone(one.stream, one.rule):
                self.restored(one.reason, one.stream, one.rule)

    def results(self, now: float, analysed: Mapping[str, int]) -> None:
        """Take in how many results each stream has had by now: what was carried here and not seen again is over.

        Only of what fails: who looks at the reference picture or measures the rate of frames sees by itself when
        that is over.
        """
        for key, since in list(self._carried.items()):
            reason, stream, _ = key
            count = sum(analysed.values()) if stream is None else analysed.get(stream, 0)
            if reason not in (Degradation.FAILING, Degradation.OUTPUT) or not count:
                continue
            if since is None:
                self._carried[key] = now
            elif now - since >= PROVEN_AFTER:
                self.restored(*key)

    def standing(self) -> tuple[Standing, ...]:
        """Return what is wrong, the longest first."""
        with self._changing:
            return tuple(self._standing.values())

    def without_results(self, streams: Iterable[str]) -> set[str]:
        """Return those of the streams whose frames give no result: the detector fails, or answers by garbage."""
        with self._changing:
            if any(reason is Degradation.FAILING for reason, _, _ in self._standing):
                return set(streams)
            return {one for one in streams if (Degradation.OUTPUT, one, None) in self._standing}

    def at_work(self, model: str, device: str, provider: str) -> None:
        """Take in which detector is at work from now on."""
        with self._changing:
            self._model, self._provider = model, provider
        self._observe.detector_info(model, device, provider)

    def degraded(
        self, reason: Degradation, why: str, stream: str | None = None, rule: str | None = None
    ) -> None:
        """Take in that something is wrong; nothing happens where that is known."""
        key = reason, stream, rule
        with self._changing:
            if self._is_gone(stream, rule):
                return
            if key in self._standing:
                if key in self._carried:  # who sees it now will also see its end
                    del self._carried[key]
                    self._standing[key] = Standing(reason, why, stream, rule)
                return
            self._standing[key] = Standing(reason, why, stream, rule)
            self._tell(EventType.DETECTOR_DEGRADED, *key)
        log.warning("the detector is degraded", reason=reason.value, stream=stream, rule=rule, why=why)

    def restored(self, reason: Degradation, stream: str | None = None, rule: str | None = None) -> None:
        """Take in that it is over; nothing happens where it never was."""
        key = reason, stream, rule
        with self._changing:
            self._carried.pop(key, None)
            if self._standing.pop(key, None) is None:
                return
            self._tell(EventType.DETECTOR_RESTORED, *key)
        log.warning("the detector is restored", reason=reason.value, stream=stream, rule=rule)

    def _is_gone(self, stream: str | None, rule: str | None) -> bool:
        watched = self._watched
        if stream is None or watched is None:
            return False
        return stream not in watched or rule not in {None, *watched[stream]}

    def _tell(self, kind: EventType, reason: Degradation, stream: str | None, rule: str | None) -> None:
        self._observe.detector_degraded(bool(self._standing))
        self._say(kind, DetectorData(reason, self._model, self._provider, stream, rule))
