"""What was told of streams before a restart and not cleared: it is told no second time, and cleared once."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from tocsin.deliver.event import Event, EventType, ImpairmentData, StreamData
from tocsin.deliver.notation import new_id
from tocsin.deliver.standing import Key, Standing, begun, over
from tocsin.deliver.store import Change

log = structlog.get_logger(__name__)

_ENDS = {
    EventType.STREAM_DOWN: EventType.STREAM_UP,
    EventType.STREAM_IMPAIRED: EventType.STREAM_RESTORED,
    EventType.STREAM_FROZEN: EventType.STREAM_RESTORED,
    EventType.STREAM_COVERED: EventType.STREAM_RESTORED,
}

UP_AFTER = 3.0
"""Seconds of pictures that prove that a stream is up."""

SEEN_AFTER = 60.0
"""Seconds of pictures after which whoever judges them would have told again what is still wrong with them."""


@dataclass(slots=True)
class _Known:
    """Something that stands; `seen` when this life has seen it, too, and `since` when pictures speak against it.

    The first `before` frames of its stream were of another camera, and say nothing.
    """

    told: Standing
    before: int = 0
    seen: bool = False
    since: float | None = None


class Carried:
    """Stands between those who judge the streams and the outbox; from any thread.

    Each of them starts in a daemon's life without a past. What it then tells for the first time may have been told
    before, and what it never sees again may be waiting for its end.
    """

    def __init__(
        self, told: Iterable[Standing], streams: Collection[str], commit: Callable[[Change], object]
    ) -> None:
        """Take over what stands; `streams` are the configured ones. `commit` hands a change to the outbox."""
        self._commit = commit
        # Guards what is known. The engine's thread and the main one write; nobody waits while holding it.
        self._changing = threading.Lock()
        self._known: dict[Key, _Known] = {}
        for one in told:
            if one.type not in _ENDS:
                continue
            about = {"stream": one.data["stream"], "reason": one.data["reason"]}
            log.info("it was told before the restart", type=one.type.value, **about)
            if one.data["stream"] in streams:
                self._known[one.type, one.subject] = _Known(one)
            else:
                self._end(one)

    def adopt(self, told: Iterable[Standing], streams: Collection[str], anew: Mapping[str, int]) -> None:
        """Go on with other streams: what stands of those that are gone is over.

        `told` is all that stands. What was told of the pictures of streams that are looked at `anew`, after so many
        frames, waits for its end here, as after a restart: whoever told it has forgotten them.
        """
        gone: list[Standing] = []
        with self._changing:
            self._known = {key: one for key, one in self._known.items() if one.told.data["stream"] in streams}
            for one in told:
                if one.type not in _ENDS:
                    continue
                if one.data["stream"] not in streams:
                    gone.append(one)
                elif one.data["stream"] in anew and one.type is not EventType.STREAM_DOWN:
                    self._known[one.type, one.subject] = _Known(one, anew[one.data["stream"]])
        for one in gone:
            self._end(one, "it is over, for the stream is gone")

    def commit(self, change: Change) -> object:
        """Pass a change on, but for events that would tell again what stands."""
        with self._changing:
            events = tuple(passed for event in change.events if (passed := self._passed(event)) is not None)
        return self._commit(replace(change, events=events))

    def turn(self, now: float, analysed: Mapping[str, int]) -> None:
        """Clear what enough pictures have spoken against by the monotonic time `now`.

        `analysed` counts the frames of each stream since it came.
        """
        ended: list[Standing] = []
        with self._changing:
            for key, known in list(self._known.items()):
                if known.seen or analysed.get(known.told.data["stream"], 0) <= known.before:
                    continue
                if known.since is None:
                    known.since = now
                elif now - known.since >= (UP_AFTER if key[0] is EventType.STREAM_DOWN else SEEN_AFTER):
                    del self._known[key]
                    ended.append(known.told)
        for one in ended:
            self._end(one)

    def _passed(self, event: Event) -> Event | None:
        """Return an event as it has to be told, or None; called with the lock held."""
        one = begun(event)
        known = None if one is None else self._known.get((one.type, one.subject))
        if known is not None:
            known.seen = True
            return None
        for key in over(event):
            if (known := self._known.pop(key, None)) is not None:
                return _lasting(event, known.told)
        return event

    def _end(self, one: Standing, sentence: str = "it is over since the restart") -> None:
        now = datetime.now(UTC)
        kind, fields = _ENDS[one.type], one.data
        log.warning(sentence, type=one.type.value, stream=fields["stream"])
        # What is up needs no reason, what is restored names the one that it had.
        reason = None if kind is EventType.STREAM_UP else fields["reason"]
        data = StreamData(fields["stream"], reason, (now - one.since).total_seconds())
        self._commit(Change(events=(Event(new_id(now), kind, now, data),)))


def _lasting(event: Event, told: Standing) -> Event:
    """Return the event with the time since what it ends was told first."""
    data: Any = event.data
    assert isinstance(data, StreamData | ImpairmentData), "these tell of streams"
    return replace(event, data=replace(data, lasted=(event.at - told.since).total_seconds()))
