"""Databases that are damaged: at the start, under the daemon, and in ways that their own checks let pass."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.events import NOON, Notes, alarm_event, open_alarm
from support.outboxes import EVERYTHING, WAIT, commit, queued, refusing_disk, running
from support.wait import until
from tocsin.deliver import clerk, salvage, store
from tocsin.deliver.database import Marks
from tocsin.deliver.event import EventType
from tocsin.deliver.letters import Choice
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.overflow import Limits
from tocsin.deliver.recall import Recall
from tocsin.deliver.schedule import State
from tocsin.deliver.store import Change
from tocsin.deliver.trouble import Trouble
from tocsin.errors import StartError

RECALL = Recall("entrance", "intruder", NOON, None)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.mark.fault(51)
def test_a_damaged_database_is_moved_aside(path: Path, notes: Notes):
    """A file that is no database is kept under another name, a new one takes over, and an event says so."""
    with running(path, notes) as outbox:
        commit(outbox, *(alarm_event(alarm_id=f"a{n}") for n in range(50)))
    path.write_bytes(b"\x00garbage" * 1000)
    outbox = Outbox(path, EVERYTHING, notes)
    with capture_logs() as logs:
        moved = outbox.start()
    try:
        assert moved is not None
        assert moved.read_bytes().startswith(b"\x00garbage")
        assert moved.name.startswith("outbox.db.corrupt-")
        until(lambda: queued(outbox), 5, "the event")
        assert [each.type for each in queued(outbox)] == [EventType.OUTBOX_RESET]
        commit(outbox, alarm_event())
    finally:
        outbox.stop(time.monotonic() + WAIT)
    assert "outbox was damaged, a new one replaces it" in {line["event"] for line in logs}


def test_damaged_pages_are_found_at_start(path: Path, notes: Notes):
    """Damage within the pages of a database is seen before anything is sent from it."""
    with running(path, notes) as outbox:
        commit(outbox, *(alarm_event(alarm_id=f"a{n}") for n in range(200)))
    content = bytearray(path.read_bytes())
    for page in range(4, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    path.write_bytes(content)
    outbox = Outbox(path, EVERYTHING, notes)
    try:
        assert outbox.start() is not None
    finally:
        outbox.stop(time.monotonic() + WAIT)


def committed_on_disk(path: Path, notes: Notes, count: int) -> list[str]:
    """Leave a database with so many raises behind; return the ids of its events."""
    with running(path, notes) as outbox:
        events = [alarm_event(alarm_id=f"a{n}") for n in range(count)]
        alarms = (open_alarm("a0"), open_alarm("a1"))
        outbox.commit(Change(tuple(events), alarms=alarms, recalled=(RECALL,))).result(WAIT)
        outbox.delivered(queued(outbox)[0].number, 1).result(WAIT)
    return [event.id for event in events]


def spoil(path: Path, pages: range) -> None:
    """Overwrite pages of a database in place, as a failing disk would."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


@pytest.mark.fault(51)
def test_what_can_be_read_of_a_damaged_database_is_saved(path: Path, notes: Notes):
    """Damage here and there costs the deliveries that it hit: the others keep their numbers, bodies and alarms."""
    before = committed_on_disk(path, notes, 400)
    size = path.stat().st_size // 4096
    spoil(path, range(20, size, 60))
    outbox = Outbox(path, EVERYTHING, notes)
    with capture_logs() as logs:
        assert outbox.start() is not None, "the fault was not seen"
    try:
        until(lambda: queued(outbox)[-1].type is EventType.OUTBOX_RESET, 5, "the event")
        *left, reset = queued(outbox)
        assert 200 < len(left) < 399
        assert before[-1] in {each.event_id for each in left}
        assert [each.event_id for each in left] == [
            one for one in before[1:] if one in {e.event_id for e in left}
        ]
        assert all((each.number, each.webhook) == (before.index(each.event_id) + 1, "hook") for each in left)
        assert all(outbox.body(each.event_id).result(WAIT) for each in left)
        assert reset.number > left[-1].number
        assert len(outbox.open_alarms().result(WAIT)) == 2
        assert outbox.recalls().result(WAIT) == (RECALL,)
        commit(outbox, alarm_event())
        assert b'"seq":401' in (outbox.body(queued(outbox)[-1].event_id).result(WAIT) or b"")
    finally:
        outbox.stop(time.monotonic() + WAIT)
    (line,) = [line for line in logs if "was damaged" in line["event"]]
    assert (line["deliveries_saved"], line["alarms_saved"]) == (len(left), 2)


@pytest.mark.fault(51)
def test_damage_while_it_runs_is_mended_at_once(path: Path, notes: Notes):
    """Pages that rot under an open database are seen when they are read: a new one takes over, with what is left.

    Who asked is answered, who notes or commits meanwhile is not disturbed, and the others hear of it.
    """
    before = committed_on_disk(path, notes, 6_000)  # more than SQLite keeps in memory
    with running(path, notes) as outbox:
        spoil(path, range(20, path.stat().st_size // 4096, 100))
        left = queued(outbox)
        assert notes.troubles == [Trouble.DAMAGED], "the fault did not fire"
        assert 5_000 < len(left) < 5_999
        outbox.delivered(left[0].number, 1).result(WAIT)
        new = alarm_event(alarm_id="new")
        commit(outbox, new)
        after = queued(outbox)
        assert [each.type for each in after[-2:]] == [EventType.OUTBOX_RESET, EventType.ALARM_RAISED]
        assert [each.event_id for each in after[:-2]] == [each.event_id for each in left[1:]]
        assert len(outbox.open_alarms().result(WAIT)) == 2
    assert set(before) > {each.event_id for each in left}
    assert notes.degraded == [True, False]
    assert len(list(path.parent.glob("outbox.db.corrupt-*Z"))) == 1


def test_a_row_that_nobody_wrote_is_damage(path: Path, notes: Notes):
    """What the pages' own checks let pass and makes no sense stops no other delivery, at the next start neither."""
    committed_on_disk(path, notes, 3)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE events SET type = 'alarm.rbised' WHERE rowid = 2")
        database.execute("UPDATE alarms SET data = '{' WHERE alarm_id = 'a0'")
    database.close()
    with running(path, notes) as outbox:
        assert [known.alarm.alarm_id for known in outbox.open_alarms().result(WAIT)] == ["a1"]
        assert [each.type for each in queued(outbox)] == [EventType.ALARM_RAISED, EventType.OUTBOX_RESET]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR])
def test_a_database_that_stays_unusable_is_replaced(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch, code: int
):
    """Where a look at it finds nothing wrong and it fails all the same, a new one takes over with all of it."""
    disk = refusing_disk(monkeypatch)
    disk.is_well, disk.code = True, code
    monkeypatch.setattr(clerk, "PATIENCE", 0.2)
    with running(path, notes) as outbox:
        commit(outbox, alarm_event(alarm_id="old"))
        disk.is_well = False
        late = outbox.commit(Change(events=(alarm_event(alarm_id="new"),)))
        until(lambda: list(path.parent.glob("outbox.db.corrupt-*Z")), 10, "the replacement")
        disk.is_well = True
        late.result(WAIT)
        until(lambda: queued(outbox)[-1].type is EventType.OUTBOX_RESET, 10, "the event")
        names = [each.alarm_id for each in queued(outbox) if each.alarm_id]
    assert names == ["old", "new"]
    assert disk.refused >= 1
    assert disk.refused > 1 or code != sqlite3.SQLITE_IOERR, "a failure to read or write is tried again first"


def test_three_damaged_databases_are_kept(path: Path, notes: Notes):
    """A disk that damages each one is not filled up by what is kept of them: the oldest go."""
    moved = []
    for _ in range(5):
        path.write_bytes(b"\x00garbage" * 1000)
        outbox = Outbox(path, EVERYTHING, notes)
        moved.append(outbox.start())
        outbox.stop(time.monotonic() + WAIT)
    assert sorted(path.parent.glob("outbox.db.corrupt-*Z")) == moved[-3:]


class PowerCut(BaseException):
    """Nothing catches it, and nothing more is done."""


@pytest.mark.fault(51)
def test_a_crash_before_a_damaged_database_was_read_out_loses_nothing_of_it(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """The next start reads it out; and where a new database is damaged at once, too, the first is not forgotten."""
    before = committed_on_disk(path, notes, 400)
    spoil(path, range(20, path.stat().st_size // 4096, 60))

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as crash:
        crash.setattr(salvage, "salvage", cut)
        for _ in range(5):
            with pytest.raises(PowerCut):
                store.open_store(path, EVERYTHING, Limits(), Marks(), time.time())
            for side in path.parent.glob("outbox.db-*"):
                side.unlink()
            path.write_bytes(b"\x00garbage" * 1000)
    outbox = Outbox(path, EVERYTHING, notes)
    moved = outbox.start()
    try:
        assert moved is not None, "the fault was not seen"
        left = [each for each in queued(outbox) if each.type is EventType.ALARM_RAISED]
        assert 200 < len(left) < 400
        assert {each.event_id for each in left} <= set(before)
        assert len(outbox.open_alarms().result(WAIT)) == 2
    finally:
        outbox.stop(time.monotonic() + WAIT)
    kept = sorted(path.parent.glob("outbox.db.*-*Z"))
    assert (len(kept), kept[-1]) == (3, moved)
    with running(path, notes) as outbox:
        assert len(queued(outbox)) == len(left) + 1, "and what told of it"
        assert not [each for each in path.parent.iterdir() if ".unsaved-" in each.name]


def remove_files(path: Path) -> None:
    for file in path.parent.glob("outbox.db*"):
        file.unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace_file(path: Path) -> None:
    """Put a new file in the place of the database, as a backup that is restored would be."""
    remove_files(path)
    path.touch()


@pytest.mark.parametrize("remove", [remove_files, remove_folder, replace_file])
def test_a_database_that_is_removed_is_made_anew(
    tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch, remove: Callable[[Path], None]
):
    """An open file outlives its name, and would end with the process: all of it is put where it belongs."""
    monkeypatch.setattr(clerk, "COUNT_EVERY", 0.05)
    monkeypatch.setattr(clerk, "COUNT_IDLE", 0.05)
    monkeypatch.setattr(clerk, "RETRY", 0.1)
    path = tmp_path / "state" / "outbox.db"
    path.parent.mkdir()
    with running(path, notes) as outbox:
        change = Change((alarm_event(alarm_id="a"), alarm_event(alarm_id="b")), alarms=(open_alarm("b"),))
        outbox.commit(change).result(WAIT)
        first, second = queued(outbox)
        outbox.delivered(first.number, 1).result(WAIT)
        remove(path)
        until(lambda: notes.degraded, 10, "the removal to be noticed")
        late = outbox.commit(Change(events=(alarm_event(alarm_id="c"),)))
        assert [each.alarm_id for each in queued(outbox)] == ["b", "c"]
        late.result(WAIT)
        until(lambda: notes.degraded == [True, False], 10, "a new database")
        assert outbox.body(second.event_id).result(WAIT)
        with pytest.raises(StartError, match="found another using it"):
            Outbox(path, EVERYTHING, Notes()).start()
    with running(path, notes) as outbox:
        assert [(each.number, each.alarm_id) for each in queued(outbox)] == [(2, "b"), (3, "c")]
        assert [known.alarm.alarm_id for known in outbox.open_alarms().result(WAIT)] == ["b"]
        assert len(outbox.letters(State.DELIVERED, Choice(), 10).result(WAIT)) == 1
        commit(outbox, alarm_event(alarm_id="d"))
        assert b'"seq":4' in (outbox.body(queued(outbox)[-1].event_id).result(WAIT) or b"")
    assert notes.troubles == [Trouble.GONE]
