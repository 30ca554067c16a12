"""What the daemon puts on record of itself, in a real outbox, whatever its disk does."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.events import Notes, ended_alarm, open_alarm
from support.outboxes import WAIT, refusing_disk, running
from support.wait import until
from tocsin.auditor import Auditor, Basis
from tocsin.control import Caller
from tocsin.custody.reads import Reads
from tocsin.deliver import audit, clerk, history
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry, Extent, Period
from tocsin.deliver.history import Which
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.desk import evidence
from tocsin.endpoint.gallery import Read
from tocsin.errors import ConfigError, InputError
from tocsin.evidence.link import piece_of
from tocsin.evidence.shelf import Kind

FIRST = Basis("sha256:1", "nanodet", "aa")
KEY = b"k" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def on_record(outbox: Outbox) -> list[Entry]:
    """All of it, the latest last, and every earlier commit in it."""
    outbox.commit(Change()).result(WAIT)
    return list(outbox.audit(Period()).result(WAIT))[::-1]


def acts(entries: list[Entry]) -> list[tuple[Act, str, str]]:
    return [(one.act, one.details.get("old", ""), one.details.get("new", "")) for one in entries]


def test_starts_stops_and_what_changed_between_them(path: Path) -> None:
    """A file or model that is another at the next start is told with both digests; the same one is not."""
    for basis, failure in (
        (FIRST, None),
        (FIRST, "a part failed: x"),
        (Basis("sha256:2", "own", "bb"), None),
    ):
        with running(path, Notes()) as outbox:
            auditor = Auditor(outbox)
            auditor.started(basis)
            auditor.stopped(failure)
    with running(path, Notes()) as outbox:
        entries = on_record(outbox)
    started, stopped = (Act.DAEMON_STARTED, "", ""), (Act.DAEMON_STOPPED, "", "")
    changed = [(Act.CONFIG_CHANGED, "sha256:1", "sha256:2"), (Act.MODEL_CHANGED, "aa", "bb")]
    assert acts(entries) == [started, stopped, started, stopped, started, *changed, stopped]
    assert [one.details["reason"] for one in entries if one.act is Act.DAEMON_STOPPED] == [
        *("asked", "failed", "asked")
    ]
    assert {(one.by, one.via) for one in entries} == {("tocsin", Via.DAEMON)}
    assert entries[0].details["sha256"] == "aa"


def test_a_reload_is_put_on_record_with_what_it_changed(path: Path) -> None:
    """One that was refused, too; and the next start does not take a refused one for what worked."""
    second, third = replace(FIRST, config="sha256:2"), Basis("sha256:2", "nanodet", "cc")
    with running(path, Notes()) as outbox:
        auditor = Auditor(outbox)
        auditor.started(FIRST)
        auditor.adopted(second, {"streams_added": "yard"})
        auditor.adopted(second, {})
        auditor.adopted(second, {"webhooks_changed": "hook"})
        auditor.refused(ConfigError("t.yaml:1: x", "t.yaml:2: y"))
        auditor.adopted(third, {})
        _, applied, secret, refused, model = on_record(outbox)
        Auditor(outbox).started(third)
        assert len(on_record(outbox)) == 6, "nothing changed while it was stopped"
    assert dict(applied.details) == {
        "old": "sha256:1",
        "new": "sha256:2",
        "result": "applied",
        "streams_added": "yard",
    }
    assert (secret.details["old"], secret.details["webhooks_changed"]) == ("sha256:2", "hook")
    assert (refused.act, refused.details["result"], refused.details["faults"]) == (
        *(Act.CONFIG_CHANGED, "refused", "2"),
    )
    assert (model.act, model.subject, model.details["new"]) == (Act.MODEL_CHANGED, "nanodet", "cc")


def test_what_a_command_reads_is_put_on_record(path: Path) -> None:
    """By the user at the socket; what is no text is refused."""
    with running(path, Notes()) as outbox:
        handlers = evidence.handlers(outbox)
        anna = Caller("anna")
        handlers["audit.read"]({"command": "audit.read", "alarm_id": "alarm_1", "kinds": "frame,clip"}, anna)
        for wrong in ({}, {"alarm_id": 7, "kinds": "x"}, {"alarm_id": "a" * 201, "kinds": "x"}):
            with pytest.raises(InputError, match="alarm_id: expected a text of at most 200 characters"):
                handlers["audit.read"](wrong, anna)
        (read,) = on_record(outbox)
    assert (read.act, read.by, read.via, read.subject) == (
        *(Act.EVIDENCE_READ, "anna", Via.COMMAND, "alarm_1"),
    )
    assert read.details == {"kinds": "frame,clip"}


class Pieces:
    """Of the alarms that were raised last this one is remembered."""

    latest = "alarm_7"

    def piece(self, alarm_id: str, kind: Kind) -> str:
        return piece_of(alarm_id, kind, KEY)

    def alarm_of(self, piece: str) -> str | None:
        return self.latest if piece == self.piece(self.latest, Kind.FRAME) else None


def looked(alarm_id: str, client: str, user: str | None = None, made: datetime | None = None) -> Read:
    at = datetime.now(UTC) if made is None else made
    return Read(piece_of(alarm_id, Kind.FRAME, KEY), Kind.FRAME, at.timestamp(), client, user)


def test_a_look_by_a_link_names_the_alarm_that_no_link_names(path: Path) -> None:
    """Found by when the picture was written; the login's name stands for whoever has one."""
    now = datetime.now(UTC)
    raised = [replace(open_alarm(f"alarm_{n}"), opened=now - timedelta(seconds=n)) for n in range(5)]
    with running(path, Notes()) as outbox, capture_logs() as logs:
        outbox.commit(Change(alarms=tuple(raised))).result(WAIT)
        reads = Reads(outbox, Pieces())
        reads.seen(looked("alarm_3", "10.0.0.7"))
        reads.seen(looked("alarm_3", "10.0.0.7"))
        reads.seen(looked("alarm_3", "10.0.0.7", user="anna"))
        reads.seen(looked("alarm_9", "10.0.0.7"))
        until(lambda: len(on_record(outbox)) == 3, 10, "three looks on record")
        link, login, unknown = on_record(outbox)
    assert (link.by, link.via, link.subject) == ("10.0.0.7", Via.LINK, "alarm_3")
    assert (login.by, login.via, login.details["client"]) == ("anna", Via.LOGIN, "10.0.0.7")
    assert unknown.subject == piece_of("alarm_9", Kind.FRAME, KEY), "better than nothing"
    assert len([one for one in logs if one["event"] == "somebody acted"]) == 3


def test_a_look_at_one_of_the_latest_alarms_reads_no_history(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty guards who look at once would hold up the next raise by the reading of a burst's alarms."""
    with running(path, Notes()) as outbox:
        with monkeypatch.context() as patch:
            patch.delattr(type(outbox), "alarms")
            Reads(outbox, Pieces()).seen(looked("alarm_7", "10.0.0.7"))
        until(lambda: on_record(outbox), 10, "the look on record")
        (look,) = on_record(outbox)
    assert (look.by, look.subject) == ("10.0.0.7", "alarm_7")


def test_a_loop_of_requests_adds_nothing(path: Path) -> None:
    """Neither one client's nor a crowd's."""
    with running(path, Notes()) as outbox:
        reads = Reads(outbox, Pieces())
        for n in range(3_000):
            reads.seen(looked("alarm_1", "10.0.0.7"))
            reads.seen(looked("alarm_1", f"fd00::{n:x}"))
        until(lambda: len(on_record(outbox)) >= 21, 10, "the first looks on record")
        entries = on_record(outbox)
    assert len(entries) == 21
    assert entries[-1].by == "further clients"


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_on_a_full_disk_an_act_goes_on_and_its_entry_arrives_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """In memory it can be read, on the disk it stands as soon as that takes it, once; the log has it at once."""
    disk = refusing_disk(monkeypatch)
    disk.code = code
    notes = Notes()
    entry = Entry(datetime.now(UTC), Act.VERDICT, "anna", Via.COMMAND, "alarm_1", {"verdict": "rejected"})
    with running(path, notes) as outbox, capture_logs() as logs:
        kept = outbox.commit(Change(audited=(entry,)))
        until(lambda: disk.refused, 10, "a refusal")
        assert [one["act"] for one in logs if one["event"] == "somebody acted"] == ["verdict"]
        until(lambda: notes.degraded, 10, "memory to take over")
        assert not kept.done()
        disk.is_well = True
        assert kept.result(WAIT) is None
        assert on_record(outbox) == [entry]
    with running(path, Notes()) as outbox:
        assert on_record(outbox) == [entry]


def test_the_log_says_what_goes_for_its_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries and alarms; nobody asked for that, as for what goes for its age."""
    monkeypatch.setattr(audit, "MOST", 3)
    monkeypatch.setattr(history, "MOST", 2)
    monkeypatch.setattr(clerk, "SWEEP_EVERY", 0.0)
    monkeypatch.setattr(clerk, "COUNT_EVERY", 0.0)
    now = datetime.now(UTC)
    alarms = [replace(ended_alarm(f"alarm_{n}"), opened=now + timedelta(seconds=n)) for n in range(4)]
    entries = [Entry(now, Act.VERDICT, "anna", Via.COMMAND, f"alarm_{n}") for n in range(5)]
    with running(path, Notes()) as outbox, capture_logs() as logs:
        outbox.commit(Change(alarms=tuple(alarms), audited=tuple(entries))).result(WAIT)
        until(lambda: len(on_record(outbox)) == 3, 10, "a sweep")
        until(lambda: len(outbox.alarms(Which()).result(WAIT)) == 2, 10, "a sweep")
        assert [one.subject for one in on_record(outbox)] == ["alarm_2", "alarm_3", "alarm_4"]
        assert outbox.extent().result(WAIT) == Extent(3, 5, 3, guarded=True)
    told = {one["event"]: one["count"] for one in logs if "count" in one}
    assert told["the audit is full, its oldest entries are dropped"] == 2
    assert told["the history is full, its oldest alarms are dropped"] == 2
