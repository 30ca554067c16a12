"""Pictures that go along with a delivery, from a real shelf through a real outbox to real HTTP receivers."""

import os
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from support.events import ALARM, Notes, alarm_event
from support.forms import fields
from support.receiver import Answer, Message, Receiver
from support.wait import SCALE, until
from tocsin.custody.announcements import reading
from tocsin.custody.archive import Archive, Settings
from tocsin.deliver import porter
from tocsin.deliver.alarmdata import EvidenceData
from tocsin.deliver.attach import Attach, Picture, Read, Way
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.event import Event, EventType, TrialData
from tocsin.deliver.formats import as_form, as_tocsin, beside, in_parts
from tocsin.deliver.notation import new_id
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.schedule import Outcome, Schedule
from tocsin.deliver.store import Change
from tocsin.deliver.webhook import Webhook, send_test
from tocsin.evidence.link import new_key
from tocsin.evidence.shelf import FOLDER, Kind, Limits, Shelf

FAST = Schedule(steps=(0.02, 0.04, 0.08), slow=(0.05,), gone=0.05)
LONG = 10.0 * SCALE
RENDERS = {Way.BASE64: beside(as_tocsin), Way.MULTIPART: in_parts(as_tocsin)}
SIZES = {Kind.FRAME: 3000, Kind.CROP: 500}


@dataclass
class Kept:
    """A shelf with pictures on it."""

    state: Path

    def __post_init__(self) -> None:
        deaf = lambda *_: None  # noqa: E731
        settings = Settings({}, Limits(60.0, 1, 0), "http://127.0.0.1:9464")
        self.archive = Archive(Shelf(self.state), new_key(), settings, deaf, deaf, deaf)  # type: ignore[arg-type]
        self.contents = {kind: b"\xff\xd8" + os.urandom(size - 2) for kind, size in SIZES.items()}

        self.read = reading(lambda: self.archive)

    def put(self, alarm_id: str) -> Event:
        """Keep an alarm's pictures; return the event that tells of them."""
        for kind, content in self.contents.items():
            self.path(alarm_id, kind).write_bytes(content)
        return made(alarm_id)

    def path(self, alarm_id: str, kind: Kind) -> Path:
        piece = self.archive.piece(alarm_id, kind)
        return self.state / FOLDER / f"{piece}.{kind}{kind.suffix}"


def made(alarm_id: str) -> Event:
    now = datetime.now(UTC)
    data = EvidenceData(replace(ALARM, alarm_id=alarm_id), tuple(SIZES))
    return Event(new_id(now), EventType.EVIDENCE_MADE, now, data)


class Post:
    """An outbox and a dispatcher with pictures."""

    def __init__(self, path: Path, read: Read, *webhooks: Webhook, schedule: Schedule = FAST) -> None:
        self.notes = Notes()
        self.database = path / "outbox.db"
        self.outbox = Outbox(
            self.database, {one.name: ("alarm.*", "evidence.*") for one in webhooks}, self.notes
        )
        self.dispatcher = Dispatcher(self.outbox, webhooks, self.notes, schedule, read=read)

    def __enter__(self) -> "Post":
        self.outbox.start()
        self.dispatcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.dispatcher.stop(time.monotonic() + LONG)
        self.outbox.stop(time.monotonic() + LONG)

    def commit(self, *events: Event) -> None:
        self.outbox.commit(Change(events=events)).result(LONG)

    def settled(self, count: int) -> None:
        until(lambda: len(self.notes.settlements) == count, LONG, "the deliveries")


def to(
    receiver: Receiver, way: Way, most: int = 1_000_000, name: str = "hook", deadline: float = LONG
) -> Webhook:
    render = RENDERS[way]
    return Webhook(name, receiver.url, receiver.secret, deadline, render=render, attach=Attach(way, most))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def decoded(message: Message) -> dict[str, bytes]:
    """The pictures of a message in base64."""
    return {one["kind"]: b64decode(one["base64"]) for one in message.data["attached"]}


def attached(message: Message) -> dict[str, bytes]:
    """The pictures of a message in a form."""
    found = fields(message.raw, message.headers["content-type"])
    return {name: one.content for name, one in found.items() if one.file is not None}


def test_a_receiver_that_cannot_fetch_gets_the_pictures(
    tmp_path: Path, kept: Kept, receiver: Receiver
) -> None:
    """In base64 or as a form, each signed over its very bytes, after the alarm; none of it lies in the database."""
    with Receiver() as other:
        hooks = to(receiver, Way.BASE64), to(other, Way.MULTIPART, name="form")
        with Post(tmp_path, kept.read, *hooks) as post:
            post.commit(alarm_event(), kept.put("alarm_1"))
            post.settled(4)
    raised, made = receiver.accepted
    assert (raised.type, made.type) == ("alarm.raised", "evidence.made")
    assert "attached" not in raised.data
    assert decoded(made) == kept.contents
    assert list(decoded(made)) == ["crop", "frame"], "who it is comes first"
    assert made.data["left_out"] == []
    Verifier(receiver.secret).verify(made.raw, dict(made.headers))
    _, form = other.accepted
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=tocsin-")
    assert attached(form) == kept.contents
    assert form.data["alarm_id"] == "alarm_1"
    assert receiver.refused == other.refused == []
    database = b"".join(path.read_bytes() for path in tmp_path.glob("outbox.db*"))
    assert b'"evidence.made"' in database
    assert kept.contents[Kind.CROP] not in database


@pytest.mark.parametrize("way", RENDERS)
def test_each_attempt_has_the_same_bytes(tmp_path: Path, kept: Kept, receiver: Receiver, way: Way) -> None:
    """As long as the pictures are there."""
    receiver.answer([Answer(429, {"Retry-After": "1"}), 401])
    with Post(tmp_path, kept.read, to(receiver, way)) as post:
        post.commit(kept.put("alarm_1"))
        post.settled(1)
    assert len({message.raw for message in receiver.requests}) == 1
    assert [message.answer for message in receiver.requests] == [429, 401, 204]


def test_what_was_swept_before_a_retry_is_left_out(tmp_path: Path, kept: Kept, receiver: Receiver) -> None:
    """The event comes without it, and says so."""
    event = kept.put("alarm_1")

    def answer(message: Message) -> int:
        if message.headers["tocsin-attempt"] != "1":
            return 204
        kept.path("alarm_1", Kind.FRAME).unlink()
        return 404

    receiver.answer(answer)
    with Post(tmp_path, kept.read, to(receiver, Way.MULTIPART)) as post:
        post.commit(event)
        post.settled(1)
    first, second = receiver.requests
    assert list(attached(first)) == ["crop", "frame"]
    assert list(attached(second)) == ["crop"]
    assert (first.data["left_out"], second.data["left_out"]) == ([], ["frame"])
    assert first.id == second.id


@pytest.mark.parametrize(("way", "most"), [(Way.BASE64, 700), (Way.MULTIPART, 600)])
def test_no_more_goes_along_than_may(
    tmp_path: Path, kept: Kept, receiver: Receiver, way: Way, most: int
) -> None:
    """What does not fit is named."""
    with Post(tmp_path, kept.read, to(receiver, way, most)) as post:
        post.commit(kept.put("alarm_1"))
        post.settled(1)
    (message,) = receiver.accepted
    assert list((decoded if way is Way.BASE64 else attached)(message)) == ["crop"]
    assert message.data["left_out"] == ["frame"]
    assert len(message.raw) < most + 1500


@pytest.mark.parametrize("status", [413, 400])
def test_who_refuses_the_size_gets_the_event_without(
    tmp_path: Path, kept: Kept, receiver: Receiver, status: int
) -> None:
    """From the next attempt on it brings no pictures and says so; the next alarm's bring them again."""
    script = iter([status, 503, 503, 204, status])
    receiver.answer(lambda _: next(script, 204))
    with Post(tmp_path, kept.read, to(receiver, Way.MULTIPART)) as post:
        post.commit(kept.put("alarm_1"))
        post.settled(1)
        post.commit(kept.put("alarm_2"))
        post.settled(2)
    assert [message.answer for message in receiver.requests] == [status, 503, 503, 204, status, 204]
    assert [len(attached(message)) for message in receiver.requests] == [2, 0, 0, 0, 2, 0]
    assert receiver.requests[1].data["left_out"] == ["crop", "frame"]


def test_a_restart_remembers_what_was_refused(tmp_path: Path, kept: Kept, receiver: Receiver) -> None:
    """It goes without pictures at once."""
    hook = to(receiver, Way.BASE64)
    post = Post(tmp_path, kept.read, hook)
    post.outbox.start()
    post.commit(kept.put("alarm_1"))
    (delivery,) = post.outbox.queued("hook", 0, 10).result(LONG)
    post.outbox.failed(delivery.number, 1, Outcome.REFUSED, 0.0).result(LONG)
    post.outbox.stop(time.monotonic() + LONG)
    with Post(tmp_path, kept.read, hook) as again:
        again.settled(1)
    (message,) = receiver.requests
    assert message.data["left_out"] == ["crop", "frame"]


def test_a_receiver_that_chokes_gets_the_event_at_last(
    tmp_path: Path, kept: Kept, receiver: Receiver
) -> None:
    """One that cuts the connection at so much gets every third attempt without pictures."""
    receiver.answer(lambda message: Answer(None) if len(message.raw) > 3000 else 204)
    with Post(tmp_path, kept.read, to(receiver, Way.BASE64)) as post:
        post.commit(kept.put("alarm_1"))
        post.settled(1)
    assert [message.answer for message in receiver.requests] == [None, None, 204]
    assert [len(message.data["attached"]) for message in receiver.requests] == [2, 2, 0]


def test_a_receiver_that_was_away_gets_the_pictures(tmp_path: Path, kept: Kept, receiver: Receiver) -> None:
    """What never reached it has not choked it: the third attempt brings them, too."""
    receiver.down()
    patient = Schedule(steps=(0.02, 1.0))
    with Post(tmp_path, kept.read, to(receiver, Way.BASE64), schedule=patient) as post:
        post.commit(kept.put("alarm_1"))
        until(lambda: len(post.notes.attempts) == 2, LONG, "two attempts in vain")
        receiver.up()
        post.settled(1)
    assert decoded(receiver.accepted[0]) == kept.contents


def test_pictures_hold_no_alarm_up(tmp_path: Path, kept: Kept, receiver: Receiver) -> None:
    """While a receiver is slow to take them one delivery has them in hand, and alarms pass by."""
    slow = Answer(204, delay=0.5)
    receiver.answer(lambda message: slow if message.type == "evidence.made" else 204)
    with Post(tmp_path, kept.read, to(receiver, Way.BASE64)) as post:
        post.commit(*(kept.put(f"alarm_{n}") for n in range(4)))
        until(lambda: receiver.requests, LONG, "the first pictures")
        post.commit(alarm_event(alarm_id="alarm_9"))
        post.settled(5)
    order = [message.type for message in receiver.requests]
    assert order.index("alarm.raised") <= 2
    began = [message.at for message in receiver.requests if message.type == "evidence.made"]
    assert all(after - before >= 0.5 for before, after in pairwise(began))


def test_a_disk_that_hangs_costs_the_pictures_alone(
    tmp_path: Path, kept: Kept, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event goes without them, and what asks the disk next does not wait for it, too; nor does the end."""
    monkeypatch.setattr(porter, "PATIENCE", 0.2)
    asked: list[str] = []
    release = threading.Event()

    def hang(alarm_id: str, _kind: str, _most: int) -> Picture | None:
        asked.append(alarm_id)
        release.wait()
        return None

    try:
        with Post(tmp_path, hang, to(receiver, Way.BASE64)) as post:
            post.commit(made("alarm_1"), made("alarm_2"))
            post.settled(2)
            assert len(asked) == 1
    finally:
        release.set()
    assert [message.data["left_out"] for message in receiver.accepted] == [["crop", "frame"]] * 2


def test_a_chat_gets_the_picture_as_its_service_takes_one(
    tmp_path: Path, kept: Kept, receiver: Receiver
) -> None:
    """The fields of a template, the picture among them by the name that the service has for it."""
    template = {"chat_id": "-100123", "caption": "{late}{summary}", "photo": "{crop}"}
    hook = replace(
        to(receiver, Way.MULTIPART),
        render=as_form(template),
        attach=Attach(Way.MULTIPART, 1_000_000, ("crop",)),
    )
    with Post(tmp_path, kept.read, hook) as post:
        post.commit(kept.put("alarm_1"))
        post.settled(1)
    (message,) = receiver.accepted
    found = fields(message.raw, message.headers["content-type"])
    assert found["chat_id"].text == "-100123"
    assert found["caption"].text.startswith("evidence made: person 0.81 at entrance/doorway")
    assert (found["photo"].content, found["photo"].file) == (kept.contents[Kind.CROP], "crop.jpg")
    assert message.body == {}


@pytest.mark.parametrize("way", RENDERS)
def test_a_trial_brings_a_picture_where_alarms_will(receiver: Receiver, way: Way) -> None:
    """So that whoever sets a receiver up sees whether it takes one."""
    now = datetime.now(UTC)
    event = Event(new_id(now), EventType.TOCSIN_TEST, now, TrialData())
    assert send_test(to(receiver, way, 5000), event, b"\xff\xd8" * 1000).outcome is Outcome.DELIVERED
    (message,) = receiver.accepted
    assert message.type == "tocsin.test"
    assert (decoded if way is Way.BASE64 else attached)(message) == {"crop": b"\xff\xd8" * 1000} | (
        {} if way is Way.BASE64 else {"frame": b"\xff\xd8" * 1000}
    )
    plain = replace(to(receiver, way), attach=None, render=as_tocsin)
    assert send_test(plain, event, b"\xff\xd8").outcome is Outcome.DELIVERED
    assert receiver.accepted[1].raw == event.render(0)
