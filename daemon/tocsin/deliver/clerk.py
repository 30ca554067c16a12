"""Keeps the outbox's database: does what it is told, opens it anew when it fails, says how it is."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from tocsin.deliver.database import name_of
from tocsin.deliver.event import Event, EventType, OutboxData, new_id
from tocsin.deliver.jobs import Job, Jobs
from tocsin.deliver.queues import QueueCount
from tocsin.deliver.store import Change, Store, open_store
from tocsin.errors import OutboxError

RETRY = 1.0  # seconds between two attempts to open a database that failed
COUNT_EVERY = 1.0  # seconds between two looks at the queues while they change
COUNT_IDLE = 5.0  # the same while nothing changes
SWEEP_EVERY = 60.0  # seconds between two removals of what is settled and old

log = structlog.get_logger(__name__)

_OWN_FAULT = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
"""What a statement brings on itself: it would fail again on a sound database."""


class DropReason(StrEnum):
    """Why the outbox lost something: the word in metrics and logs."""

    BACKLOG = "backlog"
    OVERFLOW = "overflow"
    DEAD_OVERFLOW = "dead_overflow"
    REFUSED = "refused"


class Observer(Protocol):
    """Who wants to know how the outbox is; called from its thread, `outbox_dropped` from the caller's too."""

    def queued(self, webhook: str, depth: int, oldest_age: float) -> None: ...

    def outbox_dropped(self, reason: DropReason, count: int) -> None: ...

    def outbox_degraded(self, degraded: bool) -> None: ...


class Clerk:
    """The outbox's thread at work; but for `pulse`, `counts` and `listeners` its members belong to that thread."""

    def __init__(
        self, path: Path, webhooks: Mapping[str, Sequence[str]], limit: int, observe: Observer, jobs: Jobs
    ) -> None:
        self._path = path
        self._webhooks = webhooks
        self._limit = limit
        self._observe = observe
        self._jobs = jobs
        self.listeners: list[Callable[[], None]] = []
        self.pulse = time.monotonic()
        self.counts: tuple[QueueCount, ...] = ()
        self._store: Store | None = None
        self._floor = 0
        self._degraded = False
        self._changed = True
        self._retry_at = self._counted_at = self._sweep_at = 0.0

    def open(self) -> Path | None:
        """Open the database; return where a damaged one was moved, if one was. Raises OutboxError."""
        opened = open_store(self._path, self._webhooks, self._limit, self._floor, time.time())
        self._store = opened.store
        log.info("outbox opened", sqlite=sqlite3.sqlite_version)
        for stray in opened.store.strays(time.time()):
            log.warning(
                "deliveries wait for a webhook that is not configured",
                webhook=stray.webhook,
                count=stray.queued,
            )
        if opened.moved is None:
            return None
        log.error("outbox was damaged, a new one replaces it", moved_to=opened.moved.name)
        now = datetime.now(UTC)
        reset = Event(new_id(now), EventType.OUTBOX_RESET, now, OutboxData("damaged", opened.moved.name))
        self._jobs.urgent(Job(partial(self.apply, Change(events=(reset,)), None), Future(), (reset,)))
        return opened.moved

    def work(self) -> None:
        """Do what there is to do until all has to end."""
        while self._come_around():
            pass

    def close(self) -> None:
        """Close the database."""
        if self._store is not None:
            self._store.close()

    def apply(self, change: Change, exclude: str | None, store: Store) -> None:
        """Put a change into the store, and say what had to be dropped for it."""
        dropped = store.apply(change, time.time(), exclude)
        if dropped:
            log.error("outbox is full, deliveries are dropped", dropped=dropped)
            self._observe.outbox_dropped(DropReason.OVERFLOW, dropped)

    def _come_around(self) -> bool:
        """Do what there is to do, or wait for it; say whether to come again."""
        now = self.pulse = time.monotonic()
        if self._store is None and now >= self._retry_at:
            self._reopen(now)
        self._maintain(now)
        may_write = self._store is not None and now >= self._retry_at
        turn = self._jobs.take(now, may_write, now + COUNT_EVERY, self._retry_at)
        if turn is None:
            return False
        if turn.write is not None and self._do_write(turn.write, now):
            self._jobs.written()
        for read in turn.reads:
            self._do_read(read, now)
            self._jobs.answered()  # after its answer: what is left at the end is answered then
        return True

    def _do_write(self, job: Job, now: float) -> bool:
        """Run a write and answer whoever waits for it; False when the disk refuses and it has to wait."""
        assert self._store is not None, "a write is taken only while there is a store"
        try:
            result = job.run(self._store)
        except OutboxError as error:
            self._refuse(job, error, type(error.__cause__ or error).__name__)
        except _OWN_FAULT as error:
            self._refuse(job, self._fault("a statement that can be run", error), name_of(error))
        except sqlite3.Error as error:
            self._fail(error, now)
            return False
        else:
            self._recover()
            self._changed = True
            job.future.set_result(result)
            for wake in self.listeners if job.events else ():
                wake()
        return True

    def _refuse(self, job: Job, error: OutboxError, name: str) -> None:
        """Give up a change that would fail again; nobody may be waiting for its future."""
        log.error(
            "outbox cannot take a change",
            error=name,
            types=sorted({event.type.value for event in job.events}),
            streams=sorted({event.stream for event in job.events if event.stream}),
        )
        self._observe.outbox_dropped(DropReason.REFUSED, max(1, len(job.events)))
        job.future.set_exception(error)

    def _do_read(self, job: Job, now: float) -> None:
        if self._store is None:
            job.future.set_exception(
                OutboxError(f"{self._path}: expected a database, found none that can be opened")
            )
            return
        try:
            job.future.set_result(job.run(self._store))
        except sqlite3.Error as error:
            self._fail(error, now)
            job.future.set_exception(self._fault("a database that can be read", error))

    def _maintain(self, now: float) -> None:
        """Report the queues and remove what is old, each at its pace."""
        if self._store is None or now < self._counted_at + (COUNT_EVERY if self._changed else COUNT_IDLE):
            return
        self._changed = False
        self._counted_at = now
        try:
            self.counts = self._store.counts(time.time())
            if now >= self._sweep_at:
                self._sweep_at = now + SWEEP_EVERY
                if lost := self._store.sweep(time.time()):
                    self._observe.outbox_dropped(DropReason.DEAD_OVERFLOW, lost)
                self._recover()
        except sqlite3.Error as error:
            self._fail(error, now)
        for count in self.counts:
            self._observe.queued(count.webhook, count.queued, count.oldest_age)

    def _reopen(self, now: float) -> None:
        try:
            self.open()
        except OutboxError:
            self._retry_at = now + RETRY

    def _fail(self, error: sqlite3.Error, now: float) -> None:
        """Let changes wait, and after anything but a full disk open the database anew.

        After a failed flush nobody knows what is on the disk, and a second flush would claim success. On a full
        disk a database that is open can still be read, while one that is closed cannot be opened.
        """
        if not self._degraded:
            self._degraded = True
            log.error("outbox refuses changes, they wait in memory", error=name_of(error))
            self._observe.outbox_degraded(True)
        self._retry_at = now + RETRY
        if self._store is not None and getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
            self._floor = max(self._floor, self._store.highest)
            self._store.close()
            self._store = None
            self._reopen(now)

    def _recover(self) -> None:
        if self._degraded:
            self._degraded = False
            log.info("outbox takes changes again")
            self._observe.outbox_degraded(False)

    def _fault(self, wanted: str, error: sqlite3.Error) -> OutboxError:
        fault = OutboxError(f"{self._path}: expected {wanted}, found {name_of(error)}")
        fault.__cause__ = error
        return fault
