"""What the detector lacks at the moment: events, a metric, log lines, the status."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from tocsin.deliver.event import DetectorData, EventType
from tocsin.errors import Degradation

log = structlog.get_logger(__name__)


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
        self._standing: dict[tuple[Degradation, str | None, str | None], Standing] = {}
        self._model = self._provider = ""

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
            if key in self._standing:
                return
            self._standing[key] = Standing(reason, why, stream, rule)
            self._tell(EventType.DETECTOR_DEGRADED, *key)
        log.warning("the detector is degraded", reason=reason.value, stream=stream, rule=rule, why=why)

    def restored(self, reason: Degradation, stream: str | None = None, rule: str | None = None) -> None:
        """Take in that it is over; nothing happens where it never was."""
        key = reason, stream, rule
        with self._changing:
            if self._standing.pop(key, None) is None:
                return
            self._tell(EventType.DETECTOR_RESTORED, *key)
        log.warning("the detector is restored", reason=reason.value, stream=stream, rule=rule)

    def _tell(self, kind: EventType, reason: Degradation, stream: str | None, rule: str | None) -> None:
        self._observe.detector_degraded(bool(self._standing))
        self._say(kind, DetectorData(reason, self._model, self._provider, stream, rule))
