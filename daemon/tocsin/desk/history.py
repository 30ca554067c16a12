"""What happened, and who did what: told to `tocsin alarm` and `tocsin audit` by the daemon, or out of its file."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tocsin.control import Caller, Handler
from tocsin.deliver import audit, history
from tocsin.deliver.act import Act
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry, Extent, Period
from tocsin.deliver.database import read_only
from tocsin.deliver.history import Which
from tocsin.deliver.letters import Letter, of_alarm
from tocsin.deliver.notation import SHORTEST, Json, stamp
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.verdict import Verdict
from tocsin.desk.outbox import limit_of
from tocsin.desk.patience import wait
from tocsin.errors import InputError

W = TypeVar("W", Verdict, Act)

MOST = 2_000
"""Alarms or entries that one answer holds."""

PAGE = 200
"""Alarms that the outbox reads at a time: a raise waits behind no more of them."""

_LETTERS = 1_000
"""Deliveries of one alarm that are told."""

_BYTES = 3_000_000
"""Of what one answer holds, so that it fits through the control socket however long its texts are."""

UNJUDGED = "none"
"""The word for alarms without a verdict."""


class Source(Protocol):
    """Where it is read from; the latest come first."""

    def alarms(self, which: Which) -> tuple[AlarmRecord, ...]: ...
    def audit(self, period: Period) -> tuple[Entry, ...]: ...
    def extent(self) -> Extent: ...
    def letters_of(self, alarm_id: str) -> tuple[Letter, ...]: ...


class Running:
    """The outbox of a running daemon. Raises ControlError where it keeps a person waiting."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def alarms(self, which: Which) -> tuple[AlarmRecord, ...]:
        found = list[AlarmRecord]()
        while (room := which.limit - len(found)) > 0:
            page = replace(which, after=found[-1] if found else None, limit=min(PAGE, room))
            rows = wait(self._outbox.alarms(page))
            found += rows
            if len(rows) < page.limit:
                break
        return tuple(found)

    def audit(self, period: Period) -> tuple[Entry, ...]:
        return wait(self._outbox.audit(period))

    def extent(self) -> Extent:
        return wait(self._outbox.extent())

    def letters_of(self, alarm_id: str) -> tuple[Letter, ...]:
        return wait(self._outbox.letters_of(alarm_id, _LETTERS))


class Resting:
    """The file of a daemon that does not run. Raises OutboxError."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def alarms(self, which: Which) -> tuple[AlarmRecord, ...]:
        return read_only(self._file, lambda database: history.read(database, which))

    def audit(self, period: Period) -> tuple[Entry, ...]:
        return read_only(self._file, lambda database: audit.read(database, period))

    def extent(self) -> Extent:
        return read_only(self._file, audit.extent)

    def letters_of(self, alarm_id: str) -> tuple[Letter, ...]:
        return read_only(self._file, lambda database: of_alarm(database, alarm_id, _LETTERS))


def alarms_listed(source: Source, asked: Json) -> dict[str, Any]:
    """Return the alarms that are asked for, the latest last; raises InputError for what nobody can be asked."""
    rows, left_out = _fitting(_told(record) for record in source.alarms(_which(asked)))
    return {"alarms": rows[::-1], "left_out": left_out}


def alarm_shown(source: Source, asked: Json) -> dict[str, Any]:
    """Return all that is known of one alarm: every verdict on it, and what became of each delivery about it."""
    record = meant(source, str(asked.get("alarm_id")))
    alarm_id = record.alarm.alarm_id
    entries = source.audit(Period(acts=(Act.VERDICT,), subject=alarm_id, limit=MOST))
    verdicts, _ = _fitting(entry.as_json() for entry in entries if entry.subject == alarm_id)
    letters = source.letters_of(alarm_id)
    return {
        "alarm": _told(record),
        "verdicts": verdicts[::-1],
        "deliveries": [dict(letter.as_json()) for letter in letters],
    }


def acts_listed(source: Source, asked: Json) -> dict[str, Any]:
    """Return the entries that are asked for, the latest last; raises InputError for what nobody can be asked."""
    period = _period(asked)
    entries = source.audit(period)
    if not entries and period.subject is not None:
        with suppress(InputError):  # no alarm's identity ends like this
            alarm_id = meant(source, period.subject).alarm.alarm_id
            entries = source.audit(replace(period, subject=alarm_id))
    rows, left_out = _fitting(entry.as_json() for entry in entries)
    return {"entries": rows[::-1], "left_out": left_out}


def acts_verified(source: Source, _: Json) -> dict[str, Any]:
    """Return whether an entry is missing from the record, other than at its old end."""
    found = source.extent()
    told = {"first": found.first, "last": found.last, "count": found.count}
    return {**told, "missing": found.missing, "guarded": found.guarded}


COMMANDS: Mapping[str, Callable[[Source, Json], dict[str, Any]]] = {
    "alarm.list": alarms_listed,
    "alarm.show": alarm_shown,
    "audit.list": acts_listed,
    "audit.verify": acts_verified,
}
"""What can be asked, by the command of the control socket."""


def handlers(outbox: Outbox) -> dict[str, Handler]:
    """Return the handlers of a running daemon's control socket."""
    return {command: partial(_answer, answer, Running(outbox)) for command, answer in COMMANDS.items()}


def _answer(answer: Callable[[Source, Json], dict[str, Any]], source: Source, asked: Json, _: Caller) -> Json:
    return answer(source, asked)


def meant(source: Source, named: str) -> AlarmRecord:
    """Return the alarm of this identity, or the one whose identity ends like this. Raises InputError."""
    if found := source.alarms(Which(ids=(named,))):
        return found[0]
    if len(named) < SHORTEST:
        raise InputError(
            f"expected the id of an alarm or its last {SHORTEST} characters or more, found {named!r}"
        )
    found = tuple(one for one in source.alarms(Which()) if one.alarm.alarm_id.endswith(named.lower()))
    if len(found) == 1:
        return found[0]
    which = ", ".join(one.alarm.alarm_id for one in found) or repr(named[:64])
    raise InputError(f"expected one alarm of those that tocsin alarm list shows, found {which}")


def _told(record: AlarmRecord) -> dict[str, Any]:
    """Return an alarm as it is remembered."""
    ended = record.ended
    return {
        **record.alarm.facts(),
        "opened": stamp(record.opened),
        "ended": None if ended is None else stamp(ended),
        "lasted_seconds": None if ended is None else round((ended - record.opened).total_seconds(), 3),
    }


def _fitting(rows: Iterable[Json]) -> tuple[list[dict[str, Any]], bool]:
    """Return the first of these rows that an answer holds, and whether any are left out."""
    kept, size = list[dict[str, Any]](), 0
    for row in rows:
        size += len(json.dumps(row))
        if size > _BYTES:
            return kept, True
        kept.append(dict(row))
    return kept, False


def _which(asked: Json) -> Which:
    verdict = _text(asked, "verdict")
    return Which(
        stream=_text(asked, "stream"),
        rule=_text(asked, "rule"),
        verdict=None if verdict in (None, UNJUDGED) else _word(Verdict, verdict),
        judged=False if verdict == UNJUDGED else None,
        open=_flag(asked, "open"),
        silenced=_flag(asked, "silenced"),
        test=_flag(asked, "test"),
        since=_time(asked, "since"),
        until=_time(asked, "until"),
        limit=limit_of(asked, MOST),
    )


def _period(asked: Json) -> Period:
    acts = asked.get("acts") or []
    if not isinstance(acts, list):
        raise InputError("acts: expected a list of them, found something else")
    acts = tuple(_word(Act, word) for word in acts)
    return Period(
        _time(asked, "since"), _time(asked, "until"), acts, _text(asked, "subject"), limit_of(asked, MOST)
    )


def _word(words: type[W], word: object) -> W:
    try:
        return words(str(word))
    except ValueError:
        raise InputError(f"expected one of {', '.join(words)}, found {str(word)[:40]!r}") from None


def _text(asked: Json, key: str) -> str | None:
    value = asked.get(key)
    return None if value is None else str(value)


def _flag(asked: Json, key: str) -> bool | None:
    value = asked.get(key)
    return None if value is None else bool(value)


def _time(asked: Json, key: str) -> datetime | None:
    value = asked.get(key)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).astimezone()
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{key}: expected a time, found another") from None
