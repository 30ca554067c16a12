"""The tables of the outbox, in SQLite. A store belongs to the one thread that opened it."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tocsin.deliver import audit, history, override, recall
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry, Extent, Period
from tocsin.deliver.database import Marks, damage, memory_database, name_of, open_database
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.history import Keep, Which
from tocsin.deliver.letters import Choice, Letter, concerned, find, of_alarm, remove, replay
from tocsin.deliver.overflow import Dropped, Limits, collapsed_for, trim
from tocsin.deliver.override import Override
from tocsin.deliver.queues import QueueCount, count_queues
from tocsin.deliver.recall import Recall
from tocsin.deliver.salvage import Saved, read_out
from tocsin.deliver.schedule import Outcome, State
from tocsin.deliver.standing import Key, Standing, forget, read, remember
from tocsin.errors import OutboxError

KEEP_DELIVERED = 7 * 24 * 3600.0  # seconds for which `outbox list` can show what was delivered
SWEEP = 500  # rows that one sweep removes at most, so that no commit waits long behind it

_TABLES = ("events", "deliveries", "sequences", "alarms", "collapsed", "standing", "recalls", "overrides")
"""What is copied whole from what stood in; the audit is added to."""

_SETTLE = "UPDATE deliveries SET state = ?, attempts = ?, outcome = ?, settled_at = ? WHERE number = ?"
_POSTPONE = (
    "UPDATE deliveries SET attempts = ?, outcome = ?, next_attempt = ?, wait = ?"
    " WHERE number = ? AND state = 'queued'"  # an acceptance overtakes the failures before it
)


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to events and alarms in one transaction: all of it or nothing.

    `alarms` are remembered as they are now, those that have ended as history; `recalled` is what rules remember
    beyond them, `overrides` are silences and walk tests as they are now, `audited` says who did what.
    """

    events: tuple[Event, ...] = ()
    alarms: tuple[AlarmRecord, ...] = ()
    recalled: tuple[Recall, ...] = ()
    overrides: tuple[Override, ...] = ()
    audited: tuple[Entry, ...] = ()

    @property
    def may_wait(self) -> bool:
        """Whether nobody acts on it at once: it tells what was made of alarms, or who did what, and no more."""
        news = all(event.type.matches("evidence.*") for event in self.events)
        return news and not (self.alarms or self.recalled or self.overrides)


Account = Callable[[int, tuple[str, ...]], Entry]
"""Makes an entry for the audit of how many deliveries something was done to, and of the alarms they are about."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows were removed though they were not old, since there were too many of their kind."""

    dead: int
    alarms: int
    entries: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook, as it stands in the outbox.

    `number` grows with each delivery; `lane` names what must stay in order. `at` is the event's wall time, `age`
    for how many seconds of a running daemon it has been queued. `next_attempt` (wall time) and `wait` (seconds)
    say when the last failure planned the next attempt, and `outcome` what it was; 0, 0 and None before that.
    """

    number: int
    webhook: str
    lane: str
    event_id: str
    type: EventType
    at: float
    alarm_id: str | None
    attempts: int
    age: float
    next_attempt: float
    wait: float
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Arrears:
    """What a store on the disk has missed.

    `store` holds what is new, numbered on from the disk's last delivery and on its clock. `settled` and `postponed`
    are the arguments of `settle` and `postpone` for older deliveries; `over` is what stands no longer.
    """

    store: "Store"
    settled: dict[int, tuple[str, int, str, float]]
    postponed: dict[int, tuple[int, str, float, float]]
    over: set[Key]


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, where the damaged one went that it replaces, and what of that could be saved."""

    store: "Store"
    moved: Path | None
    saved: Saved


def open_store(
    path: Path,
    webhooks: Mapping[str, Sequence[str]],
    limits: Limits,
    marks: Marks,
    wall: float,
    *,
    alone: bool = False,
    distrusted: bool = False,
) -> Opened:
    """Open the store at `path`, as `open_database` opens its database. Raises OutboxError."""
    database = open_database(path, marks, wall, alone=alone, distrusted=distrusted)
    moved, saved = read_out(path, database)
    try:
        return Opened(Store(database, webhooks, limits), moved, saved)
    except sqlite3.Error as error:
        database.close()
        raise OutboxError(f"{path}: expected a store that can be read, found {name_of(error)}") from error


def memory_store(webhooks: Mapping[str, Sequence[str]], limits: Limits, marks: Marks) -> "Store":
    """Return a new store that no disk holds."""
    return Store(memory_database(marks), webhooks, limits)


class Store:
    """The deliveries, open alarms and sequence numbers. Its methods raise sqlite3.Error.

    Each method that writes is one transaction, is on the disk when it returns, and may be repeated when it is
    not known whether it took effect. `last` is the number of the latest delivery of each webhook.
    """

    def __init__(
        self, database: sqlite3.Connection, webhooks: Mapping[str, Sequence[str]], limits: Limits
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._limits = limits
        life: float = database.execute("SELECT seconds FROM life").fetchone()[0]
        self._birth = time.monotonic() - life
        self._highest: int = database.execute("SELECT seq FROM sqlite_sequence").fetchone()[0]
        self._sequences: dict[str, int] = dict(database.execute("SELECT stream, last FROM sequences"))
        self.last: dict[str, int] = dict(
            database.execute("SELECT webhook, max(number) FROM deliveries GROUP BY webhook")
        )

    def marks(self) -> Marks:
        """Return how far this store has counted; from memory, whatever the disk does."""
        return Marks(self._highest, self._sequences, self._life())

    def close(self) -> None:
        self._database.close()

    def apply(self, change: Change, wall: float, exclude: str | None = None) -> Dropped:
        """Queue the events for the webhooks that want them (but `exclude`) and remember the alarms.

        Return what had to be dropped for it. Events of an identity that is known are passed over. Raises
        OutboxError for an event that cannot be rendered.
        """
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            sequences, last = dict(self._sequences), dict(self.last)
            for event in change.events:
                remember(database, event)
            gone = [number for event in change.events for number in _superseded(database, event)]
            collapsed = sum(self._add(event, wall, exclude, sequences, last) for event in change.events)
            for alarm in change.alarms:
                history.write(database, alarm)
            for each in change.recalled:
                recall.write(database, each)
            for one in change.overrides:
                override.write(database, one)
            for entry in change.audited:
                audit.write(database, entry)
            dropped = trim(database, self._webhooks, self._limits) if change.events else Dropped()
        self._sequences, self.last = sequences, last
        self._highest = max(self._highest, *last.values(), 0)
        return replace(dropped, numbers=(*gone, *dropped.numbers), collapsed=dropped.collapsed + collapsed)

    def open_alarms(self) -> tuple[AlarmRecord, ...]:
        with _making_sense():
            return history.read_open(self._database)

    def alarms(self, which: Which) -> tuple[AlarmRecord, ...]:
        """Return the latest of those alarms, newest first."""
        with _making_sense():
            return history.read(self._database, which)

    def overrides(self) -> tuple[Override, ...]:
        """Return the silences and walk tests that are kept, the oldest first; some may be over."""
        with _making_sense():
            return override.read(self._database)

    def audit(self, period: Period) -> tuple[Entry, ...]:
        """Return the latest entries of a period, newest first."""
        with _making_sense():
            return audit.read(self._database, period)

    def extent(self) -> Extent:
        """Return how far the audit reaches."""
        return audit.extent(self._database)

    def standing(self) -> tuple[Standing, ...]:
        """Return what was told to stand and was not told to be over, the longest first."""
        with _making_sense():
            return read(self._database)

    def recalls(self) -> tuple[Recall, ...]:
        """Return what rules remember beyond their open alarms."""
        with _making_sense():
            return recall.read(self._database)

    def queued(self, webhook: str, after: int, limit: int) -> tuple[Delivery, ...]:
        """Return the first queued deliveries of a webhook whose number is above `after`."""
        rows = self._database.execute(
            "SELECT number, webhook, lane, event, type, at, alarm_id, attempts, ? - born, next_attempt, wait,"
            " outcome"
            " FROM deliveries JOIN events ON id = event"
            " WHERE webhook = ? AND state = 'queued' AND number > ? ORDER BY number LIMIT ?",
            (self._life(), webhook, after, limit),
        )
        with _making_sense():
            return tuple(_delivery(row) for row in rows)

    def body(self, event_id: str) -> bytes | None:
        """Return the body of an event, or None if it is no longer there."""
        row = self._database.execute("SELECT body FROM events WHERE id = ?", (event_id,)).fetchone()
        return None if row is None else bytes(row[0])

    def settle(self, number: int, state: str, attempts: int, outcome: str, wall: float) -> None:
        """Record that a delivery is `delivered` or `dead`."""
        self._execute(_SETTLE, (state, attempts, outcome, wall, number))

    def postpone(self, number: int, attempts: int, outcome: str, next_attempt: float, wait: float) -> None:
        """Record a failed attempt and when the next one is planned."""
        self._execute(_POSTPONE, (attempts, outcome, next_attempt, wait, number))

    def make_up(self, arrears: Arrears) -> Dropped:
        """Take over what was missed while this store could not be written; made up twice it is made up once.

        Return what had to be dropped for it.
        """
        marks = arrears.store.marks()
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            for number, settled in arrears.settled.items():
                database.execute(_SETTLE, (*settled, number))
            for number, postponed in arrears.postponed.items():
                database.execute(_POSTPONE, (*postponed, number))
            for table in _TABLES:
                for row in arrears.store.rows(table):
                    places = ", ".join("?" * len(row))
                    database.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)  # noqa: S608 - our own words
            for key in arrears.over:
                forget(database, key)
            for _, *entry in arrears.store.rows("audit"):
                database.execute(audit.INSERT, entry)
            database.execute("UPDATE sqlite_sequence SET seq = max(seq, ?)", (marks.number,))
            dropped = trim(database, self._webhooks, self._limits)
        self._highest = max(self._highest, marks.number)
        self._sequences |= marks.sequences
        self.last |= arrears.store.last
        return dropped

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return all that is in a table, for another store's `make_up`."""
        return self._database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own words

    def keep_collapsed(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Let nothing follow of these alarms to these webhooks, as another store has it; for one in memory."""
        self._database.executemany("INSERT OR IGNORE INTO collapsed VALUES (?, ?)", rows)

    def letters(self, state: State, choice: Choice, limit: int) -> tuple[Letter, ...]:
        """Return the first so many deliveries of a state, as a person sees them."""
        return find(self._database, state, choice, limit)

    def letters_of(self, alarm_id: str, limit: int) -> tuple[Letter, ...]:
        """Return the first so many deliveries about an alarm, whatever became of them."""
        return of_alarm(self._database, alarm_id, limit)

    def replay(self, choice: Choice, wall: float, account: Account) -> tuple[int, Dropped, Entry]:
        """Queue dead deliveries of configured webhooks anew, and account for it.

        Return how many, what was dropped for them, and what is on record of it.
        """
        queued: list[tuple[str, int]] = []
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            alarms = concerned(database, State.DEAD, choice)
            for webhook in self._webhooks if choice.webhook is None else (choice.webhook,):
                queued += replay(database, replace(choice, webhook=webhook), wall, self._life())
            dropped = trim(database, self._webhooks, self._limits)
            entry = account(len(queued), alarms)
            audit.write(database, entry)
        self.last |= dict(queued)
        self._highest = max(self._highest, *self.last.values(), 0)
        return len(queued), dropped, entry

    def remove(self, state: State, choice: Choice, account: Account) -> tuple[tuple[int, ...], Entry | None]:
        """Remove deliveries for good, and account for it; return their numbers and what is on record of it."""
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            alarms = concerned(database, state, choice)
            numbers = remove(database, state, choice)
            if not numbers:
                return (), None
            entry = account(len(numbers), alarms)
            audit.write(database, entry)
            return numbers, entry

    def sweep(self, wall: float, keep: Keep = Keep()) -> Swept:  # noqa: B008 - frozen
        """Remove what is old or too much, but for what waits or is open; return what went without being old."""
        excess = (
            "DELETE FROM deliveries WHERE number IN"
            " (SELECT number FROM deliveries WHERE state = ? ORDER BY settled_at DESC LIMIT ? OFFSET ?)"
        )
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE life SET seconds = ?", (self._life(),))
            recall.sweep(database, wall)
            override.sweep(database, wall)
            alarms = history.sweep(database, wall - keep.alarms, SWEEP)
            entries = audit.sweep(database, wall - keep.audit, SWEEP)
            database.execute(
                "DELETE FROM deliveries WHERE number IN (SELECT number FROM deliveries"
                " WHERE state = 'delivered' AND settled_at < ? ORDER BY settled_at LIMIT ?)",
                (wall - KEEP_DELIVERED, SWEEP),
            )
            database.execute(excess, ("delivered", SWEEP, self._limits.settled))
            dead = database.execute(excess, ("dead", SWEEP, self._limits.settled)).rowcount
            return Swept(dead, alarms, entries)

    def counts(self, wall: float) -> tuple[QueueCount, ...]:
        """Return the state of each webhook's queue, those without a delivery included.

        Then come the queues of webhooks that are configured no more, where something waits or is dead.
        """
        found = {count.webhook: count for count in count_queues(self._database, wall)}
        known = tuple(found.pop(name, QueueCount(name, 0, 0, 0.0)) for name in self._webhooks)
        return known + tuple(replace(count, configured=False) for count in found.values())

    def _life(self) -> float:
        return time.monotonic() - self._birth

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(statement, values)

    def _add(
        self, event: Event, wall: float, exclude: str | None, sequences: dict[str, int], last: dict[str, int]
    ) -> int:
        """Queue one event; return how many webhooks it was not queued for, since its alarm had collapsed there."""
        database = self._database
        if database.execute("SELECT 1 FROM events WHERE id = ?", (event.id,)).fetchone():
            return 0
        stream = event.stream or ""
        seq = sequences[stream] = sequences.get(stream, 0) + 1
        database.execute("INSERT OR REPLACE INTO sequences VALUES (?, ?)", (stream, seq))
        wanting = [
            webhook
            for webhook, patterns in self._webhooks.items()
            if webhook != exclude and any(event.wanted(pattern) for pattern in patterns)
        ]
        collapsed = collapsed_for(database, event, wanting)
        asked, wanting = len(wanting), [webhook for webhook in wanting if webhook not in collapsed]
        if not wanting:
            return asked
        body = _render(event, seq)
        row = (event.id, event.type, event.at.timestamp(), event.alarm_id, body)
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
        for webhook in wanting:
            added = database.execute(
                "INSERT INTO deliveries (event, webhook, lane, queued_at, born, size) VALUES (?, ?, ?, ?, ?, ?)",
                (event.id, webhook, _lane(event), wall, self._life(), len(body)),
            )
            assert added.lastrowid is not None, "an insert has a number"
            last[webhook] = added.lastrowid
        return asked - len(wanting)


def _lane(event: Event) -> str:
    """Return what an event stays in order with: those of its alarm, else of its stream, else of the daemon."""
    if event.type is EventType.TOCSIN_HEARTBEAT:  # which no other event holds up
        return event.type
    return event.alarm_id or event.stream or ""


def _superseded(database: sqlite3.Connection, event: Event) -> list[int]:
    """Take out the heartbeats that wait where a new one comes: a late one tells nothing. Return their numbers."""
    if event.type is not EventType.TOCSIN_HEARTBEAT:
        return []
    of_them = "FROM deliveries WHERE lane = ? AND state = 'queued'"
    found = database.execute(f"SELECT number {of_them}", (event.type,)).fetchall()
    database.execute(f"DELETE {of_them}", (event.type,))
    return [number for (number,) in found]


@contextmanager
def _making_sense() -> Iterator[None]:
    """Raise SQLite's own error for damage where a row holds what nobody wrote there."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise damage("a row that makes no sense") from error


def _delivery(row: tuple[Any, ...]) -> Delivery:
    raw = Delivery(*row)  # with plain texts where words belong
    outcome = None if raw.outcome is None else Outcome(raw.outcome)
    return replace(raw, type=EventType(raw.type), outcome=outcome)


def _render(event: Event, seq: int) -> bytes:
    try:
        return event.render(seq)
    except (TypeError, ValueError) as error:
        raise OutboxError(
            f"{event.type} {event.id}: expected data that can be written as JSON, found {error}"
        ) from error
