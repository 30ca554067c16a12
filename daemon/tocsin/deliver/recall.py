"""What rules remember beyond their open alarms, kept in the database over a restart."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from tocsin.frame import Box

KEPT = 30 * 86400.0
"""Seconds after which what nobody wrote again is forgotten: its rule or stream is gone from the configuration."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What one rule remembered on one stream, as of `at`; all times are wall times.

    `ended` is when its last alarm ended, None where none did, and `still` are the boxes of what stands still, each
    with the time at which it was seen last.
    """

    stream: str
    rule: str
    at: datetime
    ended: datetime | None
    still: tuple[tuple[Box, datetime], ...] = ()


def write(database: sqlite3.Connection, recall: Recall) -> None:
    """Keep it in place of what that rule remembered on that stream before, inside a transaction of the caller's."""
    still = [[*(round(edge, 5) for edge in box), seen.timestamp()] for box, seen in recall.still]
    ended = None if recall.ended is None else recall.ended.timestamp()
    data = json.dumps({"ended": ended, "still": still}, allow_nan=False)
    row = recall.stream, recall.rule, recall.at.timestamp(), data
    database.execute("INSERT OR REPLACE INTO recalls VALUES (?, ?, ?, ?)", row)


def read(database: sqlite3.Connection) -> tuple[Recall, ...]:
    """Return what all rules remember."""
    rows = database.execute("SELECT stream, rule, at, data FROM recalls ORDER BY stream, rule")
    return tuple(recalled(*row) for row in rows)


def sweep(database: sqlite3.Connection, wall: float) -> None:
    """Drop what is old, inside a transaction of the caller's."""
    database.execute("DELETE FROM recalls WHERE at < ?", (wall - KEPT,))


def recalled(stream: str, rule: str, at: float, data: str) -> Recall:
    """Return what a row holds; raises ValueError, TypeError, KeyError or OverflowError for what nobody wrote."""
    kept = json.loads(data)
    ended = None if kept["ended"] is None else datetime.fromtimestamp(kept["ended"], UTC)
    still = tuple(
        ((x1, y1, x2, y2), datetime.fromtimestamp(seen, UTC)) for x1, y1, x2, y2, seen in kept["still"]
    )
    return Recall(stream, rule, datetime.fromtimestamp(at, UTC), ended, still)
