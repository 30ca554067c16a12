"""The daemon goes on with another configuration: what changed is touched, and nothing else notices."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import canary
from support.access import Login
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream, webhook
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance

FPS = 10
FEW = 2  # frames that a machine under load may miss at any time; `test_supervisor` counts them one by one
STEADY = ("stream_connects_total", "stream_disconnects_total", "stream_worker_restarts_total", "alarms_total")
LIST_QUEUED = ("outbox", "list", "--state", "queued", "--json")
OTHER_SECRET = "whsec_" + "b3RoZXItc2VjcmV0LW9mLXRlc3RzLTAxMjM0NTY3ODk="


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    """Somebody is there all the time."""
    with FakeCamera(Scene(fps=FPS, blocks=visits((0, 600)))) as running:
        yield running


@pytest.fixture
def other() -> Iterator[FakeCamera]:
    """And here, too."""
    with FakeCamera(Scene(fps=FPS, blocks=visits((0, 600)))) as running:
        yield running


def edit(daemon: Daemon, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the configuration file; the daemon is told nothing."""
    config = yaml.safe_load(daemon.config_file.read_text())
    change(config)
    daemon.config_file.write_text(yaml.safe_dump(config, sort_keys=False))


def reload(daemon: Daemon, result: str = "applied") -> float:
    """Ask for a reload, wait until it came out so, and return how many seconds that took."""
    before = daemon.metric("tocsin_config_reloads_total", result=result)
    began = time.monotonic()
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_metric("tocsin_config_reloads_total", at_least=before + 1, timeout=15.0, result=result)
    return time.monotonic() - began


def steady(daemon: Daemon, name: str = "yard") -> list[float]:
    return [daemon.metric(f"tocsin_{word}", stream=name) for word in STEADY]


def lost(daemon: Daemon) -> float:
    """Frames that were due and not analysed."""
    reasons = ("superseded", "busy", "failed")
    return sum(daemon.metric("tocsin_frames_dropped_total", stream="yard", reason=one) for one in reasons)


def named(daemon: Daemon, name: str) -> list[str]:
    """The names of the series that carry a stream."""
    return [metric for metric, labels in daemon.metrics() if ("stream", name) in labels]


def look_on(daemon: Daemon, frames: int, name: str = "yard") -> None:
    seen = daemon.metric("tocsin_frames_analysed_total", stream=name)
    daemon.wait_metric("tocsin_frames_analysed_total", at_least=seen + frames, stream=name)


def types(receiver: Receiver, name: str) -> list[str]:
    """What was told of the alarms of a stream."""
    return [message.type for message in receiver.accepted if message.data.get("stream") == name]


@pytest.mark.fault(55)
@pytest.mark.parametrize("broken", ["streams: [", "\t- a", "streams:\n  - name: yard\n    name: yard\n", ""])
def test_a_file_that_is_no_configuration_changes_nothing(
    broken: str, camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """It is said with its place, a metric shows it until a file is good again, and the alarm goes on."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        before, workers, text = steady(daemon), set(daemon.children()), daemon.config_file.read_text()
        daemon.config_file.write_text(broken)
        reload(daemon, "refused")
        assert "tocsin.yaml" in daemon.wait_log("the reload is refused and changes nothing")
        assert daemon.metric("tocsin_config_last_reload_successful") == 0
        look_on(daemon, FPS)
        assert (steady(daemon), set(daemon.children())) == (before, workers)
        daemon.config_file.write_text(text)
        reload(daemon, "unchanged")
        assert daemon.metric("tocsin_config_last_reload_successful") == 1
        assert types(receiver, "yard") == ["alarm.raised"]
        assert "Traceback" not in daemon.log


def test_streams_come_and_go_and_the_others_do_not_notice(
    camera: FakeCamera, other: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The alarm of one that goes ends and its series go, one that comes begins at 0, the third keeps its worker."""
    gate = stream("gate", other.url)
    with Daemon(site(block_model, receiver, stream("yard", camera.url), gate), tmp_path) as daemon:
        receiver.wait_for("alarm.raised", count=2)
        before, file = (
            steady(daemon),
            json.loads(daemon.get("/readyz")[1])["parts"]["configuration"]["digest"],
        )
        missed = lost(daemon)
        assert named(daemon, "gate")
        pids = set(daemon.children())

        def change(config: dict[str, Any]) -> None:
            config["streams"] = [stream("barn", other.url, max_fps=5), config["streams"][0]]

        edit(daemon, change)
        taken = reload(daemon)
        assert taken < 5.0 * SCALE
        assert named(daemon, "gate") == []
        assert daemon.metric("tocsin_stream_stalls_total", stream="barn") == 0
        assert receiver.wait_for("alarm.ended").data["stream"] == "gate"
        raised = receiver.wait_for("alarm.raised", count=3)
        assert raised.data["stream"] == "barn"
        assert raised.data["config"] != file
        look_on(daemon, 2 * FPS)
        assert steady(daemon) == before
        assert lost(daemon) - missed <= FEW
        assert daemon.metric("tocsin_alarms_active", stream="yard") == 1
        assert len(pids - set(daemon.children())) == 1, "the worker of the stream that is gone"
        assert types(receiver, "yard") == ["alarm.raised"]
        assert types(receiver, "gate") == ["alarm.raised", "alarm.ended"]
        report = json.loads(daemon.status("--json"))
        assert [one["stream"] for one in report["streams"]] == ["barn", "yard"]
        assert {one["stream"] for one in report["alarms"]} == {"barn", "yard"}


def test_an_open_alarm_goes_on_by_the_rule_that_it_finds(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Its repeats begin, it keeps its severity and its worker, and it ends with its rule."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        raised = receiver.wait_for("alarm.raised")
        before, workers = steady(daemon), set(daemon.children())
        edit(daemon, lambda config: config["rules"][0].update(severity="info", repeat_every="1s"))
        reload(daemon)
        repeated = receiver.wait_for("alarm.repeated")
        assert repeated.data["alarm_id"] == raised.data["alarm_id"]
        assert repeated.data["severity"] == "critical"
        edit(daemon, lambda config: config["rules"][0].update(min_score=0.4, repeat_every=0))
        edit(daemon, lambda config: config["streams"][0].update(zones=ZONES))
        reload(daemon)
        look_on(daemon, 2 * FPS)
        assert (steady(daemon), set(daemon.children())) == (before, workers)
        edit(daemon, lambda config: config["streams"][0].update(rules=[]))
        reload(daemon)
        ended = receiver.wait_for("alarm.ended")
        assert ended.data["alarm_id"] == raised.data["alarm_id"]
        assert json.loads(daemon.status("--json"))["alarms"] == []


ZONES = [{"name": "left", "polygon": [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]}]


def test_what_waits_for_a_webhook_that_goes_is_kept_and_told_until_it_returns(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The log names it once, and so do the status and the list of the outbox."""
    with Receiver() as lame:
        config = site(block_model, receiver, stream("yard", camera.url))
        config["webhooks"].append(webhook("lame", lame))
        lame.answer(503)
        with Daemon(config, tmp_path) as daemon:
            receiver.wait_for("alarm.raised")
            until(lambda: lame.requests, 10.0, "an attempt in vain")
            hook = config["webhooks"][1]
            edit(daemon, lambda config: config["webhooks"].pop())
            reload(daemon)
            daemon.wait_log("deliveries wait for a webhook that is not configured")

            def strays() -> list[dict[str, Any]]:
                queues = json.loads(daemon.status("--json"))["queues"]
                return [one for one in queues if not one["configured"] and one["queued"]]

            (stray,) = until(strays, 15.0, "the queue of the webhook that is gone")
            assert (stray["webhook"], stray["queued"]) == ("lame", 1)
            assert not [labels for _, labels in daemon.metrics() if ("webhook", "lame") in labels]
            listed = subprocess.run(
                [sys.executable, "-m", "tocsin", *LIST_QUEUED, "--config", str(daemon.config_file)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert [one["webhook"] for one in json.loads(listed.stdout)["deliveries"]] == ["lame"]
            tried = len(lame.requests)
            lame.answer(204)
            edit(daemon, lambda config: config["webhooks"].append(hook))
            reload(daemon)
            assert lame.wait_for("alarm.raised").data["stream"] == "yard"
            assert len(lame.requests) == tried + 1
            assert daemon.log.count("deliveries wait for a webhook") == 1
        assert len(receiver.accepted) == 1


def test_secrets_that_were_rotated_in_their_files_count_at_once(block_model: Path, tmp_path: Path) -> None:
    """The camera that refuses the old password is back at once, and the receiver gets what it had refused."""
    password, key = tmp_path / "password", tmp_path / "key"

    def write(path: Path, text: str) -> dict[str, str]:
        canary.watch(text)
        path.write_text(text + "\n")
        path.chmod(0o600)
        return {"file": str(path)}

    with (
        FakeCamera(
            Scene(fps=FPS, blocks=visits((0, 600))), login=Login("viewer", "old-camera-pass")
        ) as camera,
        Receiver(OTHER_SECRET) as receiver,
    ):
        yard = stream("yard", camera.url, username="viewer", password=write(password, "old-camera-pass"))
        config = site(block_model, receiver, yard)
        old = Receiver().secret
        config["webhooks"][0]["secret"] = write(key, old)
        with Daemon(config, tmp_path) as daemon:
            until(lambda: receiver.refused, 20.0, "a signature that is refused")
            camera._login = Login("viewer", "new-camera-pass")
            camera.hang_up()
            daemon.wait_metric("tocsin_stream_connect_failures_total", 1, stream="yard", reason="auth")
            write(password, "new-camera-pass")
            write(key, OTHER_SECRET)
            reload(daemon)
            began = time.monotonic()
            assert receiver.wait_for("alarm.raised", timeout=10.0)
            daemon.wait_metric("tocsin_stream_up", 1, stream="yard")
            assert time.monotonic() - began < 10.0 * SCALE, "and not in five minutes"
            assert json.loads(daemon.status("--json"))["streams"][0]["state"] == "live"
            reload(daemon, "unchanged")


@pytest.mark.fault(57)
def test_a_storm_of_signals_is_two_reloads_at_most(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A hundred within a second, with another file for each; the camera notices nothing."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        before, workers = steady(daemon), set(daemon.children())
        missed = lost(daemon)
        edit(daemon, lambda config: config["rules"][0].update(severity="info"))
        began = time.monotonic()
        for number in range(100):
            os.kill(daemon.pid, signal.SIGHUP)
            time.sleep(max(0.0, began + number / 100 - time.monotonic()))
        look_on(daemon, 3 * FPS)
        reloads = [line for line in daemon.lines if "the configuration is read again" in line]
        assert 1 <= len(reloads) <= 2
        assert daemon.metric("tocsin_config_reloads_total") == len(reloads)
        assert daemon.metric("tocsin_config_reloads_total", result="applied") == 1
        assert (steady(daemon), set(daemon.children())) == (before, workers)
        assert lost(daemon) - missed <= FEW


def test_what_others_call_this_machine_counts_at_once_and_another_port_is_refused(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """With a sentence that says what to do; the port that is open stays."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        daemon.wait_ready()
        assert host(daemon, "box.example") == 421
        edit(daemon, lambda config: config["http"].update(allowed_hosts=["box.example"]))
        reload(daemon)
        assert host(daemon, "box.example") == 200
        edit(daemon, lambda config: config["http"].update(allowed_hosts=[], listen="127.0.0.1:1"))
        reload(daemon, "refused")
        daemon.wait_log(f"http.listen: expected {daemon.address} as at the start, found 127.0.0.1:1; restart")
        assert host(daemon, "box.example") == 200


def host(daemon: Daemon, name: str) -> int:
    """The status of a request that calls the endpoint's machine so."""
    address, _, port = daemon.address.rpartition(":")
    connection = HTTPConnection(address, int(port), timeout=10)
    try:
        connection.request("GET", "/healthz", headers={"Host": name})
        return connection.getresponse().status
    finally:
        connection.close()


def test_no_event_is_lost_or_told_twice_while_all_else_changes(
    other: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Somebody comes and goes again and again, and each visit is one raise and one end, whatever is reloaded."""
    comings = [(2.5 * number, 2.5 * number + 1.0) for number in range(1, 9)]
    with (
        FakeCamera(Scene(fps=FPS, blocks=visits(*comings))) as camera,
        Receiver() as second,
        Daemon(site(block_model, receiver, stream("yard", camera.url), end_after="0.5s"), tmp_path) as daemon,
    ):
        daemon.wait_metric("tocsin_stream_up", 1, stream="yard", timeout=20.0)
        workers = set(daemon.children())
        camera.restart_clock()
        rounds = 0

        def change(config: dict[str, Any]) -> None:
            config["streams"] = config["streams"][:1] + [stream("gate", other.url)] * (rounds % 2)
            config["webhooks"] = config["webhooks"][:1] + [webhook("second", second)] * (rounds % 3 == 0)
            config["rules"][0]["severity"] = ("info", "warning", "critical")[rounds % 3]
            config["rules"][0]["repeat_every"] = f"{5 + rounds}m"

        while len(types(receiver, "yard")) < 2 * len(comings):
            assert time.monotonic() - camera.zero < 60.0 * SCALE, types(receiver, "yard")
            rounds += 1
            edit(daemon, change)
            reload(daemon)
        assert rounds >= 5
        told = [message for message in receiver.accepted if message.data["stream"] == "yard"]
        assert [message.type for message in told] == ["alarm.raised", "alarm.ended"] * len(comings)
        assert len({message.data["alarm_id"] for message in told}) == len(comings)
        assert len({message.id for message in receiver.accepted}) == len(receiver.accepted)
        assert len(receiver.requests) == len(receiver.accepted)
        assert workers <= set(daemon.children())
        assert daemon.metric("tocsin_stream_connects_total", stream="yard") == 1
        assert lost(daemon) <= FEW
        gate = types(receiver, "gate")
        assert gate == ["alarm.raised", "alarm.ended"] * (len(gate) // 2) + ["alarm.raised"] * (len(gate) % 2)
        assert "Traceback" not in daemon.log
