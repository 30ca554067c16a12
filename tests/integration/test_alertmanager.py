"""Alarms at a real Alertmanager: firing, kept alive, resolved."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.alertmanager import Alertmanager
from support.blockmodel import build
from support.camera import FakeCamera
from support.daemon import Daemon
from support.events import ALARM, Notes
from support.scene import Scene, visits
from support.site import VISIT, stream
from support.wait import until
from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.formats import as_alert
from tocsin.deliver.keepalive import KeepAlive
from tocsin.deliver.resolve import ResolvingLoop
from tocsin.deliver.schedule import Outcome
from tocsin.deliver.verdict import Judgement, Verdict
from tocsin.deliver.webhook import Attempt, Message, Webhook, open_client

LONG = 10.0


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Alertmanager]:
    with Alertmanager() as running:
        yield running


def webhook(alertmanager: Alertmanager) -> Webhook:
    return Webhook("am", alertmanager.url, None, LONG, render=as_alert)


def send(hook: Webhook, kind: EventType, alarm: str | AlarmData, at: datetime | None = None) -> Attempt:
    at = at or datetime.now(UTC)
    if isinstance(alarm, str):
        alarm = replace(ALARM, alarm_id=alarm, first_seen=at - timedelta(seconds=1))
    event = Event(f"msg_{alarm.alarm_id}_{kind}", kind, at, alarm)

    async def post() -> Attempt:
        async with open_client(hook) as client:
            return await hook.send(client, Message(event.id, event.render(1), at.timestamp()))

    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        return runner.run(post())


def active(alertmanager: Alertmanager, alarm_id: str) -> list[dict[str, object]]:
    return [alert for alert in alertmanager.active() if alert["labels"]["alarm_id"] == alarm_id]


def test_an_alarm_fires_and_is_resolved(alertmanager: Alertmanager) -> None:
    """The raise is an active alert with our words in it, and the end takes it away."""
    hook, now = webhook(alertmanager), datetime.now(UTC)
    assert send(hook, EventType.ALARM_RAISED, "one", now).outcome is Outcome.DELIVERED
    (alert,) = until(lambda: active(alertmanager, "one"), LONG, "the alert")
    assert alert["labels"]["alertname"] == "intruder"  # type: ignore[index]
    assert "person 0.81 at entrance/doorway" in alert["annotations"]["summary"]  # type: ignore[index]
    assert send(hook, EventType.ALARM_ENDED, "one", datetime.now(UTC)).outcome is Outcome.DELIVERED
    until(lambda: not active(alertmanager, "one"), LONG, "the end of the alert")


def test_the_late_end_of_one_alarm_does_not_resolve_the_next(alertmanager: Alertmanager) -> None:
    """Two episodes of one rule on one stream are two alerts: what ends the first leaves the second active."""
    hook, now = webhook(alertmanager), datetime.now(UTC)
    send(hook, EventType.ALARM_RAISED, "first", now - timedelta(minutes=2))
    send(hook, EventType.ALARM_RAISED, "second", now)
    until(lambda: active(alertmanager, "second"), LONG, "the second alert")
    send(hook, EventType.ALARM_ENDED, "first", now - timedelta(minutes=1))
    until(lambda: not active(alertmanager, "first"), LONG, "the end of the first")
    assert active(alertmanager, "second")


def test_an_open_alarm_is_kept_alive(alertmanager: Alertmanager) -> None:
    """Its end is moved on with every turn, by the clock, and a turn goes out at once after a start."""
    now = datetime.now(UTC)
    opened = AlarmRecord(replace(ALARM, alarm_id="open", first_seen=now), now, now)
    notes = Notes()
    keepalive = KeepAlive([webhook(alertmanager)], lambda: [opened], notes, pytest.fail, every=0.1)
    keepalive.start()
    try:
        (first,) = until(lambda: active(alertmanager, "open"), LONG, "the alert")
        until(lambda: active(alertmanager, "open")[0]["endsAt"] > first["endsAt"], LONG, "a later end")  # type: ignore[operator]
    finally:
        keepalive.stop(time.monotonic() + LONG)
    assert set(notes.attempts) == {("am", Outcome.DELIVERED)}
    ends = datetime.fromisoformat(str(first["endsAt"]))
    assert timedelta(minutes=4) < ends - now < timedelta(minutes=6)


def test_what_ends_while_it_is_kept_alive_stays_ended(alertmanager: Alertmanager) -> None:
    """An alarm that ends while a turn is under way is resolved by that turn, which would else revive it."""
    now = datetime.now(UTC)
    opened = AlarmRecord(replace(ALARM, alarm_id="brief", first_seen=now - timedelta(seconds=5)), now, now)
    answers = iter([[opened], [opened]])  # open when the turn begins, and gone when it is over
    resolved = alertmanager.received("resolved")
    keepalive = KeepAlive([webhook(alertmanager)], lambda: next(answers, []), Notes(), pytest.fail, every=0.1)
    keepalive.start()
    try:
        until(lambda: alertmanager.received("resolved") > resolved, LONG, "a resolved alert")
    finally:
        keepalive.stop(time.monotonic() + LONG)
    assert active(alertmanager, "brief") == []


def test_only_alarms_of_its_severities_are_kept_alive(alertmanager: Alertmanager) -> None:
    """An Alertmanager that takes warnings alone hears of no other that is open, and of nothing where none is."""
    now = datetime.now(UTC)
    notes = Notes()
    told = [
        AlarmRecord(replace(ALARM, alarm_id=severity, severity=severity, first_seen=now), now, now)
        for severity in ("critical", "warning")
    ]
    picky = replace(webhook(alertmanager), severities=("warning",))
    none = Webhook(
        "none", "http://127.0.0.1:1/api/v2/alerts", None, LONG, render=as_alert, severities=("info",)
    )
    keepalive = KeepAlive([picky, none], lambda: told, notes, pytest.fail, every=0.1)
    keepalive.start()
    try:
        until(lambda: active(alertmanager, "warning"), LONG, "an active alert")
        until(lambda: len(notes.attempts) >= 2, LONG, "two turns")
    finally:
        keepalive.stop(time.monotonic() + LONG)
    assert active(alertmanager, "critical") == []
    assert {name for name, _ in notes.attempts} == {"am"}


def test_an_alertmanager_that_is_away_stops_nothing() -> None:
    """Turns that fail are counted and go on, and nobody is told of a fault."""
    now = datetime.now(UTC)
    notes = Notes()
    away = Webhook("am", "http://127.0.0.1:1/api/v2/alerts", None, LONG, render=as_alert)
    keepalive = KeepAlive([away], lambda: [AlarmRecord(ALARM, now, now)], notes, pytest.fail, every=0.02)
    keepalive.start()
    try:
        until(lambda: len(notes.attempts) >= 3, LONG, "three turns")
    finally:
        keepalive.stop(time.monotonic() + LONG)
    assert set(notes.attempts) == {("am", Outcome.UNREACHABLE)}


def test_what_was_rejected_does_not_ring_on(alertmanager: Alertmanager) -> None:
    """A verdict that rejects an alarm resolves its alert, and the turns of the keep-alive do not revive it.

    Another verdict stands in the alert.
    """
    hook, now = webhook(alertmanager), datetime.now(UTC)
    opened = [
        AlarmRecord(replace(ALARM, alarm_id=name, first_seen=now - timedelta(seconds=5)), now, now)
        for name in ("false", "true")
    ]
    notes = Notes()
    keepalive = KeepAlive([hook], lambda: opened, notes, pytest.fail, every=0.1)
    keepalive.start()
    try:
        until(lambda: active(alertmanager, "false"), LONG, "the alert")
        opened[:] = [
            judged(opened[0], Verdict.REJECTED),
            judged(opened[1], Verdict.ACKNOWLEDGED),
        ]
        for record in opened:
            assert send(hook, EventType.ALARM_VERDICT, record.alarm).outcome is Outcome.DELIVERED
        until(lambda: not active(alertmanager, "false"), LONG, "the end of the alert")
        turns = len(notes.attempts)
        until(lambda: len(notes.attempts) > turns + 3, LONG, "three more turns")
        assert not active(alertmanager, "false")
        (alert,) = active(alertmanager, "true")
        assert alert["annotations"]["verdict"] == "acknowledged by anna"  # type: ignore[index]
    finally:
        keepalive.stop(time.monotonic() + LONG)


def judged(record: AlarmRecord, verdict: Verdict) -> AlarmRecord:
    judgement = Judgement(verdict, "anna", datetime.now(UTC))
    return replace(record, alarm=replace(record.alarm, judged=judgement))


@pytest.mark.acceptance
def test_a_visit_is_an_alert_as_long_as_it_lasts(alertmanager: Alertmanager, tmp_path: Path) -> None:
    """From a camera to a real Alertmanager: one alert while somebody is there, none afterwards."""
    config = {
        "detector": {"model": str(build(tmp_path / "blocks.onnx"))},
        "rules": [VISIT],
        "webhooks": [{"name": "am", "url": alertmanager.url, "format": "alertmanager"}],
    }

    def visiting() -> list[dict[str, object]]:
        return [alert for alert in alertmanager.active() if alert["labels"]["stream"] == "yard"]

    with (
        FakeCamera() as camera,
        Daemon({**config, "streams": [stream("yard", camera.url)]}, tmp_path) as daemon,
    ):
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
        camera.show(Scene(blocks=visits((0.5, 3.0))))
        (alert,) = until(visiting, LONG, "the alert")
        assert alert["labels"]["alertname"] == "visit"  # type: ignore[index]
        until(lambda: not visiting(), LONG, "its end")
        assert daemon.metric("tocsin_deliveries_total", webhook="am", outcome="delivered") == 2
        assert daemon.terminate() == 0
