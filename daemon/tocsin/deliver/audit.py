"""Who did what: a record to which is only ever added. Rows leave at its old end, when they are old or too many."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from tocsin.deliver.act import Act, Via
from tocsin.deliver.criteria import condition
from tocsin.deliver.notation import Json, new_id, stamp

MOST = 50_000
"""Entries that are kept at most."""

_GUARDS = 2
"""Triggers of the table: against a change of a row, and against the removal of any but the first."""

LOGGER = "tocsin.audit"
"""Whose lines in the log are a second copy of the record; none of them is ever withheld."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One act at a wall time; `subject` is what it was done to: an alarm, a stream, a rule, a digest.

    `id` is drawn anew where none is given: it lets the same entry be written twice and stand there once.
    """

    at: datetime
    act: Act
    by: str
    via: Via
    subject: str
    details: Mapping[str, str] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", new_id(self.at, "act"))

    def as_json(self) -> Json:
        """Return what the command line prints and the control socket answers."""
        told = {"act": self.act, "by": self.by, "via": self.via, "subject": self.subject}
        return {"timestamp": stamp(self.at), **told, "details": dict(self.details), "id": self.id}


@dataclass(frozen=True, slots=True)
class Period:
    """Which entries are meant: those of these acts (none: of any) about this subject (None: any).

    About a subject is what was done to it, and what names it among its details. Those between two times, at most
    `limit`, the latest.
    """

    since: datetime | None = None
    until: datetime | None = None
    acts: tuple[Act, ...] = ()
    subject: str | None = None
    limit: int = 1_000

    def condition(self) -> tuple[str, tuple[object, ...]]:
        """Return the words of SQL that choose among entries, and what stands in their places."""
        # what costs least comes first, and a text is looked for before it is taken apart: a guard who looks at an
        # alarm has all of 50,000 entries read, while a raise waits
        return condition(
            ("at >= ?", None if self.since is None else self.since.timestamp()),
            ("at < ?", None if self.until is None else self.until.timestamp()),
            ("act IN (SELECT value FROM json_each(?))", json.dumps(self.acts) if self.acts else None),
            (_ABOUT, self.subject, json.dumps(self.subject), self.subject),
        )


_ABOUT = "(subject = ? OR (instr(data, ?) AND ? IN (SELECT value FROM json_each(data))))"

COLUMNS = ("id", "at", "act", "by", "via", "subject", "data")
"""What a row holds beside its number, in this order."""

INSERT = f"INSERT OR IGNORE INTO audit ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own words


def write(database: sqlite3.Connection, entry: Entry) -> None:
    """Add an entry, inside a transaction of the caller's; one that is there already is not added again."""
    row = entry.id, entry.at.timestamp(), entry.act, entry.by, entry.via, entry.subject
    database.execute(INSERT, (*row, json.dumps(dict(entry.details))))


def read(database: sqlite3.Connection, period: Period) -> tuple[Entry, ...]:
    """Return the latest entries of a period, newest first."""
    words, values = period.condition()
    rows = database.execute(
        f"SELECT {', '.join(COLUMNS)} FROM audit WHERE {words} ORDER BY number DESC LIMIT ?",  # noqa: S608 - our own words
        (*values, period.limit),
    )
    return tuple(entered(*row) for row in rows)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the record reaches: the numbers of its first and last entry, 0 where there is none, and their count.

    `guarded` says whether the database still refuses to change it.
    """

    first: int
    last: int
    count: int
    guarded: bool

    @property
    def missing(self) -> int:
        """How many entries are not there that were between the first and the last."""
        return self.last - self.first + 1 - self.count if self.count else 0


def extent(database: sqlite3.Connection) -> Extent:
    """Return how far the record reaches."""
    first, last, count = database.execute("SELECT min(number), max(number), count(*) FROM audit").fetchone()
    asked = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
    (guards,) = database.execute(asked).fetchone()
    return Extent(first or 0, last or 0, count, guards == _GUARDS)


def tell(entry: Entry) -> None:
    """Write an entry into the log as well: whoever alters the database has not altered the journal."""
    told = {"act": entry.act.value, "by": entry.by, "via": entry.via.value, "subject": entry.subject}
    structlog.get_logger(LOGGER).info("somebody acted", **{**entry.details, **told})


def sweep(database: sqlite3.Connection, before: float, most: int) -> int:
    """Drop what is older than a wall time, then what is too much, from the old end on, so many of each at most.

    The latest entry stays, so that numbers go on. Return how many went that were not old.
    """
    # up to the first that is young: an entry written under a wrong date holds up none that came after it for long
    database.execute(
        "DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE number <"
        " coalesce((SELECT min(number) FROM audit WHERE at >= ?), (SELECT max(number) FROM audit))"
        " ORDER BY number LIMIT ?)",
        (before, most),
    )
    return database.execute(
        "DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE number <="
        " (SELECT max(number) FROM audit) - ? ORDER BY number LIMIT ?)",
        (MOST, most),
    ).rowcount


def entered(identity: str, at: float, act: str, by: str, via: str, subject: str, data: str) -> Entry:
    """Return what a row holds; raises ValueError, TypeError or OverflowError for what nobody wrote."""
    details: Any = json.loads(data)
    when = datetime.fromtimestamp(at, UTC)
    return Entry(when, Act(act), by, Via(via), subject, dict(details), identity)
