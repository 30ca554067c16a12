"""The database of the outbox as a file: opened, examined, created, moved aside when it is damaged."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from tocsin.errors import OutboxError

T = TypeVar("T")

log = structlog.get_logger(__name__)

OUTBOX_FILE = "outbox.sqlite"
"""Its name in the state directory."""

KEEP_DAMAGED = (
    3  # databases that were moved aside: a disk that fails again and again must not fill up by that
)

_SCHEMA = """
CREATE TABLE events (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    at REAL NOT NULL,           -- wall time, as all that is not called otherwise
    alarm_id TEXT,
    body BLOB NOT NULL
);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL REFERENCES events(id),
    webhook TEXT NOT NULL,
    lane TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'dead')),
    queued_at REAL NOT NULL,
    born REAL NOT NULL,         -- on the clock of `life`
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt REAL NOT NULL DEFAULT 0,
    wait REAL NOT NULL DEFAULT 0,
    outcome TEXT,
    settled_at REAL
);
CREATE INDEX queued ON deliveries (webhook, number) WHERE state = 'queued';
CREATE INDEX settled ON deliveries (state, settled_at) WHERE state != 'queued';
CREATE INDEX of_event ON deliveries (event);
CREATE TRIGGER last_delivery AFTER DELETE ON deliveries
WHEN NOT EXISTS (SELECT 1 FROM deliveries WHERE event = OLD.event)
BEGIN DELETE FROM events WHERE id = OLD.event; END;
CREATE TABLE open_alarms (
    alarm_id TEXT PRIMARY KEY,
    opened REAL NOT NULL,
    reported REAL NOT NULL,
    data TEXT NOT NULL
);
CREATE TABLE sequences (stream TEXT PRIMARY KEY, last INTEGER NOT NULL);
-- For how long the daemon has run, over all its lives: the only clock that nobody sets. It tells how long a
-- delivery has been tried, so that a wrong date neither kills deliveries nor keeps them for ever.
CREATE TABLE life (seconds REAL NOT NULL);
"""

_STEPS = (
    """
    ALTER TABLE deliveries ADD COLUMN size INTEGER NOT NULL DEFAULT 0;  -- bytes of the body
    UPDATE deliveries SET size = (SELECT length(body) FROM events WHERE id = event);
    DROP INDEX queued;
    CREATE INDEX queued ON deliveries (webhook, number, size) WHERE state = 'queued';
    -- Alarms whose raise was dropped before anybody was asked to take it: their ends are of no use to that webhook.
    CREATE TABLE collapsed (
        webhook TEXT NOT NULL,
        alarm_id TEXT NOT NULL,
        PRIMARY KEY (webhook, alarm_id)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE standing (
        type TEXT NOT NULL,
        subject TEXT NOT NULL,
        since REAL NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (type, subject)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE recalls (          -- what rules remember beyond their open alarms
        stream TEXT NOT NULL,
        rule TEXT NOT NULL,
        at REAL NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (stream, rule)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE alarms (           -- those that are open, and for a time those that ended
        alarm_id TEXT PRIMARY KEY,
        stream TEXT NOT NULL,
        rule TEXT NOT NULL,
        opened REAL NOT NULL,
        reported REAL NOT NULL,
        ended REAL,
        verdict TEXT,
        silenced INTEGER NOT NULL,
        test INTEGER NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX open ON alarms (opened) WHERE ended IS NULL;
    CREATE INDEX history ON alarms (opened);
    INSERT OR IGNORE INTO alarms
        SELECT alarm_id, json_extract(data, '$.stream'), json_extract(data, '$.rule'), opened, reported, NULL,
            json_extract(data, '$.verdict'), 0, coalesce(json_extract(data, '$.test'), 0), data
        FROM open_alarms WHERE json_valid(data);
    DROP TABLE open_alarms;
    CREATE TABLE overrides (        -- silences and walk tests
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        stream TEXT,
        rule TEXT,
        since REAL NOT NULL,
        until REAL NOT NULL,
        over REAL,
        data TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE audit (            -- who did what
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,
        act TEXT NOT NULL,
        by TEXT NOT NULL,
        via TEXT NOT NULL,
        subject TEXT NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX acts ON audit (at);
    CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
    CREATE TRIGGER audit_ends_at_its_old_end BEFORE DELETE ON audit
    WHEN OLD.number != (SELECT min(number) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END;
    """,
)
"""What each version of the tables changed; the first step makes version 2 of the schema above. Steps that were once
released stay as they are: an old database goes through all that it has missed, and a new one through all."""

VERSION = 1 + len(_STEPS)

_SIDES = ("-wal", "-shm")
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
"""What is said where there is no room: for a page, and for the index of the log, which opening needs."""


@dataclass(frozen=True, slots=True)
class Marks:
    """From where a new database counts on.

    `number` is that of the latest delivery, `sequences` those of each stream's latest event, `life` the seconds for
    which the daemon has run.
    """

    number: int = 0
    sequences: Mapping[str, int] = field(default_factory=dict)
    life: float = 0.0


def open_database(
    path: Path, marks: Marks, wall: float, *, alone: bool = False, distrusted: bool = False
) -> sqlite3.Connection:
    """Open the database at `path`, or a new one where there is none or a damaged one, which is moved aside.

    What was moved is `unsaved` until `settle_aside`. A new database counts on from `marks`. One that is opened
    `alone` can be read on a full disk too, since the index of its log is in memory, and no other process can read
    it meanwhile. One that is `distrusted` counts as damaged without being looked at. Raises OutboxError.
    """
    try:
        try:
            if distrusted and path.exists():
                raise damage("what it answered while it was open")
            return _connect(path, marks, alone)
        except sqlite3.DatabaseError as error:
            if not _isdamage(error):
                raise
            _move_aside(path, wall)
            return _connect(path, marks, alone)
    except sqlite3.Error as error:
        raise OutboxError(
            f"{path}: expected a database that can be opened, found {name_of(error)}"
        ) from error
    except OSError as error:
        raise OutboxError(f"{path}: expected a writable file, found: {error.strerror}") from error


def unsaved(path: Path) -> list[Path]:
    """Return what was moved aside and not read out since: a crash may have come before that was done."""
    return sorted(path.parent.glob(f"{path.name}.unsaved-*Z"))


def settle_aside(moved: Path) -> Path:
    """Give what was moved aside, and has been read out, its last name and return that; of older ones two stay.

    Where it cannot be renamed it keeps the name that it has.
    """
    name, _, at = moved.name.rpartition(".unsaved-")
    settled = moved.with_name(f"{name}.corrupt-{at}")
    with suppress(OSError):
        for old in sorted(moved.parent.glob(f"{name}.corrupt-*Z"))[: 1 - KEEP_DAMAGED]:
            _remove(old)
        _rename(moved, settled)
        return settled
    return moved


def read_only(path: Path, ask: Callable[[sqlite3.Connection], T]) -> T:
    """Return what `ask` finds in a database that nobody need have open; nothing is written. Raises OutboxError."""
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
        try:
            version: int = database.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise OutboxError(
                    f"{path}: expected a database of version {VERSION}, found {version}: start its daemon for that"
                )
            return ask(database)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise OutboxError(f"{path}: expected an outbox that can be read, found {name_of(error)}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise OutboxError(
            f"{path}: expected an outbox that can be read, found a row that makes no sense"
        ) from error


def memory_database(marks: Marks) -> sqlite3.Connection:
    """Return a new database that no disk holds."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("PRAGMA temp_store = MEMORY")
    _create(database, marks)
    return database


def name_of(error: sqlite3.Error) -> str:
    """Return SQLite's own word for an error, such as SQLITE_FULL."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def is_full(error: OutboxError) -> bool:
    """Say whether a database could not be opened for want of room on the disk."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(cause, "sqlite_errorcode", None) in _NO_SPACE


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another that has its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def has_tables(path: Path) -> bool:
    """Say whether something may have been written to the database at `path`; True where nobody can tell."""
    try:
        database = sqlite3.connect(path, isolation_level=None)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            return bool(database.execute("PRAGMA user_version").fetchone()[0])
        finally:
            database.close()
    except sqlite3.Error:
        return True


def _isdamage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE  # the low byte: the rest tells where


def _connect(path: Path, marks: Marks, alone: bool) -> sqlite3.Connection:
    # Created here and not by SQLite, for the mode: SQLite gives its side files the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        if alone:  # before anything is read
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Before anything is read: mapped reads beside a damaged log have been seen to spread the damage.
        database.execute("PRAGMA mmap_size = 0")
        version = _version(database, path)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(
            "PRAGMA synchronous = FULL"
        )  # NORMAL does not flush a commit before the next checkpoint
        database.execute("PRAGMA wal_autocheckpoint = 64")
        database.execute("PRAGMA journal_size_limit = 1048576")
        _examine(database)
        if version == 0:
            _create(database, marks)
        elif version < VERSION:
            _migrate(database, version)
    except BaseException:
        database.close()
        raise
    return database


def _examine(database: sqlite3.Connection) -> None:
    """Raise SQLite's own error for damage if the pages do not fit together."""
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damage(verdict)


def damage(found: str) -> sqlite3.DatabaseError:
    """Return SQLite's own error for damage."""
    error = sqlite3.DatabaseError(found)
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT"
    return error


def _move_aside(path: Path, wall: float) -> None:
    """Rename the database and its side files."""
    if len(unsaved(path)) >= KEEP_DAMAGED:  # the disk damages whatever takes the place of the first
        _remove(path)
        return
    suffix = datetime.fromtimestamp(wall, UTC).strftime(".unsaved-%Y%m%dT%H%M%S%fZ")
    _rename(path, path.with_name(path.name + suffix))


def _rename(path: Path, to: Path) -> None:
    for side in (*_SIDES, ""):
        file = path.with_name(path.name + side)
        if file.exists():
            file.rename(to.with_name(to.name + side))


def _remove(path: Path) -> None:
    for side in ("", *_SIDES):
        path.with_name(path.name + side).unlink(missing_ok=True)


def _version(database: sqlite3.Connection, path: Path) -> int:
    """Return the version of the tables, 0 when there are none. Raises OutboxError if it is a later one."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise OutboxError(
            f"{path}: expected a database of version {VERSION} or older, found version {version} of a newer tocsin"
        )
    return version


def _create(database: sqlite3.Connection, marks: Marks) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in _statements("".join((_SCHEMA, *_STEPS))):
            database.execute(statement)
        database.execute("INSERT INTO sqlite_sequence VALUES ('deliveries', ?)", (marks.number,))
        database.execute("INSERT INTO life VALUES (?)", (marks.life,))
        database.executemany("INSERT INTO sequences VALUES (?, ?)", marks.sequences.items())
        database.execute(f"PRAGMA user_version = {VERSION}")


def _migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring the tables of an older version up to date, all or nothing."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in _statements("".join(_STEPS[version - 1 :])):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
    log.info("the tables of the outbox were brought up to date", before=version, now=VERSION)


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script: run as one it would commit by itself what stood before it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), "a script ends with a statement's end"
