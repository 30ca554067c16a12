"""The daemon in the test's own process: what it does when a part fails, and with what an earlier life left."""

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.camera import FakeCamera
from support.counterpart import free_port
from support.events import Notes, open_alarm
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import until
from tocsin import clock
from tocsin.app import App
from tocsin.config.load import load, loads, resolve_secrets
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.database import OUTBOX_FILE, damage
from tocsin.deliver.event import Event, EventType, PauseData, StreamData
from tocsin.deliver.notation import new_id
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change, Store
from tocsin.detect import device


@contextmanager
def running(config: dict[str, Any], folder: Path) -> Iterator[App]:
    """A started daemon; its state lies in `folder`."""
    config = {**config, "http": {"listen": f"127.0.0.1:{free_port()}"}, "state_dir": str(folder / "state")}
    loaded = loads(json.dumps(config).encode(), name="tocsin.yaml", folder=folder)
    app = App(loaded, resolve_secrets(loaded))
    app.start()
    try:
        yield app
    finally:
        app.stop()


def _damaged_once(ask: Callable[[Store], Any]) -> Callable[[Store], Any]:
    """Let a store meet damage when it is asked for the first time."""
    met: list[Store] = []

    def asked(store: Store) -> Any:
        if met:
            return ask(store)
        met.append(store)
        raise damage("the test's disk")

    return asked


def _left_open(folder: Path, rule: str, reported: datetime) -> str:
    """Leave an alarm of stream `yard` open, as a daemon that was killed does; return its id."""
    (folder / "state").mkdir()
    outbox = Outbox(folder / "state" / OUTBOX_FILE, {}, Notes())
    outbox.start()
    known = replace(open_alarm().alarm, stream="yard", rule=rule, first_seen=reported)
    outbox.commit(Change(alarms=(AlarmRecord(known, reported, reported),))).result(5)
    outbox.stop(time.monotonic() + 5)
    return known.alarm_id


def test_an_accelerator_that_does_not_load_is_told_everywhere(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that shows a GPU without a driver: event, readiness, status and metrics say where it runs."""
    (tmp_path / "root/dev").mkdir(parents=True)
    (tmp_path / "root/dev/nvidia0").touch()
    monkeypatch.setattr(device, "ROOT", tmp_path / "root")
    monkeypatch.setattr(device.ort, "get_available_providers", lambda: [device.CPU])
    config = site(block_model, receiver, stream("yard", "/dev/video63"), events=("detector.*",))
    with running(config, tmp_path) as app:
        event = receiver.wait_for("detector.degraded").data
        assert (event["reason"], event["model"], event["provider"]) == ("provider", "blocks", device.CPU)
        told = app.report().as_json()["detector"]
        (lack,) = told["degraded"]
        assert lack["reason"] == "provider"
        assert lack["why"].startswith("a GPU is visible, but the NVIDIA driver is not loaded")
        assert (told["device"], told["accelerated"]) == ("cpu", 0)
        assert told["nodes"] > 0
        (facts,) = [part.facts for part in app._readiness().parts if part.name == "detector"]
        assert (facts["nodes"], facts["accelerated"]) == (str(told["nodes"]), "0")
        where = {"model": "blocks", "device": "cpu", "provider": device.CPU}
        assert app._registry.get_sample_value("tocsin_detector_info", where) == 1
        assert app._registry.get_sample_value("tocsin_detector_degraded") == 1
        assert app._registry.get_sample_value("tocsin_detector_accelerated_ratio") == 0
    assert [message.type for message in receiver.accepted] == ["detector.degraded"], "once"


def test_a_degradation_is_told_once_over_all_restarts_and_so_is_its_end(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that starts into what its predecessor told says nothing; one that finds it mended says so."""
    (tmp_path / "root/dev").mkdir(parents=True)
    config = site(block_model, receiver, stream("yard", "/dev/video63"), events=("detector.*",))
    with monkeypatch.context() as patched:
        (tmp_path / "root/dev/nvidia0").touch()
        patched.setattr(device, "ROOT", tmp_path / "root")
        patched.setattr(device.ort, "get_available_providers", lambda: [device.CPU])
        with running(config, tmp_path):
            receiver.wait_for("detector.degraded")
        with running(config, tmp_path) as app:
            (lack,) = app.report().as_json()["detector"]["degraded"]
            assert lack["why"].startswith("a GPU is visible")
        (tmp_path / "root/dev/nvidia0").unlink()
        with running(config, tmp_path) as app:
            told = receiver.wait_for("detector.restored").data
            assert app._registry.get_sample_value("tocsin_detector_degraded") == 0
    assert (told["reason"], told["model"]) == ("provider", "blocks")
    assert [message.type for message in receiver.accepted] == ["detector.degraded", "detector.restored"]


def test_a_stream_that_was_down_before_a_restart_is_told_to_be_up(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Once, with the whole time of the outage; what was wrong with its pictures waits for more of them."""
    began = datetime.now(UTC) - timedelta(seconds=600)
    (tmp_path / "state").mkdir()
    outbox = Outbox(tmp_path / "state" / OUTBOX_FILE, {}, Notes())
    outbox.start()
    down = Event(new_id(began), EventType.STREAM_DOWN, began, StreamData("yard", "stall", 10.0))
    covered = Event(new_id(began), EventType.STREAM_COVERED, began, StreamData("yard", "covered", 10.0))
    outbox.commit(Change(events=(down, covered))).result(5)
    outbox.stop(time.monotonic() + 5)
    with FakeCamera(Scene(blocks=visits((500, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url), events=("stream.*",))
        with running(config, tmp_path) as app:

            def told() -> list[str]:
                app._look(time.monotonic())
                return [message.type for message in receiver.accepted]

            until(told, 15.0, "the news")
            assert receiver.accepted[0].data["lasted_seconds"] > 600
            assert app._outbox.standing().result(5)[0].type is EventType.STREAM_COVERED
            until(lambda: app._lookout.analysed["yard"] > 50, 15.0, "more pictures")
            assert told() == ["stream.up"]


@pytest.mark.fault(54)
def test_a_clock_that_nobody_keeps_right_is_told(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alarms are sent all the same, and each of them says so; a metric does, too."""
    asked: list[bool] = []
    monkeypatch.setattr(clock, "_state", lambda: asked.append(True) or 5)
    with (
        FakeCamera(Scene(blocks=visits((0, 600)))) as camera,
        running(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as app,
    ):
        app._look(time.monotonic())
        assert app._registry.get_sample_value("tocsin_clock_synchronized") == 0
        assert receiver.wait_for("alarm.raised").data["clock_synchronized"] is False
        monkeypatch.setattr(clock, "_state", lambda: 0)
        app._look(time.monotonic())
        assert app._registry.get_sample_value("tocsin_clock_synchronized") == 1
    assert asked


@pytest.mark.fault(53)
def test_a_clock_that_is_set_is_counted(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day back and a day on are two jumps."""
    with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
        real = time.time
        app._look(time.monotonic())
        for shift in (-86_400.0, 0.0):
            monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
            app._look(time.monotonic())
            app._look(time.monotonic())
        assert app._registry.get_sample_value("tocsin_clock_jumps_total") == 2


def test_a_heartbeat_reaches_who_asks_for_it(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """It comes with the start, signed like every event, and says when the next one is to be expected."""
    config = site(block_model, receiver, stream("yard", "/dev/video63"), events=("tocsin.heartbeat",))
    with running({**config, "heartbeat": "1m"}, tmp_path) as app:
        app._look(time.monotonic())
        assert receiver.wait_for("tocsin.heartbeat").data == {
            "seq": 1,
            "every_seconds": 60.0,
            "streams": 1,
            "streams_up": 0,
        }


def test_a_heartbeat_follows_its_key_at_a_reload(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A file that asks for one where there was none has it beat from then on, at the pace that it says."""
    config = site(block_model, receiver, stream("yard", "/dev/video63"), events=("tocsin.heartbeat",))
    config |= {"http": {"listen": f"127.0.0.1:{free_port()}"}, "state_dir": str(tmp_path / "state")}
    file = tmp_path / "tocsin.yaml"
    file.write_text(json.dumps(config))
    loaded = load(file)
    app = App(loaded, resolve_secrets(loaded), file=file)
    app.start()
    try:
        file.write_text(json.dumps({**config, "heartbeat": "1m"}))
        app.ask_reload()

        def beaten() -> list[Any]:
            app._reload(time.monotonic())
            app._look(time.monotonic())
            return receiver.accepted

        until(beaten, 20.0, "the first beat")
        assert receiver.accepted[0].data["every_seconds"] == 60.0
    finally:
        app.stop()


def test_a_part_that_fails_ends_the_daemon_with_its_sentence(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The command line turns it into exit code 75, and the service manager starts anew."""
    with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
        app._fail("the detector failed on 3 batches in a row")
        assert app.run(threading.Event()) == "the detector failed on 3 batches in a row"


def test_a_part_that_is_stuck_stops_the_watchdog_and_then_the_daemon(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While anything stands still the service manager hears its name and no kick."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
            began = time.monotonic() - 42.0
            app._pulses.watch("wedge", lambda: began, 10.0)
            failure = app.run(threading.Event())
    assert failure is not None
    assert failure.startswith("wedge has not moved for 4")


def test_an_alarm_whose_rule_is_gone_is_ended_at_the_start(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Nobody looks for it any more, and nobody would ever end it."""
    alarm_id = _left_open(tmp_path, "no-longer-there", datetime.now(UTC))
    with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
        assert receiver.wait_for("alarm.ended").data["alarm_id"] == alarm_id
        assert app.report().alarms == ()


def test_an_alarm_that_a_version_without_its_contrast_left_open_goes_on(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """An update of the program reads what the one before wrote, and shows what it does not know as null."""
    alarm_id = _left_open(tmp_path, "visit", datetime.now(UTC))
    database = sqlite3.connect(tmp_path / "state" / OUTBOX_FILE)
    with database:
        database.execute("UPDATE alarms SET data = json_remove(data, '$.light.contrast')")
    ((data,),) = database.execute("SELECT data FROM alarms").fetchall()
    database.close()
    assert "contrast" not in data
    with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
        (alarm,) = app.report().as_json()["alarms"]
    assert alarm["alarm_id"] == alarm_id
    assert alarm["light"] == {"mean": 188, "contrast": None, "correction": "darken+clahe"}


def test_a_resumed_alarm_is_repeated_when_its_time_has_come(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The time to the next repeat goes on over a restart: it neither starts anew nor is it due at once."""
    alarm_id = _left_open(tmp_path, "visit", datetime.now(UTC) - timedelta(seconds=7))
    with FakeCamera(Scene(blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url), repeat_every="10s")
        with running(config, tmp_path) as app:
            began = time.monotonic()
            repeated = receiver.wait_for("alarm.repeated", timeout=15.0)
            assert repeated.data["alarm_id"] == alarm_id
            assert 1.0 < time.monotonic() - began < 8.0
            assert app.report().alarms[0].alarm.class_name == "block", "what was last seen is what is told"
            stored = until(lambda: app._outbox.open_alarms().result(5), 5.0, "the open alarm")
            assert (datetime.now(UTC) - stored[0].reported).total_seconds() < 5.0
    assert [message.type for message in receiver.accepted] == ["alarm.repeated"]


def test_the_canary_is_shown_at_the_start(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """A daemon that is ready has looked at the reference picture, and lacks nothing."""
    with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
        assert app._registry.get_sample_value("tocsin_model_canary_ok") == 1
        assert app._registry.get_sample_value("tocsin_detector_degraded") == 0
        assert app.report().as_json()["detector"]["degraded"] == []


def test_an_engine_that_opens_its_session_is_not_stuck(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promise to be busy stands in for a turn of the engine, as long as it lasts."""
    with running(site(block_model, receiver, stream("yard", "/dev/video63")), tmp_path) as app:
        now = time.monotonic()
        monkeypatch.setattr(app._engine, "pulse", lambda: now - 60.0)
        monkeypatch.setattr(app._keeper.detector, "moved", now - 55.0)
        monkeypatch.setattr(app._keeper, "_alive_until", now - 50.0)
        assert [part.name for part in app._pulses.overdue(now)] == ["engine"]
        monkeypatch.setattr(app._keeper, "_alive_until", now + 120.0)
        assert app._pulses.overdue(time.monotonic()) == []


@pytest.mark.parametrize("rotten", [False, True], ids=["sound", "rotten"])
def test_what_stood_of_a_stream_and_a_webhook_is_over_when_a_reload_removes_them(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotten: bool
) -> None:
    """Told once, in the order of their beginnings; what stands of those that stay is not touched.

    Where the database shows damage at that very moment, it is told once another one has taken over.
    """
    began = datetime.now(UTC) - timedelta(seconds=600)
    (tmp_path / "state").mkdir()
    outbox = Outbox(tmp_path / "state" / OUTBOX_FILE, {}, Notes())
    outbox.start()
    stood = [
        (EventType.STREAM_DOWN, StreamData("gate", "stall", 10.0)),
        (EventType.STREAM_DOWN, StreamData("yard", "stall", 10.0)),
        (EventType.DELIVERY_PAUSED, PauseData("lame", "gone")),
    ]
    outbox.commit(
        Change(events=tuple(Event(new_id(began), kind, began, data) for kind, data in stood))
    ).result(5)
    outbox.stop(time.monotonic() + 5)
    dead = [stream(name, "/dev/video63") for name in ("yard", "gate")]
    config = site(block_model, receiver, *dead, events=("stream.*", "delivery.*"))
    config |= {"http": {"listen": f"127.0.0.1:{free_port()}"}, "state_dir": str(tmp_path / "state")}
    lame = {**config["webhooks"][0], "name": "lame", "events": ["stream.frozen"]}
    file = tmp_path / "tocsin.yaml"
    file.write_text(json.dumps({**config, "webhooks": [*config["webhooks"], lame]}))
    loaded = load(file)
    app = App(loaded, resolve_secrets(loaded), file=file)
    app.start()
    if rotten:
        monkeypatch.setattr(Store, "standing", _damaged_once(Store.standing))
    try:
        file.write_text(json.dumps({**config, "streams": dead[:1]}))
        app.ask_reload()

        def told() -> list[str]:
            app._reload(time.monotonic())
            app._look(time.monotonic())
            return [message.type for message in receiver.accepted] if len(receiver.accepted) > 1 else []

        until(told, 20.0, "the news")
        assert sorted(told()) == ["delivery.resumed", "stream.up"]
        up = next(message for message in receiver.accepted if message.type == "stream.up")
        assert (up.data["stream"], up.data["lasted_seconds"] > 600) == ("gate", True)
        standing = app._outbox.standing().result(5)
        assert [(one.type, one.subject) for one in standing] == [(EventType.STREAM_DOWN, "yard")]
        assert [status.stream for status in app.report().streams] == ["yard"]
        moved = list((tmp_path / "state").glob("*.corrupt-*Z"))
        assert bool(moved) is rotten, "the fault did not fire"
        assert app._registry.get_sample_value("tocsin_outbox_dropped_total", {"reason": "refused"}) == 0
    finally:
        app.stop()
