"""What a person sees of deliveries that wait or were given up, and what becomes of those that are tried again."""

import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from support.events import Notes, alarm_event
from support.receiver import Receiver
from support.wait import SCALE, until
from tocsin.asking import ask
from tocsin.control import ControlServer, request
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Period
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.letters import Choice, read_letters
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.schedule import Outcome, Schedule, State
from tocsin.deliver.store import Change
from tocsin.deliver.webhook import Webhook
from tocsin.desk.outbox import OutboxDesk
from tocsin.errors import ConfigError, ControlError, InputError

LONG = 10 * SCALE  # seconds in which everything here happens on a busy machine, too
SLOW = Schedule(steps=(600,), slow=(600,), gone=600)


class Office:
    """An outbox for two webhooks with its control socket, and a dispatcher to a receiver if there is one."""

    def __init__(self, folder: Path, receiver: Receiver | None = None) -> None:
        self.notes = Notes()
        self.path, self.socket = folder / "outbox.db", folder / "control.sock"
        self.outbox = Outbox(self.path, {"hook": ("alarm.*",), "other": ("alarm.*",)}, self.notes)
        webhooks = [] if receiver is None else [Webhook("hook", receiver.url, receiver.secret)]
        self.dispatcher = Dispatcher(self.outbox, webhooks, self.notes, SLOW)
        self.desk = OutboxDesk(self.outbox, self.dispatcher.hurry, ("hook", "other"))
        self.control = ControlServer(self.socket, self.desk.handlers())

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return request(self.socket, f"outbox.{command}", **arguments)

    def numbers(self, state: str = "dead", **arguments: Any) -> list[int]:
        return [each["number"] for each in self.ask("list", state=state, **arguments)["deliveries"]]

    def commit(self, *events: Event) -> None:
        self.outbox.commit(Change(events=events)).result(LONG)

    def bury(self, webhook: str) -> None:
        """Give up all that waits for a webhook."""
        for each in self.outbox.queued(webhook, 0, 100).result(LONG):
            self.outbox.bury(each, 300, Outcome.TIMEOUT, None).result(LONG)


@contextmanager
def open_office(folder: Path, receiver: Receiver | None = None) -> Iterator[Office]:
    office = Office(folder, receiver)
    office.outbox.start()
    office.dispatcher.start()
    office.control.start()
    try:
        yield office
    finally:
        office.control.stop(time.monotonic() + LONG)
        office.dispatcher.stop(time.monotonic() + 0.2)
        office.outbox.stop(time.monotonic() + LONG)


def test_dead_deliveries_are_listed(tmp_path: Path) -> None:
    """Each with what it was about and why it was given up; by webhook and state, from the file, too."""
    with open_office(tmp_path) as office:
        event = alarm_event(alarm_id="a")
        office.commit(event, alarm_event(EventType.ALARM_ENDED, "a"))
        office.bury("hook")
        found = office.ask("list", webhook="hook")["deliveries"]
        assert len(office.numbers("queued")) == 2
        assert office.numbers("dead", webhook="other") == []
        assert office.numbers("dead", limit=1) == [found[0]["number"]]
    assert [(one["type"], one["alarm_id"]) for one in found] == [("alarm.raised", "a"), ("alarm.ended", "a")]
    first = found[0]
    assert (first["webhook_id"], first["attempts"], first["outcome"]) == (event.id, 300, "timeout")
    assert first["settled"] is not None
    letters = read_letters(tmp_path / "outbox.db", State.DEAD, Choice("hook"), 10)
    assert [dict(letter.as_json()) for letter in letters] == found


def test_what_was_given_up_is_delivered_when_it_is_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    """In its order, with its old identity, body and count of attempts, and a whole window before it."""
    receiver.answer(503)
    with open_office(tmp_path) as office:
        events = [alarm_event(alarm_id="a"), alarm_event(EventType.ALARM_ENDED, "a")]
        office.commit(*events)
        office.bury("hook")
    receiver.answer(204)
    with open_office(tmp_path, receiver) as office:
        assert office.ask("retry", webhook="hook") == {"queued": 2}
        receiver.wait_for("alarm.ended")
        assert office.numbers("dead") == []
    assert [message.id for message in receiver.accepted] == [event.id for event in events]
    assert [message.headers["tocsin-attempt"] for message in receiver.accepted] == ["301", "301"]


def test_single_deliveries_can_be_tried_again(tmp_path: Path) -> None:
    """Only those whose numbers are given; they get new ones."""
    with open_office(tmp_path) as office:
        office.commit(*(alarm_event(alarm_id=f"a{n}") for n in range(3)))
        office.bury("other")
        first, second, third = office.numbers()
        assert office.ask("retry", numbers=[second]) == {"queued": 1}
        assert office.numbers() == [first, third]
        (again,) = office.numbers("queued", webhook="other")
        assert again > third


def test_what_waits_is_tried_at_once_when_a_person_says_so(tmp_path: Path, receiver: Receiver) -> None:
    """Nobody waits for the rest of ten minutes once the receiver was mended."""
    receiver.answer(503)
    with open_office(tmp_path, receiver) as office:
        office.commit(alarm_event(alarm_id="a"), alarm_event(EventType.ALARM_ENDED, "a"))
        until(lambda: office.notes.attempts, LONG, "a failure")
        receiver.answer(204)
        assert office.ask("retry", webhook="hook") == {"queued": 0}
        receiver.wait_for("alarm.ended")


def test_a_file_that_was_refused_is_in_nobody_s_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon goes on beside it, is asked all the same, and who asks hears what is wrong with the file."""
    file = tmp_path / "tocsin.yaml"
    file.write_text("streams: [{name: a, source: /dev/video0}]\nheartbeat: 5s\nstate_dir: .\n")
    with open_office(tmp_path) as office:
        office.commit(alarm_event())
        assert len(ask(file, "outbox.list", state="queued")["deliveries"]) == 2
    assert f"tocsin: warning: {file}:2: heartbeat: expected 0, or" in capsys.readouterr().err
    file.write_text("state_dir: [\n")
    with pytest.raises(ConfigError, match="expected YAML"):
        ask(file, "outbox.list")
    file.write_text("state_dir: 7\n")
    with pytest.raises(ConfigError, match="state_dir: expected text"):
        ask(file, "outbox.list")


def test_what_of_a_webhook_that_is_gone_can_be_removed(tmp_path: Path) -> None:
    """Its name is taken as long as there is something of it."""
    with open_office(tmp_path) as office:
        office.commit(alarm_event())
        office.desk.adopt(("hook",))
        assert len(office.numbers("queued", webhook="other")) == 1
        assert office.ask("purge", webhook="other", state="queued") == {"removed": 1}
        with pytest.raises(InputError, match=r"expected one of the webhooks \(hook\), found 'other'"):
            office.numbers("queued", webhook="other")


def test_what_waits_can_be_thrown_away(tmp_path: Path, receiver: Receiver) -> None:
    """It is not sent any more, though a courier holds it; other webhooks keep theirs."""
    receiver.answer(503)
    with open_office(tmp_path, receiver) as office:
        office.commit(alarm_event(alarm_id="a"), alarm_event(alarm_id="b"))
        until(lambda: len(office.notes.attempts) == 2, LONG, "failures")
        receiver.answer(204)
        assert office.ask("purge", webhook="hook", state="queued") == {"removed": 2}
        office.commit(alarm_event(alarm_id="c"))
        office.ask("retry", webhook="hook")
        receiver.wait_for("alarm.raised")
        until(lambda: not office.numbers("queued", webhook="hook"), LONG, "an empty queue")
        assert len(office.numbers("queued", webhook="other")) == 3
    assert [message.data["alarm_id"] for message in receiver.accepted] == ["c"]


def test_who_tried_again_and_threw_away_is_on_record(tmp_path: Path) -> None:
    """With what it was about, in the transaction that did it and in the log; what did nothing is not."""
    with open_office(tmp_path) as office, capture_logs() as logs:
        office.commit(alarm_event(alarm_id="a"), alarm_event(EventType.ALARM_ENDED, "a"))
        office.bury("hook")
        office.ask("retry", webhook="hook")
        waiting = office.numbers("queued", webhook="hook")
        office.ask("purge", numbers=waiting, state="queued")
        office.ask("purge", numbers=[99])
        purged, retried = office.outbox.audit(Period()).result(LONG)
    me = pwd.getpwuid(os.getuid()).pw_name
    assert (retried.act, retried.by, retried.via, retried.subject) == (
        *(Act.OUTBOX_RETRIED, me, Via.COMMAND, "hook"),
    )
    assert retried.details == {"count": "2", "state": "dead", "alarms": "a"}
    assert (purged.act, purged.subject) == (Act.OUTBOX_PURGED, "outbox")
    assert purged.details["numbers"] == ",".join(str(number) for number in waiting)
    told = [one["act"] for one in logs if one["event"] == "somebody acted"]
    assert told == ["outbox.retried", "outbox.purged"]


def test_with_a_raise_that_was_never_sent_goes_what_follows_it(tmp_path: Path) -> None:
    """Nobody hears of the end of an alarm whose raise a person threw away before it was tried."""
    with open_office(tmp_path) as office:
        kept, thrown = alarm_event(alarm_id="kept"), alarm_event(alarm_id="thrown")
        office.commit(kept, thrown, alarm_event(EventType.ALARM_REPEATED, "thrown"))
        waiting = office.numbers("queued", webhook="other")
        assert office.ask("purge", numbers=[waiting[1]], state="queued") == {"removed": 2}
        office.commit(
            alarm_event(EventType.ALARM_ENDED, "thrown"), alarm_event(EventType.ALARM_ENDED, "kept")
        )
        assert len(office.numbers("queued", webhook="other")) == 2


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("retry", {"webhook": "nobody"}, r"expected one of the webhooks \(hook, other\), found 'nobody'"),
        ("list", {"webhook": "nobody"}, r"expected one of the webhooks \(hook, other\), found 'nobody'"),
        ("purge", {"webhook": "nobody"}, r"expected one of the webhooks \(hook, other\), found 'nobody'"),
        ("purge", {}, "expected a webhook or numbers of deliveries to remove, found neither"),
        ("list", {"state": "lost"}, "expected a state among queued, delivered, dead, found 'lost'"),
        ("retry", {"numbers": ["1; DROP"]}, "expected numbers of deliveries, found something else"),
        ("retry", {"numbers": 7}, "expected numbers of deliveries, found something else"),
        ("list", {"limit": -(10**30)}, "limit: expected a number from 1 on, found another"),
        ("list", {"limit": "all"}, "limit: expected a number from 1 on, found another"),
    ],
    ids=[
        *("no such webhook", "none to list", "none to purge", "nothing chosen", "no such state", "no number"),
        *("no list of numbers", "less than no number has", "no number of rows"),
    ],
)
def test_a_request_for_what_is_not_there_is_refused(
    tmp_path: Path, command: str, arguments: dict[str, Any], sentence: str
) -> None:
    """The sentence says what was expected, and nothing is changed."""
    with open_office(tmp_path) as office, pytest.raises(InputError, match=sentence):
        office.ask(command, **arguments)


def test_a_name_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """What a terminal sends that speaks no UTF-8 is no text for the database, whose thread would end by it."""
    with open_office(tmp_path) as office:
        for command in ("list", "purge", "retry"):
            with pytest.raises(ControlError, match="expected a request with a command"):
                office.ask(command, webhook="r\udcff")
        assert office.numbers() == []
