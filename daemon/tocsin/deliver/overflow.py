"""What a full queue loses: repetitions and news of streams first, ends, verdicts and silences next, raises last.

Whoever is not told that alarms are silenced takes it for peace.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tocsin.deliver.event import Event, EventType

MAX_QUEUED = 10_000  # deliveries that wait for one webhook at most
MAX_BYTES = 64 * 1024 * 1024  # of the bodies of those
MAX_SETTLED = 10_000  # delivered, and likewise dead, rows that are kept at most

SLACK = 100
"""A full queue loses a hundredth more than it must: to choose what goes, all of it is looked at."""

_QUEUE = "SELECT count(*), total(size) FROM deliveries WHERE webhook = ? AND state = 'queued'"

_FIRST_TO_GO = """
SELECT number, type, alarm_id, attempts FROM (
    SELECT number, type, alarm_id, attempts, row_number() OVER these AS place,
        total(size) OVER these - size AS before
    FROM deliveries JOIN events ON id = event WHERE webhook = ? AND state = 'queued'
    WINDOW these AS (
        ORDER BY type IN ('alarm.raised', 'outbox.overflow'), type IN ('alarm.ended', 'alarm.verdict',
            'silence.begun', 'silence.ended', 'test.begun', 'test.ended'), number
        ROWS UNBOUNDED PRECEDING
    )
) WHERE place <= ? OR before < ?
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept at most.

    Of each queue so many `rows` that wait, and so many `bytes` of bodies; of all together `settled` ones that were
    delivered, and as many dead ones.
    """

    rows: int = MAX_QUEUED
    bytes: int = MAX_BYTES
    settled: int = MAX_SETTLED

    def have_room(self, rows: int, size: int, share: float) -> bool:
        """Say whether a queue takes up no more than a share of what it may."""
        return rows <= share * self.rows and size <= share * self.bytes


class Bound(StrEnum):
    """Which limit of a queue was reached: the `reason` of outbox.overflow."""

    ROWS = "rows"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a change cost: the `numbers` of the deliveries that had to go, and which queues are `full`.

    `overflow` counts what went for want of room, `collapsed` what went, or was not even queued, since it was about
    an alarm whose raise had gone before it was ever sent.
    """

    numbers: tuple[int, ...] = ()
    overflow: int = 0
    collapsed: int = 0
    full: Mapping[str, Bound] = field(default_factory=dict)


def trim(database: sqlite3.Connection, webhooks: Iterable[str], limits: Limits) -> Dropped:
    """Bring each queue within its limits, inside a transaction of the caller's."""
    numbers: list[int] = []
    overflow = collapsed = 0
    full: dict[str, Bound] = {}
    for webhook in webhooks:
        rows, size = database.execute(_QUEUE, (webhook,)).fetchone()
        if rows <= limits.rows and size <= limits.bytes:
            continue
        full[webhook] = Bound.ROWS if rows > limits.rows else Bound.BYTES
        excess = rows - limits.rows + limits.rows // SLACK if rows > limits.rows else 0
        weight = size - limits.bytes + limits.bytes // SLACK if size > limits.bytes else 0
        going = database.execute(_FIRST_TO_GO, (webhook, excess, weight)).fetchall()
        numbers += [number for number, *_ in going]
        untold = [
            alarm_id
            for _, kind, alarm_id, attempts in going
            if kind == EventType.ALARM_RAISED and not attempts
        ]
        database.executemany("DELETE FROM deliveries WHERE number = ?", ((number,) for number, *_ in going))
        left = collapse(database, webhook, untold)
        numbers += left
        overflow += len(going)
        collapsed += len(left)
    return Dropped(tuple(numbers), overflow, collapsed, full)


def collapsed_for(database: sqlite3.Connection, event: Event, webhooks: Iterable[str]) -> set[str]:
    """Return those of the webhooks that never heard of the alarm that an event is about."""
    if event.alarm_id is None or event.type is EventType.ALARM_RAISED:
        return set()
    asked = "SELECT 1 FROM collapsed WHERE webhook = ? AND alarm_id = ?"
    return {name for name in webhooks if database.execute(asked, (name, event.alarm_id)).fetchone()}


def collapse(database: sqlite3.Connection, webhook: str, untold: list[str]) -> list[int]:
    """Drop what is queued about alarms whose raise was never sent, and see to it that nothing follows."""
    gone: list[int] = []
    for alarm_id in untold:
        rest = database.execute(
            "SELECT number FROM deliveries WHERE webhook = ? AND lane = ? AND state = 'queued'",
            (webhook, alarm_id),
        ).fetchall()
        gone += [number for (number,) in rest]
        database.execute("INSERT OR IGNORE INTO collapsed VALUES (?, ?)", (webhook, alarm_id))
    database.executemany("DELETE FROM deliveries WHERE number = ?", ((number,) for number in gone))
    return gone
