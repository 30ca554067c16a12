"""What was told to stand and was not told to be over: kept in the database over a restart, which so neither repeats
it nor forgets to clear it. It follows from the events alone: whoever tells of it need not remember it, too.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tocsin.deliver.event import Event, EventType
from tocsin.deliver.notation import Json

_BEGINS = frozenset(
    {
        EventType.STREAM_DOWN,
        EventType.STREAM_IMPAIRED,
        EventType.STREAM_FROZEN,
        EventType.STREAM_COVERED,
        EventType.DETECTOR_DEGRADED,
        EventType.DELIVERY_PAUSED,
    }
)
_ENDS = {
    EventType.STREAM_UP: (EventType.STREAM_DOWN,),
    EventType.STREAM_RESTORED: (
        EventType.STREAM_IMPAIRED,
        EventType.STREAM_FROZEN,
        EventType.STREAM_COVERED,
    ),
    EventType.DETECTOR_RESTORED: (EventType.DETECTOR_DEGRADED,),
    EventType.DELIVERY_RESUMED: (EventType.DELIVERY_PAUSED,),
}
"""The events that say that something is over, and what that may be."""

_SUBJECTS = {
    EventType.STREAM_DOWN: ("stream",),
    EventType.STREAM_IMPAIRED: ("stream", "reason"),
    EventType.STREAM_FROZEN: ("stream", "reason"),
    EventType.STREAM_COVERED: ("stream", "reason"),
    EventType.DETECTOR_DEGRADED: ("reason", "stream", "rule"),
    EventType.DELIVERY_PAUSED: ("webhook",),
}
"""The fields of an event's data by which its beginning and its end find each other."""

Key = tuple[EventType, str]
"""A type and a subject: at most one thing of that kind stands."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Something that an event of this `type` told of, since that wall time, and that is not over.

    `subject` says of what, in words that no other of its type has; `data` is the payload of that event.
    """

    type: EventType
    subject: str
    since: datetime
    data: Json


def begun(event: Event) -> Standing | None:
    """Return what stands from this event on, or None."""
    if event.type not in _BEGINS:
        return None
    data = event.data.payload()
    since = event.at - timedelta(seconds=data.get("lasted_seconds") or 0.0)
    return Standing(event.type, _subject(event.type, data), since, data)


def over(event: Event) -> tuple[Key, ...]:
    """Return what can no longer stand after this event."""
    kinds = _ENDS.get(event.type, ())
    return tuple((kind, _subject(kind, event.data.payload())) for kind in kinds)


def remember(database: sqlite3.Connection, event: Event) -> None:
    """Keep what an event begins and drop what it ends, inside a transaction of the caller's."""
    for key in over(event):
        forget(database, key)
    if (one := begun(event)) is not None:
        row = one.type, one.subject, one.since.timestamp(), json.dumps(one.data, allow_nan=False)
        database.execute("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)", row)


def forget(database: sqlite3.Connection, key: Key) -> None:
    """Drop one thing, inside a transaction of the caller's."""
    database.execute("DELETE FROM standing WHERE type = ? AND subject = ?", key)


def read(database: sqlite3.Connection) -> tuple[Standing, ...]:
    """Return what stands, the longest first."""
    rows = database.execute("SELECT type, subject, since, data FROM standing ORDER BY since, type, subject")
    return tuple(
        Standing(EventType(kind), subject, datetime.fromtimestamp(since, UTC), json.loads(data))
        for kind, subject, since, data in rows
    )


def _subject(kind: EventType, data: Json) -> str:
    """Return the words of the fields that tell one such thing from another; names hold no blank."""
    return " ".join(str(data.get(name) or "-") for name in _SUBJECTS[kind])
