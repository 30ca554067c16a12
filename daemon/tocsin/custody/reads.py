"""Who looked at what was kept of an alarm, by its link: put on record once, however often it is asked for."""

import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry
from tocsin.deliver.history import Which
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.endpoint.gallery import Read
from tocsin.evidence.shelf import Kind

AGAIN = 60.0
"""Seconds without a look after which the next one counts as another."""

PERIOD = 3600.0
ENTRIES = 20
"""Looks at one piece that go on record in a period, one by one: a loop of requests must not push out verdicts."""

FURTHER = "further clients"
"""Who looks when that many have."""

_KNOWN = 6_000
"""Pieces that are told apart; the one that was looked at longest ago is forgotten."""

_BEFORE, _AFTER = timedelta(seconds=150), timedelta(seconds=5)
"""When the alarm was raised, seen from when a piece was written: a clip is for a minute after it, and then made."""


@dataclass(slots=True)
class _Looks:
    """At one piece, since the first: how many are on record, and when each of those clients looked last."""

    since: float
    entries: int = 0
    clients: dict[str, float] = field(default_factory=dict)


class Lately:
    """Remembers who looked at what. Pure."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[str, _Looks] = OrderedDict()

    def admit(self, client: str, piece: str, now: float) -> str | None:
        """Return whose look goes on record, None where it belongs to one that is; `now` is monotonic."""
        looks = self._pieces.pop(piece, None)
        if looks is None or now - looks.since >= PERIOD:
            looks = _Looks(now)
        self._pieces[piece] = looks
        if len(self._pieces) > _KNOWN:
            self._pieces.popitem(last=False)
        last = looks.clients.get(client)
        if last is not None:
            looks.clients[client] = now
        if (last is not None and now - last < AGAIN) or looks.entries > ENTRIES:
            return None
        looks.entries += 1
        if looks.entries > ENTRIES:
            return FURTHER
        looks.clients[client] = now
        return client


class Pieces(Protocol):
    """Names the pieces of alarms, and knows of the latest whose they are."""

    def piece(self, alarm_id: str, kind: Kind) -> str: ...
    def alarm_of(self, piece: str) -> str | None: ...


class Reads:
    """Hears of looks from the endpoint's thread, and puts them on record."""

    def __init__(self, outbox: Outbox, pieces: Pieces) -> None:
        self._outbox = outbox
        self._pieces = pieces
        self._lately = Lately()

    def seen(self, read: Read) -> None:
        """Hear that a client was shown a piece; waits for nothing."""
        who = self._lately.admit(read.user or read.client, read.piece, time.monotonic())
        if who is None:
            return
        at = datetime.now(UTC)
        alarm = self._pieces.alarm_of(read.piece)
        if alarm is not None:
            self._record(read, who, at, alarm)
            return
        # To look through the history would hold up a raise: only for what is older than the latest alarms.
        made = datetime.fromtimestamp(read.made, UTC)
        found = self._outbox.alarms(Which(since=made - _BEFORE, until=made + _AFTER))
        found.add_done_callback(partial(self._choose, read, who, at))

    def _choose(self, read: Read, who: str, at: datetime, found: "Future[tuple[AlarmRecord, ...]]") -> None:
        """Find the alarm that a piece is of, which its link does not tell; called from the outbox's thread."""
        ids = () if found.exception() else (one.alarm.alarm_id for one in found.result())
        alarm = next((one for one in ids if self._pieces.piece(one, read.kind) == read.piece), read.piece)
        self._record(read, who, at, alarm)

    def _record(self, read: Read, who: str, at: datetime, alarm: str) -> None:
        via = Via.LINK if read.user is None else Via.LOGIN
        details = {"kinds": read.kind.value, "client": "" if who == FURTHER else read.client}
        self._outbox.commit(Change(audited=(Entry(at, Act.EVIDENCE_READ, who, via, alarm, details),)))
