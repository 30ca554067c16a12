"""What the daemon answers to `tocsin silence` and `tocsin test`: refusals, and what became of each alarm."""

import json
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from support.events import ALARM, NOON
from tocsin.alarm.withheld import Withheld
from tocsin.asking import warn_unless_durable
from tocsin.capture.status import StreamState, StreamStatus
from tocsin.control import Caller
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.history import Which
from tocsin.deliver.letters import Choice, Letter
from tocsin.deliver.schedule import State
from tocsin.deliver.store import Change
from tocsin.desk import overrides as desk_overrides
from tocsin.desk.overrides import OverridesDesk
from tocsin.errors import InputError
from tocsin.overrides import Now, Overrides

ROOT = Caller("root")
RULES = {"entrance": ("intruder",), "gate": ("intruder", "knife"), "attic": ()}


def _done(value: Any = None) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class House:
    """A daemon with two streams and nothing behind it; plays the outbox and the observer."""

    def __init__(self) -> None:
        self.records: list[AlarmRecord] = []
        self.posted: list[Letter] = []
        self.asked: list[Which] = []
        self.is_well = True  # whether the disk takes what is committed
        self.report = SimpleNamespace(
            streams=(
                StreamStatus("entrance", StreamState.LIVE, 0.0),
                StreamStatus("gate", StreamState.WAITING, 0.0),
            ),
            analysed={"entrance": 70},
            sighted={("entrance", "intruder"): 4},
            withheld={("entrance", "intruder", Withheld.LIGHT): 1, ("gate", "knife", Withheld.LIGHT): 9},
            alarms=(),
        )
        self.overrides = Overrides(self.commit, self)
        self.overrides.resume((), RULES, Now.read())
        outbox: Any = self
        report: Any = self.report
        self.handlers = OverridesDesk(self.overrides, outbox, lambda: report).handlers()

    def commit(self, _: Change) -> "Future[None]":
        return _done() if self.is_well else Future()

    def silenced(self, stream: str, rule: str, is_silenced: bool) -> None: ...
    def walk_test(self, stream: str, is_open: bool) -> None: ...

    def alarms(self, which: Which) -> "Future[tuple[AlarmRecord, ...]]":
        self.asked.append(which)
        return _done(tuple(reversed(self.records)))

    def letters(self, state: State, choice: Choice, _: int) -> "Future[tuple[Letter, ...]]":
        return _done(
            tuple(one for one in self.posted if one.state is state and one.alarm_id in choice.alarms)
        )

    def ask(self, command: str, **asked: Any) -> Any:
        return self.handlers[command](asked, ROOT)


@pytest.mark.parametrize(
    ("command", "asked", "sentence"),
    [
        ("silence.begin", {"reason": "x"}, "expected the name of a stream or a rule, found none"),
        (
            "silence.begin",
            {"name": "gate", "seconds": 60},
            "--reason: expected why, for who reads the audit, found nothing",
        ),
        (
            "silence.begin",
            {"name": "gate", "reason": " "},
            "--reason: expected why, for who reads the audit, found nothing",
        ),
        ("silence.begin", {"reason": "x" * 501}, "--reason: expected 500 characters at most, found 501"),
        ("silence.begin", {"reason": 5}, "--reason: expected a text, found something else"),
        (
            "silence.begin",
            {"name": "gate", "reason": "x", "by": "x" * 65},
            "--by: expected 64 characters at most",
        ),
        (
            "silence.begin",
            {"name": "gate", "reason": "x"},
            "--for: expected a number of seconds within a year",
        ),
        (
            "silence.begin",
            {"name": "gate", "reason": "x", "seconds": True},
            "--for: expected a number of seconds",
        ),
        (
            "silence.begin",
            {"name": "gate", "reason": "x", "seconds": 10**400},
            "--for: expected a number of seconds",
        ),
        (
            "silence.begin",
            {"name": "gate", "reason": "x", "seconds": 59},
            "--for: expected 1m to 7d for a silence, found 59s",
        ),
        ("silence.end", {"name": "gate"}, "expected a silence that is in force, found none of 'gate'"),
        ("test.begin", {"seconds": 60}, "expected the name of a stream or a rule, found none"),
        (
            "test.begin",
            {"stream": "intruder", "seconds": 60},
            "expected one of the streams (attic, entrance, gate)",
        ),
        (
            "test.begin",
            {"stream": "attic", "seconds": 60},
            "expected a stream with rules, found none on attic",
        ),
        (
            "test.begin",
            {"stream": "gate", "seconds": 3601},
            "--for: expected 1m to 1h for a test, found 3601s",
        ),
        ("test.end", {"stream": "gate"}, "expected a test that is in force, found none of 'gate'"),
        ("test.look", {"id": "x", "stream": "gate"}, "since: expected a time, found something else"),
        ("test.look", {"since": "2026-11-21T12:00:00"}, "since: expected a time with its zone, found none"),
    ],
)
def test_what_is_refused(command: str, asked: dict[str, Any], sentence: str) -> None:
    """In one sentence, as wrong usage, and nothing begins."""
    house = House()
    with pytest.raises(InputError) as refused:
        house.ask(command, **asked)
    assert str(refused.value).startswith(sentence)
    assert house.overrides.standing() == ()


def test_who_asks_is_the_system_s_user() -> None:
    """Whatever name is given beside it."""
    house = House()
    asked = {"name": "gate", "reason": "x", "seconds": 60}
    assert house.ask("silence.begin", **asked)["silence"]["by"] == "root"
    assert house.ask("silence.begin", **asked, by="Anna")["silence"]["by"] == "Anna (root)"
    assert [one["stream"] for one in house.ask("silence.list")["silences"]] == ["gate", "gate"]


def test_what_hinders_a_walk_test_is_said_to_who_opens_it() -> None:
    """A silence, an alarm that is open, a stream that is down; nothing where nothing does."""
    house = House()
    assert house.ask("test.begin", stream="entrance", seconds=60)["notes"] == []
    house.ask("silence.begin", name="knife", reason="x", seconds=60)
    house.report.alarms = (AlarmRecord(replace(ALARM, stream="gate"), NOON, NOON),)
    assert house.ask("test.begin", stream="gate", seconds=60)["notes"] == [
        "the rule knife is silenced: its alarms are kept, and told to nobody",
        "an alarm of the rule intruder is open: it raises no other before that has ended",
        "the stream brings no pictures now, it is waiting",
    ]
    with pytest.raises(InputError, match=r"found one on gate until \d+:\d+:\d+: tocsin test gate --end"):
        house.ask("test.begin", stream="gate", seconds=60)


def test_what_became_of_each_alarm_is_shown() -> None:
    """Which webhook has accepted its raise, at which it waits or was given up; and what the stream saw."""
    house = House()
    for number in (1, 2):
        links = {"url": "https://box/alarm/1?expires=2&signature=s3cret"}
        alarm = replace(ALARM, alarm_id=f"alarm_{number}", test=True, picture=links, respond=links)
        house.records.append(AlarmRecord(alarm, NOON + timedelta(seconds=number / 2), NOON))
    for number, state, kind, webhook in (
        (1, State.DELIVERED, "alarm.raised", "room"),
        (1, State.DEAD, "alarm.raised", "phone"),
        (2, State.DELIVERED, "alarm.ended", "room"),
        (2, State.QUEUED, "alarm.raised", "room"),
    ):
        house.posted.append(Letter(1, webhook, state, kind, NOON, f"alarm_{number}", "msg", 1, None, None))
    begun = house.ask("test.begin", stream="entrance", seconds=60)
    one = begun["test"]
    seen = house.ask("test.look", id=one["id"], stream="entrance", since=one["since"])
    fates = [(each["accepted"], each["waiting"], each["given_up"]) for each in seen["alarms"]]
    assert fates == [(["room"], [], ["phone"]), ([], ["room"], [])]
    assert [each["after_seconds"] for each in seen["alarms"]] == [0.5, 1.0]
    assert "s3cret" not in json.dumps(seen), "who has a link answers the alarm"
    assert 50 < seen["left_seconds"] <= 60
    assert (seen["state"], seen["analysed"], seen["sightings"]) == ("live", 70, {"intruder": 4})
    assert seen["withheld"] == [{"rule": "intruder", "reason": "light", "count": 1}]
    (which,) = house.asked
    assert (which.stream, which.test) == ("entrance", True)
    assert which.since == house.overrides.standing()[0].override.since
    house.ask("test.end", stream="entrance")
    assert house.ask("test.look", id=one["id"], stream="entrance", since=one["since"])["left_seconds"] == 0


@pytest.mark.parametrize("is_well", [True, False], ids=["disk", "memory"])
def test_who_ends_something_hears_whether_a_restart_would_bring_it_back(
    is_well: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alarms that everybody takes for told again are not to be silenced by a crash on a full disk."""
    monkeypatch.setattr(desk_overrides, "PATIENCE", 0.01)
    house = House()
    house.ask("silence.begin", name="gate", reason="x", seconds=60)
    house.ask("test.begin", stream="entrance", seconds=60)
    house.is_well = is_well
    ended = house.ask("silence.end", name="gate"), house.ask("test.end", stream="entrance")
    assert [answer["durable"] for answer in ended] == [is_well] * 2
    for answer in ended:
        warn_unless_durable(answer)
    assert capsys.readouterr().err.count("a restart would bring it back") == (0 if is_well else 2)
