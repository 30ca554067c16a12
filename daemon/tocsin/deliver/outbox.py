"""The durable store of deliveries: one thread, one connection, each commit on the disk before it counts."""

import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry, Extent, Period, tell
from tocsin.deliver.clerk import Clerk
from tocsin.deliver.database import identity
from tocsin.deliver.event import Event
from tocsin.deliver.history import Keep, Which
from tocsin.deliver.jobs import Job, Jobs
from tocsin.deliver.letters import Choice, Letter
from tocsin.deliver.overflow import Limits
from tocsin.deliver.override import Override
from tocsin.deliver.queues import QueueCount
from tocsin.deliver.recall import Recall
from tocsin.deliver.schedule import Outcome, Settlement, State
from tocsin.deliver.standby import Ledger
from tocsin.deliver.standing import Standing
from tocsin.deliver.store import Account, Change, Delivery
from tocsin.deliver.trouble import DropReason, Observer
from tocsin.errors import OutboxError, StartError
from tocsin.thread import guarded

T = TypeVar("T")

MAX_BACKLOG = 1_000  # changes that wait for a slow disk at most


class Outbox:
    """Keeps events until each webhook has them, and alarms until they end.

    `start`, then anything, then `stop`. Every other method may be called from any thread, never waits for the
    disk, and answers by a future; a future fails with OutboxError. What was committed before `commit`'s future
    completes survives the death of the process and of the machine.

    When the disk refuses, changes go on in memory, can be read like all others, and are brought to the disk within
    a second of its taking them again; the futures of `commit` complete then. While the disk is merely slow changes
    wait for it, and beyond 1000 of them further ones are refused and counted. So is a change that the database
    itself cannot take, which is logged. A webhook's queue beyond `limits` loses repetitions and news of streams
    first, ends, verdicts and silences next, raises last. A database that is removed while it is open is made anew.

    `on_failure` is called once, from the outbox's thread, with a sentence, when that thread ends by an
    unexpected error; it must not call `stop`, which waits for the thread.
    """

    def __init__(
        self,
        path: Path,
        webhooks: Mapping[str, Sequence[str]],
        observe: Observer,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare an outbox at `path`; `webhooks` gives each webhook's name and the patterns of its events."""
        self._path = path
        self._observe = observe
        self._jobs = Jobs()
        self._clerk = Clerk(path, dict(webhooks), limits, observe, self._jobs, self._lock_again)
        self._thread = guarded("outbox", self._work, on_failure)
        self._opened: Future[Path | None] = Future()
        self._lock: int | None = None
        self._refused = 0  # written by the thread at its end

    def start(self) -> Path | None:
        """Open the database; return where a damaged one was moved that a new one replaces, or None.

        `outbox.reset` is queued in that case. On a full disk all begins in memory. Raises StartError if another
        daemon uses it, OutboxError if it cannot be opened.
        """
        self._lock = _lock(self._path.with_name(self._path.name + ".lock"))
        self._jobs.open()
        self._thread.start()
        return self._opened.result()

    def stop(self, deadline: float) -> None:
        """Write what waits, close the database, and release it, by `deadline` on the monotonic clock.

        Raises OutboxError if that was not possible. A second call does nothing.
        """
        if not self._jobs.stop(deadline):
            return
        self._thread.join(max(0.0, deadline - time.monotonic()) + 0.5)
        if self._thread.is_alive():
            raise OutboxError(
                f"{self._path}: expected the outbox to stop in time, found it waiting for the disk"
            )
        if self._refused:
            raise OutboxError(
                f"{self._path}: expected every change on the disk, found {self._refused} refused"
            )

    def listen(self, wake: Callable[[], None], forget: Callable[[frozenset[int]], None]) -> None:
        """Call two functions that must not block in the outbox's thread.

        `wake` after each commit of events, `forget` with the numbers of deliveries that had to be dropped.
        """
        self._clerk.listeners.append((wake, forget))

    def pulse(self) -> float:
        """Return the monotonic time at which the outbox's thread last came around; it does so every second."""
        return self._clerk.pulse

    def counts(self) -> tuple[QueueCount, ...]:
        """Return the webhooks' queues as they were a moment ago."""
        return self._clerk.counts

    def commit(self, change: Change, exclude: str | None = None) -> "Future[None]":
        """Put events (but for the webhook `exclude`) and alarms on the disk, all or none; done when they are.

        What is audited stands in the log at once, whatever the disk does.
        """
        for entry in change.audited:
            tell(entry)
        if self._jobs.waiting(later=change.may_wait) >= MAX_BACKLOG:
            self._observe.outbox_dropped(DropReason.BACKLOG, len(change.events))
            return _failed(
                OutboxError(f"{self._path}: expected a disk that takes changes, found {MAX_BACKLOG} waiting")
            )
        hand = self._jobs.later if change.may_wait else self._jobs.write
        return self._submit(hand, partial(self._clerk.apply, change, exclude), change.events, promised=True)

    def adopt(self, webhooks: Mapping[str, Sequence[str]]) -> "Future[tuple[Standing, ...] | None]":
        """Queue for these webhooks and patterns whatever is committed from now on; as in the constructor.

        What is queued for another one stays, and is named in the log. Return what stood at that moment, as
        `standing` does: every earlier commit is in it, and no later one. None where that cannot be read now.
        """
        return self._submit(self._jobs.write, partial(self._clerk.adopt, dict(webhooks)), ())

    def open_alarms(self) -> "Future[tuple[AlarmRecord, ...]]":
        """Return the alarms that were open when the last commit was made, the oldest first."""
        return self._read(lambda ledger: ledger.open_alarms())

    def standing(self) -> "Future[tuple[Standing, ...]]":
        """Return what events told to stand and none told to be over, the longest first; a restart keeps it."""
        return self._read(lambda ledger: ledger.standing())

    def recalls(self) -> "Future[tuple[Recall, ...]]":
        """Return what rules remembered beyond their open alarms when the last commit was made."""
        return self._read(lambda ledger: ledger.recalls())

    def alarms(self, which: Which) -> "Future[tuple[AlarmRecord, ...]]":
        """Return the latest of those alarms, newest first."""
        return self._ask(lambda ledger: ledger.alarms(which))

    def alarm(self, alarm_id: str) -> "Future[AlarmRecord | None]":
        """Return an alarm as the last change that was committed before this call left it, or None."""

        def run(ledger: Ledger) -> AlarmRecord | None:
            return next(iter(ledger.alarms(Which(ids=(alarm_id,)))), None)

        return self._submit(self._jobs.write, run, (), asks=True)

    def overrides(self) -> "Future[tuple[Override, ...]]":
        """Return the silences and walk tests that are not over, the oldest first."""
        return self._ask(lambda ledger: tuple(one for one in ledger.overrides() if one.over is None))

    def audit(self, period: Period) -> "Future[tuple[Entry, ...]]":
        """Return the latest entries of a period, newest first."""
        return self._ask(lambda ledger: ledger.audit(period))

    def extent(self) -> "Future[Extent]":
        """Return how far the audit on the disk reaches."""
        return self._ask(lambda ledger: ledger.extent())

    def keep(self, keep: Keep) -> None:
        """Keep what is over for so long from now on."""
        self._clerk.keep = keep

    def queued(self, webhook: str, after: int, limit: int) -> "Future[tuple[Delivery, ...]]":
        """Return the first queued deliveries of a webhook whose number is above `after`."""
        return self._read(lambda ledger: ledger.queued(webhook, after, limit))

    def body(self, event_id: str) -> "Future[bytes | None]":
        """Return the body of an event, or None if it is no longer there."""
        return self._read(lambda ledger: ledger.body(event_id))

    def letters(self, state: State, choice: Choice, limit: int) -> "Future[tuple[Letter, ...]]":
        """Return the first so many deliveries of a state, as a person sees them."""
        return self._ask(lambda ledger: ledger.letters(state, choice, limit))

    def letters_of(self, alarm_id: str, limit: int) -> "Future[tuple[Letter, ...]]":
        """Return the first so many deliveries about an alarm, whatever became of them."""
        return self._ask(lambda ledger: ledger.letters_of(alarm_id, limit))

    def replay(self, choice: Choice, account: Account) -> "Future[int]":
        """Queue dead deliveries of configured webhooks anew, with an entry in the audit; return how many."""
        return self._ask(partial(self._clerk.replay, choice, account))

    def remove(self, state: State, choice: Choice, account: Account) -> "Future[int]":
        """Remove deliveries for good, with an entry in the audit; return how many."""
        return self._ask(partial(self._clerk.remove, state, choice, account))

    def is_durable(self, number: int) -> bool:
        """Say whether a delivery is on the disk, or in memory alone."""
        return number <= self._clerk.durable

    def delivered(self, number: int, attempts: int) -> "Future[None]":
        """Record that a receiver accepted a delivery, before changes that wait; done when it is on the disk.

        While the disk refuses it is noted in memory, and done at once.
        """

        def run(ledger: Ledger) -> None:
            ledger.settle(number, Settlement.DELIVERED, attempts, Outcome.DELIVERED, time.time())

        return self._submit(self._jobs.mark, run, ())

    def failed(self, number: int, attempts: int, outcome: Outcome, wait: float) -> "Future[None]":
        """Record a failed attempt, after which the next one is `wait` seconds away."""
        return self._write(
            lambda ledger: ledger.postpone(number, attempts, outcome, time.time() + wait, wait)
        )

    def bury(
        self, delivery: Delivery, attempts: int, outcome: Outcome, notice: Event | None
    ) -> "Future[None]":
        """Record that a delivery is dead; `notice` tells the other webhooks."""

        def run(ledger: Ledger) -> None:
            ledger.settle(delivery.number, Settlement.DEAD, attempts, outcome, time.time())
            if notice is not None:
                self._clerk.apply(Change(events=(notice,)), delivery.webhook, ledger)

        return self._write(run, () if notice is None else (notice,))

    def _write(self, run: Callable[[Ledger], None], events: tuple[Event, ...] = ()) -> "Future[None]":
        return self._submit(self._jobs.write, run, events)

    def _read(self, run: Callable[[Ledger], T]) -> "Future[T]":
        return self._submit(self._jobs.read, run, ())

    def _ask(self, run: Callable[[Ledger], T]) -> "Future[T]":
        return self._submit(self._jobs.ask, run, ())

    def _submit(
        self,
        hand: Callable[[Job], bool],
        run: Callable[[Ledger], T],
        events: tuple[Event, ...],
        *,
        promised: bool = False,
        asks: bool = False,
    ) -> "Future[T]":
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # who gives up waiting must not undo what is under way
        if not hand(Job(run, future, events, promised, asks)):
            return _failed(OutboxError(f"{self._path}: expected an outbox that runs, found it stopped"))
        return future

    # From here on: the outbox's thread.

    def _lock_again(self) -> None:
        """Hold the lock that stands in the directory now, whatever became of the one of the start."""
        path = self._path.with_name(self._path.name + ".lock")
        if self._lock is not None and identity(path) == _identity_of(self._lock):
            return
        with suppress(OSError):  # the directory was removed; if this user may not make it, somebody has to
            path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = _lock(path)
        except StartError as error:
            raise OutboxError(str(error)) from error
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _work(self) -> None:
        try:
            try:
                self._opened.set_result(self._clerk.begin())
            except OutboxError as error:
                self._opened.set_exception(error)
                return
            self._clerk.work()
        finally:
            self._end()

    def _end(self) -> None:
        writes, reads = self._jobs.end()
        undurable = self._clerk.close()
        self._refused = sum(not job.asks for job in writes) + self._clerk.ahead
        ended = OutboxError(f"{self._path}: expected an outbox that runs, found it stopped")
        for future in (*undurable, *(job.future for job in (*writes, *reads))):
            if not future.done():  # the job at hand may be answered already when the thread dies
                future.set_exception(ended)
        if not self._opened.done():
            self._opened.set_exception(ended)
        if self._lock is not None:
            os.close(self._lock)


def _failed(error: OutboxError) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _identity_of(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino


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
