"""What the database remembers beyond what waits: alarms that ended, overrides, who did what."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from support.events import NOON, ended_alarm, judged, open_alarm
from tocsin.deliver import audit, history
from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry, Period
from tocsin.deliver.database import Marks, memory_database
from tocsin.deliver.history import Which
from tocsin.deliver.verdict import Verdict


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    database = memory_database(Marks())
    yield database
    database.close()


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def record(name: str, minutes: float, **told: object) -> AlarmRecord:
    known = ended_alarm(name)
    return replace(known, alarm=replace(known.alarm, **told), opened=at(minutes))  # type: ignore[arg-type]


@pytest.fixture
def filled(database: sqlite3.Connection) -> sqlite3.Connection:
    for one in (
        record("a", 0),
        record("b", 1, stream="yard", rule="visit", judged=judged(Verdict.REJECTED)),
        record("c", 2, silenced=True),
        record("d", 3, test=True, judged=judged(Verdict.CONFIRMED)),
        open_alarm("e"),
    ):
        history.write(database, one)
    return database


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (Which(), "dcbea"),
        (Which(ids=("a", "d")), "da"),
        (Which(but=("e", "c"), limit=2), "db"),
        (Which(stream="yard"), "b"),
        (Which(rule="intruder", limit=2), "dc"),
        (Which(verdict=Verdict.REJECTED), "b"),
        (Which(judged=False), "cea"),
        (Which(open=True), "e"),
        (Which(open=False, silenced=False, test=False), "ba"),
        (Which(since=at(1), until=at(3)), "cb"),
    ],
)
def test_alarms_are_found_by_what_is_asked(filled: sqlite3.Connection, which: Which, found: str) -> None:
    """All that fit everything that was asked, newest first, and as many as were asked for."""
    assert "".join(one.alarm.alarm_id for one in history.read(filled, which)) == found


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_long_list_comes_in_pages(filled: sqlite3.Connection, size: int) -> None:
    """Each goes on where the one before ended, also between alarms of the same moment."""
    history.write(filled, open_alarm("f"))
    found: list[AlarmRecord] = []
    while page := history.read(filled, Which(after=found[-1] if found else None, limit=size)):
        found += page
    assert "".join(one.alarm.alarm_id for one in found) == "dcbfea"


def test_an_alarm_is_what_was_last_written_of_it(database: sqlite3.Connection) -> None:
    """Its end and its verdict take the place of what was known before."""
    history.write(database, open_alarm("a"))
    last = record("a", 0, judged=judged(Verdict.REJECTED))
    history.write(database, last)
    (found,) = history.read(database, Which())
    assert (found.opened, found.ended, found.alarm.judged) == (last.opened, last.ended, last.alarm.judged)


def test_open_alarms_outlive_every_sweep(filled: sqlite3.Connection) -> None:
    """What ended before the given time goes, at most as many as one sweep may take, and the oldest first."""
    before = {one.alarm.alarm_id for one in history.read(filled, Which())}
    assert history.sweep(filled, at(9).timestamp(), most=2) == 0, "none of them for its number"
    left = {one.alarm.alarm_id for one in history.read(filled, Which())}
    assert len(before - left) == 2
    assert history.sweep(filled, at(99).timestamp(), most=100) == 0
    assert all(one.ended is None for one in history.read(filled, Which()))
    assert history.read(filled, Which())


def test_who_never_heard_of_an_alarm_is_known_for_as_long_as_the_alarm(filled: sqlite3.Connection) -> None:
    """Something may follow until then, and nothing after it."""
    filled.executemany("INSERT INTO collapsed VALUES ('hook', ?)", [("a",), ("d",), ("e",)])
    history.sweep(filled, at(1).timestamp(), most=100)
    assert filled.execute("SELECT alarm_id FROM collapsed").fetchall() == [("d",), ("e",)]


def test_too_many_alarms_lose_the_oldest(filled: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their age; how many is told, since nobody asked for that."""
    monkeypatch.setattr(history, "MOST", 2)
    assert history.sweep(filled, 0.0, most=100) == 2
    assert [one.alarm.alarm_id for one in history.read(filled, Which())] == ["d", "c", "e"]


def entry(minutes: float, act: Act = Act.VERDICT, subject: str = "alarm_1") -> Entry:
    return Entry(at(minutes), act, "anna", Via.COMMAND, subject, {"verdict": "rejected"})


def test_the_audit_takes_back_nothing(database: sqlite3.Connection) -> None:
    """No entry is altered, and none leaves from the middle."""
    entries = [entry(n) for n in range(3)]
    for one in entries:
        audit.write(database, one)
    audit.write(database, entries[0])
    for statement in (
        "UPDATE audit SET by = 'nobody' WHERE number = 2",
        "DELETE FROM audit WHERE number = 2",
        "DELETE FROM audit WHERE number >= 2",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
            database.execute(statement)
    assert audit.read(database, Period()) == tuple(reversed(entries)), (
        "and one that came twice stands there once"
    )


def test_acts_are_found_by_what_is_asked(database: sqlite3.Connection) -> None:
    """By time, by what was done and to what; the latest, newest first."""
    entries = [entry(0), entry(1, Act.CONFIG_CHANGED, "sha256:1"), entry(2), entry(3, subject="alarm_2")]
    for one in entries:
        audit.write(database, one)
    assert audit.read(database, Period(limit=1)) == (entries[3],)
    assert audit.read(database, Period(since=at(1), until=at(3))) == (entries[2], entries[1])
    assert audit.read(database, Period(acts=(Act.VERDICT,), subject="alarm_1")) == (entries[2], entries[0])


@pytest.mark.parametrize("name", ["hook", "höök", 'a "b\\c"'])
def test_what_names_somebody_is_about_them(database: sqlite3.Connection, name: str) -> None:
    """As a detail, whole and not as a part of one nor as its word, however it is written down."""
    about = replace(entry(0, Act.OUTBOX_PURGED, "outbox"), details={"webhook": name})
    for one in (
        about,
        replace(about, id="b", details={"webhook": f"{name}s"}),
        replace(about, id="c", details={name: "x"}),
    ):
        audit.write(database, one)
    assert audit.read(database, Period(subject=name)) == (about,)


def test_the_audit_loses_its_old_end(database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than the given time, up to the first that is not; and what is too much."""
    entries = [entry(0), entry(1), entry(5), entry(2), entry(6)]
    for one in entries:
        audit.write(database, one)
    assert audit.sweep(database, at(3).timestamp(), most=1) == 0, "none of them for its number"
    assert len(audit.read(database, Period())) == 4
    assert audit.sweep(database, at(3).timestamp(), most=9) == 0
    assert audit.read(database, Period()) == (entries[4], entries[3], entries[2])
    monkeypatch.setattr(audit, "MOST", 1)
    assert audit.sweep(database, 0.0, most=9) == 2
    assert audit.read(database, Period()) == (entries[4],)


def test_the_latest_entry_is_never_swept(database: sqlite3.Connection) -> None:
    """So numbers go on for ever, and one that is missing is missed."""
    for n in range(3):
        audit.write(database, entry(n))
    audit.sweep(database, at(99).timestamp(), most=9)
    audit.write(database, entry(3))
    assert database.execute("SELECT number FROM audit").fetchall() == [(3,), (4,)]
