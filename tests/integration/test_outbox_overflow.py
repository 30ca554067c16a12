"""Queues that are full, and databases of older versions."""

import json
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.events import ALARM, NOON, Notes, alarm_event, ended_alarm, open_alarm, stream_event
from support.outboxes import WAIT, commit, queued, refusing_disk, running
from support.wait import until
from tocsin.deliver import clerk
from tocsin.deliver import database as database_module
from tocsin.deliver.alarmdata import EvidenceData
from tocsin.deliver.database import VERSION
from tocsin.deliver.event import Event, EventType, OverrideData
from tocsin.deliver.notation import new_id
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.overflow import Limits
from tocsin.deliver.override import Override, OverrideKind
from tocsin.deliver.schedule import Outcome
from tocsin.deliver.store import Change
from tocsin.deliver.trouble import DropReason
from tocsin.errors import OutboxError

BOTH = {"hook": ("alarm.*", "stream.*"), "other": ("outbox.*",)}
RAISED, REPEATED, ENDED = EventType.ALARM_RAISED, EventType.ALARM_REPEATED, EventType.ALARM_ENDED


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def told(outbox: Outbox) -> list[dict[str, str]]:
    """What the other webhook is told of overflows."""
    bodies = [outbox.body(each.event_id).result(WAIT) or b"" for each in queued(outbox, "other")]
    return [json.loads(body)["data"] for body in bodies]


def test_a_full_queue_keeps_its_raises(path: Path, notes: Notes):
    """Beyond its limit a queue loses the oldest news of streams and repetitions first; each loss is counted."""
    with running(path, notes, BOTH, limits=Limits(rows=4)) as outbox:
        commit(outbox, alarm_event(alarm_id="a"), stream_event(), alarm_event(REPEATED, "a"))
        commit(outbox, alarm_event(ENDED, "a"), alarm_event(alarm_id="b"), alarm_event(alarm_id="c"))
        kept = [(each.type, each.alarm_id) for each in queued(outbox)]
    assert kept == [(RAISED, "a"), (ENDED, "a"), (RAISED, "b"), (RAISED, "c")]
    assert notes.drops == [(DropReason.OVERFLOW, 2)]


def test_a_queue_is_bounded_in_bytes(path: Path, notes: Notes):
    """However few deliveries wait, their bodies take no more than so many bytes; the event names that bound."""
    size = len(alarm_event().render(1))
    with running(path, notes, BOTH, limits=Limits(bytes=5 * size + size // 2)) as outbox:
        commit(outbox, alarm_event(alarm_id="a"), *(alarm_event(REPEATED, "a") for _ in range(9)))
        assert [each.type for each in queued(outbox)] == [RAISED] + [REPEATED] * 4
        until(lambda: [one["reason"] for one in told(outbox)] == ["bytes"], 5, "the event")
    assert notes.drops == [(DropReason.OVERFLOW, 5)]


def test_an_alarm_whose_raise_was_never_sent_has_no_end(path: Path, notes: Notes):
    """What follows a raise that was dropped before it was tried is dropped with it, now and later, and counted."""
    with running(path, notes, BOTH, limits=Limits(rows=2)) as outbox:
        commit(outbox, alarm_event(alarm_id="first"))
        (tried,) = queued(outbox)
        outbox.failed(tried.number, 1, Outcome.TIMEOUT, 1.0)
        commit(outbox, *(alarm_event(alarm_id=name) for name in ("second", "third", "fourth")))
        assert [each.alarm_id for each in queued(outbox)] == ["third", "fourth"]
        for each in queued(outbox):
            outbox.bury(each, 1, Outcome.TIMEOUT, None).result(WAIT)
        commit(outbox, alarm_event(ENDED, "first"), alarm_event(ENDED, "second"))
        assert [(each.type, each.alarm_id) for each in queued(outbox)] == [(ENDED, "first")]
        commit(outbox, alarm_event(alarm_id="second"))
        assert len(queued(outbox)) == 2, "an alarm of that name may come again"
    assert notes.drops == [(DropReason.OVERFLOW, 2), (DropReason.COLLAPSED, 1)]


def test_what_comes_after_the_end_of_an_alarm_finds_nobody_who_never_heard_of_it(path: Path, notes: Notes):
    """A verdict or a clip comes when the alarm is long over; who was told of no alarm is told of neither."""
    data = replace(ALARM, alarm_id="first")
    with running(path, notes, {"hook": ("alarm.*", "evidence.*")}, limits=Limits(rows=1)) as outbox:
        outbox.commit(Change((alarm_event(alarm_id="first"),), (open_alarm("first"),)))
        commit(outbox, alarm_event(alarm_id="second"))
        (second,) = queued(outbox)
        assert second.alarm_id == "second", "the first was not dropped"
        outbox.bury(second, 1, Outcome.TIMEOUT, None).result(WAIT)
        outbox.commit(Change((alarm_event(ENDED, "first"),), (ended_alarm("first"),))).result(WAIT)
        filmed = Event("msg_film", EventType.EVIDENCE_FILMED, NOON, EvidenceData(data, ("clip",)))
        commit(outbox, alarm_event(EventType.ALARM_VERDICT, "first"), filmed)
        assert queued(outbox) == ()


def test_who_is_silenced_is_told_longer_than_what_repeats(path: Path, notes: Notes):
    """A full queue loses raises last, and before them what says that there will be none."""
    now = datetime.now(UTC)
    one = Override("silence_1", OverrideKind.SILENCE, "yard", None, now, now, "anna", "painters")
    begun = Event(new_id(now), EventType.SILENCE_BEGUN, now, OverrideData(one))
    hooks = {"hook": ("alarm.*", "stream.*", "silence.*")}
    with running(path, notes, hooks, limits=Limits(rows=3)) as outbox:
        commit(outbox, begun, alarm_event(alarm_id="a"), stream_event(), alarm_event(REPEATED, "a"))
        commit(outbox, alarm_event(alarm_id="b"))
        assert [each.type for each in queued(outbox)] == [begun.type, RAISED, RAISED]
        commit(outbox, alarm_event(alarm_id="c"))
        assert [each.type for each in queued(outbox)] == [RAISED] * 3


def test_an_end_without_its_raise_is_no_news_while_the_disk_refuses_either(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """What goes on from memory knows which raises were dropped, and the disk does when it is there again."""
    disk = refusing_disk(monkeypatch)
    disk.is_well = True
    with running(path, notes, BOTH, limits=Limits(rows=1)) as outbox:
        commit(outbox, alarm_event(alarm_id="first"), alarm_event(alarm_id="second"))
        (second,) = queued(outbox)
        outbox.bury(second, 1, Outcome.TIMEOUT, None).result(WAIT)
        disk.is_well = False
        late = outbox.commit(Change(events=(alarm_event(ENDED, "first"),), alarms=(ended_alarm("first"),)))
        until(lambda: notes.degraded, 10, "memory to take over")
        assert queued(outbox) == ()
        disk.is_well = True
        late.result(WAIT)
        assert queued(outbox) == ()
        commit(outbox, alarm_event(EventType.ALARM_VERDICT, "first"))
        assert queued(outbox) == ()


@pytest.mark.fault(52)
def test_twenty_thousand_alarms_leave_ten_thousand_raises(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """With a receiver away the queue keeps its bound, raises before updates, and the others hear of it once.

    Whoever holds deliveries in memory is told which of them are gone. Once there was room, the next time is news.
    """
    monkeypatch.setattr(clerk, "COUNT_EVERY", 0.05)
    forgotten: Counter[int] = Counter()
    with capture_logs() as logs, running(path, notes, BOTH) as outbox:
        outbox.listen(lambda: None, forgotten.update)
        for start in range(0, 20_000, 500):
            kinds = ((RAISED, REPEATED)[number % 2] for number in range(start, start + 500))
            events = (alarm_event(kind, f"a{start + n - n % 2}") for n, kind in enumerate(kinds))
            commit(outbox, *events)
        left = queued(outbox)
        assert Counter(each.type for each in left) == {RAISED: len(left)}
        assert 9_900 <= len(left) <= 10_000
        assert sum(count for _, count in notes.drops) == 20_000 - len(left)
        assert {reason for reason, _ in notes.drops} == {DropReason.OVERFLOW}
        assert set(forgotten.values()) == {1}
        assert len(forgotten) == 20_000 - len(left)
        until(lambda: told(outbox), 5, "the event")
        assert told(outbox) == [{"seq": 1, "reason": "rows", "moved_to": None, "webhook": "hook"}]
        for each in left[:1_500]:
            settled = outbox.delivered(each.number, 1)
        settled.result(WAIT)
        until(lambda: any("has room again" in line["event"] for line in logs), 10, "room")
        commit(outbox, *(alarm_event(alarm_id=f"b{n}") for n in range(1_700)))
        until(lambda: len(told(outbox)) == 2, 5, "the second event")
    assert sum("queue is full" in line["event"] for line in logs) == 2


VERSION_1 = """
CREATE TABLE events (id TEXT PRIMARY KEY, type TEXT NOT NULL, at REAL NOT NULL, alarm_id TEXT, body BLOB NOT NULL);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL REFERENCES events(id), webhook TEXT NOT NULL,
    lane TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'dead')),
    queued_at REAL NOT NULL, born REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt REAL NOT NULL DEFAULT 0, wait REAL NOT NULL DEFAULT 0, outcome TEXT, settled_at REAL
);
CREATE INDEX queued ON deliveries (webhook, number) WHERE state = 'queued';
CREATE INDEX settled ON deliveries (state, settled_at) WHERE state != 'queued';
CREATE INDEX of_event ON deliveries (event);
CREATE TRIGGER last_delivery AFTER DELETE ON deliveries
WHEN NOT EXISTS (SELECT 1 FROM deliveries WHERE event = OLD.event)
BEGIN DELETE FROM events WHERE id = OLD.event; END;
CREATE TABLE open_alarms (
    alarm_id TEXT PRIMARY KEY, opened REAL NOT NULL, reported REAL NOT NULL, data TEXT NOT NULL
);
CREATE TABLE sequences (stream TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE life (seconds REAL NOT NULL);
INSERT INTO life VALUES (7);
INSERT INTO sequences VALUES ('entrance', 41);
INSERT INTO events VALUES ('msg_1', 'alarm.raised', 1000, 'alarm_1', x'7b7d');
INSERT INTO deliveries (event, webhook, lane, queued_at, born, attempts)
VALUES ('msg_1', 'hook', 'alarm_1', 1000, 3, 2);
PRAGMA user_version = 1;
"""
"""A database as the first version left it, with one delivery that had failed twice."""


@pytest.fixture
def old(path: Path) -> Path:
    database = sqlite3.connect(path)
    database.executescript(VERSION_1)
    database.close()
    return path


def test_a_database_of_the_first_version_is_brought_up_to_date(old: Path, notes: Notes):
    """What waited before the update is delivered after it, its size counts, and the log says what was done."""
    with capture_logs() as logs, running(old, notes, BOTH) as outbox:
        (waiting,) = queued(outbox)
        assert (waiting.event_id, waiting.attempts) == ("msg_1", 2)
        assert outbox.body("msg_1").result(WAIT) == b"{}"
        commit(outbox, alarm_event())
        until(outbox.counts, 5, "the counts")
        assert b'"seq":42' in (outbox.body(queued(outbox)[1].event_id).result(WAIT) or b"")
    (line,) = [line for line in logs if "brought up to date" in line["event"]]
    assert (line["before"], line["now"]) == (1, VERSION)
    with sqlite3.connect(old) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert database.execute("SELECT size FROM deliveries WHERE event = 'msg_1'").fetchone() == (2,)
    database.close()


def test_old_and_new_databases_have_the_same_tables(old: Path, tmp_path: Path, notes: Notes):
    """A database that went through every version cannot be told from one that is new."""
    tables = []
    for path in (old, tmp_path / "new.db"):
        with running(path, notes, BOTH):
            pass
        database = sqlite3.connect(path)
        columns = (
            "SELECT m.type, m.name, c.name, c.type FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c"
        )
        tables.append(database.execute(f"{columns} ORDER BY m.name, c.cid").fetchall())
        database.close()
    assert tables[0] == tables[1]


def test_an_update_that_fails_leaves_the_old_database(
    old: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """Where one step of an update cannot be made none is, and the daemon says so instead of starting."""
    monkeypatch.setattr(
        database_module, "_STEPS", (*database_module._STEPS, "CREATE TABLE life (twice INT);")
    )
    monkeypatch.setattr(database_module, "VERSION", VERSION + 1)
    with pytest.raises(OutboxError, match="expected a database that can be opened"):
        Outbox(old, BOTH, notes).start()
    database = sqlite3.connect(old)
    assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert "size" not in [row[1] for row in database.execute("PRAGMA table_info(deliveries)")]
    database.close()
