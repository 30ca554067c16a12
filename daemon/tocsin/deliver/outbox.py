"""The durable store of deliveries: one thread, one connection, each commit on the disk before it counts."""

import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from tocsin.deliver.database import name_of
from tocsin.deliver.event import Event, EventType, OpenAlarm, OutboxData, new_id
from tocsin.deliver.queues import QueueCount
from tocsin.deliver.schedule import Outcome, Settlement
from tocsin.deliver.store import Change, Delivery, Store, open_store
from tocsin.errors import OutboxError, StartError
from tocsin.thread import guarded

T = TypeVar("T")

MAX_QUEUED = 10_000  # deliveries that wait for one webhook at most
MAX_BACKLOG = 1_000  # changes that wait in memory at most, while the disk does not take them
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


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to do with the store, who waits for it, and the events that are lost if it cannot be done."""

    run: Callable[[Store], Any]
    future: "Future[Any]"
    events: tuple[Event, ...] = ()


class Outbox:
    """Keeps events until each webhook has them, and alarms until they end.

    `start`, then anything, then `stop`. Every other method may be called from any thread, never waits for the
    disk, and answers by a future; a future fails with OutboxError. What was committed before `commit`'s future
    completes survives the death of the process and of the machine.

    When the disk refuses, changes wait in memory in their order, and the database is opened anew every second
    until it takes them; beyond 1000 of them, further changes are refused and counted. So is a change that the
    database itself cannot take, which is logged. A webhook's queue beyond `limit` loses repetitions and news of
    streams first, ends of alarms next and raises last.

    `on_failure` is called once, from the outbox's thread, with a sentence, when that thread ends by an
    unexpected error; it must not call `stop`, which waits for the thread.
    """

    def __init__(
        self,
        path: Path,
        webhooks: Mapping[str, Sequence[str]],
        observe: Observer,
        *,
        limit: int = MAX_QUEUED,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare an outbox at `path`; `webhooks` gives each webhook's name and the patterns of its events."""
        self._path = path
        self._webhooks = dict(webhooks)
        self._observe = observe
        self._limit = limit
        self._thread = guarded("outbox", self._work, on_failure)
        # Guards the next four. Held for a few instructions only; the outbox thread alone waits on it, and is
        # woken by each job and by `stop`.
        self._turn = threading.Condition()
        self._writes: deque[_Job] = deque()  # in order; commits are refused when there are MAX_BACKLOG
        self._reads: deque[_Job] = deque()  # bounded by those who wait for the answers
        self._stop_at: float | None = None
        self._ended = True
        self._opened: Future[Path | None] = Future()
        self._lock: int | None = None
        self._listeners: list[Callable[[], None]] = []
        self._pulse = time.monotonic()
        self._counts: tuple[QueueCount, ...] = ()
        # The outbox thread alone uses these.
        self._store: Store | None = None
        self._floor = 0
        self._degraded = False
        self._changed = True
        self._retry_at = self._counted_at = self._sweep_at = 0.0
        self._refused = 0

    def start(self) -> Path | None:
        """Open the database; return where a damaged one was moved that a new one replaces, or None.

        `outbox.reset` is queued in that case. Raises StartError if another daemon uses it, OutboxError if it
        cannot be opened.
        """
        self._lock = _lock(self._path.with_name(self._path.name + ".lock"))
        self._ended = False
        self._thread.start()
        return self._opened.result()

    def stop(self, deadline: float) -> None:
        """Write what waits, close the database, and release it, by `deadline` on the monotonic clock.

        Raises OutboxError if that was not possible. A second call does nothing.
        """
        with self._turn:
            if self._ended:
                return
            self._stop_at = deadline
            self._turn.notify()
        self._thread.join(max(0.0, deadline - time.monotonic()) + 0.1)
        if self._thread.is_alive():
            raise OutboxError(
                f"{self._path}: expected the outbox to stop in time, found it waiting for the disk"
            )
        if self._refused:
            raise OutboxError(
                f"{self._path}: expected every change on the disk, found {self._refused} refused"
            )

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake`, which must not block, in the outbox's thread after each commit of events."""
        self._listeners.append(wake)

    def pulse(self) -> float:
        """Return the monotonic time at which the outbox's thread last came around; it does so every second."""
        return self._pulse

    def counts(self) -> tuple[QueueCount, ...]:
        """Return the webhooks' queues as they were a moment ago."""
        return self._counts

    def commit(self, change: Change) -> "Future[None]":
        """Put events and alarms on the disk, all or none; done when they are there."""
        with self._turn:
            full = len(self._writes) >= MAX_BACKLOG
        if full:
            self._observe.outbox_dropped(DropReason.BACKLOG, len(change.events))
            return _failed(
                OutboxError(f"{self._path}: expected a disk that takes changes, found {MAX_BACKLOG} waiting")
            )
        return self._write(partial(self._apply, change, None), change.events)

    def open_alarms(self) -> "Future[tuple[OpenAlarm, ...]]":
        """Return the alarms that were open when the last commit was made, the oldest first."""
        return self._read(lambda store: store.open_alarms())

    def queued(self, webhook: str, after: int, limit: int) -> "Future[tuple[Delivery, ...]]":
        """Return the first queued deliveries of a webhook whose number is above `after`."""
        return self._read(lambda store: store.queued(webhook, after, limit))

    def body(self, event_id: str) -> "Future[bytes | None]":
        """Return the body of an event, or None if it is no longer there."""
        return self._read(lambda store: store.body(event_id))

    def delivered(self, number: int, attempts: int) -> "Future[None]":
        """Record that a receiver accepted a delivery."""
        return self._write(
            lambda store: store.settle(number, Settlement.DELIVERED, attempts, Outcome.DELIVERED, time.time())
        )

    def failed(self, number: int, attempts: int, outcome: Outcome, wait: float) -> "Future[None]":
        """Record a failed attempt, after which the next one is `wait` seconds away."""
        return self._write(lambda store: store.postpone(number, attempts, outcome, time.time() + wait, wait))

    def bury(
        self, delivery: Delivery, attempts: int, outcome: Outcome, notice: Event | None
    ) -> "Future[None]":
        """Record that a delivery is dead; `notice` tells the other webhooks."""

        def run(store: Store) -> None:
            store.settle(delivery.number, Settlement.DEAD, attempts, outcome, time.time())
            if notice is not None:
                self._apply(Change(events=(notice,)), delivery.webhook, store)

        return self._write(run, () if notice is None else (notice,))

    def _apply(self, change: Change, exclude: str | None, store: Store) -> None:
        dropped = store.apply(change, time.time(), exclude)
        if dropped:
            log.error("outbox is full, deliveries are dropped", dropped=dropped)
            self._observe.outbox_dropped(DropReason.OVERFLOW, dropped)

    def _write(self, run: Callable[[Store], None], events: tuple[Event, ...] = ()) -> "Future[None]":
        return self._submit(self._writes, run, events)

    def _read(self, run: Callable[[Store], T]) -> "Future[T]":
        return self._submit(self._reads, run, ())

    def _submit(self, jobs: deque[_Job], run: Callable[[Store], T], events: tuple[Event, ...]) -> "Future[T]":
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # who gives up waiting must not undo what is under way
        with self._turn:
            if self._ended:
                return _failed(OutboxError(f"{self._path}: expected an outbox that runs, found it stopped"))
            jobs.append(_Job(run, future, events))
            self._turn.notify()
        return future

    # From here on: the outbox's thread.

    def _work(self) -> None:
        try:
            try:
                self._opened.set_result(self._open())
            except OutboxError as error:
                self._opened.set_exception(error)
                return
            while self._come_around():
                pass
        finally:
            self._end()

    def _come_around(self) -> bool:
        """Do what there is to do, or wait for it; say whether to come again."""
        now = self._pulse = time.monotonic()
        if self._store is None and now >= self._retry_at:
            self._reopen(now)
        self._maintain(now)
        with self._turn:
            if self._stop_at is not None and (now >= self._stop_at or not (self._writes or self._reads)):
                return False
            ready = bool(self._writes) and self._store is not None and now >= self._retry_at
            if not ready and not self._reads:
                self._turn.wait(self._idle_until(now) - now)
            write = self._writes[0] if ready else None
            reads = tuple(self._reads)
        if write is not None and self._do_write(write, now):
            with self._turn:
                self._writes.popleft()
        for read in reads:
            self._do_read(read, now)
            with self._turn:
                self._reads.popleft()  # after its answer: `_end` answers what is left
        return True

    def _idle_until(self, now: float) -> float:
        """Return when to come around though nobody wakes the thread; called with the lock held."""
        until = now + COUNT_EVERY
        if self._writes:
            until = min(until, self._retry_at)
        if self._stop_at is not None:
            until = min(until, self._stop_at)
        return max(until, now + 0.01)

    def _do_write(self, job: _Job, now: float) -> bool:
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
            for wake in self._listeners if job.events else ():
                wake()
        return True

    def _refuse(self, job: _Job, error: OutboxError, name: str) -> None:
        """Give up a change that would fail again; nobody may be waiting for its future."""
        log.error(
            "outbox cannot take a change",
            error=name,
            types=sorted({event.type.value for event in job.events}),
            streams=sorted({event.stream for event in job.events if event.stream}),
        )
        self._observe.outbox_dropped(DropReason.REFUSED, max(1, len(job.events)))
        job.future.set_exception(error)

    def _do_read(self, job: _Job, now: float) -> None:
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
            self._counts = self._store.counts(time.time())
            if now >= self._sweep_at:
                self._sweep_at = now + SWEEP_EVERY
                if lost := self._store.sweep(time.time()):
                    self._observe.outbox_dropped(DropReason.DEAD_OVERFLOW, lost)
                self._recover()
        except sqlite3.Error as error:
            self._fail(error, now)
        for count in self._counts:
            self._observe.queued(count.webhook, count.queued, count.oldest_age)

    def _open(self) -> Path | None:
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
        self._writes.appendleft(_Job(partial(self._apply, Change(events=(reset,)), None), Future(), (reset,)))
        return opened.moved

    def _reopen(self, now: float) -> None:
        try:
            self._open()
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

    def _end(self) -> None:
        with self._turn:
            self._ended = True
            self._refused = len(self._writes)
            left = [*self._writes, *self._reads]
            self._writes.clear()
            self._reads.clear()
        if self._store is not None:
            self._store.close()
        ended = OutboxError(f"{self._path}: expected an outbox that runs, found it stopped")
        for job in left:
            if not job.future.done():  # the job at hand may be answered already when the thread dies
                job.future.set_exception(ended)
        if not self._opened.done():
            self._opened.set_exception(ended)
        if self._lock is not None:
            os.close(self._lock)


def _failed(error: OutboxError) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _lock(path: Path) -> int:
    """Return a descriptor that holds the lock of a state directory. Raises StartError."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"state_dir: expected a directory to write to, found {path.parent}: {error.strerror}"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StartError(
            f"state_dir: expected {path.parent} for one daemon alone, found another using it"
        ) from error
    return lock
