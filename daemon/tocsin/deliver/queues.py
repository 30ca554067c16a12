"""How the queues of the outbox stand, for metrics and for whoever looks from outside."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How many deliveries of a webhook wait and how many are dead.

    `oldest_age` in seconds, 0 when none waits; `size` in bytes, of the bodies that wait. What waits for a webhook
    that is not `configured` is brought by nobody.
    """

    webhook: str
    queued: int
    dead: int
    oldest_age: float
    size: int = 0
    configured: bool = True


def count_queues(database: sqlite3.Connection, wall: float) -> list[QueueCount]:
    rows = database.execute(
        "SELECT webhook, total(state = 'queued'), total(state = 'dead'),"
        " min(CASE state WHEN 'queued' THEN queued_at END), total(CASE state WHEN 'queued' THEN size END)"
        " FROM deliveries WHERE state != 'delivered' GROUP BY webhook ORDER BY webhook"
    )
    return [
        QueueCount(
            webhook, int(queued), int(dead), 0.0 if oldest is None else max(0.0, wall - oldest), int(size)
        )
        for webhook, queued, dead, oldest, size in rows
    ]
