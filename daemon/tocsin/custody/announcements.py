"""Tells that the pictures of an alarm are there, or why there are none: never before the alarm itself is told."""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from tocsin.custody.archive import Archive, Failure, Raised
from tocsin.deliver.alarmdata import AlarmData, EvidenceData
from tocsin.deliver.attach import Picture, Read
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.history import Which
from tocsin.deliver.notation import new_id, stamp
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.errors import OutboxError
from tocsin.evidence.shelf import Kind

_LATEST = 50
"""Alarms before a start that are looked at: with each something of the last seconds may be unfinished."""

_LETTERS = 1_000
"""Deliveries of one alarm that are looked at."""

_KILLED = "expected the daemon to live until it was made, found it started anew"

_MOST = 1_000
"""Alarms that are waited for; the archive makes the evidence of fewer at a time, and one may never be told."""


@dataclass(slots=True)
class _Case:
    """What is known of the evidence of one alarm; `untold` came before the alarm itself was told."""

    alarm: AlarmData | None = None
    untold: list[tuple[tuple[Kind, ...], str | None]] = field(default_factory=list)
    made: set[Kind] = field(default_factory=set)
    settled: set[Kind] = field(default_factory=set)

    def tell(self) -> list[tuple[EventType, EvidenceData]]:
        """Return what is to be told by now."""
        if self.alarm is None:
            return []
        news, self.untold = self.untold, []
        return [told for kinds, why in news for told in self._settle(self.alarm, kinds, why)]

    def _settle(
        self, alarm: AlarmData, kinds: tuple[Kind, ...], why: str | None
    ) -> Iterator[tuple[EventType, EvidenceData]]:
        """The pictures are told together, once each is there or known to fail; the clip takes longer."""
        pictures = _expected(alarm) - {Kind.CLIP}
        was_open = bool(pictures - self.settled)
        self.settled.update(kinds)
        if why is not None:
            yield EventType.EVIDENCE_FAILED, EvidenceData(alarm, kinds, why)
        elif kinds == (Kind.CLIP,):
            yield EventType.EVIDENCE_FILMED, EvidenceData(alarm, kinds)
        else:
            self.made.update(kinds)
        if was_open and self.made and not pictures - self.settled:
            made = tuple(kind for kind in Kind if kind in self.made)
            yield EventType.EVIDENCE_MADE, EvidenceData(alarm, made)

    @property
    def is_over(self) -> bool:
        return self.alarm is not None and self.settled >= _expected(self.alarm)


def _expected(alarm: AlarmData) -> set[Kind]:
    """Return the kinds that the links of an alarm lead to; the first of them is its `url`."""
    links: Mapping[str, str] = alarm.picture or {}
    named = {kind for kind in Kind if kind in links}
    return named | ({Kind.FRAME} if named - {Kind.CLIP} else {Kind.CLIP})


class Announcements:
    """Stands between whoever raises alarms and the outbox, and hears from the archive what came of their evidence.

    All methods may be called from any thread. Nothing is committed that no webhook wants, and nothing of an alarm
    that is silenced.
    """

    def __init__(self, commit: Callable[[Change], object], webhooks: Mapping[str, Sequence[str]]) -> None:
        """`commit` hands a change to the outbox and returns at once; `webhooks` have the patterns of events."""
        self._commit = commit
        self._patterns: frozenset[str] = frozenset()  # replaced whole
        self.adopt(webhooks)
        # Guards the cases. The engine's thread and the archive's hold it for moments, and for no commit.
        self._turn = threading.Lock()
        self._cases: dict[str, _Case] = {}

    def adopt(self, webhooks: Mapping[str, Sequence[str]]) -> None:
        """Tell these webhooks from now on."""
        self._patterns = frozenset(pattern for patterns in webhooks.values() for pattern in patterns)

    def commit(self, change: Change) -> object:
        """Pass a change on, and learn from it which alarms are told."""
        answer = self._commit(change)
        for event in change.events:
            if (
                event.type is EventType.ALARM_RAISED
                and isinstance(event.data, AlarmData)
                and event.data.picture
            ):
                self._hear(event.data.alarm_id, alarm=event.data)
        return answer

    def kept(self, raised: Raised, kinds: tuple[Kind, ...]) -> None:
        """Hear what is there."""
        self._hear(raised.alarm_id, news=(kinds, None))

    def failed(self, failure: Failure) -> None:
        """Hear what there will never be."""
        self._hear(failure.raised.alarm_id, news=(failure.kinds, failure.why))

    def resumed(self, alarm: AlarmData, kinds: Collection[Kind], there: Collection[Kind]) -> None:
        """Hear which of the pieces are there of which an earlier life of the daemon told nothing."""
        pictures = tuple(kind for kind in Kind if kind in there and kind is not Kind.CLIP)
        if pictures:
            self._say(EventType.EVIDENCE_MADE, EvidenceData(alarm, pictures))
        if Kind.CLIP in there:
            self._say(EventType.EVIDENCE_FILMED, EvidenceData(alarm, (Kind.CLIP,)))
        if missing := tuple(kind for kind in Kind if kind in kinds and kind not in there):
            self._say(EventType.EVIDENCE_FAILED, EvidenceData(alarm, missing, _KILLED))

    def _hear(
        self,
        alarm_id: str,
        alarm: AlarmData | None = None,
        news: tuple[tuple[Kind, ...], str | None] | None = None,
    ) -> None:
        with self._turn:
            case = self._cases.setdefault(alarm_id, _Case())
            case.alarm = alarm or case.alarm
            case.untold += [news] if news else []
            told = case.tell()
            if case.is_over:
                del self._cases[alarm_id]
            if len(self._cases) > _MOST:
                del self._cases[next(iter(self._cases))]
        for kind, data in told:
            self._say(kind, data)

    def _say(self, kind: EventType, data: EvidenceData) -> None:
        now = datetime.now(UTC)
        event = Event(new_id(now), kind, now, data)
        if not data.silenced and any(event.wanted(pattern) for pattern in self._patterns):
            self._commit(Change(events=(event,)))


def finish(announcements: Announcements, archive: Archive, outbox: Outbox) -> None:
    """Have told what came of the evidence of the latest alarms that an earlier life of the daemon did not finish.

    That life was killed, or lost its power. What cannot be read of it now is not told.
    """
    now = stamp(datetime.now(UTC))
    with suppress(OutboxError):
        for record in outbox.alarms(Which(silenced=False, limit=_LATEST)).result():
            alarm = record.alarm
            if not alarm.picture or alarm.picture.get("expires", "") <= now:
                continue
            if all(archive.has(alarm.alarm_id, kind) for kind in _expected(alarm)):
                continue
            told = {letter.type for letter in outbox.letters_of(alarm.alarm_id, _LETTERS).result()}
            if kinds := _untold(alarm, told):
                archive.resume(alarm.alarm_id, kinds, partial(announcements.resumed, alarm, kinds))


def _untold(alarm: AlarmData, told: Collection[str]) -> set[Kind]:
    """Return the pieces of an alarm of which these types of event told nothing."""
    if EventType.EVIDENCE_FAILED in told:  # nobody knows now of which
        return set()
    pictures = set() if EventType.EVIDENCE_MADE in told else _expected(alarm) - {Kind.CLIP}
    return pictures | (set() if EventType.EVIDENCE_FILMED in told else _expected(alarm) & {Kind.CLIP})


def reading(archive: Callable[[], Archive | None]) -> Read:
    """Return what reads the evidence of an alarm, for a sending, from the archive that there is by then."""

    def read(alarm_id: str, kind: str, most: int) -> Picture | None:
        kept = archive()
        found = None if kept is None else kept.find(kept.piece(alarm_id, Kind(kind)))
        if found is None:
            return None
        descriptor, there = found
        try:
            with os.fdopen(descriptor, "rb") as file:
                content = file.read(most + 1)
        except OSError:  # a disk that fails: it is as good as gone
            return None
        if not content or len(content) > most:
            return None
        return Picture(there, f"{there}{there.suffix}", there.media_type, content)

    return read
