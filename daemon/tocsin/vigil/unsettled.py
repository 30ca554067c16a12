"""What was told and is not over: it is told no second time, and its end is told once, whatever lies between."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tocsin.deliver.event import Data, Event, EventType, PauseData
from tocsin.deliver.notation import new_id
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.standing import Standing
from tocsin.deliver.store import Change
from tocsin.vigil.carried import Carried
from tocsin.vigil.degradations import Degradations, Observer


class Unsettled:
    """Goes on from what an earlier life of the daemon told and did not clear, and clears what a reload removes.

    `degradations` are those of the detector, and `paused` the webhooks that wanted no more when the daemon started.
    For the main thread, but for `say` and `commit`.
    """

    def __init__(
        self,
        outbox: Outbox,
        rules: Mapping[str, Collection[str]],
        webhooks: Collection[str],
        observe: Observer,
    ) -> None:
        """Take over what stands; `rules` are those of each stream."""
        self._outbox = outbox
        self._streams: Collection[str] = tuple(rules)
        self._webhooks = webhooks
        # Set where it could not be read what stands of what a reload removed, also by the outbox's thread; taken by
        # `turn`, which asks again.
        self._unclear = False
        told = outbox.standing().result()
        self._carried = Carried(told, rules, outbox.commit)
        self.paused = self._clear_pauses(told, webhooks)
        self.degradations = Degradations(self.say, observe)
        degraded = [one for one in told if one.type is EventType.DETECTOR_DEGRADED]
        self.degradations.resume(degraded, rules)

    def say(self, kind: EventType, data: Data) -> None:
        """Tell something now; from any thread."""
        now = datetime.now(UTC)
        self.commit(Change(events=(Event(new_id(now), kind, now, data),)))

    def commit(self, change: Change) -> object:
        """Pass a change on, but for events that would tell again what stands; from any thread."""
        return self._carried.commit(change)

    def adopt(
        self,
        told: "Future[Any]",
        rules: Mapping[str, Collection[str]],
        webhooks: Collection[str],
        anew: Mapping[str, int],
    ) -> None:
        """Clear what the configuration has no more, once `told` knows what stands; `anew` as in `Carried`."""
        self._streams, self._webhooks = tuple(rules), webhooks
        told.add_done_callback(partial(self._clear, self._streams, anew, webhooks))

    def turn(self, now: float, analysed: Mapping[str, int]) -> None:
        """Clear what enough pictures have spoken against by the monotonic time `now`."""
        if self._unclear:
            self._unclear = False
            # Nobody knows now what was told of another camera's pictures, and what since: a restart clears that.
            clear = partial(self._clear, self._streams, {}, self._webhooks)
            self._outbox.standing().add_done_callback(clear)
        self._carried.turn(now, analysed)

    def _clear(
        self,
        streams: Collection[str],
        anew: Mapping[str, int],
        webhooks: Collection[str],
        told: "Future[tuple[Standing, ...] | None]",
    ) -> None:
        """Say of all that stood of what is gone that it is over; called from the outbox's thread."""
        standing = None if told.exception() else told.result()
        if standing is None:
            self._unclear = True
            return
        self._carried.adopt(standing, streams, anew)
        self._clear_pauses(standing, webhooks)

    def _clear_pauses(self, told: Iterable[Standing], webhooks: Collection[str]) -> set[str]:
        """Return the webhooks that want no more, and say of those that are gone that this is over."""
        paused = {one.subject for one in told if one.type is EventType.DELIVERY_PAUSED}
        for webhook in sorted(paused.difference(webhooks)):
            self.say(EventType.DELIVERY_RESUMED, PauseData(webhook, "removed"))
        return paused.intersection(webhooks)
