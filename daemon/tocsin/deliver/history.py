"""The alarms that were raised: those that are open, which a restart carries on, and for a time those that ended."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.criteria import condition
from tocsin.deliver.verdict import Verdict

MOST = 20_000
"""Alarms that are kept at most; those that are open are kept in any case."""


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many seconds alarms stay in the history after they were raised, and acts in the audit."""

    alarms: float = 90 * 86400.0
    audit: float = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Which:
    """Which alarms are meant: all that fit what is not None, `but` these, at most `limit` of them, the latest.

    `since` and `until` bound when they were raised; `judged` says whether there is a verdict. `after` is the last
    one of the page before.
    """

    ids: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    stream: str | None = None
    rule: str | None = None
    verdict: Verdict | None = None
    judged: bool | None = None
    open: bool | None = None
    silenced: bool | None = None
    test: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: AlarmRecord | None = None
    limit: int = 1_000

    def condition(self) -> tuple[str, tuple[object, ...]]:
        """Return the words of SQL that choose among alarms, and what stands in their places."""
        return condition(
            ("alarm_id IN (SELECT value FROM json_each(?))", json.dumps(self.ids) if self.ids else None),
            ("alarm_id NOT IN (SELECT value FROM json_each(?))", json.dumps(self.but) if self.but else None),
            ("stream = ?", self.stream),
            ("rule = ?", self.rule),
            ("verdict = ?", self.verdict),
            ("(verdict IS NOT NULL) = ?", self.judged),
            ("(ended IS NULL) = ?", self.open),
            ("silenced = ?", self.silenced),
            ("test = ?", self.test),
            ("opened >= ?", None if self.since is None else self.since.timestamp()),
            ("opened < ?", None if self.until is None else self.until.timestamp()),
            ("(opened, alarm_id) < (?, ?)", *_after(self.after)),
        )


def _after(last: AlarmRecord | None) -> tuple[object, *tuple[object, ...]]:
    if last is None:
        return (None,)
    opened, alarm_id = place(last)
    return opened.timestamp(), alarm_id


def place(record: AlarmRecord) -> tuple[datetime, str]:
    """Return what puts alarms into their order, the oldest first."""
    return record.opened, record.alarm.alarm_id


COLUMNS = ("alarm_id", "stream", "rule", "opened", "reported", "ended", "verdict", "silenced", "test", "data")
"""What a row holds, in this order."""


def write(database: sqlite3.Connection, record: AlarmRecord) -> None:
    """Keep an alarm as it is now, inside a transaction of the caller's."""
    alarm = record.alarm
    row = (
        *(alarm.alarm_id, alarm.stream, alarm.rule),
        *(record.opened.timestamp(), record.reported.timestamp()),
        None if record.ended is None else record.ended.timestamp(),
        None if alarm.judged is None else alarm.judged.verdict,
        *(alarm.silenced, alarm.test),
        json.dumps(alarm.payload(), allow_nan=False),
    )
    database.execute("INSERT OR REPLACE INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def read(database: sqlite3.Connection, which: Which) -> tuple[AlarmRecord, ...]:
    """Return the latest of those alarms, newest first."""
    words, values = which.condition()
    rows = database.execute(
        f"SELECT opened, reported, ended, data FROM alarms WHERE {words}"  # noqa: S608 - our own words
        " ORDER BY opened DESC, alarm_id DESC LIMIT ?",
        (*values, which.limit),
    )
    return tuple(recorded(*row) for row in rows)


def read_open(database: sqlite3.Connection) -> tuple[AlarmRecord, ...]:
    """Return all alarms that have not ended, the oldest first."""
    rows = database.execute(
        "SELECT opened, reported, ended, data FROM alarms WHERE ended IS NULL ORDER BY opened, alarm_id"
    )
    return tuple(recorded(*row) for row in rows)


def sweep(database: sqlite3.Connection, before: float, most: int) -> int:
    """Drop ended alarms that were raised before a wall time, then what is too much, so many of each at most.

    Return how many went that were not old. With an alarm goes who never heard of it: nothing more can follow.
    """
    kept = "(SELECT opened FROM alarms ORDER BY opened DESC LIMIT 1 OFFSET ?)"
    _drop(database, "?", (before, most))
    return _drop(database, kept, (MOST - 1, most))


def _drop(database: sqlite3.Connection, before: str, values: tuple[float, int]) -> int:
    going = (
        f"SELECT alarm_id FROM alarms WHERE ended IS NOT NULL AND opened < {before}"  # noqa: S608 - our own words
        " ORDER BY opened, alarm_id LIMIT ?"
    )
    database.execute(f"DELETE FROM collapsed WHERE alarm_id IN ({going})", values)  # noqa: S608 - our own words
    return database.execute(f"DELETE FROM alarms WHERE alarm_id IN ({going})", values).rowcount  # noqa: S608


def recorded(opened: float, reported: float, ended: float | None, data: str) -> AlarmRecord:
    """Return what a row holds.

    Raises ValueError, TypeError, KeyError, AttributeError or OverflowError for what nobody wrote.
    """
    known: Any = json.loads(data)
    return AlarmRecord(
        AlarmData.from_payload(known),
        datetime.fromtimestamp(opened, UTC),
        datetime.fromtimestamp(reported, UTC),
        None if ended is None else datetime.fromtimestamp(ended, UTC),
    )
