"""What stands in for a disk that takes nothing: memory, from which the disk is brought up to date later."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from tocsin.deliver import history
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry, Extent, Period
from tocsin.deliver.history import Which
from tocsin.deliver.letters import Choice, Letter
from tocsin.deliver.overflow import Dropped, Limits
from tocsin.deliver.override import Override
from tocsin.deliver.queues import QueueCount
from tocsin.deliver.recall import Recall
from tocsin.deliver.schedule import Outcome, State
from tocsin.deliver.standing import Standing, begun, over
from tocsin.deliver.store import Account, Arrears, Change, Delivery, Store, memory_store
from tocsin.errors import OutboxError

MEMORY = Limits(rows=1_000, settled=1_000)
"""What is kept in memory of each queue at most, by the same rules as on the disk."""


_ALL = Which(limit=1 << 30)


class Ledger(Protocol):
    """What writes and reads are done with: the store on the disk, or what stands in for it."""

    def apply(self, change: Change, wall: float, exclude: str | None = None) -> Dropped: ...

    def settle(self, number: int, state: str, attempts: int, outcome: str, wall: float) -> None: ...

    def postpone(
        self, number: int, attempts: int, outcome: str, next_attempt: float, wait: float
    ) -> None: ...

    def open_alarms(self) -> tuple[AlarmRecord, ...]: ...

    def standing(self) -> tuple[Standing, ...]: ...

    def recalls(self) -> tuple[Recall, ...]: ...

    def alarms(self, which: Which) -> tuple[AlarmRecord, ...]: ...

    def overrides(self) -> tuple[Override, ...]: ...

    def audit(self, period: Period) -> tuple[Entry, ...]: ...

    def extent(self) -> Extent: ...

    def queued(self, webhook: str, after: int, limit: int) -> tuple[Delivery, ...]: ...

    def body(self, event_id: str) -> bytes | None: ...

    def counts(self, wall: float) -> tuple[QueueCount, ...]: ...

    def letters(self, state: State, choice: Choice, limit: int) -> tuple[Letter, ...]: ...

    def letters_of(self, alarm_id: str, limit: int) -> tuple[Letter, ...]: ...

    def replay(self, choice: Choice, wall: float, account: Account) -> tuple[int, Dropped, Entry]: ...

    def remove(
        self, state: State, choice: Choice, account: Account
    ) -> tuple[tuple[int, ...], Entry | None]: ...


class Standby:
    """A ledger in memory that goes on where a store on the disk had to stop.

    `disk` is that store while it can be read, or None. Deliveries are numbered on from the store's last, so that
    whoever reads by numbers misses none. What cannot be read raises OutboxError, or sqlite3.Error as the disk does.
    """

    def __init__(self, disk: Store, webhooks: Mapping[str, Sequence[str]]) -> None:
        marks = disk.marks()
        self.disk: Store | None = disk
        self.floor = marks.number
        self._last = dict(disk.last)
        self._store = memory_store(webhooks, MEMORY, marks)
        with suppress(sqlite3.Error):  # what cannot be read is not known
            self._store.keep_collapsed(disk.rows("collapsed"))
        self._arrears = Arrears(self._store, {}, {}, set())

    def close(self) -> None:
        self._store.close()

    def apply(self, change: Change, wall: float, exclude: str | None = None) -> Dropped:
        dropped = self._store.apply(change, wall, exclude)
        for event in change.events:
            self._arrears.over.update(over(event))
            if (one := begun(event)) is not None:
                self._arrears.over.discard((one.type, one.subject))
        return dropped

    def settle(self, number: int, state: str, attempts: int, outcome: str, wall: float) -> None:
        if number > self.floor:
            self._store.settle(number, state, attempts, outcome, wall)
        else:
            self._arrears.settled[number] = (state, attempts, outcome, wall)

    def postpone(self, number: int, attempts: int, outcome: str, next_attempt: float, wait: float) -> None:
        if number > self.floor:
            self._store.postpone(number, attempts, outcome, next_attempt, wait)
        else:
            self._arrears.postponed[number] = (attempts, outcome, next_attempt, wait)

    def open_alarms(self) -> tuple[AlarmRecord, ...]:
        known = {one.alarm.alarm_id: one for one in self._readable().open_alarms()}
        known |= {one.alarm.alarm_id: one for one in self._store.alarms(_ALL)}
        return tuple(one for one in known.values() if one.ended is None)

    def alarms(self, which: Which) -> tuple[AlarmRecord, ...]:
        here = self._store.alarms(which)
        if which.ids and len(here) == len(
            set(which.ids)
        ):  # all that there is of them, whatever the disk says
            return here
        newer = tuple(alarm_id for alarm_id, *_ in self._store.rows("alarms"))
        there = self._readable().alarms(replace(which, but=newer))
        return tuple(sorted(there + here, key=history.place, reverse=True)[: which.limit])

    def overrides(self) -> tuple[Override, ...]:
        known = {one.id: one for one in self._readable().overrides()}
        known |= {one.id: one for one in self._store.overrides()}
        return tuple(known.values())

    def audit(self, period: Period) -> tuple[Entry, ...]:
        return (self._store.audit(period) + self._readable().audit(period))[: period.limit]

    def extent(self) -> Extent:
        return self._readable().extent()  # what is in memory has its number only there

    def standing(self) -> tuple[Standing, ...]:
        known = {(one.type, one.subject): one for one in self._readable().standing()}
        known |= {(one.type, one.subject): one for one in self._store.standing()}
        return tuple(one for key, one in known.items() if key not in self._arrears.over)

    def recalls(self) -> tuple[Recall, ...]:
        known = {(one.stream, one.rule): one for one in self._readable().recalls()}
        known |= {(one.stream, one.rule): one for one in self._store.recalls()}
        return tuple(known.values())

    def queued(self, webhook: str, after: int, limit: int) -> tuple[Delivery, ...]:
        found: tuple[Delivery, ...] = ()
        if after < self._last.get(webhook, 0):
            arrears = self._arrears
            there = self._readable().queued(webhook, after, limit + len(arrears.settled))
            old = (each for each in there if each.number <= self.floor and each.number not in arrears.settled)
            found = tuple(_postponed(each, arrears.postponed.get(each.number)) for each in old)[:limit]
        return found + self._store.queued(webhook, max(after, self.floor), limit - len(found))

    def body(self, event_id: str) -> bytes | None:
        body = self._store.body(event_id)
        return self._readable().body(event_id) if body is None else body

    def letters(self, state: State, choice: Choice, limit: int) -> tuple[Letter, ...]:
        found = self._readable().letters(state, choice, limit) + self._store.letters(state, choice, limit)
        return found[:limit]

    def letters_of(self, alarm_id: str, limit: int) -> tuple[Letter, ...]:
        found = self._readable().letters_of(alarm_id, limit) + self._store.letters_of(alarm_id, limit)
        return found[:limit]

    def replay(self, choice: Choice, wall: float, _: Account) -> tuple[int, Dropped, Entry]:
        raise OutboxError(
            f"expected a disk on which {choice} could be changed at {wall:.0f}, found one that refuses"
        )

    def remove(self, state: State, choice: Choice, _: Account) -> tuple[tuple[int, ...], Entry | None]:
        raise OutboxError(
            f"expected a disk on which {choice} ({state}) could be removed, found one that refuses"
        )

    def counts(self, wall: float) -> tuple[QueueCount, ...]:
        """Return the queues as `Store.counts` does; what the disk has not heard of may count there as waiting."""
        here = self._store.counts(wall)
        if self.disk is None:
            return here
        found = {count.webhook: count for count in self.disk.counts(wall)}
        for count in here:
            known = found.get(count.webhook)
            found[count.webhook] = count if known is None else _together(known, count)
        return tuple(found.values())

    def sweep(self, wall: float) -> None:
        """Forget what was settled long ago or is too much."""
        self._store.sweep(wall)

    def bring_up(self, disk: Store) -> Dropped:
        """Put on the disk all that it has missed, in one transaction, and return as `make_up` does."""
        return disk.make_up(self._arrears)

    def _readable(self) -> Store:
        if self.disk is None:
            raise OutboxError("outbox: expected a disk that can be read, found none")
        return self.disk


def _together(disk: QueueCount, here: QueueCount) -> QueueCount:
    return QueueCount(
        disk.webhook,
        disk.queued + here.queued,
        disk.dead + here.dead,
        max(disk.oldest_age, here.oldest_age),
        disk.size + here.size,
        disk.configured,
    )


def _postponed(delivery: Delivery, failure: tuple[int, str, float, float] | None) -> Delivery:
    """Return a delivery as it is after a failure that the disk has not heard of, if there was one."""
    if failure is None:
        return delivery
    attempts, outcome, next_attempt, wait = failure
    return replace(
        delivery, attempts=attempts, outcome=Outcome(outcome), next_attempt=next_attempt, wait=wait
    )
