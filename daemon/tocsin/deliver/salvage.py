"""What can still be read of a damaged database goes into the one that replaces it."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tocsin.deliver import audit, history, override
from tocsin.deliver.database import settle_aside, unsaved
from tocsin.deliver.event import EventType
from tocsin.deliver.recall import recalled
from tocsin.deliver.schedule import Outcome, State

Row = tuple[Any, ...]

_DELIVERY = (
    "number",
    "event",
    "webhook",
    "lane",
    "state",
    "queued_at",
    "born",
    "attempts",
    "next_attempt",
    "wait",
)
_EVENT = ("id", "type", "at", "alarm_id", "body")
_WITHOUT_ROWID = frozenset({"collapsed", "standing", "recalls", "overrides"})
_HIGHEST = 1 << 62  # beyond every number, and within what SQLite can count


@dataclass(frozen=True, slots=True)
class Saved:
    """What was saved: deliveries that wait or were given up, and alarms that are open."""

    deliveries: int = 0
    alarms: int = 0


def read_out(path: Path, into: sqlite3.Connection) -> tuple[Path | None, Saved]:
    """Copy what can be read of all that was moved aside from `path`; return also where the last of it is now."""
    moved, saved = None, Saved()
    for damaged in unsaved(path):
        with suppress(sqlite3.Error):  # it stays beside the new one, for whoever can do better
            found = salvage(damaged, into)
            saved = Saved(saved.deliveries + found.deliveries, saved.alarms + found.alarms)
        moved = settle_aside(damaged)
    return moved, saved


def salvage(damaged: Path, into: sqlite3.Connection) -> Saved:
    """Copy what waits, what was given up and what is open; what was delivered stays behind.

    A row counts if it can be read and makes sense: damage may leave a row that is none. Raises sqlite3.Error, and
    then nothing was copied.
    """
    with closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as old, into:
        into.execute("BEGIN IMMEDIATE")
        for stream, last in _rows(old, ("stream", "last"), "sequences", _is_sequence):
            into.execute(
                "INSERT INTO sequences VALUES (?, ?)"
                " ON CONFLICT (stream) DO UPDATE SET last = max(last, excluded.last)",
                (stream, last),
            )
        for row in _rows(old, ("seconds",), "life", _is_life):
            into.execute("UPDATE life SET seconds = max(seconds, ?)", row)
        _copy(old, into, "collapsed", ("webhook", "alarm_id"), _is_collapsed)
        _copy(old, into, "standing", ("type", "subject", "since", "data"), _is_standing)
        _copy(old, into, "recalls", ("stream", "rule", "at", "data"), _is_recall)
        _copy(old, into, "overrides", override.COLUMNS, _is_override)
        _copy(old, into, "audit", audit.COLUMNS, _is_entry)
        _copy(old, into, "alarms", history.COLUMNS, _is_alarm)
        return Saved(_copy_deliveries(old, into), len(history.read_open(into)))


def _copy(
    old: sqlite3.Connection,
    into: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    fits: Callable[[Row], bool],
) -> None:
    places = ", ".join("?" * len(columns))
    rows = list(_rows(old, columns, table, fits))
    words = ", ".join(columns)
    into.executemany(f"INSERT OR IGNORE INTO {table} ({words}) VALUES ({places})", rows)  # noqa: S608 - our own words


def _copy_deliveries(old: sqlite3.Connection, into: sqlite3.Connection) -> int:
    """Copy the deliveries that have an event, and those events; return how many."""
    # By its place and not by its name: the names have an index, which may be damaged where the table is not.
    places = {name: place for place, name in _rows(old, ("rowid", "id"), "events", lambda _: True)}
    count = 0
    for *row, outcome, settled_at in _rows(
        old, (*_DELIVERY, "outcome", "settled_at"), "deliveries", _is_delivery
    ):
        event = _event(old, places.get(row[1]))
        if event is None:
            continue
        into.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)", event)
        into.execute(
            f"INSERT OR IGNORE INTO deliveries ({', '.join(_DELIVERY)}, outcome, settled_at, size)"  # noqa: S608
            f" VALUES ({', '.join('?' * len(_DELIVERY))}, ?, ?, ?)",
            (*row, outcome, settled_at, len(event[-1])),
        )
        count += 1
    return count


def _event(old: sqlite3.Connection, place: int | None) -> Row | None:
    with suppress(sqlite3.Error):
        row = old.execute(f"SELECT {', '.join(_EVENT)} FROM events WHERE rowid = ?", (place,)).fetchone()  # noqa: S608
        if row is not None and _is_event(row):
            return tuple(row)
    return None


def _rows(
    old: sqlite3.Connection, columns: tuple[str, ...], table: str, fits: Callable[[Row], bool]
) -> Iterator[Row]:
    """Yield the rows of a table that can be read and fit, each once."""
    seen: set[Row] = set()
    words = ", ".join(columns)
    scan = _small(old, words, table) if table in _WITHOUT_ROWID else _large(old, words, table)
    for row in scan:
        if row not in seen and fits(row):
            seen.add(row)
            yield row


def _large(old: sqlite3.Connection, words: str, table: str) -> Iterator[Row]:
    """Read a table upwards and then down, stepping over what cannot be read ever further until it is passed.

    What a step upwards left out behind the hole is found on the way down.
    """
    for sign, comes, way in ((1, ">", "ASC"), (-1, "<", "DESC")):
        asked = f"SELECT rowid, {words} FROM {table} WHERE rowid {comes} ? ORDER BY rowid {way}"  # noqa: S608
        at, step, is_whole = (0 if sign > 0 else _HIGHEST), 1, True
        while 0 <= at <= _HIGHEST:
            try:
                for place, *row in old.execute(asked, (at,)):
                    at, step = place, 1
                    yield tuple(row)
                break
            except sqlite3.Error:
                at, step, is_whole = at + sign * step, step * 2, False
        if is_whole:
            return


def _small(old: sqlite3.Connection, words: str, table: str) -> Iterator[Row]:
    """Read a table from either end as far as it goes."""
    for way in ("ASC", "DESC"):
        with suppress(sqlite3.Error):
            yield from old.execute(f"SELECT {words} FROM {table} ORDER BY 1 {way}")  # noqa: S608 - our own words
            return


def _is_delivery(row: Row) -> bool:
    number, event, webhook, lane, state, *numbers, outcome, settled = row
    return (
        _are(
            (number, int),
            (event, str),
            (webhook, str),
            (lane, str),
            *((each, (int, float)) for each in numbers),
        )
        and number > 0
        and state in (State.QUEUED, State.DEAD)
        and (outcome is None or outcome in set(Outcome))
        and isinstance(settled, float | int | None)
    )


def _is_event(row: Row) -> bool:
    identity, kind, at, alarm_id, body = row
    if not _are((identity, str), (at, (int, float)), (body, bytes)) or not isinstance(alarm_id, str | None):
        return False
    try:
        return kind in set(EventType) and json.loads(body)["type"] == kind
    except (ValueError, TypeError, KeyError):
        return False


def _is_alarm(row: Row) -> bool:
    alarm_id, stream, rule, opened, reported, ended, verdict, silenced, test, data = row
    try:
        alarm = history.recorded(opened, reported, ended, data).alarm
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
        return False
    told = None if alarm.judged is None else alarm.judged.verdict.value
    there = alarm.alarm_id, alarm.stream, alarm.rule, told, alarm.silenced, alarm.test
    return there == (alarm_id, stream, rule, verdict, bool(silenced), bool(test))


def _is_override(row: Row) -> bool:
    return _makes_sense(row, override.overridden) and _are((row[0], str))


def _is_entry(row: Row) -> bool:
    return _makes_sense(row, audit.entered) and _are((row[0], str), (row[3], str), (row[5], str))


def _makes_sense(row: Row, made: Callable[..., object]) -> bool:
    try:
        made(*row)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return False
    return True


def _is_standing(row: Row) -> bool:
    kind, subject, since, data = row
    try:
        payload = json.loads(data)
    except (ValueError, TypeError):
        return False
    return kind in set(EventType) and isinstance(payload, dict) and _are((subject, str)) and _is_time(since)


def _is_recall(row: Row) -> bool:
    return _makes_sense(row, recalled) and _are((row[0], str), (row[1], str))


def _is_sequence(row: Row) -> bool:
    return _are((row[0], str), (row[1], int))


def _is_life(row: Row) -> bool:
    return _are((row[0], (int, float)))


def _is_collapsed(row: Row) -> bool:
    return _are((row[0], str), (row[1], str))


def _is_time(value: object) -> bool:
    if not isinstance(value, int | float):
        return False
    try:
        datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return True


def _are(*pairs: tuple[object, type | tuple[type, ...]]) -> bool:
    return all(isinstance(value, kind) for value, kind in pairs)
