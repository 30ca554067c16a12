"""What `tocsin alarm` and `tocsin audit` print of a database that nobody has open, and of one that is in use."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.events import ALARM, Notes, alarm_event, judged
from support.outboxes import WAIT, running
from tocsin.cli import commands
from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.audit import Entry
from tocsin.deliver.database import OUTBOX_FILE
from tocsin.deliver.history import Which
from tocsin.deliver.schedule import Outcome
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import Verdict
from tocsin.desk import history as desk_history
from tocsin.desk.history import COMMANDS, Resting, Running
from tocsin.errors import InputError, OutboxError
from tocsin.evidence.link import evidence_key, piece_of
from tocsin.evidence.shelf import Kind, Shelf, path_of

NOW = datetime.now(UTC)
SECRET = "https://tocsin.example/evidence/0123?signature=feed"


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def record(name: str, minutes: float, *, lasted: float | None = 9, **told: Any) -> AlarmRecord:
    """An alarm that was raised so many minutes ago, and lasted so many seconds."""
    at = ago(minutes)
    ended = None if lasted is None else at + timedelta(seconds=lasted)
    return AlarmRecord(replace(ALARM, alarm_id=name, picture={"url": SECRET}, **told), at, at, ended)


def verdict(name: str, minutes: float, word: Verdict, by: str, why: str = "") -> Entry:
    details = {"verdict": word.value, "why": why, "stream": "yard"}
    return Entry(ago(minutes), Act.VERDICT, by, Via.COMMAND, name, details)


CHANGE = Change(
    alarms=(
        record("alarm_a", 300, stream="yard", judged=judged(Verdict.REJECTED)),
        record("alarm_b", 200, rule="visit", silenced=True, lasted=200),
        record("alarm_c", 100, test=True, judged=judged(Verdict.CONFIRMED), lasted=8000),
        record("alarm_d", 5, lasted=None),
    ),
    audited=(
        Entry(ago(400), Act.DAEMON_STARTED, "tocsin", Via.DAEMON, "sha256:1", {"version": "9"}),
        verdict("alarm_a", 299, Verdict.ACKNOWLEDGED, "anna"),
        verdict("alarm_a", 290, Verdict.REJECTED, "bert", "a \x1b[31mmop"),
        Entry(ago(10), Act.EVIDENCE_READ, "10.0.0.7", Via.LINK, "alarm_a", {"kinds": "frame"}),
    ),
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The configuration of a daemon that has stopped."""
    state = tmp_path / "state"
    state.mkdir()
    shelf, key = Shelf(state), evidence_key(state)
    shelf.close()
    path_of(state, piece_of("alarm_a", Kind.CLIP, key), Kind.CLIP).touch()
    with running(state / OUTBOX_FILE, Notes()) as outbox:
        outbox.commit(replace(CHANGE, events=(alarm_event(alarm_id="alarm_a"),))).result(WAIT)
        (delivery,) = outbox.queued("hook", 0, 10).result(WAIT)
        outbox.bury(delivery, 7, Outcome.REFUSED, None).result(WAIT)
    file = tmp_path / "tocsin.yaml"
    file.write_text("streams: [{name: yard, source: /dev/video0}]\nstate_dir: state\n")
    return file


def printed(site: Path, *words: str) -> str:
    """What a command prints on standard output."""
    done = CliRunner().invoke(commands, [*words, "--config", str(site)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert SECRET not in done.output
    return done.stdout


def names(site: Path, *options: str) -> str:
    """The last letters of the alarms that are listed."""
    found = json.loads(printed(site, "alarm", "list", "--json", *options))["alarms"]
    return "".join(one["alarm_id"][-1] for one in found)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", "abcd"),
        ("--limit 2", "cd"),
        ("--stream yard", "a"),
        ("--rule visit", "b"),
        ("--verdict rejected", "a"),
        ("--verdict acknowledged", ""),
        ("--verdict none", "bd"),
        ("--since 2h", "cd"),
        ("--until 2h", "ab"),
        ("--since 4h --until 1h", "bc"),
        ("--open", "d"),
        ("--ended --no-test", "ab"),
        ("--silenced", "b"),
        ("--no-silenced --test", "c"),
    ],
)
def test_alarms_are_listed_by_what_is_asked(site: Path, options: str, found: str) -> None:
    """All filters together, the latest last."""
    assert names(site, *options.split()) == found


def test_a_list_says_what_a_person_asks(site: Path) -> None:
    """How long it lasted, who judged it, whether it was a test or silenced."""
    table = printed(site, "alarm", "list")
    for words in (
        "9 s",
        "3 min",
        "2.2 h",
        "open",
        "rejected by anna",
        "confirmed by anna",
        "test",
        "silenced",
    ):
        assert words in table, words
    assert printed(site, "alarm", "list", "--stream", "nowhere") == "no such alarm was raised\n"


def test_an_alarm_is_shown_with_all_that_became_of_it(site: Path) -> None:
    """Every verdict with who and why, each delivery, and what was kept; no letter of it moves a cursor."""
    shown = json.loads(printed(site, "alarm", "show", "alarm_a", "--json"))
    assert [(one["by"], one["details"]["verdict"]) for one in shown["verdicts"]] == [
        ("anna", "acknowledged"),
        ("bert", "rejected"),
    ]
    ((_, delivery),) = enumerate(shown["deliveries"])
    assert (delivery["webhook"], delivery["state"], delivery["attempts"]) == ("hook", "dead", 7)
    assert shown["evidence"] == ["clip"]
    assert shown["alarm"]["lasted_seconds"] == 9
    assert "picture" not in shown["alarm"]
    text = printed(site, "alarm", "show", "alarm_a")
    for words in (
        "intruder on yard (critical, tier alarm)",
        "5 of 10 frames",
        "darken+clahe",
        "bert",
        "clip",
    ):
        assert words in text, words
    assert "\x1b" not in text
    assert r"a \x1b[31mmop" in text
    assert "none is kept" in printed(site, "alarm", "show", "alarm_b")


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("alarm_x", "expected one alarm of those that tocsin alarm list shows, found 'alarm_x'"),
        ("arm_a", "expected the id of an alarm or its last 6 characters or more, found 'arm_a'"),
        ("", "expected the id of an alarm or its last 6 characters or more, found ''"),
    ],
)
def test_an_alarm_that_is_not_there_is_told_in_a_sentence(site: Path, named: str, sentence: str) -> None:
    """It is wrong usage, and not an empty page."""
    done = CliRunner().invoke(commands, ["alarm", "show", named, "--config", str(site)])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == sentence


def test_the_end_of_an_identity_is_enough(site: Path) -> None:
    """Its last six characters, where no other ends so."""
    assert json.loads(printed(site, "alarm", "show", "larm_a", "--json"))["alarm"]["alarm_id"] == "alarm_a"


def test_the_end_of_an_identity_finds_what_is_kept(site: Path, tmp_path: Path) -> None:
    """As it does for a verdict, and with a typing error in the configuration, too."""
    site.write_text(site.read_text() + "stream: []\n")
    got = printed(site, "evidence", "get", "LARM_A", "--out", str(tmp_path / "out"))
    assert got == f"{tmp_path / 'out' / 'clip.mp4'}\n"
    done = CliRunner().invoke(commands, ["evidence", "get", "larm_x", "--config", str(site)])
    assert str(done.exception) == ("expected one alarm of those that tocsin alarm list shows, found 'larm_x'")


@pytest.mark.parametrize(
    ("options", "acts"),
    [
        ("", ["daemon.started", "verdict", "verdict", "evidence.read"]),
        ("--act verdict", ["verdict", "verdict"]),
        ("--act evidence.read --act daemon.started", ["daemon.started", "evidence.read"]),
        ("--since 1h", ["evidence.read"]),
        ("--until 1h --limit 1", ["verdict"]),
        ("--subject alarm_a --until 4h", ["verdict", "verdict"]),
        ("--subject LARM_A --until 4h", ["verdict", "verdict"]),
        ("--stream yard", ["verdict", "verdict"]),
    ],
)
def test_acts_are_listed_by_what_is_asked(site: Path, options: str, acts: list[str]) -> None:
    """One JSON object a line, the latest last; what names a stream among its details is about it."""
    lines = printed(site, "audit", "--json", *options.split()).splitlines()
    assert [json.loads(line)["act"] for line in lines] == acts


def test_who_did_what_is_a_table_for_a_person(site: Path) -> None:
    """With the reasons they gave, in which no letter moves a cursor."""
    table = printed(site, "audit")
    for words in ("bert", "command", "verdict=rejected", r"why=a \x1b[31mmop", "10.0.0.7", "link"):
        assert words in table, words
    assert "\x1b" not in table
    assert printed(site, "audit", "--subject", "nobody") == "nothing of the kind is on record\n"


def test_an_entry_that_somebody_removed_is_missed(site: Path) -> None:
    """With the database's own guards out of the way, too; those that left at the old end are not."""
    assert printed(site, "audit", "--verify") == "4 entries, from 1 to 4: none is missing\n"
    assert json.loads(printed(site, "audit", "--verify", "--json"))["missing"] == 0
    file = site.parent / "state" / OUTBOX_FILE
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("DELETE FROM audit WHERE number = 1")
        assert printed(site, "audit", "--verify") == "3 entries, from 2 to 4: none is missing\n"
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
            writer.execute("DELETE FROM audit WHERE number = 3")
        (guard,) = writer.execute("SELECT sql FROM sqlite_master WHERE name LIKE 'audit_ends%'").fetchone()
        writer.execute("DROP TRIGGER audit_ends_at_its_old_end")
        assert _complaint(site).endswith("from 2 to 4, found a database that lets entries be changed")
        writer.execute("DELETE FROM audit WHERE number = 3")
        writer.execute(guard)
    assert _complaint(site) == "expected every entry from 2 to 4, found 1 missing"


def _complaint(site: Path) -> str:
    done = CliRunner().invoke(commands, ["audit", "--verify", "--config", str(site)])
    assert isinstance(done.exception, OutboxError)
    return str(done.exception)


def test_older_ones_are_not_missed_without_a_word(site: Path) -> None:
    """Where the limit was reached, it is said with what to type for the rest."""
    done = CliRunner().invoke(commands, ["audit", "--limit", "1", "--config", str(site)])
    assert "there may be older ones: --limit, or --until 20" in done.stderr


def test_a_running_daemon_tells_the_same_as_its_file(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of what its disk has not taken yet; an answer that would be too long loses its oldest."""
    file = site.parent / "state" / OUTBOX_FILE
    asked: dict[str, Any] = {"alarm_id": "alarm_a"}
    told = {command: answer(Resting(file), asked) for command, answer in COMMANDS.items()}
    with running(file, Notes()) as outbox:
        source = Running(outbox)
        assert {command: answer(source, asked) for command, answer in COMMANDS.items()} == told
        assert {command: answer(Resting(file), asked) for command, answer in COMMANDS.items()} == told
        monkeypatch.setattr(desk_history, "PAGE", 3)
        for limit in range(1, 6):
            which = Which(limit=limit)
            assert source.alarms(which) == Resting(file).alarms(which), "however many pages that takes"
        monkeypatch.setattr(desk_history, "_BYTES", 600)
        cut = COMMANDS["audit.list"](source, {})
    assert cut["left_out"]
    assert cut["entries"] == told["audit.list"]["entries"][-len(cut["entries"]) :]


def test_a_walk_test_teaches_nothing(site: Path) -> None:
    """Who confirmed it says that it was the test, and not what is in the picture."""
    out = site.parent / "out"
    asked = ["evidence", "export", "--verdict", "confirmed", "--out", str(out), "--config", str(site)]
    done = CliRunner().invoke(commands, asked)
    assert done.exit_code == 0, done.output
    assert done.stdout == "no alarm of those was confirmed: nothing was written\n"
    assert not out.exists()


def test_a_file_without_its_index_is_read(site: Path) -> None:
    """As a daemon leaves it that was killed, whose log is not in the database yet."""
    state = site.parent / "state"
    file = state / OUTBOX_FILE
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("DELETE FROM alarms WHERE alarm_id = 'alarm_b'")
        left = {side: file.with_name(file.name + side).read_bytes() for side in ("-wal",)}
        kept = file.read_bytes()
    file.write_bytes(kept)
    for side, content in left.items():
        file.with_name(file.name + side).write_bytes(content)
    assert names(site) == "acd"


@pytest.mark.parametrize(
    ("command", "asked", "sentence"),
    [
        (
            "alarm.list",
            {"verdict": "guilty"},
            "expected one of acknowledged, confirmed, rejected, found 'guilty'",
        ),
        ("alarm.list", {"since": "noon"}, "since: expected a time, found another"),
        ("alarm.list", {"limit": 0}, "limit: expected a number from 1 on, found another"),
        ("audit.list", {"acts": 7}, "acts: expected a list of them, found something else"),
        ("audit.list", {"acts": ["theft"]}, "expected one of verdict, .*, found 'theft'"),
        ("audit.list", {"until": 7}, "until: expected a time, found another"),
    ],
)
def test_what_nobody_can_be_asked_is_refused(
    site: Path, command: str, asked: dict[str, Any], sentence: str
) -> None:
    """In a sentence, whoever speaks at the control socket."""
    with pytest.raises(InputError, match=sentence):
        COMMANDS[command](Resting(site.parent / "state" / OUTBOX_FILE), asked)
