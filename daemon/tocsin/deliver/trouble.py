"""What befalls the outbox: what a disk answers, why something is lost, and who wants to know."""

import sqlite3
from enum import StrEnum
from typing import Protocol

_TROUBLES = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_READONLY: "read_only",
}


class Trouble(StrEnum):
    """What the disk answered a change with: the word in metrics."""

    FULL = "full"
    IO = "io"
    DAMAGED = "damaged"
    READ_ONLY = "read_only"
    GONE = "gone"
    OTHER = "other"

    @classmethod
    def of(cls, error: sqlite3.Error) -> "Trouble":
        """Return the word for an error of SQLite's."""
        code = getattr(error, "sqlite_errorcode", None) or 0
        return cls(_TROUBLES.get(code & 0xFF, "other"))  # the low byte: the rest tells where


class DropReason(StrEnum):
    """Why the outbox lost something: the word in metrics and logs."""

    BACKLOG = "backlog"
    OVERFLOW = "overflow"
    COLLAPSED = "collapsed"
    DEAD_OVERFLOW = "dead_overflow"
    REFUSED = "refused"


class Observer(Protocol):
    """Who wants to know how the outbox is; called from its thread, `outbox_dropped` from the caller's too."""

    def queued(self, webhook: str, depth: int, oldest_age: float) -> None: ...

    def outbox_dropped(self, reason: DropReason, count: int) -> None: ...

    def outbox_degraded(self, degraded: bool) -> None: ...

    def outbox_failed(self, trouble: Trouble) -> None: ...

    def committed_after(self, seconds: float) -> None: ...

    def disk_free(self, free: int) -> None: ...
