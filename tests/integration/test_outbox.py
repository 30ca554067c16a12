"""The outbox against a real disk: what is acknowledged stays, whatever happens to process and file."""

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.events import ALARM, NOON, Notes, alarm_event, ended_alarm, open_alarm, stream_event
from support.outboxes import EVERYTHING, WAIT, Disk, commit, queued, refusing_disk, running
from support.wait import SCALE, until
from tocsin.deliver import clerk as clerk_module
from tocsin.deliver import outbox as outbox_module
from tocsin.deliver import standby as standby_module
from tocsin.deliver.database import Marks
from tocsin.deliver.event import DetectorData, Event, EventType, HeartbeatData, StreamData
from tocsin.deliver.letters import Choice, read_letters
from tocsin.deliver.notation import new_id
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.overflow import Limits
from tocsin.deliver.recall import Recall
from tocsin.deliver.schedule import Outcome, State
from tocsin.deliver.store import Change, Store, open_store
from tocsin.deliver.trouble import DropReason
from tocsin.errors import Degradation, OutboxError, StartError


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_a_commit_survives_a_restart(path: Path, notes: Notes):
    """Events, their bodies, their order and the open alarms are the same after a restart."""
    events = [alarm_event(), stream_event(), alarm_event(EventType.ALARM_ENDED)]
    with running(path, notes) as outbox:
        outbox.commit(Change(events=tuple(events), alarms=(open_alarm("kept"), open_alarm("ended")))).result(
            WAIT
        )
        outbox.commit(
            Change(alarms=(replace(open_alarm("kept"), alarm=replace(ALARM, alarm_id="kept", score=0.9)),))
        )
        outbox.commit(Change(alarms=(ended_alarm("ended"),))).result(WAIT)
        before = [(each.event_id, outbox.body(each.event_id).result(WAIT)) for each in queued(outbox)]
    with capture_logs() as logs, running(path, notes) as outbox:
        assert [(each.event_id, outbox.body(each.event_id).result(WAIT)) for each in queued(outbox)] == before
        (alarm,) = outbox.open_alarms().result(WAIT)
    assert [line["waiting"] for line in logs if line["event"] == "outbox opened"] == [3]
    assert [identity for identity, _ in before] == [event.id for event in events]
    assert (alarm.alarm.alarm_id, alarm.alarm.score, alarm.opened) == ("kept", 0.9, open_alarm().opened)


def test_sequence_numbers_count_each_stream(path: Path, notes: Notes):
    """The bodies of one stream are numbered from 1 without a gap, and on after a restart."""
    with running(path, notes) as outbox:
        commit(outbox, stream_event(stream="a"), stream_event(stream="b"), stream_event(stream="a"))
    with running(path, notes) as outbox:
        commit(outbox, stream_event(stream="a"))
        bodies = [outbox.body(each.event_id).result(WAIT) or b"" for each in queued(outbox)]
    assert [body.partition(b'"seq":')[2][:1] for body in bodies] == [b"1", b"1", b"2", b"3"]


def test_webhooks_get_the_events_they_ask_for(path: Path, notes: Notes):
    """An event is queued for each webhook whose patterns select it, and kept by nobody else."""
    with running(path, notes, {"all": ("alarm.*", "stream.*"), "alarms": ("alarm.*",)}) as outbox:
        commit(outbox, stream_event(), alarm_event())
        assert [each.type for each in queued(outbox, "all")] == [
            EventType.STREAM_DOWN,
            EventType.ALARM_RAISED,
        ]
        assert [each.type for each in queued(outbox, "alarms")] == [EventType.ALARM_RAISED]


def test_an_event_is_queued_once(path: Path, notes: Notes):
    """A change that is made a second time, since nobody knew whether the first took effect, adds nothing."""
    event = alarm_event()
    with running(path, notes) as outbox:
        commit(outbox, event)
        commit(outbox, event)
        assert len(queued(outbox)) == 1


def test_settled_deliveries_are_not_queued(path: Path, notes: Notes):
    """What was delivered or buried is not delivered again after a restart, and what failed remembers it."""
    with running(path, notes) as outbox:
        commit(outbox, *(alarm_event(alarm_id=f"a{n}") for n in range(3)))
        first, second, third = queued(outbox)
        outbox.delivered(first.number, attempts=1)
        outbox.bury(second, 9, Outcome.TIMEOUT, notice=None)
        outbox.failed(third.number, 2, Outcome.FAILING, wait=60.0)
    with running(path, notes) as outbox:
        (left,) = queued(outbox)
    assert (left.number, left.attempts, left.wait) == (third.number, 2, 60.0)
    assert left.outcome is Outcome.FAILING
    assert left.next_attempt == pytest.approx(time.time() + 60, abs=30)


def test_the_others_hear_of_a_dead_delivery(path: Path, notes: Notes):
    """The notice of a dead delivery goes to every webhook but the one that failed."""
    with running(path, notes, {"dead": ("alarm.*", "delivery.*"), "alive": ("delivery.*",)}) as outbox:
        commit(outbox, alarm_event())
        (lost,) = queued(outbox, "dead")
        outbox.bury(lost, 300, Outcome.UNREACHABLE, stream_event(EventType.DELIVERY_EXHAUSTED)).result(WAIT)
        assert queued(outbox, "dead") == ()
        assert [each.type for each in queued(outbox, "alive")] == [EventType.DELIVERY_EXHAUSTED]


CHILD = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from tocsin.deliver.event import Event, EventType, StreamData
    from tocsin.deliver.notation import new_id
    from tocsin.deliver.outbox import Outbox
    from tocsin.deliver.store import Change

    class Deaf:
        def queued(self, webhook, depth, oldest_age): pass
        def outbox_dropped(self, reason, count): pass
        def outbox_degraded(self, degraded): pass
        def committed_after(self, seconds): pass
        def disk_free(self, free): pass

    outbox = Outbox(Path(sys.argv[1]), {"hook": ("stream.*",)}, Deaf())
    outbox.start()
    while True:
        now = datetime.now(UTC)
        event = Event(new_id(now), EventType.STREAM_UP, now, StreamData("yard"))
        outbox.commit(Change(events=(event,))).result()
        print(event.id, flush=True)
""")


def acknowledged_until_killed(path: Path, seconds: float) -> set[str]:
    """Let a process commit as fast as it can, kill it, and return the events it was told are safe."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        while not (first := child.stdout.readline().strip()).startswith("msg_"):  # the log comes this way too
            assert first, "the child ended by itself"
        killer = threading.Timer(seconds, child.kill)
        killer.start()
        rest = child.stdout.read().split("\n")
        killer.join()
    assert child.returncode == -signal.SIGKILL, "the fault did not fire"
    return {first, *rest[:-1]}  # what follows the last line break may be half an identity


def test_nothing_acknowledged_is_lost_by_kill_9(path: Path, notes: Notes):
    """Every event whose commit was acknowledged is queued after the process was killed, several times over."""
    acknowledged: set[str] = set()
    for _ in range(4):
        acknowledged |= acknowledged_until_killed(path, random.uniform(0.01, 0.2))
    with running(path, notes, {"hook": ("stream.*",)}) as outbox:
        found = [each.event_id for each in queued(outbox)]
    assert len(acknowledged) > 20
    assert acknowledged <= set(found)
    assert len(found) == len(set(found))


def test_a_second_daemon_is_refused(path: Path, notes: Notes):
    """Two daemons cannot use one state directory, and the second one says so; the first is not disturbed."""
    with running(path, notes) as outbox:
        with pytest.raises(
            StartError, match=r"state_dir: expected .* for one daemon alone, found another using it"
        ):
            Outbox(path, EVERYTHING, notes).start()
        commit(outbox, alarm_event())
    with running(path, notes) as outbox:
        assert len(queued(outbox)) == 1


def test_a_directory_that_is_not_there_is_named(tmp_path: Path, notes: Notes):
    """A state directory that is missing is one sentence."""
    with pytest.raises(
        StartError, match=r"state_dir: expected a directory to write to, found .*nowhere: No such file"
    ):
        Outbox(tmp_path / "nowhere" / "outbox.db", EVERYTHING, notes).start()


def test_a_newer_database_is_refused(path: Path, notes: Notes):
    """A database of a later version is left as it is, and the daemon does not start."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match=r"expected a database of version .* or older, found version 99"):
        Outbox(path, EVERYTHING, notes).start()
    assert path.read_bytes() == before


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return refusing_disk(monkeypatch)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR], ids=["disk full", "flush failed"]
)
def test_what_the_disk_refuses_goes_on_from_memory(path: Path, notes: Notes, disk: Disk, code: int):
    """Events can be read, failed and settled while the disk refuses, and it gets all of that when it is well.

    Numbers, bodies and the order are the same before and after, so that no reader misses or repeats anything.
    """
    disk.is_well = True
    disk.code = code
    with running(path, notes) as outbox:
        commit(outbox, alarm_event(alarm_id="old"))
        (old,) = queued(outbox)
        disk.is_well = False
        events = [alarm_event(), alarm_event(EventType.ALARM_ENDED), alarm_event(alarm_id="other")]
        waiting = [outbox.commit(Change(events=(event,), alarms=(open_alarm("x"),))) for event in events]
        until(lambda: disk.refused > 2, 10, "refusals")
        assert not any(future.done() for future in waiting)
        in_memory = queued(outbox, after=old.number)
        assert [each.event_id for each in in_memory] == [event.id for event in events]
        bodies = [outbox.body(event.id).result(WAIT) for event in events]
        assert not outbox.is_durable(in_memory[0].number)
        outbox.delivered(old.number, 1)
        outbox.delivered(in_memory[0].number, 1).result(WAIT)  # who notes an acceptance waits for no disk
        outbox.failed(in_memory[1].number, 2, Outcome.TIMEOUT, 60.0)
        until(lambda: outbox.counts()[0].queued >= 2, 10, "a count of what is in memory")
        commit_while_full = outbox.commit(Change(alarms=(ended_alarm("x"),)))
        disk.is_well = True
        for future in (*waiting, commit_while_full):
            future.result(WAIT)
        assert outbox.is_durable(in_memory[-1].number)
        assert [outbox.body(event.id).result(WAIT) for event in events] == bodies
        assert [each.number for each in queued(outbox)] == [each.number for each in in_memory[1:]]
        commit(outbox, alarm_event(alarm_id="new"))
    with running(path, notes) as outbox:
        found = queued(outbox)
        assert [each.number for each in found[:2]] == [each.number for each in in_memory[1:]]
        assert (found[0].attempts, found[0].outcome) == (2, Outcome.TIMEOUT)
        assert found[2].number == in_memory[-1].number + 1
        assert outbox.open_alarms().result(WAIT) == ()
        assert b'"seq":5' in (outbox.body(found[2].event_id).result(WAIT) or b"")
    assert notes.degraded == [True, False]
    assert len(set(notes.troubles)) == 1


DOWN, UP, RESTORED = EventType.STREAM_DOWN, EventType.STREAM_UP, EventType.STREAM_RESTORED


def told(kind: EventType, stream: str, reason: str | None = None) -> Event:
    """Return an event about a stream whose state has lasted for a minute."""
    now = datetime.now(UTC)
    return Event(new_id(now), kind, now, StreamData(stream, reason, 60.0))


def stands(outbox: Outbox) -> set[tuple[EventType, str]]:
    return {(one.type, one.subject) for one in outbox.standing().result(WAIT)}


def test_what_was_told_stands_until_it_is_over(path: Path, notes: Notes):
    """What an event began and none ended is known after a restart, whether or not a webhook wanted the event."""
    degraded = DetectorData(Degradation.TOO_SLOW, "m", "p", "yard", "intruder")
    now = datetime.now(UTC)
    with running(path, notes, {}) as outbox:
        commit(outbox, told(DOWN, "yard", "stall"), told(DOWN, "gate", "refused"), told(UP, "yard"))
        commit(outbox, told(EventType.STREAM_FROZEN, "gate", "frozen"))
        commit(outbox, told(EventType.STREAM_COVERED, "gate", "covered"), told(RESTORED, "gate", "frozen"))
        commit(outbox, Event("msg_1", EventType.DETECTOR_DEGRADED, now, degraded))
    with running(path, notes) as outbox:
        assert stands(outbox) == {
            (DOWN, "gate"),
            (EventType.STREAM_COVERED, "gate covered"),
            (EventType.DETECTOR_DEGRADED, "too_slow yard intruder"),
        }
        gate = next(one for one in outbox.standing().result(WAIT) if one.type is DOWN)
        assert gate.data["reason"] == "refused"
        assert (datetime.now(UTC) - gate.since).total_seconds() == pytest.approx(60, abs=30)
        commit(outbox, told(UP, "gate"), told(RESTORED, "gate", "covered"))
        commit(outbox, Event("msg_2", EventType.DETECTOR_RESTORED, now, degraded))
        assert stands(outbox) == set()


def test_what_stands_is_known_while_the_disk_refuses(path: Path, notes: Notes, disk: Disk):
    """What begins and ends in memory counts at once, and on the disk as soon as it takes changes."""
    disk.is_well = True
    with running(path, notes) as outbox:
        commit(outbox, told(DOWN, "old"), told(DOWN, "back"))
        disk.is_well = False
        changes = [told(UP, "old"), told(DOWN, "new"), told(UP, "back"), told(DOWN, "back")]
        waiting = [outbox.commit(Change(events=(event,))) for event in changes]
        until(lambda: disk.refused > 2, 5, "refusals")
        assert stands(outbox) == {(DOWN, "new"), (DOWN, "back")}
        disk.is_well = True
        waiting[-1].result(WAIT)
    with running(path, notes) as outbox:
        assert stands(outbox) == {(DOWN, "new"), (DOWN, "back")}


def test_memory_is_bounded(path: Path, notes: Notes, disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """While the disk refuses, a queue in memory keeps its bound and its raises; who waits not costs nothing."""
    monkeypatch.setattr(standby_module, "MEMORY", Limits(rows=4, settled=4))
    with running(path, notes, {"hook": ("alarm.*", "stream.*")}) as outbox:
        raised = [outbox.commit(Change(events=(alarm_event(alarm_id=f"a{n}"),))) for n in range(3)]
        unheard = [weakref.ref(outbox.commit(Change(events=(stream_event(),)))) for _ in range(3)]
        until(lambda: len(notes.drops) == 2, 5, "the bound")
        assert disk.refused
        types = [each.type for each in queued(outbox)]
        until(lambda: all(one() is None for one in unheard), 5, "the outbox to keep nobody who is gone")
        assert types == [EventType.ALARM_RAISED] * 3 + [EventType.STREAM_DOWN]
        assert notes.drops == [(DropReason.OVERFLOW, 1)] * 2
        disk.is_well = True
        for future in raised:
            future.result(WAIT)
        assert [each.type for each in queued(outbox)] == types


def test_what_waits_for_a_slow_disk_is_bounded(path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch):
    """When too many changes wait for the disk, further ones are refused at once and counted."""
    monkeypatch.setattr(outbox_module, "MAX_BACKLOG", 3)
    gate = threading.Event()
    apply = Store.apply

    def slow(self: Store, *rest: object) -> int:
        gate.wait(WAIT)
        return apply(self, *rest)

    monkeypatch.setattr(Store, "apply", slow)
    with running(path, notes) as outbox:
        waiting = [outbox.commit(Change(events=(alarm_event(),))) for _ in range(3)]
        refused = outbox.commit(Change(events=(alarm_event(), alarm_event())))
        assert isinstance(refused.exception(timeout=0), OutboxError)
        assert notes.drops == [(DropReason.BACKLOG, 2)]
        gate.set()
        for future in waiting:
            future.result(WAIT)


def test_a_stop_does_not_wait_for_a_disk_for_ever(path: Path, notes: Notes, disk: Disk):
    """At the deadline the outbox gives up what the disk refuses, and says how much that was."""
    outbox = Outbox(path, EVERYTHING, notes)
    outbox.start()
    lost = outbox.commit(Change(events=(alarm_event(),)))
    until(lambda: disk.refused, 5, "a refusal")
    began = time.monotonic()
    with pytest.raises(OutboxError, match="expected every change on the disk, found 1 refused"):
        outbox.stop(began + 0.3)
    assert time.monotonic() - began < 1 * SCALE
    assert isinstance(lost.exception(timeout=0), OutboxError)
    outbox.stop(began)


def test_a_slow_disk_holds_up_nobody(path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch):
    """Commits return at once while the disk takes its time."""
    gate = threading.Event()
    apply = Store.apply

    def slow(self: Store, *rest: object) -> int:
        gate.wait(WAIT)
        return apply(self, *rest)

    monkeypatch.setattr(Store, "apply", slow)
    with running(path, notes) as outbox:
        began = time.monotonic()
        futures = [outbox.commit(Change(events=(alarm_event(),))) for _ in range(100)]
        took = time.monotonic() - began
        assert not futures[0].done()
        gate.set()
        futures[-1].result(WAIT)
    assert took < 0.2 * SCALE


def test_an_acceptance_is_noted_before_what_waits(path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch):
    """However many changes wait for the disk, an acceptance is the next: a crash before it would send it again.

    A failure that was handed over before it and written after it changes nothing any more.
    """
    gate, entered = threading.Event(), threading.Event()
    done: list[str] = []
    apply = Store.apply

    def slow(self: Store, *rest: object) -> object:
        entered.set()
        gate.wait(WAIT)
        return apply(self, *rest)

    with running(path, notes) as outbox:
        commit(outbox, alarm_event())
        (old,) = queued(outbox)
        monkeypatch.setattr(Store, "apply", slow)
        waiting = [outbox.commit(Change(events=(alarm_event(),))) for _ in range(3)]
        assert entered.wait(WAIT)
        failed = outbox.failed(old.number, 1, Outcome.FAILING, wait=60.0)
        noted = outbox.delivered(old.number, 2)
        for name, future in (("noted", noted), ("failed", failed), *(("commit", each) for each in waiting)):
            future.add_done_callback(lambda _, name=name: done.append(name))
        gate.set()
        until(lambda: len(done) == 5, WAIT, "all of them")
        assert done == ["commit", "noted", "commit", "commit", "failed"]
        (letter,) = outbox.letters(State.DELIVERED, Choice(), 10).result(WAIT)
    assert (letter.number, letter.attempts, letter.outcome) == (old.number, 2, Outcome.DELIVERED)


def beat() -> Event:
    now = datetime.now(UTC)
    return Event(new_id(now), EventType.TOCSIN_HEARTBEAT, now, HeartbeatData(60.0, 1, 1))


def test_a_heartbeat_takes_the_place_of_one_that_waits(path: Path, notes: Notes):
    """A receiver that was away for days gets the latest one alone, and no event of another kind holds it up."""
    forgotten: list[int] = []
    with running(path, notes, {"hook": ("tocsin.*", "outbox.*"), "other": ("alarm.*",)}) as outbox:
        outbox.listen(lambda: None, forgotten.extend)
        commit(outbox, beat())
        (first,) = queued(outbox)
        outbox.delivered(first.number, 1)
        for _ in range(3):
            commit(outbox, beat())
        (last,) = queued(outbox)
        assert last.lane == EventType.TOCSIN_HEARTBEAT
        assert len(forgotten) == 2
        assert len(outbox.letters(State.DELIVERED, Choice(), 10).result(WAIT)) == 1
    assert notes.drops == []


class Unfit:
    """Data that no JSON can hold."""

    stream = None
    alarm_id = None

    def payload(self) -> dict[str, object]:
        return {"picture": object()}


def test_an_event_that_cannot_be_written_stops_no_other(path: Path, notes: Notes):
    """The commit of an event that is no JSON fails alone."""
    with running(path, notes) as outbox:
        now = open_alarm().opened
        bad = outbox.commit(Change(events=(Event("msg_bad", EventType.ALARM_RAISED, now, Unfit()),)))
        assert "cannot" not in str(bad.exception(WAIT))
        assert isinstance(bad.exception(), OutboxError)
        commit(outbox, alarm_event())
        assert len(queued(outbox)) == 1
    assert notes.degraded == []
    assert notes.drops == [(DropReason.REFUSED, 1)]


def break_apply(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the next application of a change raise `error`, and those after it do as always."""
    errors, apply = [error], Store.apply

    def refuse(self: Store, *rest: object) -> int:
        if errors:
            raise errors.pop()
        return apply(self, *rest)

    monkeypatch.setattr(Store, "apply", refuse)


def test_a_change_that_the_database_refuses_is_said_and_counted(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """A change that no database would take is logged with what is lost, counted, and answered; others go on."""
    error = sqlite3.IntegrityError("UNIQUE constraint failed")
    error.sqlite_errorname = "SQLITE_CONSTRAINT_UNIQUE"
    break_apply(monkeypatch, error)
    with capture_logs() as logs, running(path, notes) as outbox:
        bad = outbox.commit(Change(events=(alarm_event(), stream_event(stream="yard"))))
        assert isinstance(bad.exception(WAIT), OutboxError)
        commit(outbox, alarm_event())
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line == {
        "event": "outbox cannot take a change",
        "log_level": "error",
        "error": "SQLITE_CONSTRAINT_UNIQUE",
        "types": ["alarm.raised", "stream.down"],
        "streams": ["entrance", "yard"],
    }
    assert notes.drops == [(DropReason.REFUSED, 2)]


def test_a_thread_that_dies_is_noticed(path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch):
    """An unexpected error ends the outbox: whoever has to know is told once, and nobody waits for an answer."""
    break_apply(monkeypatch, ValueError("a mistake of ours"))
    told: list[str] = []
    outbox = Outbox(path, EVERYTHING, notes, on_failure=told.append)
    with capture_logs() as logs:
        outbox.start()
        answer = outbox.commit(Change(events=(alarm_event(),)))
        assert isinstance(answer.exception(WAIT), OutboxError)
        until(lambda: told, WAIT, "the sentence")
    assert told == ["the outbox stopped on an unexpected error"]
    assert [line["thread"] for line in logs if line.get("exc_info")] == ["outbox"]
    assert isinstance(outbox.commit(Change()).exception(WAIT), OutboxError)
    outbox.stop(time.monotonic() + WAIT)


def test_a_question_that_kills_the_thread_is_answered(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """Whoever asked when the thread died on the question, or after it, gets an error and does not wait."""
    told: list[str] = []

    def broken(*_: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(Store, "queued", broken)
    outbox = Outbox(path, EVERYTHING, notes, on_failure=told.append)
    outbox.start()
    assert isinstance(outbox.queued("hook", 0, 1).exception(WAIT), OutboxError)
    until(lambda: told, WAIT, "the sentence")
    outbox.stop(time.monotonic() + WAIT)


def test_stop_writes_what_waits(path: Path, notes: Notes):
    """Changes that were handed over before the stop are on the disk after it, and none is taken any more."""
    with running(path, notes) as outbox:
        futures = [outbox.commit(Change(events=(alarm_event(),))) for _ in range(50)]
    assert all(future.done() for future in futures)
    assert isinstance(outbox.commit(Change()).exception(timeout=0), OutboxError)
    with running(path, notes) as again:
        assert len(queued(again)) == 50


def test_queues_are_reported_and_can_be_read_from_outside(
    path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
):
    """The observer hears of the depth of each queue; another process may look at the open database."""
    monkeypatch.setattr(clerk_module, "COUNT_EVERY", 0.05)
    with running(path, notes, {"hook": ("alarm.*",), "quiet": ("stream.*",)}) as outbox:
        commit(outbox, alarm_event(), alarm_event())
        until(lambda: notes.depths == {"hook": 2, "quiet": 0}, 5, "the depths")
        seen = read_letters(path, State.QUEUED, Choice(), 10)
        assert [(count.webhook, count.queued, count.dead) for count in outbox.counts()] == [
            ("hook", 2, 0),
            ("quiet", 0, 0),
        ]
    assert [letter.webhook for letter in seen] == ["hook", "hook"]


def test_queues_of_forgotten_webhooks_are_named(path: Path, notes: Notes):
    """Deliveries for a webhook that is not configured any more are kept, and the log says so."""
    with running(path, notes) as outbox:
        commit(outbox, alarm_event())
    with capture_logs() as logs, running(path, notes, {"other": ("alarm.*",)}):
        pass
    assert [line["webhook"] for line in logs if "not configured" in line["event"]] == ["hook"]


def test_the_thread_shows_that_it_lives(path: Path, notes: Notes):
    """The pulse moves on without anything to do."""
    with running(path, notes) as outbox:
        before = outbox.pulse()
        until(lambda: outbox.pulse() > before, 5, "a pulse")


def test_only_the_owner_may_read_it(path: Path, notes: Notes):
    """Nobody but the daemon's user can read the database and its side files."""
    with running(path, notes) as outbox:
        commit(outbox, alarm_event())
        assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}


def store_at(path: Path, wall: float) -> Store:
    return open_store(path, EVERYTHING, Limits(), Marks(), wall).store


@pytest.mark.parametrize(
    ("days", "left"), [(6.9, 2), (7.1, 1)], ids=["kept for seven days", "gone after them, the dead one stays"]
)
def test_delivered_rows_are_removed_after_a_week(path: Path, days: float, left: int):
    """A sweep removes what was delivered a week ago, with its body, and never what is dead."""
    store = store_at(path, wall=0)
    try:
        delivered, dead = alarm_event(alarm_id="a"), alarm_event(alarm_id="b")
        store.apply(Change(events=(delivered, dead)), 1000)
        first, second = store.queued("hook", 0, 10)
        store.settle(first.number, "delivered", 1, "delivered", 1000)
        store.settle(second.number, "dead", 1, "timeout", 1000)
        store.sweep(1000 + days * 86_400)
        bodies = [store.body(event.id) for event in (delivered, dead)]
    finally:
        store.close()
    assert sum(body is not None for body in bodies) == left


@pytest.mark.parametrize(("days", "left"), [(29, 1), (31, 0)])
def test_what_a_rule_remembered_is_removed_after_a_month(path: Path, days: int, left: int):
    """Of a rule that is gone nobody writes it again."""
    store = store_at(path, wall=0)
    try:
        store.apply(Change(recalled=(Recall("yard", "visit", NOON, NOON),)), 0)
        store.sweep(NOON.timestamp() + days * 86_400)
        assert len(store.recalls()) == left
    finally:
        store.close()


def test_numbers_go_on_in_a_new_database(path: Path):
    """A database that replaces a damaged one numbers on, so that readers who remember miss nothing."""
    store = open_store(path, EVERYTHING, Limits(), Marks(41), wall=0).store
    try:
        store.apply(Change(events=(alarm_event(),)), 0)
        assert [each.number for each in store.queued("hook", 41, 10)] == [42]
        assert store.marks().number == 42
    finally:
        store.close()


def test_a_failed_flush_opens_a_new_connection(
    path: Path, notes: Notes, disk: Disk, monkeypatch: pytest.MonkeyPatch
):
    """After an I/O error the connection is never used again; a full disk leaves it open for reading."""
    opened: list[int] = []
    connect: Callable[..., object] = clerk_module.open_store

    def count(*rest: object, **more: object) -> object:
        opened.append(1)
        return connect(*rest, **more)

    monkeypatch.setattr(clerk_module, "open_store", count)
    with running(path, notes) as outbox:
        future = outbox.commit(Change(events=(alarm_event(),)))
        until(lambda: disk.refused > 2, 5, "refusals by a full disk")
        assert len(opened) == 1
        disk.code = sqlite3.SQLITE_IOERR
        until(lambda: len(opened) > 1, 5, "a new connection")
        disk.is_well = True
        future.result(WAIT)


def test_other_webhooks_count_from_the_next_commit_on(path: Path, notes: Notes):
    """In memory and on the disk alike, and the answer holds what stood at that moment."""
    with running(path, notes) as outbox:
        outbox.commit(Change(events=(stream_event(stream="yard"),)))
        standing = outbox.adopt({"other": ("alarm.*",)})
        outbox.commit(Change(events=(stream_event(stream="gate"), alarm_event()))).result(WAIT)
        assert [one.data["stream"] for one in standing.result(WAIT)] == ["yard"]
        assert [each.type for each in queued(outbox)] == [EventType.STREAM_DOWN]
        assert [each.type for each in queued(outbox, "other")] == [EventType.ALARM_RAISED]
        until(lambda: notes.depths.get("other") == 1, 5, "a count")
        counts = [(one.webhook, one.queued, one.configured) for one in outbox.counts()]
        assert counts == [("other", 1, True), ("hook", 1, False)]
