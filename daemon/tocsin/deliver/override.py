"""Silences and walk tests: for a time alarms of a stream or a rule are treated otherwise. Kept over a restart."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

KEPT = 30 * 86400.0
"""Seconds for which one that is over stays in the database: an alarm may name it."""


class OverrideKind(StrEnum):
    """What becomes of the alarms: the word in events and in the audit."""

    SILENCE = "silence"  # they are kept and told to nobody
    TEST = "test"  # they are told as a test


@dataclass(frozen=True, slots=True)
class Override:
    """What is asked for the alarms of a stream, of a rule, or of a rule on a stream; None is any.

    It holds from `since` to `until`, or to `over` once that is set; wall times, all of them. `by` and `why` are who
    asked for it, and the reason.
    """

    id: str
    kind: OverrideKind
    stream: str | None
    rule: str | None
    since: datetime
    until: datetime
    by: str
    why: str
    over: datetime | None = None


def write(database: sqlite3.Connection, override: Override) -> None:
    """Keep it as it is now, inside a transaction of the caller's."""
    over = None if override.over is None else override.over.timestamp()
    told = {"by": override.by, "why": override.why}
    row = (
        *(override.id, override.kind, override.stream, override.rule),
        *(override.since.timestamp(), override.until.timestamp(), over, json.dumps(told)),
    )
    database.execute("INSERT OR REPLACE INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def read(database: sqlite3.Connection) -> tuple[Override, ...]:
    """Return all that are kept, the oldest first."""
    rows = database.execute(f"SELECT {', '.join(COLUMNS)} FROM overrides ORDER BY since, id")  # noqa: S608 - our own words
    return tuple(overridden(*row) for row in rows)


def sweep(database: sqlite3.Connection, wall: float) -> None:
    """Drop what was over long ago, inside a transaction of the caller's."""
    database.execute("DELETE FROM overrides WHERE over < ?", (wall - KEPT,))


COLUMNS = ("id", "kind", "stream", "rule", "since", "until", "over", "data")
"""What a row holds, in this order."""


def overridden(
    identity: str,
    kind: str,
    stream: str | None,
    rule: str | None,
    since: float,
    until: float,
    over: float | None,
    data: str,
) -> Override:
    """Return what a row holds; raises ValueError, TypeError, KeyError or OverflowError for what nobody wrote."""
    told = json.loads(data)
    times = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC)
    ended = None if over is None else datetime.fromtimestamp(over, UTC)
    return Override(identity, OverrideKind(kind), stream, rule, *times, told["by"], told["why"], ended)
