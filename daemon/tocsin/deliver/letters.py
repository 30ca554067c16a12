"""What a person may see of the deliveries, and do with those that wait or were given up."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tocsin.deliver.database import read_only
from tocsin.deliver.event import EventType
from tocsin.deliver.notation import Json, stamp
from tocsin.deliver.overflow import collapse
from tocsin.deliver.schedule import State


@dataclass(frozen=True, slots=True)
class Choice:
    """Which deliveries are meant: those of a webhook (None: of any) that have these numbers (none: any).

    With `alarms` those that are about one of these.
    """

    webhook: str | None = None
    numbers: tuple[int, ...] = ()
    alarms: tuple[str, ...] = ()

    def condition(self, state: State) -> tuple[str, tuple[object, ...]]:
        """Return the words of SQL that choose among deliveries, and what stands in their places."""
        words, values = ["state = ?"], [state.value]
        if self.webhook is not None:
            words.append("webhook = ?")
            values.append(self.webhook)
        if self.numbers:
            words.append("number IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self.numbers))
        if self.alarms:  # each is a lane of its own
            words.append("lane IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self.alarms))
        return " AND ".join(words), tuple(values)


@dataclass(frozen=True, slots=True)
class Letter:
    """A delivery as a person sees it; `outcome` is that of its last attempt, `settled` when it came to its end."""

    number: int
    webhook: str
    state: State
    type: str
    at: datetime
    alarm_id: str | None
    event_id: str
    attempts: int
    outcome: str | None
    settled: datetime | None

    def as_json(self) -> Json:
        return {
            "number": self.number,
            "webhook": self.webhook,
            "state": self.state.value,
            "type": self.type,
            "timestamp": stamp(self.at),
            "alarm_id": self.alarm_id,
            "webhook_id": self.event_id,
            "attempts": self.attempts,
            "outcome": self.outcome,
            "settled": None if self.settled is None else stamp(self.settled),
        }


def find(database: sqlite3.Connection, state: State, choice: Choice, limit: int) -> tuple[Letter, ...]:
    """Return the first so many deliveries of a state in the order of their numbers."""
    condition, values = choice.condition(state)
    return _found(database, f"{condition} ORDER BY number LIMIT ?", (*values, limit))


def of_alarm(database: sqlite3.Connection, alarm_id: str, limit: int) -> tuple[Letter, ...]:
    """Return the first so many deliveries about an alarm in the order of their numbers, whatever became of them."""
    return _found(database, "alarm_id = ? ORDER BY number LIMIT ?", (alarm_id, limit))


def _found(database: sqlite3.Connection, where: str, values: tuple[object, ...]) -> tuple[Letter, ...]:
    rows = database.execute(
        "SELECT number, webhook, state, type, at, alarm_id, event, attempts, outcome, settled_at"  # noqa: S608 - our own words
        f" FROM deliveries JOIN events ON id = event WHERE {where}",
        values,
    )
    return tuple(_letters(rows))


def _letters(rows: sqlite3.Cursor) -> Iterator[Letter]:
    for number, webhook, state, kind, at, alarm_id, event, attempts, outcome, settled in rows:
        when = None if settled is None else datetime.fromtimestamp(settled, UTC)
        happened = datetime.fromtimestamp(at, UTC)
        yield Letter(number, webhook, State(state), kind, happened, alarm_id, event, attempts, outcome, when)


def concerned(database: sqlite3.Connection, state: State, choice: Choice) -> tuple[str, ...]:
    """Return the alarms that deliveries of a state are about."""
    condition, values = choice.condition(state)
    rows = database.execute(
        "SELECT DISTINCT alarm_id FROM deliveries JOIN events ON id = event"  # noqa: S608 - our own words
        f" WHERE alarm_id IS NOT NULL AND {condition} ORDER BY number",
        values,
    )
    return tuple(alarm_id for (alarm_id,) in rows)


def replay(
    database: sqlite3.Connection, choice: Choice, wall: float, life: float
) -> tuple[tuple[str, int], ...]:
    """Queue dead deliveries anew, with numbers and a window of their own, inside a transaction of the caller's.

    Return the webhook and the new number of each.
    """
    condition, values = choice.condition(State.DEAD)
    queued: list[tuple[str, int]] = []
    chosen = f"SELECT number, webhook FROM deliveries WHERE {condition} ORDER BY number"  # noqa: S608 - our own words
    for number, webhook in database.execute(chosen, values).fetchall():
        added = database.execute(
            "INSERT INTO deliveries (event, webhook, lane, queued_at, born, attempts, size)"
            " SELECT event, webhook, lane, ?, ?, attempts, size FROM deliveries WHERE number = ?",
            (wall, life, number),
        )
        database.execute("DELETE FROM deliveries WHERE number = ?", (number,))
        assert added.lastrowid is not None, "an insert has a number"
        queued.append((webhook, added.lastrowid))
    return tuple(queued)


def remove(database: sqlite3.Connection, state: State, choice: Choice) -> tuple[int, ...]:
    """Remove deliveries for good, inside a transaction of the caller's; return the numbers of all that went.

    With a raise that was never tried goes what waits of its alarm, as where a queue is full.
    """
    condition, values = choice.condition(state)
    asked = (
        "SELECT number, webhook, type, alarm_id, attempts FROM deliveries"  # noqa: S608 - our own words
        f" JOIN events ON id = event WHERE {condition}"
    )
    found = database.execute(asked, values).fetchall()
    database.executemany("DELETE FROM deliveries WHERE number = ?", ((number,) for number, *_ in found))
    numbers = [number for number, *_ in found]
    for _, webhook, kind, alarm_id, attempts in found:
        if state is State.QUEUED and kind == EventType.ALARM_RAISED and not attempts:
            numbers += collapse(database, webhook, [alarm_id])
    return tuple(numbers)


def read_letters(path: Path, state: State, choice: Choice, limit: int) -> tuple[Letter, ...]:
    """Return what `find` does of a database that nobody need have open. Raises OutboxError."""
    return read_only(path, lambda database: find(database, state, choice, limit))
