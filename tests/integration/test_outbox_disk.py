"""The outbox on disks that are full, fail or take their time: real ones, and system calls that are made to fail."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.counterpart import need
from support.disk import SmallDisk, small_disk
from support.events import Notes, alarm_event, open_alarm
from support.receiver import Receiver
from support.wait import SCALE, until
from tocsin.deliver import ballast as ballast_module
from tocsin.deliver import clerk as clerk_module
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.letters import Choice
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.schedule import State
from tocsin.deliver.store import Change
from tocsin.deliver.trouble import Trouble
from tocsin.deliver.webhook import Webhook

HOOKS = {"hook": ("alarm.*", "outbox.*")}
LONG = 10 * SCALE  # seconds in which everything here happens on a busy machine, too


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        yield disk


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    monkeypatch.setattr(clerk_module, "COUNT_EVERY", 0.1)
    monkeypatch.setattr(clerk_module, "SWEEP_EVERY", 0.1)
    monkeypatch.setattr(clerk_module, "RETRY", 0.2)
    monkeypatch.setattr(ballast_module, "SIZE", 512 * 1024)
    return Notes()


@pytest.mark.fault(48)
def test_a_full_disk_stops_no_alarm(disk: SmallDisk, notes: Notes, receiver: Receiver) -> None:
    """Alarms are delivered from memory while the disk is full, and all is on the disk soon after there is room.

    Before that the space that was held back keeps them durable for a while.
    """
    path = disk.path / "outbox.db"
    ballast = path.with_name("outbox.db.ballast")
    outbox = Outbox(path, HOOKS, notes)
    webhook = Webhook("hook", receiver.url, receiver.secret)
    dispatcher = Dispatcher(outbox, [webhook], notes)
    outbox.start()
    dispatcher.start()
    try:
        until(ballast.exists, 30, "the ballast")
        disk.fill()
        sent = 0

        def alarm() -> None:
            nonlocal sent
            for _ in range(5):
                sent += 1
                outbox.commit(Change(events=(alarm_event(alarm_id=f"a{sent}"),)))
            receiver.wait_for("alarm.raised", sent, timeout=LONG)

        while not notes.troubles:
            alarm()
            assert sent < 2000, "the disk was never full"
        assert not ballast.exists()
        assert notes.degraded == [], "what was held back is used first"
        in_time = sent
        while not notes.degraded:
            alarm()
            assert sent < 5000, "the disk was never full again"
        assert set(notes.troubles) == {Trouble.FULL}
        assert sent > in_time + 20
        alarm()
        alarm()
        assert receiver.accepted[-1].headers["tocsin-durable"] == "false"
        assert "tocsin-durable" not in receiver.accepted[0].headers
        assert notes.free[-1] < 64 * 1024
        disk.clear()
        until(lambda: notes.degraded == [True, False], 30, "the disk to be used again")
        until(ballast.exists, 30, "the ballast")
        alarm()
    finally:
        dispatcher.stop(time.monotonic() + LONG)
        outbox.stop(time.monotonic() + LONG)
    assert len({message.id for message in receiver.requests}) == len(receiver.requests) == sent
    again = Outbox(path, HOOKS, notes)
    again.start()
    try:
        assert again.queued("hook", 0, 10).result(LONG) == ()
        assert all(again.body(message.id).result(LONG) == message.raw for message in receiver.requests[-20:])
    finally:
        again.stop(time.monotonic() + LONG)


@pytest.mark.fault(48)
def test_a_daemon_starts_on_a_full_disk(disk: SmallDisk, notes: Notes) -> None:
    """The space that an earlier life held back lets the next one open its database and take alarms."""
    path = disk.path / "outbox.db"
    ballast = path.with_name("outbox.db.ballast")
    first = Outbox(path, HOOKS, notes)
    first.start()
    until(ballast.exists, 5, "the ballast")
    first.stop(time.monotonic() + LONG)
    disk.fill()
    second = Outbox(path, HOOKS, notes)
    second.start()
    try:
        second.commit(Change(events=(alarm_event(),))).result(LONG)
        assert not ballast.exists()
        assert len(second.queued("hook", 0, 10).result(LONG)) == 1
    finally:
        second.stop(time.monotonic() + LONG)


@pytest.mark.fault(48)
@pytest.mark.parametrize("earlier", ["none", "stopped", "killed"])
def test_a_daemon_starts_where_no_byte_is_free(
    disk: SmallDisk, notes: Notes, receiver: Receiver, earlier: str
) -> None:
    """It reads what an earlier life left, delivers that and what is new from memory, and mends itself.

    Nothing is held back on this disk: it never had room for a ballast.
    """
    path = disk.path / "outbox.db"
    left = 0 if earlier == "none" else 2
    if left:
        leave(path, left, is_killed=earlier == "killed")
    disk.fill()
    outbox = Outbox(path, HOOKS, notes)
    dispatcher = Dispatcher(outbox, [Webhook("hook", receiver.url, receiver.secret)], notes)
    outbox.start()
    assert len(outbox.open_alarms().result(LONG)) == left
    dispatcher.start()
    try:
        new = [outbox.commit(Change(events=(alarm_event(alarm_id=f"new{n}"),))) for n in range(3)]
        receiver.wait_for("alarm.raised", left + 3, timeout=LONG)
        assert receiver.accepted[-1].headers["tocsin-durable"] == "false"
        assert set(notes.troubles) == {Trouble.FULL}
        assert not any(future.done() for future in new), "the fault did not fire"
        assert notes.degraded == [True]
        disk.clear()
        for future in new:
            future.result(30)
        until(lambda: notes.degraded == [True, False], 30, "the disk to be used")
    finally:
        dispatcher.stop(time.monotonic() + LONG)
        outbox.stop(time.monotonic() + LONG)
    again = Outbox(path, HOOKS, notes)
    again.start()
    try:
        assert again.queued("hook", 0, 10).result(LONG) == ()
        assert len(again.letters(State.DELIVERED, Choice(), 10).result(LONG)) == left + 3
    finally:
        again.stop(time.monotonic() + LONG)
    assert len({message.id for message in receiver.requests}) == len(receiver.requests) == left + 3


def leave(path: Path, alarms: int, *, is_killed: bool) -> None:
    """Leave an outbox behind that holds so many open alarms, and no ballast."""
    if is_killed:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parents[1]), str(alarms)]
        )
        assert done.returncode == -signal.SIGKILL
        assert path.with_name("outbox.db-wal").stat().st_size
    else:
        outbox = Outbox(path, HOOKS, Notes())
        outbox.start()
        for n in range(alarms):
            outbox.commit(Change((alarm_event(alarm_id=f"old{n}"),), alarms=(open_alarm(f"old{n}"),))).result(
                LONG
            )
        outbox.stop(time.monotonic() + LONG)
    path.with_name("outbox.db.ballast").unlink(missing_ok=True)


KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from support.events import Notes, alarm_event, open_alarm
    from tocsin.deliver.outbox import Outbox
    from tocsin.deliver.store import Change

    outbox = Outbox(Path(sys.argv[1]), {"hook": ("alarm.*",)}, Notes())
    outbox.start()
    for n in range(int(sys.argv[3])):
        name = f"old{n}"
        outbox.commit(Change((alarm_event(alarm_id=name),), alarms=(open_alarm(name),))).result()
    os.kill(os.getpid(), signal.SIGKILL)
""")


CHILD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from support.events import Notes, alarm_event
    from tocsin.deliver.outbox import Outbox
    from tocsin.deliver.store import Change

    notes = Notes()
    outbox = Outbox(Path(sys.argv[1]), {"hook": ("alarm.*",)}, notes)
    outbox.start()
    handed = []
    for number in range(20):
        began = time.monotonic()
        change = Change(events=(alarm_event(alarm_id=f"a{number}"),))
        future = outbox.commit(change)
        handed.append(time.monotonic() - began)
        if len(sys.argv) < 4:
            future.result(60)
    future.result(60)
    outbox.stop(time.monotonic() + 60)
    print("seen", *notes.troubles, *notes.degraded, max(handed), max(notes.commits), flush=True)
""")


def run_under(inject: str, path: Path, *more: str) -> tuple[str, list[str]]:
    """Run the child while system calls of it fail as told; return what was injected, and its last line's words."""
    need("strace", "install strace: apt-get install strace")
    trace = path.with_name("trace")
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        "trace=fdatasync,fsync",
        "-e",
        f"inject={inject}",
    ]
    child = [sys.executable, "-c", CHILD, str(path), str(Path(__file__).parents[1]), *more]
    done = subprocess.run([*command, *child], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr + done.stdout
    return trace.read_text(), done.stdout.splitlines()[-1].split()[1:]


def committed(path: Path) -> list[str | None]:
    outbox = Outbox(path, {"hook": ("alarm.*",)}, Notes())
    outbox.start()
    try:
        return [each.alarm_id for each in outbox.queued("hook", 0, 100).result(LONG)]
    finally:
        outbox.stop(time.monotonic() + LONG)


@pytest.mark.fault(49)
def test_a_flush_that_fails_loses_no_alarm(tmp_path: Path) -> None:
    """After EIO from the disk the database is opened anew, what was in memory is put there, and nothing is lost."""
    path = tmp_path / "outbox.db"
    trace, seen = run_under("fdatasync:error=EIO:when=12", path)
    assert "EIO" in trace
    assert "INJECTED" in trace
    assert seen[:3] == ["io", "True", "False"], "it was counted, stood in for and mended"
    assert committed(path) == [f"a{number}" for number in range(20)]


@pytest.mark.fault(50)
def test_a_disk_that_takes_seconds_holds_up_nobody(tmp_path: Path) -> None:
    """While a flush takes two seconds a commit returns at once, and the time that it took is measured."""
    path = tmp_path / "outbox.db"
    trace, seen = run_under("fdatasync:delay_enter=2000000:when=12", path, "do not wait")
    assert "DELAYED" in trace
    handed, longest = map(float, seen[-2:])
    assert handed < 0.2 * SCALE
    assert longest >= 2.0
    assert committed(path) == [f"a{number}" for number in range(20)]
