"""Deliveries from a real outbox to real HTTP receivers."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.events import ALARM, NOON, Notes, alarm_event, stream_event
from support.footprint import rss
from support.receiver import SECRET, Answer, Receiver
from support.tls import Certificates
from support.wait import SCALE, until
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.event import Event, EventType, TrialData
from tocsin.deliver.letters import Choice, read_letters
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.schedule import Outcome, Schedule, Settlement, State
from tocsin.deliver.store import Change, Delivery
from tocsin.deliver.webhook import Attempt, Webhook, send_test
from tocsin.deliver.why import Why
from tocsin.errors import SecretError

FAST = Schedule(steps=(0.02, 0.04, 0.08), slow=(0.05,), gone=0.05)
Serve = Callable[[socket.socket, threading.Event], None]
LONG = 10.0  # seconds in which everything here happens on a busy machine, too


class Post:
    """An outbox and a dispatcher that deliver alarms and news of streams to the given webhooks."""

    def __init__(
        self,
        path: Path,
        *webhooks: Webhook,
        schedule: Schedule = FAST,
        patience: float = LONG,
        paused: tuple[str, ...] = (),
    ) -> None:
        self.notes = Notes()
        patterns = ("alarm.*", "stream.*", "delivery.*")
        self.outbox = Outbox(path / "outbox.db", {webhook.name: patterns for webhook in webhooks}, self.notes)
        self.dispatcher = Dispatcher(self.outbox, webhooks, self.notes, schedule, paused=paused)
        self.patience = patience

    def __enter__(self) -> "Post":
        self.outbox.start()
        self.dispatcher.start()
        return self

    def __exit__(self, *reason: object) -> None:
        deadline = time.monotonic() + self.patience
        self.dispatcher.stop(deadline)
        self.outbox.stop(time.monotonic() + LONG)

    def commit(self, *events: Event) -> None:
        self.outbox.commit(Change(events=events)).result(LONG)

    def left(self, webhook: str = "hook") -> int:
        return len(self.outbox.queued(webhook, 0, 10_000).result(LONG))

    def outcomes(self, webhook: str = "hook") -> list[Outcome]:
        return [outcome for name, outcome in self.notes.attempts if name == webhook]


def to(receiver: Receiver, name: str = "hook", deadline: float = LONG) -> Webhook:
    return Webhook(name, receiver.url, receiver.secret, deadline)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.mark.fault(45)
def test_a_failed_delivery_is_made_again_unchanged(tmp_path: Path, receiver: Receiver):
    """After two failures the third attempt is accepted; identity and bytes are the same, the headers count."""
    receiver.answer([500, Answer(None)])
    event = alarm_event()
    with Post(tmp_path, to(receiver)) as post:
        post.commit(event)
        until(lambda: post.notes.settlements, LONG, "the delivery")
        assert post.left() == 0
    first, second, third = receiver.requests
    assert {request.id for request in (first, second, third)} == {event.id}
    assert first.raw == second.raw == third.raw == event.render(1)
    assert [request.headers["tocsin-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert post.outcomes() == [Outcome.FAILING, Outcome.PROTOCOL, Outcome.DELIVERED]
    assert post.notes.settlements == [("hook", Settlement.DELIVERED)]
    assert receiver.refused == []


def test_the_headers_are_those_of_the_contract(tmp_path: Path, receiver: Receiver):
    """A delivery says who sends it and how late it is, and its signature is made at the attempt."""
    late = replace(alarm_event(), at=datetime.now(UTC) - timedelta(seconds=100))
    with Post(tmp_path, to(receiver)) as post:
        post.commit(late)
        message = receiver.wait_for("alarm.raised")
    assert message.headers["content-type"] == "application/json"
    assert message.headers["user-agent"].startswith("tocsin/")
    assert 100 <= int(message.headers["tocsin-late-seconds"]) < 100 + LONG
    assert int(message.headers["webhook-timestamp"]) == pytest.approx(message.wall, abs=2)


@pytest.mark.fault(35)
def test_a_receiver_that_comes_back_gets_everything_in_order(tmp_path: Path, receiver: Receiver):
    """What was raised while the receiver was down arrives once it is up, each alarm's raise before its end."""
    receiver.down()
    kinds = (EventType.ALARM_RAISED, EventType.ALARM_REPEATED, EventType.ALARM_ENDED)
    events = [alarm_event(kind, f"alarm_{n}") for kind in kinds for n in range(5)]
    with Post(tmp_path, to(receiver)) as post:
        post.commit(*events)
        until(lambda: len(post.notes.attempts) >= 4, LONG, "attempts in vain")
        assert set(post.outcomes()) == {Outcome.UNREACHABLE}
        until(lambda: post.notes.depths.get("hook") == 15, LONG, "the depth of the queue to be told")
        until(lambda: post.notes.ages["hook"] > 0, LONG, "its age to be told")
        receiver.up()
        until(lambda: len(receiver.accepted) == 15, LONG, "15 deliveries")
        until(lambda: post.notes.depths["hook"] == 0, LONG, "the end of the queue to be told")
    for n in range(5):
        assert [m.type for m in receiver.accepted if m.data["alarm_id"] == f"alarm_{n}"] == list(kinds)
    assert len({message.id for message in receiver.requests}) == len(receiver.requests)


def test_a_long_queue_drains_at_the_receiver_s_pace(tmp_path: Path, receiver: Receiver):
    """Everything arrives once, over a handful of connections, and no event costs a thread."""
    receiver.down()
    with Post(tmp_path, to(receiver)) as post:
        for start in range(0, 1_000, 500):
            post.commit(*(alarm_event(alarm_id=f"alarm_{start + n}") for n in range(500)))
        until(lambda: Outcome.UNREACHABLE in post.outcomes(), LONG, "an attempt in vain")
        receiver.up()
        before, most = threading.active_count(), 0

        def is_done() -> bool:
            nonlocal most
            most = max(most, threading.active_count())
            return len(receiver.accepted) == 1_000

        until(is_done, 60, "1,000 deliveries")
        until(lambda: post.left() == 0, LONG, "an empty queue")
    assert len({message.id for message in receiver.requests}) == len(receiver.requests) == 1_000
    assert most - before < 15, "one of the receiver's for each connection"


def test_a_raise_that_fails_holds_back_its_end_and_nothing_else(tmp_path: Path, receiver: Receiver):
    """While one alarm's raise is refused, its end waits, and other alarms pass."""
    is_mended = threading.Event()
    receiver.answer(
        lambda message: 422 if message.data["alarm_id"] == "bad" and not is_mended.is_set() else 204
    )
    with Post(tmp_path, to(receiver)) as post:
        post.commit(
            alarm_event(alarm_id="bad"),
            alarm_event(EventType.ALARM_ENDED, "bad"),
            alarm_event(alarm_id="good"),
        )
        receiver.wait_for("alarm.raised")
        until(lambda: post.outcomes().count(Outcome.REFUSED) >= 3, LONG, "refusals")
        assert [message.data["alarm_id"] for message in receiver.accepted] == ["good"]
        assert {message.type for message in receiver.requests} == {"alarm.raised"}
        is_mended.set()
        receiver.wait_for("alarm.ended")
    assert [m.type for m in receiver.accepted if m.data["alarm_id"] == "bad"] == [
        "alarm.raised",
        "alarm.ended",
    ]


def test_a_body_that_a_receiver_chokes_on_stops_no_other(tmp_path: Path, receiver: Receiver):
    """A receiver that answers 500 to one alarm for ever gets all others at once, and that one ever more rarely.

    The waits of that alarm are two short ones and then ten minutes, of which the first success of another spares
    it one: four attempts, however slow the machine.
    """
    receiver.answer(lambda message: 500 if message.data["alarm_id"] == "poison" else 204)
    schedule = Schedule(steps=(0.02, 600))
    with Post(tmp_path, to(receiver), schedule=schedule, patience=0.2) as post:
        post.commit(alarm_event(alarm_id="poison"))
        until(lambda: post.outcomes().count(Outcome.FAILING) == 2, LONG, "an open circuit")
        for n in range(10):
            post.commit(alarm_event(alarm_id=f"alarm_{n}"))
            receiver.wait_for("alarm.raised", n + 1)
            time.sleep(
                0.05
            )  # more than a short step of an idle webhook, in which the poison must not be the probe
        until(lambda: post.left() == 1, LONG, "the poison alone")
        assert post.outcomes().count(Outcome.FAILING) <= 4


def test_one_success_lets_go_what_waited_for_the_receiver(tmp_path: Path, receiver: Receiver):
    """Deliveries whose next attempt is ten minutes away go as soon as the receiver accepts another one."""
    receiver.answer(503)
    kinds = (EventType.ALARM_RAISED, EventType.ALARM_ENDED)
    events = [alarm_event(kind, f"alarm_{n}") for kind in kinds for n in range(5)]
    with Post(tmp_path, to(receiver), schedule=Schedule(steps=(600,)), patience=0.2) as post:
        post.commit(*events)
        until(lambda: post.outcomes().count(Outcome.FAILING) == 4, LONG, "failures")
        receiver.answer(204)
    with capture_logs() as logs, Post(tmp_path, to(receiver), schedule=Schedule(steps=(600,))) as post:
        post.commit(alarm_event(alarm_id="news"))
        until(lambda: len(receiver.accepted) == 11, LONG, "all of them")
    for n in range(5):
        assert [m.type for m in receiver.accepted if m.data["alarm_id"] == f"alarm_{n}"] == list(kinds)
    assert [line["event"] for line in logs if "webhook" in line] == [
        "webhook did not take a delivery when it was last tried",
        "webhook answers again",
    ]


def test_a_lone_delivery_is_let_go_by_the_success_of_another(tmp_path: Path, receiver: Receiver):
    """An alarm that met a receiver in trouble goes once a later one is accepted, not ten minutes after."""
    receiver.answer([503])
    with Post(tmp_path, to(receiver), schedule=Schedule(steps=(600,))) as post:
        post.commit(alarm_event(alarm_id="first"))
        until(lambda: post.outcomes() == [Outcome.FAILING], LONG, "a failure")
        post.commit(alarm_event(alarm_id="second"))
        until(lambda: len(receiver.accepted) == 2, LONG, "both")
    assert [message.data["alarm_id"] for message in receiver.accepted] == ["second", "first"]


def test_a_courier_that_dies_is_noticed(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    """An unexpected error in a courier ends the dispatcher with a sentence to whoever has to know."""
    told: list[str] = []
    outbox = Outbox(tmp_path / "outbox.db", {"hook": ("alarm.*",)}, Notes())
    dispatcher = Dispatcher(outbox, [to(receiver)], Notes(), FAST, on_failure=told.append)

    def broken(*_: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(Webhook, "send", broken)
    outbox.start()
    with capture_logs() as logs:
        dispatcher.start()
        outbox.commit(Change(events=(alarm_event(),))).result(LONG)
        until(lambda: told, LONG, "the sentence")
    dispatcher.stop(time.monotonic() + LONG)
    outbox.stop(time.monotonic() + LONG)
    assert told == ["the dispatcher stopped on an unexpected error"]
    assert [line["thread"] for line in logs if line.get("exc_info")] == ["dispatcher"]


def test_a_dead_receiver_costs_one_request_a_step(tmp_path: Path, receiver: Receiver):
    """However many deliveries wait, a receiver in trouble gets one probe a step after the first failures."""
    receiver.answer(503)
    steps = Schedule(steps=(0.2,), jitter=0)
    with Post(tmp_path, to(receiver), schedule=steps, patience=0.1) as post:
        post.commit(*(alarm_event(alarm_id=f"alarm_{n}") for n in range(50)))
        until(lambda: len(receiver.requests) >= 8, LONG, "probes")
    times = sorted(message.at for message in receiver.requests)
    probes = times[4:]
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(probes))
    assert len({message.id for message in receiver.requests}) == len(receiver.requests), (
        "each probe is another one"
    )


@pytest.mark.fault(43)
def test_the_dead_do_not_delay_the_living(tmp_path: Path, receiver: Receiver):
    """One webhook that hangs and one that refuses connections leave the third as fast as ever."""
    with ExitStack() as stack:
        hung = stack.enter_context(raw_server(hang))
        gone = stack.enter_context(Receiver())
        gone.down()
        webhooks = (Webhook("hung", hung, SECRET, deadline=LONG), to(gone, "gone"), to(receiver, "alive"))
        post = stack.enter_context(Post(tmp_path, *webhooks, patience=0.2))
        for n in range(10):
            post.commit(alarm_event(alarm_id=f"alarm_{n}"))
        until(lambda: len(receiver.accepted) == 10, LONG, "10 deliveries")
        until(lambda: len(post.notes.delays) == 10, LONG, "10 conclusions")
        assert {name for name, _ in post.notes.delays} == {"alive"}
        assert max(delay for _, delay in post.notes.delays) < 1.0 * SCALE
        assert Outcome.UNREACHABLE in post.outcomes("gone")
        assert len({message.id for message in receiver.requests}) == len(receiver.requests) == 10


def test_a_commit_is_sent_at_once(tmp_path: Path, receiver: Receiver):
    """From the raise to the request at the receiver passes less than a fifth of a second, commit included."""
    with Post(tmp_path, to(receiver)) as post:
        for n in range(20):
            post.commit(alarm_event(alarm_id=f"alarm_{n}"))
            receiver.wait_for("alarm.raised", n + 1)
    assert len(post.notes.delays) == 20
    assert max(delay for _, delay in post.notes.delays) < 0.2 * SCALE


def test_a_restart_resumes(tmp_path: Path, receiver: Receiver):
    """What was queued when the daemon stopped is delivered by the next one, counted on and unchanged."""
    receiver.answer(503)
    event = alarm_event()
    with Post(tmp_path, to(receiver), patience=0) as post:
        post.commit(event)
        until(lambda: len(post.notes.attempts) >= 2, LONG, "attempts")
    tried = len(receiver.requests)
    receiver.answer(204)
    with Post(tmp_path, to(receiver)):
        message = receiver.wait_for("alarm.raised")
    assert (message.id, message.raw) == (event.id, receiver.requests[0].raw)
    assert int(message.headers["tocsin-attempt"]) >= tried


def test_a_stop_delivers_what_is_due(tmp_path: Path, receiver: Receiver):
    """An alarm that was raised just before the stop still goes out."""
    with Post(tmp_path, to(receiver)) as post:
        post.outbox.commit(Change(events=(alarm_event(),))).result(LONG)
    assert len(receiver.accepted) == 1


def test_a_stop_gives_up_at_its_deadline(tmp_path: Path):
    """A receiver that hangs does not keep the daemon from stopping, and its delivery stays queued."""
    with raw_server(hang) as url:
        with Post(tmp_path, Webhook("hook", url, SECRET, deadline=LONG), patience=0.2) as post:
            post.commit(alarm_event())
            until(lambda: threads_named("raw") >= 2, LONG, "the request")
            began = time.monotonic()
        assert time.monotonic() - began < 2 * SCALE
        assert len(read_letters(tmp_path / "outbox.db", State.QUEUED, Choice(), 10)) == 1
        assert read_letters(tmp_path / "outbox.db", State.DEAD, Choice(), 10) == ()


def test_after_the_window_a_delivery_is_dead_and_the_others_hear_of_it(tmp_path: Path, receiver: Receiver):
    """A delivery that no receiver takes within the window is dead: logged, counted, and told to the others."""
    with Receiver() as failing, capture_logs() as logs:
        failing.answer(500)
        brief = replace(FAST, window=0.3)
        with Post(tmp_path, to(failing, "failing"), to(receiver, "alive"), schedule=brief) as post:
            event = alarm_event()
            post.commit(event)
            told = receiver.wait_for("delivery.exhausted")
            assert post.left("failing") == 0
    assert told.data["event_id"] == event.id
    assert (told.data["webhook"], told.data["outcome"]) == ("failing", "failing")
    assert told.data["attempts"] == len(failing.requests) > 1
    assert ("failing", Settlement.DEAD) in post.notes.settlements
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["delivery given up"]


@pytest.mark.parametrize(
    "status", [pytest.param(503, marks=pytest.mark.fault(36)), pytest.param(429, marks=pytest.mark.fault(37))]
)
def test_retry_after_is_obeyed(tmp_path: Path, receiver: Receiver, status: int):
    """A receiver that asks for a second of patience is not asked again before, and soon after."""
    receiver.answer([Answer(status, {"Retry-After": "1"})])
    with Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event())
        until(lambda: receiver.accepted, LONG, "the delivery")
    first, second = receiver.requests
    assert 1.0 <= second.at - first.at < 1.2 + 0.3 * SCALE
    assert post.outcomes() == [{503: Outcome.FAILING, 429: Outcome.THROTTLED}[status], Outcome.DELIVERED]


@pytest.mark.fault(40)
def test_a_redirect_is_not_followed(tmp_path: Path, receiver: Receiver):
    """An answer that points elsewhere is a failure, and nothing goes there."""
    with Receiver() as elsewhere:
        receiver.answer([Answer(302, {"Location": elsewhere.url}), Answer(307, {"Location": elsewhere.url})])
        with Post(tmp_path, to(receiver)) as post:
            post.commit(alarm_event())
            until(lambda: receiver.accepted, LONG, "the delivery")
        assert post.outcomes() == [Outcome.REDIRECT, Outcome.REDIRECT, Outcome.DELIVERED]
        assert elsewhere.requests == []
        assert elsewhere.refused == []


@pytest.mark.fault(38)
@pytest.mark.parametrize("status", [400, 401])
def test_what_is_refused_for_a_while_is_delivered_in_the_end(tmp_path: Path, receiver: Receiver, status: int):
    """A clock that is wrong, or a secret that was changed there first, costs time and no alarm."""
    receiver.answer([status] * 5)
    with Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event(), alarm_event(EventType.ALARM_ENDED))
        receiver.wait_for("alarm.ended")
    assert [message.type for message in receiver.accepted] == ["alarm.raised", "alarm.ended"]
    refused = {400: Outcome.REFUSED, 401: Outcome.DENIED}[status]
    assert post.outcomes() == [refused] * 5 + [Outcome.DELIVERED] * 2
    assert len({message.raw for message in receiver.requests if message.type == "alarm.raised"}) == 1


def test_a_refused_signature_is_tried_again(tmp_path: Path):
    """With a secret of its own the receiver refuses; nothing is lost, and the webhook is tried slowly."""
    with Receiver(secret="whsec_" + "B" * 40) as receiver:
        webhook = Webhook("hook", receiver.url, SECRET)
        with Post(tmp_path, webhook, patience=0.1) as post:
            post.commit(alarm_event())
            until(lambda: len(receiver.refused) >= 2, LONG, "refusals")
            assert post.left() == 1
        assert set(post.outcomes()) == {Outcome.DENIED}


@pytest.mark.parametrize("known", ["old", "new"])
def test_a_secret_is_changed_without_a_refusal(tmp_path: Path, known: str):
    """While two secrets sign, a receiver that knows either accepts; with one alone the other is refused."""
    old, new = "whsec_" + "B" * 40, SECRET
    with Receiver(secret={"old": old, "new": new}[known]) as receiver:
        both = Webhook("hook", receiver.url, new, previous_secret=old)
        with Post(tmp_path, both) as post:
            post.commit(alarm_event())
            message = receiver.wait_for("alarm.raised")
            assert len(message.headers["webhook-signature"].split()) == 2
        assert receiver.refused == []
        other = Webhook("hook", receiver.url, {"old": new, "new": old}[known])
        with Post(tmp_path, other, patience=0.1) as post:
            post.commit(alarm_event(alarm_id="b"))
            until(lambda: receiver.refused, LONG, "a refusal")
        assert old not in repr(both)


def test_failures_are_logged_when_they_change(tmp_path: Path, receiver: Receiver):
    """A long outage is one line when it begins and one when it ends, and no line holds the address."""
    receiver.answer([503] * 6)
    with capture_logs() as logs, Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event())
        until(lambda: receiver.accepted, LONG, "the delivery")
    lines = [line["event"] for line in logs if "webhook" in line]
    assert lines == ["webhook does not take a delivery", "webhook answers again"]
    assert receiver.url not in str(logs)


@pytest.mark.fault(53)
@pytest.mark.parametrize("shift", [86_400.0, -86_400.0], ids=["a day on", "a day back"])
def test_a_clock_that_is_set_brings_neither_storm_nor_stall(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, shift: float
):
    """Attempts keep their pace when the clock jumps, and after a restart into that time; nothing is given up."""
    receiver.answer(503)
    real, step = time.time, 0.3
    steps = Schedule(steps=(step,), jitter=0)
    with Post(tmp_path, to(receiver), schedule=steps, patience=0.1) as post:
        post.commit(*(alarm_event(alarm_id=f"alarm_{n}") for n in range(8)))
        until(lambda: len(receiver.requests) >= 6, LONG, "attempts before")
        before = time.time()
        monkeypatch.setattr(time, "time", lambda: real() + shift)
        assert abs(time.time() - before) > 80_000, "the fault did not fire"
        jumped = len(receiver.requests)
        until(lambda: len(receiver.requests) >= jumped + 3, LONG, "attempts after")
    stopped = time.monotonic()
    with Post(tmp_path, to(receiver), schedule=steps, patience=0.1) as post:
        seen = len(receiver.requests)
        until(lambda: len(receiver.requests) >= seen + 3, LONG, "attempts after the restart")
        assert receiver.requests[seen].at - stopped < step + 1.0 * SCALE
        assert post.left() == 8
        receiver.answer(204)
        until(lambda: len(receiver.accepted) == 8, LONG, "all of them")
    probes = sorted(message.at for message in receiver.requests[4:seen])
    assert all(step <= later - earlier < step + 1.0 * SCALE for earlier, later in pairwise(probes))


@pytest.mark.fault(39)
def test_a_receiver_that_wants_no_more_is_paused_and_told_of(tmp_path: Path, receiver: Receiver):
    """A 410 leaves it one attempt an hour, throws nothing away, and is told once, also over a restart.

    Its first acceptance ends the pause, brings all that waited, and is told. The other webhook gets every alarm.
    """
    patient = replace(FAST, gone=600.0)
    with Receiver() as gone:
        gone.answer(410)
        webhooks = to(gone, "gone"), to(receiver, "alive")
        with Post(tmp_path, *webhooks, schedule=patient) as post:
            post.commit(alarm_event(alarm_id="a"))
            told = receiver.wait_for("delivery.paused")
            for n in range(5):
                post.commit(alarm_event(alarm_id=f"a{n}"))
            receiver.wait_for("alarm.raised", 6)
            assert post.left("gone") == 6
            assert post.notes.pauses == [("gone", True)]
        assert told.data == {"seq": 1, "webhook": "gone", "reason": "gone"}
        seen = len(gone.requests)
        assert 1 <= seen <= 4, "the alarm, and what was under way with it"
        with Post(tmp_path, *webhooks, schedule=patient, paused=("gone",)) as post:
            post.commit(alarm_event(alarm_id="b"))
            until(lambda: len(gone.requests) > seen, LONG, "a probe")
            assert post.notes.pauses == [("gone", True)]
            gone.answer(204)
            post.commit(alarm_event(alarm_id="c"))
        with Post(tmp_path, *webhooks, schedule=patient, paused=("gone",)) as post:
            post.commit(alarm_event(alarm_id="d"))
            receiver.wait_for("delivery.resumed")
            until(lambda: len(gone.accepted) == 9, LONG, "all that waited")
            assert post.notes.pauses == [("gone", True), ("gone", False)]
            assert {(one.type, one.subject) for one in post.outbox.standing().result(LONG)} == set()
    assert [message.type for message in receiver.accepted].count("delivery.paused") == 1
    assert {message.type for message in gone.requests} == {"alarm.raised"}


def test_events_of_one_stream_stay_in_order(tmp_path: Path, receiver: Receiver):
    """News of a stream arrive as they happened, also when the first of them fails."""
    receiver.answer([500])
    with Post(tmp_path, to(receiver)) as post:
        post.commit(stream_event(EventType.STREAM_DOWN), stream_event(EventType.STREAM_UP))
        receiver.wait_for("stream.up")
    assert [message.type for message in receiver.accepted] == ["stream.down", "stream.up"]


class BusyOutbox(Outbox):
    """An outbox into which an event is committed at the worst moment: just after the queue was read."""

    def queued(self, webhook: str, after: int, limit: int) -> Future[tuple[Delivery, ...]]:
        found = super().queued(webhook, after, limit)
        if after == 0 and not found.result(LONG):
            self.commit(Change(events=(alarm_event(),))).result(LONG)
        return found


def test_what_is_committed_while_the_queue_is_read_is_not_overlooked(tmp_path: Path, receiver: Receiver):
    """A commit between the reading of the queue and its answer is delivered without another one to wake anybody."""
    outbox = BusyOutbox(tmp_path / "outbox.db", {"hook": ("alarm.*",)}, Notes())
    dispatcher = Dispatcher(outbox, [to(receiver)], Notes(), FAST)
    outbox.start()
    dispatcher.start()
    try:
        receiver.wait_for("alarm.raised")
    finally:
        dispatcher.stop(time.monotonic() + LONG)
        outbox.stop(time.monotonic() + LONG)


def test_it_listens_before_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing that is committed while it starts comes between its first look and the news of what is new."""
    looking: list[int] = []
    outbox = Outbox(tmp_path / "outbox.db", {}, Notes())
    monkeypatch.setattr(outbox, "listen", lambda *_: looking.append(threads_named("dispatcher")))
    dispatcher = Dispatcher(outbox, [], Notes(), FAST)
    outbox.start()
    dispatcher.start()
    try:
        assert (looking, threads_named("dispatcher")) == ([0], 1)
    finally:
        dispatcher.stop(time.monotonic() + LONG)
        outbox.stop(time.monotonic() + LONG)


# One attempt


@contextmanager
def raw_server(serve: Serve) -> Iterator[str]:
    """Serve each connection by a function, and yield the address; `serve` gets an event that ends it."""
    closing = threading.Event()
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection:
            try:
                request = b""
                while not request.endswith(b"}"):  # all of it: closing on unread bytes would be a reset
                    request += connection.recv(65536) or b"}"
                serve(connection, closing)
            except OSError:
                pass  # the other side had enough, which is what these tests are about

    def accept() -> None:
        while not closing.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=handle, args=(connection,), name="raw"))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, name="raw")
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join(LONG)


def threads_named(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def attempt(url: str, deadline: float = LONG) -> Attempt:
    return send_test(
        Webhook("hook", url, SECRET, deadline), Event("msg_1", EventType.TOCSIN_TEST, NOON, TrialData())
    )


def hang(_: socket.socket, closing: threading.Event) -> None:
    closing.wait(LONG)


def say(text: bytes) -> Serve:
    return lambda connection, _: connection.sendall(text)


def drip(text: bytes) -> Serve:
    def serve(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(text)
        while not closing.wait(0.02):
            connection.sendall(b"x")

    return serve


@pytest.mark.fault(41)
def test_dripping_headers_end_at_the_deadline():
    """A receiver that sends its headers byte by byte holds an attempt no longer than the deadline."""
    with raw_server(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as url:
        got = attempt(url, deadline=0.3)
    assert (got.outcome, got.status, got.why) == (Outcome.TIMEOUT, None, Why.LATE)
    assert 0.3 <= got.seconds < 0.3 + 0.5 * SCALE


def test_a_dripping_body_does_not_undo_an_acceptance():
    """Once the status is there the delivery is accepted; its body is waited for a second at most."""
    with raw_server(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")) as url:
        got = attempt(url)
    assert (got.outcome, got.status) == (Outcome.DELIVERED, 200)
    assert got.seconds < 1 + 0.5 * SCALE


@pytest.mark.fault(42)
def test_a_flood_is_read_to_8_kib():
    """Of an endless body 8 KiB are kept, and the connection is closed on it."""
    sent = 0

    def flood(connection: socket.socket, closing: threading.Event) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 1000000000\r\n\r\n")
        while not closing.is_set():
            sent += connection.send(b"y" * 65536)

    with raw_server(flood) as url:
        before = rss()
        got = attempt(url)
        assert rss() - before < 5, "what was sent is kept"
        assert (got.outcome, got.answer) == (Outcome.FAILING, b"y" * 8192)
        assert got.seconds < 1 * SCALE
    assert sent < 50_000_000, "the receiver could go on sending"


@pytest.mark.parametrize(
    ("answer", "outcome", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", Outcome.PROTOCOL, Why.NO_ANSWER),
        (b"220 ready\r\n\r\n", Outcome.PROTOCOL, Why.NO_HTTP),
        (b"", Outcome.PROTOCOL, Why.NO_ANSWER),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, Outcome.PROTOCOL, Why.NO_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", Outcome.DELIVERED, Why.ANSWERED),
    ],
    ids=[
        "another protocol",
        "yet another",
        "closed without an answer",
        "endless headers",
        "a body cut short after 200",
    ],
)
def test_strange_answers_have_an_outcome(answer: bytes, outcome: Outcome, why: Why):
    """Whatever comes back, the attempt ends with a word and a sentence for it."""
    with raw_server(say(answer)) as url:
        got = attempt(url)
    assert (got.outcome, got.why) == (outcome, why)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1/", Why.NOT_LISTENING),
        ("http://nowhere.invalid/", Why.UNKNOWN_NAME),
        (f"http://{'a' * 80}.invalid/", Why.UNKNOWN_NAME),
    ],
    ids=["nobody listens", "no such name", "a name that cannot be one"],
)
def test_a_receiver_that_cannot_be_had_is_unreachable(url: str, why: Why):
    """Refused connections and names that lead nowhere are one word, and a sentence each."""
    got = attempt(url)
    assert (got.outcome, got.why) == (Outcome.UNREACHABLE, why)


def test_a_name_is_resolved():
    """A receiver may be given by its name."""
    with Receiver() as receiver:
        assert attempt(receiver.url.replace("127.0.0.1", "localhost")).outcome is Outcome.DELIVERED


@pytest.mark.fault(44)
def test_a_certificate_of_nobody_is_refused(tmp_path: Path):
    """A receiver whose certificate no authority of the system has signed gets nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Certificates(tmp_path).self_signed)
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    got.append(secured.recv(100))
            except OSError:
                connection.close()  # the refusal

        server = threading.Thread(target=serve)
        server.start()
        refusal = attempt(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        server.join(LONG)
    assert (refusal.outcome, refusal.why) == (Outcome.TLS, Why.UNTRUSTED)
    assert got in ([], [b""])


def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """Deliveries go straight to the receiver, whatever the environment names as a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with Receiver() as receiver:
        assert attempt(receiver.url).outcome is Outcome.DELIVERED


def test_cookies_are_not_kept(tmp_path: Path, receiver: Receiver):
    """A receiver that sets a cookie does not get it back."""
    receiver.answer(Answer(204, {"Set-Cookie": "track=me"}))
    with Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event(alarm_id="a"))
        receiver.wait_for("alarm.raised", 1)
        post.commit(alarm_event(alarm_id="b"))
        receiver.wait_for("alarm.raised", 2)
    assert all("cookie" not in message.headers for message in receiver.requests)


def test_a_test_event_is_signed(receiver: Receiver):
    """What `webhook test` sends is verified by the receiver, and its answer comes back."""
    receiver.answer(Answer(200, body=b"thank you"))
    got = attempt(receiver.url)
    assert (got.outcome, got.status, got.answer) == (Outcome.DELIVERED, 200, b"thank you")
    assert [message.type for message in receiver.accepted] == ["tocsin.test"]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "plain"])
def test_a_secret_that_is_none_is_refused(secret: str):
    """A webhook cannot be made with a secret that signs nothing; the message names the key and not the secret."""
    with pytest.raises(SecretError, match=r"webhooks\.door\.secret: expected whsec_ and base64") as caught:
        Webhook("door", "https://example/", secret)
    assert not secret or secret not in str(caught.value).replace("whsec_ and", "").replace("no whsec_ in", "")


def test_a_webhook_shows_no_secret():
    """The secret is in no text that a webhook turns into."""
    assert SECRET not in repr(Webhook("hook", "https://example/", SECRET))


def test_alarms_are_complete_at_the_receiver(tmp_path: Path, receiver: Receiver):
    """The receiver reads the alarm that was committed, with its number in the stream."""
    with Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event())
        message = receiver.wait_for("alarm.raised")
    assert message.data == {"seq": 1, **ALARM.payload()}


def adopt(post: Post, *webhooks: Webhook, changed: tuple[str, ...] = ()) -> None:
    """Go on with other webhooks, as a reload does."""
    patterns = ("alarm.*", "stream.*", "delivery.*")
    post.outbox.adopt({webhook.name: patterns for webhook in webhooks}).result(LONG)
    post.dispatcher.adopt(webhooks, changed)


def test_a_webhook_that_leaves_keeps_its_queue_until_it_returns(tmp_path: Path, receiver: Receiver):
    """Nothing is sent to it and nothing new is queued for it; what waited is named, and delivered in the end."""
    with Receiver() as other, Post(tmp_path, to(receiver)) as post, capture_logs() as logs:
        receiver.answer(503)
        post.commit(alarm_event(alarm_id="a"), alarm_event(alarm_id="b"))
        until(lambda: len(post.notes.attempts) >= 2, LONG, "attempts in vain")
        adopt(post, to(other, "other"))
        post.commit(alarm_event(alarm_id="c"))
        assert other.wait_for("alarm.raised").data["alarm_id"] == "c"
        until(lambda: set(post.dispatcher._posts) == {"other"}, LONG, "its courier to be gone")
        tried = len(receiver.requests)
        receiver.answer(204)
        (stray,) = [count for count in post.outbox.counts() if not count.configured] or until(
            lambda: [count for count in post.outbox.counts() if not count.configured], LONG, "a count"
        )
        assert (stray.webhook, stray.queued) == ("hook", 2)
        adopt(post, to(other, "other"), to(receiver))
        until(lambda: len(receiver.accepted) == 2, LONG, "what waited")
        assert len(receiver.requests) == tried + 2
        assert {message.data["alarm_id"] for message in receiver.accepted} == {"a", "b"}
    named = [(line["webhook"], line["count"]) for line in logs if "not configured" in line["event"]]
    assert named == [("hook", 2)], "once"


def test_the_next_attempt_uses_the_new_settings_at_once(tmp_path: Path, receiver: Receiver):
    """Whoever rotates a secret that a receiver refused does not wait for the end of a pause."""
    rotated = "whsec_" + "b3RoZXItc2VjcmV0LW9mLXRlc3RzLTAxMjM0NTY3ODk="
    with Receiver(rotated) as other:
        stale = Webhook("hook", other.url, SECRET)
        with Post(tmp_path, stale, schedule=replace(FAST, steps=(600.0,), slow=(600.0,))) as post:
            post.commit(alarm_event())
            until(lambda: other.refused, LONG, "a refused signature")
            adopt(post, replace(stale, secret=rotated), changed=("hook",))
            message = other.wait_for("alarm.raised")
            assert message.headers["tocsin-attempt"] == "2"
            until(lambda: not post.left(), LONG, "an empty queue")
    assert receiver.requests == []


def test_an_attempt_under_way_ends_with_the_settings_that_it_began_with(tmp_path: Path, receiver: Receiver):
    """Neither an exchange nor a removal cuts a request off whose answer decides whether it is made again."""
    receiver.answer(Answer(204, delay=0.5))
    with Receiver() as other, Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event(alarm_id="a"))
        until(lambda: receiver.requests, LONG, "a request")
        adopt(post, to(other), changed=("hook",))
        post.commit(alarm_event(alarm_id="b"))
        assert other.wait_for("alarm.raised").data["alarm_id"] == "b"
        until(lambda: not post.left(), LONG, "an empty queue")
        other.answer(Answer(204, delay=0.5))
        post.commit(alarm_event(alarm_id="c"))
        until(lambda: len(other.requests) == 2, LONG, "another request")
        adopt(post)
        until(lambda: not post.dispatcher._posts, LONG, "the courier to be gone")
        assert post.left() == 0
    assert [m.data["alarm_id"] for m in (*receiver.requests, *other.requests)] == ["a", "b", "c"]
    assert {outcome for _, outcome in post.notes.attempts} == {Outcome.DELIVERED}


def test_a_failure_with_the_old_settings_says_nothing_about_the_new_ones(tmp_path: Path, receiver: Receiver):
    """A 410 of the address that was left costs the one that counts no hour, and pauses nothing."""
    receiver.answer(Answer(410, delay=0.5))
    with Receiver() as other, Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event())
        until(lambda: receiver.requests, LONG, "a request")
        adopt(post, to(other), changed=("hook",))
        assert other.wait_for("alarm.raised").headers["tocsin-attempt"] == "2"
        until(lambda: not post.left(), LONG, "an empty queue")
    assert [outcome for _, outcome in post.notes.attempts] == [Outcome.GONE, Outcome.DELIVERED]
    assert post.notes.pauses == []


def test_a_webhook_that_returns_while_it_leaves_looks_for_what_came_meanwhile(
    tmp_path: Path, receiver: Receiver
):
    """An event that was committed before the dispatcher knew of the return waits for no other event."""
    receiver.answer([Answer(204, delay=2.0)])
    with Post(tmp_path, to(receiver)) as post:
        post.commit(alarm_event(alarm_id="a"))
        until(lambda: receiver.requests, LONG, "a request")
        adopt(post)
        until(lambda: not post.dispatcher._couriers, LONG, "it to leave")
        post.outbox.adopt({"hook": ("alarm.*",)}).result(LONG)
        post.commit(alarm_event(alarm_id="b"))
        assert post.dispatcher._posts, "it has not left yet"
        post.dispatcher.adopt((to(receiver),), ())
        assert receiver.wait_for("alarm.raised", count=2).data["alarm_id"] == "b"
        until(lambda: not post.left(), LONG, "an empty queue")


def test_a_webhook_that_does_not_change_is_not_touched(tmp_path: Path, receiver: Receiver):
    """Its courier, its client and its pause after a failure stay what they were."""
    with Post(tmp_path, to(receiver), schedule=replace(FAST, steps=(600.0,))) as post:
        receiver.answer(503)
        post.commit(alarm_event())
        until(lambda: post.notes.attempts, LONG, "an attempt")
        before = post.dispatcher._posts["hook"].client
        with Receiver() as other:
            adopt(post, to(receiver), to(other, "other"))
            post.commit(stream_event())
            other.wait_for("stream.down")
        assert post.dispatcher._posts["hook"].client is before
        assert {message.headers["tocsin-attempt"] for message in receiver.requests} == {"1"}
