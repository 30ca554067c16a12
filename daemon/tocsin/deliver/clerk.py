"""Keeps the outbox's database: does what it is told, stands in for a disk that fails, says how it is."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import structlog

from tocsin.deliver import audit
from tocsin.deliver.ballast import Ballast, free_bytes
from tocsin.deliver.database import Marks, has_tables, identity, is_full, name_of
from tocsin.deliver.event import Event, EventType, OutboxData
from tocsin.deliver.history import Keep
from tocsin.deliver.jobs import Job, Jobs
from tocsin.deliver.letters import Choice
from tocsin.deliver.notation import new_id
from tocsin.deliver.overflow import Dropped, Limits
from tocsin.deliver.queues import QueueCount
from tocsin.deliver.schedule import State
from tocsin.deliver.standby import Ledger, Standby
from tocsin.deliver.standing import Standing
from tocsin.deliver.store import Account, Arrears, Change, Store, Swept, memory_store, open_store
from tocsin.deliver.trouble import DropReason, Observer, Trouble
from tocsin.errors import OutboxError

ROOM = 0.9  # share of its limit below which a full queue is said to have room again
PATIENCE = 30.0  # seconds of failing to read or write after which a database counts as damaged
RETRY = 1.0  # seconds between two attempts to bring a disk up to date that refused
COUNT_EVERY = 1.0  # seconds between two looks at the queues while they change
COUNT_IDLE = 5.0  # the same while nothing changes
SWEEP_EVERY = 60.0  # seconds between two removals of what is settled and old

log = structlog.get_logger(__name__)

_OWN_FAULT = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
"""What a statement brings on itself: it would fail again on a sound database."""


class Clerk:
    """The outbox's thread at work.

    `pulse`, `counts`, `durable` and `listeners` may be used by any thread, all else belongs to that one. `durable`
    is the number of the latest delivery that is known to be on the disk, `ahead` how many changes are not.
    """

    def __init__(
        self,
        path: Path,
        webhooks: dict[str, Sequence[str]],
        limits: Limits,
        observe: Observer,
        jobs: Jobs,
        lock: Callable[[], None],
    ) -> None:
        """Prepare to keep the database at `path`; `lock` makes sure, or raises OutboxError, that no other does."""
        self._path = path
        self._webhooks = webhooks  # one table with the stores; `adopt` changes it in their thread
        self._lock = lock
        self._limits = limits
        self._observe = observe
        self._jobs = jobs
        self.listeners: list[tuple[Callable[[], None], Callable[[frozenset[int]], None]]] = []
        self.pulse = time.monotonic()
        self.counts: tuple[QueueCount, ...] = ()
        self.durable = 0
        self.ahead = 0
        self.keep = Keep()  # replaced whole, by any thread
        self._ballast = Ballast(path.with_name(path.name + ".ballast"))
        self._store: Store | None = None
        self._standby: Standby | None = None
        # What there is to put on the disk once a database can be made there: nothing yet, or all that was removed.
        self._carried: Store | None = None
        # Of the changes that are in memory alone, for as long as anybody waits for them: of most nobody does.
        self._undurable: WeakSet[Future[Any]] = WeakSet()
        self._marks = Marks()
        self._failing_since: float | None = None  # since when reading or writing has failed without a success
        self._is_distrusted = False  # whether it showed damage, which a look at it need not find again
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._full: set[str] = set()  # the webhooks whose queues were said to be full
        self._changed = True
        self._retry_at = self._counted_at = self._sweep_at = 0.0

    def begin(self) -> Path | None:
        """Open the database as `open` does; where there is none yet and the disk is full, go on in memory."""
        try:
            return self.open()
        except OutboxError as error:
            if not is_full(error) or has_tables(self._path):
                raise
        log.error("no outbox can be made on the full disk, all goes on from memory")
        self._observe.outbox_failed(Trouble.FULL)
        self._observe.outbox_degraded(True)
        self._carried = memory_store(self._webhooks, self._limits, Marks())
        self._standby = Standby(self._carried, self._webhooks)
        return None

    def open(self) -> Path | None:
        """Open the database; return where a damaged one was moved, if one was. Raises OutboxError.

        On a full disk it can be read at least, so that what waits in it is delivered.
        """
        asked = self._path, self._webhooks, self._limits, self._marks, time.time()
        try:
            opened = open_store(*asked, distrusted=self._is_distrusted)
        except OutboxError as error:
            if not is_full(error):
                raise
            self._ballast.give_up()
            opened = open_store(*asked, alone=True, distrusted=self._is_distrusted)
        self._is_distrusted = False
        self._identity = identity(self._path)
        self._store = opened.store
        self.durable = max(self.durable, opened.store.marks().number)
        with suppress(sqlite3.Error):  # the next who reads it draws the conclusion
            self._tell_what_waits(opened.store)
        if opened.moved is None:
            return None
        log.error(
            "outbox was damaged, a new one replaces it",
            moved_to=opened.moved.name,
            deliveries_saved=opened.saved.deliveries,
            alarms_saved=opened.saved.alarms,
        )
        self._announce(EventType.OUTBOX_RESET, OutboxData("damaged", opened.moved.name))
        return opened.moved

    def _tell_what_waits(self, store: Store) -> None:
        wall = time.time()
        waiting = sum(count.queued for count in store.counts(wall))
        log.info("outbox opened", sqlite=sqlite3.sqlite_version, waiting=waiting)
        _name_strays(store.counts(wall))

    def work(self) -> None:
        """Do what there is to do until all has to end."""
        while self._come_around():
            pass

    def close(self) -> "list[Future[Any]]":
        """Bring the disk up to date if it lets us, and close; return who waits for changes that are not on it."""
        if self._standby is not None:
            self._go_back(time.monotonic())
        for each in (self._store, self._standby, self._carried):
            if each is not None:
                each.close()
        return list(self._undurable)

    def apply(self, change: Change, exclude: str | None, ledger: Ledger) -> None:
        """Put a change into the ledger, and say what had to be dropped for it."""
        self._count_dropped(ledger.apply(change, time.time(), exclude))

    def adopt(self, webhooks: Mapping[str, Sequence[str]], ledger: Ledger) -> tuple[Standing, ...] | None:
        """Go on with other webhooks, name what is queued for those that are gone, and return what stands.

        None where no disk can be read: that is no reason to go on with webhooks that are gone.
        """
        gone = self._webhooks.keys() - webhooks.keys()
        self._webhooks.clear()
        self._webhooks.update(webhooks)
        self._full &= webhooks.keys()
        self._changed = True
        self._counted_at = 0.0  # so that they are counted at once
        if gone:
            _name_strays(count for count in ledger.counts(time.time()) if count.webhook in gone)
        try:
            return ledger.standing()
        except OutboxError:
            return None

    def replay(self, choice: Choice, account: Account, ledger: Ledger) -> int:
        """Queue dead deliveries anew, and let the couriers know."""
        count, dropped, entry = ledger.replay(choice, time.time(), account)
        audit.tell(entry)
        self._changed = True
        self._count_dropped(dropped)
        for wake, _ in self.listeners:
            wake()
        return count

    def remove(self, state: State, choice: Choice, account: Account, ledger: Ledger) -> int:
        """Remove deliveries, and let the couriers forget them."""
        numbers, entry = ledger.remove(state, choice, account)
        if entry is not None:
            audit.tell(entry)
        self._changed = True
        for _, forget in self.listeners:
            forget(frozenset(numbers))
        return len(numbers)

    def _count_dropped(self, dropped: Dropped) -> None:
        """Count what was dropped, have the couriers forget it, and say once of each queue that it is full."""
        for reason, count in (
            (DropReason.OVERFLOW, dropped.overflow),
            (DropReason.COLLAPSED, dropped.collapsed),
        ):
            if count:
                self._observe.outbox_dropped(reason, count)
        for _, forget in self.listeners if dropped.numbers else ():
            forget(frozenset(dropped.numbers))
        for webhook, bound in dropped.full.items():
            if webhook not in self._full:
                self._full.add(webhook)
                log.error("a queue is full, deliveries are dropped", webhook=webhook, reason=bound.value)
                self._announce(EventType.OUTBOX_OVERFLOW, OutboxData(bound, webhook=webhook))

    def _announce(self, kind: EventType, data: OutboxData) -> None:
        now = datetime.now(UTC)
        event = Event(new_id(now), kind, now, data)
        self._jobs.urgent(Job(partial(self.apply, Change(events=(event,)), None), Future(), (event,)))

    def _come_around(self) -> bool:
        """Do what there is to do, or wait for it; say whether to come again."""
        now = self.pulse = time.monotonic()
        if self._standby is not None and now >= self._retry_at:
            self._go_back(now)
        self._maintain(now)
        until = now + COUNT_EVERY
        turn = self._jobs.take(now, until if self._standby is None else min(until, self._retry_at))
        if turn is None:
            return False
        if turn.write is not None:
            do = self._do_read if turn.write.asks else self._do_write
            do(turn.write)
            self._jobs.written(turn.write)
        for read in turn.reads:
            self._do_read(read)
            self._jobs.answered(read)  # after its answer: what is left at the end is answered then
        return True

    def _ledger(self) -> Ledger:
        ledger = self._standby or self._store
        assert ledger is not None, "where there is no store, something stands in for it"
        return ledger

    def _do_write(self, job: Job) -> None:
        """Run a write, in memory where the disk refuses it, and answer whoever waits for it."""
        began = time.monotonic()
        try:
            result = job.run(self._ledger())
        except OutboxError as error:
            self._refuse(job, error, type(error.__cause__ or error).__name__)
        except _OWN_FAULT as error:
            self._refuse(job, self._fault("a statement that can be run", error), name_of(error))
        except sqlite3.Error as error:
            if self._standby is not None:
                self._refuse(job, self._fault("memory for a change", error), name_of(error))
                return
            self._fail(error)
            self._do_write(job)
        else:
            self._changed = True
            if self._standby is not None and job.promised:
                self.ahead += 1
                self._undurable.add(job.future)
            else:
                job.future.set_result(result)
            if job.events:
                self._tell_of_events(time.monotonic() - began)

    def _tell_of_events(self, seconds: float) -> None:
        """Let the couriers know that there are new ones, which were written in so many seconds."""
        if self._standby is None and self._store is not None:
            self._observe.committed_after(seconds)
            self.durable = self._store.marks().number
        for wake, _ in self.listeners:
            wake()

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

    def _do_read(self, job: Job, *, again: bool = True) -> None:
        """Answer a question; where it meets damage, from what replaces the database."""
        try:
            job.future.set_result(job.run(self._ledger()))
        except OutboxError as error:
            job.future.set_exception(error)
        except sqlite3.Error as error:
            self._fail(error)
            if self._is_distrusted and again:
                self._go_back(time.monotonic())
                self._do_read(job, again=False)
                return
            job.future.set_exception(self._fault("a database that can be read", error))

    def _maintain(self, now: float) -> None:
        """Report the queues and remove what is old, each at its pace."""
        if now < self._counted_at + (COUNT_EVERY if self._changed else COUNT_IDLE):
            return
        self._changed = False
        self._counted_at = now
        if (free := free_bytes(self._path.parent)) is not None:
            self._observe.disk_free(free)
        try:
            if self._standby is None and identity(self._path) != self._identity:
                self._escape()
            self._count_and_sweep(now)
        except sqlite3.Error as error:
            self._fail(error)
        for count in self.counts:
            self._observe.queued(count.webhook, count.queued, count.oldest_age)

    def _count_and_sweep(self, now: float) -> None:
        self.counts = self._ledger().counts(time.time())
        for count in self.counts:
            if count.webhook in self._full and self._limits.have_room(count.queued, count.size, ROOM):
                self._full.discard(count.webhook)
                log.info("a queue has room again", webhook=count.webhook)
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_EVERY
        if self._standby is not None:
            self._standby.sweep(time.time())
            return
        assert self._store is not None, "where there is no store, something stands in for it"
        self._ballast.lay()
        self._tell_swept(self._store.sweep(time.time(), self.keep))

    def _tell_swept(self, swept: Swept) -> None:
        """Say what went before its time, for there was too much of it."""
        if swept.dead:
            self._observe.outbox_dropped(DropReason.DEAD_OVERFLOW, swept.dead)
        if swept.alarms:
            log.warning("the history is full, its oldest alarms are dropped", count=swept.alarms)
        if swept.entries:
            log.warning("the audit is full, its oldest entries are dropped", count=swept.entries)

    def _fail(self, error: sqlite3.Error) -> None:
        """Go on in memory; on a full disk only when the ballast does not help.

        After anything but a full disk the database is opened anew: after a failed flush nobody knows what is on
        the disk, and a second flush would claim success. On a full disk a database that is open can still be read,
        while one that is closed cannot be opened.
        """
        trouble = Trouble.of(error)
        self._observe.outbox_failed(trouble)
        self._judge(trouble)
        if trouble is Trouble.FULL and self._ballast.give_up():
            log.warning("the disk is full, the outbox takes the space that it held back")
            return
        self._retry_at = time.monotonic() + RETRY
        if self._standby is None:
            assert self._store is not None, "only a store can fail"
            log.error("outbox refuses changes, they go on from memory", error=name_of(error))
            self._observe.outbox_degraded(True)
            self._standby = Standby(self._store, self._webhooks)
        if self._store is not None and trouble is not Trouble.FULL:
            self._marks = self._store.marks()
            self._standby.disk = self._carried
            self._store.close()
            self._store = None

    def _escape(self) -> None:
        """Take all that a removed database holds into memory, for the one that takes its place.

        An open file can be used after its removal, and its end with the process would be the end of what it holds.
        """
        assert self._store is not None, "nothing stands in for it"
        log.error("the outbox's file was removed, all goes on from memory", file=self._path.name)
        self._observe.outbox_failed(Trouble.GONE)
        self._observe.outbox_degraded(True)
        self._marks = self._store.marks()
        copy = memory_store(self._webhooks, self._limits, self._marks)
        copy.make_up(Arrears(self._store, {}, {}, set()))
        self._carried, self._standby = copy, Standby(copy, self._webhooks)
        self._store.close()
        self._store = None
        self._retry_at = 0.0

    def _judge(self, trouble: Trouble) -> None:
        """Distrust a database that shows damage; one that stays unreadable for long is no better."""
        self._is_distrusted |= trouble is Trouble.DAMAGED
        if trouble is Trouble.IO:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            self._is_distrusted |= now - self._failing_since >= PATIENCE

    def _go_back(self, now: float) -> None:
        """Bring the disk up to date, if it takes changes again, and go on there."""
        assert self._standby is not None, "there is something to go back from"
        try:
            if self._store is None:
                self._lock()
                self.open()
            assert self._store is not None, "it was opened"
            if self._carried is not None:
                self._store.make_up(Arrears(self._carried, {}, {}, set()))
                self._carried.close()
                self._carried = None
            self._standby.disk = self._store
            self._count_dropped(self._standby.bring_up(self._store))
        except OutboxError as error:
            self._retry_at = now + RETRY
            if isinstance(error.__cause__, sqlite3.Error):
                self._judge(Trouble.of(error.__cause__))
        except sqlite3.Error as error:
            self._fail(error)
        else:
            self._standby.close()
            self._standby = None
            self._failing_since = None
            self.durable = self._store.marks().number
            log.info("outbox takes changes again")
            self._observe.outbox_degraded(False)
            waiting, self.ahead = list(self._undurable), 0
            self._undurable.clear()
            for future in waiting:
                future.set_result(None)

    def _fault(self, wanted: str, error: sqlite3.Error) -> OutboxError:
        fault = OutboxError(f"{self._path}: expected {wanted}, found {name_of(error)}")
        fault.__cause__ = error
        return fault


def _name_strays(counts: Iterable[QueueCount]) -> None:
    """Say for which webhooks that are not configured deliveries wait: nobody brings them."""
    for count in counts:
        if count.queued and not count.configured:
            sentence = "deliveries wait for a webhook that is not configured"
            log.warning(sentence, webhook=count.webhook, count=count.queued)
