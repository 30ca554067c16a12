"""What people say about alarms, on its way into the outbox: each once, in one order, whatever the disk does."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from typer.testing import CliRunner

from support.events import Notes, ended_alarm, open_alarm, stated
from support.outboxes import WAIT, queued, refusing_disk, running
from support.wait import until
from tocsin import verdicts as verdicts_module
from tocsin.alarm.withheld import Withheld
from tocsin.alarms import Alarms, Origin
from tocsin.cli import commands
from tocsin.control import Caller, ControlServer
from tocsin.deliver import clerk as clerk_module
from tocsin.deliver import outbox as outbox_module
from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Period
from tocsin.deliver.event import EventType
from tocsin.deliver.history import Which
from tocsin.deliver.judging import Given, Statement
from tocsin.deliver.notation import Json
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.errors import ControlError, InputError, OutboxError
from tocsin.verdicts import Verdicts

OPEN = "alarm_019a8b7c6d5e7f008123456789abcdef"
OVER = "alarm_019a8b7c6d5e7f00812345678900a0b0"
HOOKS = {"room": ("alarm.*",), "chat": ("alarm.verdict",)}


class Deaf:
    """Hears what alarms count."""

    def sighted(self, stream: str, rule: str) -> None: ...
    def alarm_raised(self, stream: str, rule: str, label: str, delay_seconds: float) -> None: ...
    def alarms_active(self, stream: str, rule: str, n: int) -> None: ...
    def alarm_withheld(self, stream: str, rule: str, reason: Withheld) -> None: ...


class Post:
    """An outbox for two webhooks with an alarm that is open and one that has ended, and who takes verdicts."""

    def __init__(self, outbox: Outbox, notes: Notes) -> None:
        self.outbox = outbox
        self.notes = notes
        both = open_alarm(OPEN), ended_alarm(OVER)
        outbox.commit(Change(alarms=both)).result(WAIT)
        alarms = Alarms({}, both[:1], outbox.commit, Deaf(), Origin("m", "c", test=False))
        self.heard: list[tuple[str, Verdict]] = []
        self.verdicts = Verdicts(
            alarms, outbox, lambda alarm, verdict: self.heard.append((alarm.alarm_id, verdict))
        )

    def give(self, alarm_id: str, said: Statement) -> Given:
        given = self.verdicts.give(alarm_id, said)
        assert given is not None
        return given

    def told(self, webhook: str) -> list[Json]:
        """The data of the verdicts that wait for a webhook, in their order."""
        found = queued(self.outbox, webhook)
        assert {each.type for each in found} <= {EventType.ALARM_VERDICT}
        bodies = [json.loads(self.outbox.body(each.event_id).result(WAIT) or b"") for each in found]
        assert [each.lane for each in found] == [body["data"]["alarm_id"] for body in bodies]
        return [body["data"] for body in bodies]

    def record(self, alarm_id: str) -> AlarmRecord:
        found = self.outbox.alarm(alarm_id).result(WAIT)
        assert found is not None
        return found

    def audited(self) -> list[tuple[str, str, Via]]:
        """Who said what about which alarm, the oldest first."""
        entries = self.outbox.audit(Period(acts=(Act.VERDICT,))).result(WAIT)
        return [(each.subject, each.by, each.via) for each in reversed(entries)]


@contextmanager
def manned(folder: Path) -> Iterator[Post]:
    notes = Notes()
    with running(folder / "outbox.sqlite", notes, HOOKS) as outbox:
        yield Post(outbox, notes)


@pytest.mark.parametrize("alarm_id", [OPEN, OVER], ids=["open", "ended"])
def test_a_verdict_is_told_to_every_webhook_and_kept(tmp_path: Path, alarm_id: str) -> None:
    """On the disk when it is answered: as an event for each, in the history and in the audit."""
    with manned(tmp_path) as post:
        given = post.give(alarm_id, stated(Verdict.REJECTED))
        assert (given.before, given.repeated, given.durable) == (None, False, True)
        for webhook in HOOKS:
            (told,) = post.told(webhook)
            assert (told["alarm_id"], told["verdict"], told["judged"]["by"]) == (alarm_id, "rejected", "anna")
            assert (told["ended"] is None) == (alarm_id == OPEN)
        assert post.record(alarm_id).alarm.judged == given.record.alarm.judged
        assert post.record(alarm_id).ended == given.record.ended
        assert post.audited() == [(alarm_id, "anna", Via.COMMAND)]
        later = post.give(alarm_id, stated(Verdict.CONFIRMED, "bob", "no, a man"))
        assert later.before == given.record.alarm.judged
        assert post.record(alarm_id).alarm.judged == later.record.alarm.judged
        case = post.verdicts.case(alarm_id)
        assert case is not None
        assert [one.judgement.by for one in case.said] == ["bob", "anna"]
        assert post.verdicts.give("alarm_x", stated(Verdict.REJECTED)) is None
        assert post.verdicts.case("alarm_x") is None


@pytest.mark.parametrize("alarm_id", [OPEN, OVER], ids=["open", "ended"])
def test_at_the_same_moment_all_are_taken_in_one_order(tmp_path: Path, alarm_id: str) -> None:
    """Each of eight people is told another's verdict, or that there was none, and each event goes out once."""
    with manned(tmp_path) as post:
        together = threading.Barrier(8)
        given: dict[str, Given] = {}

        def say(name: str) -> None:
            together.wait(WAIT)
            given[name] = post.give(alarm_id, stated(Verdict.CONFIRMED, name))

        threads = [threading.Thread(target=say, args=(f"p{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        order = [told["judged"]["by"] for told in post.told("room")]
        assert sorted(order) == sorted(given)
        assert [given[name].before and given[name].before.by for name in order] == [None, *order[:-1]]
        assert [told["judged"]["by"] for told in post.told("chat")] == order
        assert [by for _, by, _ in post.audited()] == order
        judged = post.record(alarm_id).alarm.judged
        assert judged is not None
        assert judged.by == order[-1]


@pytest.mark.parametrize("alarm_id", [OPEN, OVER], ids=["open", "ended"])
def test_a_double_click_is_one_verdict(tmp_path: Path, alarm_id: str) -> None:
    """Both are answered, one says that it was known, and one event goes out."""
    with manned(tmp_path) as post:
        together = threading.Barrier(2)
        given: list[Given] = []

        def click() -> None:
            together.wait(WAIT)
            given.append(post.give(alarm_id, stated(Verdict.REJECTED)))

        threads = [threading.Thread(target=click) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert sorted(one.repeated for one in given) == [False, True]
        assert all(one.durable for one in given)
        assert (len(post.told("room")), len(post.audited())) == (1, 1)
        assert post.heard == [(alarm_id, Verdict.REJECTED)], "it counts once"


@pytest.mark.parametrize("alarm_id", [OPEN, OVER], ids=["open", "ended"])
def test_on_a_full_disk_a_verdict_goes_on_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alarm_id: str
) -> None:
    """It is told at once, the answer says that it is not on the disk, and a second one knows it all the same."""
    with manned(tmp_path) as post:
        disk = refusing_disk(monkeypatch)
        given = post.give(alarm_id, stated(Verdict.REJECTED))
        assert disk.refused > 0
        assert not given.durable
        assert len(post.told("room")) == 1
        again = post.give(alarm_id, stated(Verdict.REJECTED))
        assert (again.repeated, again.durable) == (True, False)
        later = post.give(alarm_id, stated(Verdict.CONFIRMED, "bob"))
        assert later.before == given.record.alarm.judged
        disk.is_well = True
        until(
            lambda: post.give(alarm_id, stated(Verdict.CONFIRMED, "bob")).durable, 10.0, "the disk to have it"
        )
        assert len(post.told("room")) == 2
    with running(tmp_path / "outbox.sqlite", Notes(), HOOKS) as outbox:
        found = outbox.alarm(alarm_id).result(WAIT)
        assert found is not None
        assert found.alarm.judged == later.record.alarm.judged
        assert [each.by for each in outbox.audit(Period()).result(WAIT)] == ["bob", "anna"]


def test_where_no_disk_can_be_read_a_verdict_is_taken_on_what_memory_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an alarm that is open, or was raised and ended meanwhile; one on an older alarm is refused."""
    new = "alarm_019a8b7c6d5e7f0081234567890000ff"
    with manned(tmp_path) as post:
        disk = refusing_disk(monkeypatch)
        disk.code = sqlite3.SQLITE_IOERR
        with monkeypatch.context() as broken:
            broken.setattr(clerk_module, "open_store", unreadable)
            waits = post.outbox.commit(Change(alarms=(open_alarm(new),)))
            post.outbox.commit(Change(alarms=(ended_alarm(new),)))
            until(lambda: disk.refused > 0, 10, "the disk to refuse")
            with pytest.raises(OutboxError, match="expected a disk that can be read"):
                post.outbox.alarms(Which()).result(WAIT)
            for alarm_id in (OPEN, new):
                assert not post.give(alarm_id, stated(Verdict.REJECTED)).durable
                case = post.verdicts.case(alarm_id)
                assert case is not None
                assert [one.judgement.by for one in case.said] == ["anna"]
                assert post.give(alarm_id, stated(Verdict.REJECTED)).repeated
            with pytest.raises(OutboxError, match="expected a disk that can be read"):
                post.give(OVER, stated(Verdict.REJECTED))
            assert post.notes.drops == []
            assert [told["alarm_id"] for told in post.told("room")] == [OPEN, new]
        disk.is_well = True
        waits.result(WAIT)
        for alarm_id in (OPEN, OVER, new):
            post.give(alarm_id, stated(Verdict.REJECTED))
        assert [told["alarm_id"] for told in post.told("room")] == [OPEN, new, OVER]


def test_what_is_known_of_verdicts_on_their_way_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many the disk never took."""
    monkeypatch.setattr(verdicts_module, "_MOST", 1)
    with manned(tmp_path) as post:
        disk = refusing_disk(monkeypatch)
        assert not any(post.give(one, stated(Verdict.REJECTED)).durable for one in (OPEN, OVER))
        assert list(post.verdicts._undone) == [OVER]
        disk.is_well = True


def unreadable(path: Path, *_: object, **__: object) -> NoReturn:
    raise OutboxError(f"{path}: expected a database that can be opened, found the test's disk")


def test_who_proves_a_name_that_was_merely_given_is_on_record(tmp_path: Path) -> None:
    """Once, and nobody is told again what stands."""
    with manned(tmp_path) as post:
        for via in (Via.LINK, Via.LINK, Via.LOGIN, Via.LOGIN, Via.LINK):
            given = post.give(OPEN, replace(stated(Verdict.REJECTED), via=via))
            post.outbox.commit(Change()).result(WAIT)
        assert given.repeated
        assert post.audited() == [(OPEN, "anna", Via.LINK), (OPEN, "anna", Via.LOGIN)]
        assert len(post.told("room")) == 1
        assert post.heard == [(OPEN, Verdict.REJECTED)]


@pytest.mark.parametrize("alarm_id", [OPEN, OVER], ids=["open", "ended"])
def test_a_verdict_that_was_refused_may_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alarm_id: str
) -> None:
    """Nobody is told that it stands, be it refused at once or after it was handed over."""
    with manned(tmp_path) as post:
        with monkeypatch.context() as crowded:
            crowded.setattr(outbox_module, "MAX_BACKLOG", 0)
            with pytest.raises(OutboxError, match="expected a disk that takes changes"):
                post.give(alarm_id, stated(Verdict.REJECTED))
        with monkeypatch.context() as broken:
            lost: Future[None] = Future()
            broken.setattr(post.outbox, "commit", lambda _: lost)
            handed = threading.Timer(0.1, lost.set_exception, (OutboxError("no row"),))
            handed.start()
            with pytest.raises(OutboxError, match="no row"):
                post.give(alarm_id, stated(Verdict.REJECTED))
            handed.join()
        given = post.give(alarm_id, stated(Verdict.REJECTED))
        assert not given.repeated
        assert len(post.told("room")) == 1


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that says where the daemon's socket is."""
    file = tmp_path / "tocsin.yaml"
    streams = [{"name": "yard", "source": "/dev/video0"}]
    file.write_text(yaml.safe_dump({"streams": streams, "state_dir": str(tmp_path)}))
    return file


@contextmanager
def on_call(post: Post, folder: Path) -> Iterator[None]:
    server = ControlServer(folder / "control.sock", post.verdicts.handlers())
    server.start()
    try:
        yield
    finally:
        server.stop(time.monotonic() + WAIT)


def typed(config: Path, *words: str, sudo: str = "") -> str:
    """What `tocsin alarm` prints."""
    done = CliRunner().invoke(
        commands,
        ["alarm", *words, "--config", str(config)],
        env={"SUDO_USER": sudo},
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    # the daemon is in this process, and so is its log
    return "\n".join(line for line in done.stdout.splitlines() if " [info " not in line)


def test_a_verdict_is_typed_at_the_machine(tmp_path: Path, config: Path) -> None:
    """By the whole identity or its end, as one hears it by radio; the next one is told what stood before."""
    with manned(tmp_path) as post, on_call(post, tmp_path):
        said = typed(config, "reject", "89abcdef", "--reason", "a mop")
        assert said.startswith(f"{OPEN}: rejected (person, intruder on entrance, raised 2026-11-21 ")
        assert "ended" not in said
        assert len(said.splitlines()) == 1
        assert (
            typed(config, "reject", OPEN).splitlines()[1].startswith("that was known: root rejected it just")
        )
        said = typed(config, "confirm", "00A0B0", sudo="anna")
        assert said.startswith(f"{OVER}: confirmed (person, intruder on entrance, raised 2026-11-21 ")
        assert ", ended 2026-11-21 " in said
        answer = json.loads(typed(config, "ack", OPEN, "--by", "bob", "--json"))
        assert answer["before"]["why"] == "a mop"
        assert (answer["verdict"], answer["durable"], answer["repeated"]) == ("acknowledged", True, False)
        assert post.audited() == [
            (OPEN, "root", Via.COMMAND),
            (OVER, "anna (root)", Via.COMMAND),
            (OPEN, "bob (root)", Via.COMMAND),
        ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ack", "cdef"), r"expected the id of an alarm or its last 6 characters or more, found 'cdef'"),
        (("ack", "000000"), r"expected one alarm of those that tocsin alarm list shows, found '000000'"),
        (("ack", OPEN[:-1] + "0"), r"expected one alarm of those .*, found 'alarm_[0-9a-f]+'"),
        (("ack", OPEN, "--reason", "x" * 501), r"--reason: expected 500 characters at most, found 501"),
        (("ack", OPEN, "--by", "x" * 65), r"--by: expected 64 characters at most, found 65"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, config: Path, words: tuple[str, ...], sentence: str
) -> None:
    """In one sentence, and nothing is told anybody."""
    with manned(tmp_path) as post, on_call(post, tmp_path):
        with pytest.raises(InputError, match=sentence):
            typed(config, *words)
        assert post.audited() == []


def test_an_end_that_two_alarms_have_names_both(tmp_path: Path, config: Path) -> None:
    """Nobody rejects the wrong one."""
    with manned(tmp_path) as post, on_call(post, tmp_path):
        other = OPEN[:20] + "f" + OPEN[21:]
        post.outbox.commit(Change(alarms=(ended_alarm(other),))).result(WAIT)
        with pytest.raises(InputError, match=f"found {other}, {OPEN}"):
            typed(config, "reject", OPEN[-8:])


def test_without_a_daemon_there_is_nobody_to_take_it(config: Path) -> None:
    """It is not written past the daemon, which alone opens the database."""
    with pytest.raises(ControlError, match="expected a running daemon"):
        typed(config, "reject", OPEN)


def ask(post: Post, **asked: Any) -> Any:
    """What the handler answers."""
    return post.verdicts.handlers()["alarm.verdict"]({"alarm": OPEN, **asked}, Caller("mallory"))


def test_who_asks_the_socket_past_the_command_is_held_to_the_same(tmp_path: Path) -> None:
    """The name of the system's user stands in any case, and what is no text is refused."""
    with manned(tmp_path) as post:
        assert ask(post, verdict="rejected", by="mallory")["judged"]["by"] == "mallory"
        assert ask(post, verdict="rejected", by="root")["judged"]["by"] == "root (mallory)"
        for wrong in (
            {"verdict": "maybe"},
            {"verdict": "rejected", "why": 7},
            {"verdict": "rejected", "by": [7]},
        ):
            with pytest.raises(InputError):
                ask(post, **wrong)
