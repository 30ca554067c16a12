"""The daemon as a process: start, stop, what it leaves behind, and what it shows."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import canary
from support.access import Login
from support.camera import FakeCamera
from support.counterpart import need, need_prometheus
from support.daemon import Daemon
from support.process import command_line
from support.prometheus import Prometheus
from support.receiver import SECRET, Answer, Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import until

pytestmark = pytest.mark.acceptance

FFMPEG = "/av.libs/"
"""Where PyAV's libraries lie; OpenCV brings some of its own."""

PASSWORD = "canary-p4ss/w@rd"


@pytest.fixture
def camera() -> Any:
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as running:
        yield running


def tocsin(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed package."""
    return subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_a_signal_and_leaves_nothing(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path, number: int
) -> None:
    """SIGTERM and Ctrl-C end it in order, within its promise, with exit code 0."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        began = time.monotonic()
        code = daemon.terminate() if number == signal.SIGTERM else daemon.interrupt()
        assert code == 0
        assert time.monotonic() - began < 5.0
        until(lambda: not daemon.leftovers(), 5.0, "every process to be gone")
        assert sorted(path.name for path in daemon.state_dir.iterdir()) == [
            "evidence",
            "evidence.key",
            "outbox.sqlite",
            "outbox.sqlite.ballast",
            "outbox.sqlite.lock",
        ]


def test_killing_it_leaves_no_orphan(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Workers, fork server and tracker end with the daemon, whatever ended it."""
    with Daemon(
        site(block_model, receiver, stream("a", camera.url), stream("b", camera.url)), tmp_path
    ) as daemon:
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=1, stream="a")
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=1, stream="b")
        assert len(daemon.children()) >= 3
        daemon.kill9()
        until(lambda: not daemon.leftovers(), 5.0, "every process to be gone")


def test_a_worker_holds_only_what_it_needs(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A worker has FFmpeg and OpenCV, and neither the detector's nor the configuration's libraries."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=1, stream="yard")
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in daemon.children()]
        capturing = [text for text in maps if FFMPEG in text]
        assert len(capturing) == 2, "the fork server and one worker"
        for text in capturing:
            assert "cv2" in text
            for library in ("onnxruntime", "pydantic_core", "_sqlite3", "shapely"):
                assert library not in text
        assert FFMPEG not in Path(f"/proc/{daemon.pid}/maps").read_text()


def test_secrets_appear_nowhere(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Neither logs, metrics, health, status, payloads, the database nor any command line hold a password or key."""
    login = Login("viewer", PASSWORD)
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600))), login=login) as camera:
        good = stream("good", camera.url, username="viewer", password={"env": "CAMERA_PASSWORD"})
        bad = stream("bad", camera.url, username="viewer", password="wrong-canary-p4ss")
        config = site(block_model, receiver, good, bad)
        config["webhooks"][0]["secret"] = {"env": "HOOK_SECRET"}
        environment = {"CAMERA_PASSWORD": PASSWORD, "HOOK_SECRET": SECRET}
        with Daemon(config, tmp_path, environment=environment) as daemon:
            receiver.wait_for("alarm.raised")
            daemon.wait_metric(
                "tocsin_stream_connect_failures_total", at_least=1, stream="bad", reason="auth"
            )
            shown = [daemon.get(path)[1] for path in ("/metrics", "/healthz", "/readyz")]
            shown += [tocsin("status", "--config", str(daemon.config_file), "--json", **environment).stdout]
            shown += [command_line(pid) for pid in (daemon.pid, *daemon.children())]
            shown += [message.raw.decode() for message in receiver.accepted]
            daemon.terminate()
            shown += [
                daemon.log,
                *(
                    path.read_bytes().decode("latin-1")
                    for path in daemon.state_dir.rglob("*")
                    if path.is_file()
                ),
            ]
        text = "\n".join(shown)
        assert "good" in text
        for secret in (PASSWORD, "canary-p4ss", SECRET.removeprefix("whsec_")):
            assert secret not in text


def test_it_writes_nothing_outside_its_state(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """No library keeps files, telemetry least of all, in the home of the user who runs it."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    with Daemon(
        site(block_model, receiver, stream("yard", camera.url)), tmp_path, environment=environment
    ) as daemon:
        receiver.wait_for("alarm.raised")
        opened = [
            str(entry.readlink()) for entry in Path(f"/proc/{daemon.pid}/fd").iterdir() if entry.exists()
        ]
        assert not [name for name in opened if "onnxruntime" in name]
    assert list(home.rglob("*")) == []


def test_a_second_daemon_on_the_same_state_is_refused(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Two daemons would send everything twice."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        daemon.wait_ready()
        second = tocsin("run", "--config", str(daemon.config_file))
        assert second.returncode == 75
        assert "Traceback" not in second.stderr
        assert str(daemon.state_dir) in second.stderr


def test_a_port_in_use_is_one_sentence(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The sentence names the key and the address; a restart may mend it, so the code is 75."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = {**site(block_model, receiver, stream("yard", camera.url)), "http": {"listen": address}}
        with Daemon(config, tmp_path) as daemon:
            assert daemon.wait_end() == 75
            (line,) = [line for line in daemon.lines if "http.listen" in line]
            assert address in line
            assert "Traceback" not in daemon.log


def test_status_shows_streams_detector_alarms_and_queues(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """For people as tables, for programs as JSON; without a daemon it is one sentence."""
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        answer = json.loads(tocsin("status", "--config", str(daemon.config_file), "--json").stdout)
        assert answer["streams"][0]["state"] == "live"
        assert answer["detector"]["provider"] == "CPUExecutionProvider"
        assert answer["alarms"][0]["rule"] == "visit"
        assert answer["queues"][0]["webhook"] == "hook"
        assert "yard" in tocsin("status", "--config", str(daemon.config_file)).stdout
        daemon.terminate()
        gone = tocsin("status", "--config", str(daemon.config_file))
        assert gone.returncode == 75
        assert "Traceback" not in gone.stderr
        assert len(gone.stderr.splitlines()) == 1


def test_the_service_manager_hears_ready_watchdog_and_stopping(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """READY comes when it is ready, WATCHDOG while every part moves, STOPPING at the end."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20.0)
        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "3000000"}
        config = site(block_model, receiver, stream("dead", "rtsp://127.0.0.1:9/none"))
        with Daemon(config, tmp_path, environment=environment) as daemon:
            heard = [manager.recv(4096).decode()]
            assert "READY=1" in heard[0]
            assert daemon.get("/readyz")[0] == 200
            while not any("WATCHDOG=1" in message for message in heard):
                heard.append(manager.recv(4096).decode())
            daemon.terminate()
            while not any("STOPPING=1" in message for message in heard):
                heard.append(manager.recv(4096).decode())


def test_prometheus_sees_the_alarm(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A real Prometheus scrapes the running daemon, and a query finds the alarm."""
    need_prometheus()
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        with Prometheus(daemon.address) as prometheus:
            found = prometheus.wait_query(
                'tocsin_alarms_total{stream="yard",rule="visit",class="block"}', at_least=1, timeout=30
            )
            assert found
            assert prometheus.query("process_resident_memory_bytes")


def test_promtool_finds_nothing_to_say(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The live endpoint follows Prometheus' conventions."""
    need("promtool", "install promtool: apt-get install prometheus")
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        _, text = daemon.get("/metrics")
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
        assert "process_cpu_seconds_total" in text


def test_a_webhook_can_be_tried(receiver: Receiver, block_model: Path, tmp_path: Path) -> None:
    """`webhook test` sends a signed event, prints the answer, and its exit code says whether it was accepted."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(json.dumps(site(block_model, receiver, stream("yard", "/dev/video0"))))
    good = tocsin("webhook", "test", "hook", "--config", str(file))
    assert (good.returncode, good.stderr) == (0, "")
    assert "delivered" in good.stdout
    assert receiver.accepted[0].type == "tocsin.test"
    for status, advice in ((500, "see its log"), (401, "compare `secret`"), (307, "never followed")):
        receiver.answer(status)
        tried = tocsin("webhook", "test", "hook", "--config", str(file))
        assert (tried.returncode, advice in tried.stdout) == (75, True)
    unknown = tocsin("webhook", "test", "hok", "--config", str(file))
    assert unknown.returncode == 2
    assert "expected one of the webhooks (hook), found hok" in unknown.stderr


def test_an_answer_that_repeats_a_secret_is_printed_without_it(
    receiver: Receiver, block_model: Path, tmp_path: Path
) -> None:
    """What `webhook test` prints is what people send to others who shall help them."""
    token = "t0ken/canary+of-a-door"
    canary.watch(token)
    config = site(block_model, receiver, stream("yard", "/dev/video0"))
    config["webhooks"][0]["token"] = token
    file = tmp_path / "tocsin.yaml"
    file.write_text(json.dumps(config))
    receiver.answer(lambda message: Answer(400, body=f"no: {message.headers['authorization']}".encode()))
    tried = tocsin("webhook", "test", "hook", "--config", str(file))
    assert "'no: Bearer ***'" in tried.stdout


def test_deliveries_can_be_seen_tried_again_and_removed(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """`outbox` asks the running daemon, and lists from its file when none runs; wrong usage is one sentence."""
    receiver.answer(503)
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        config = "--config", str(daemon.config_file)
        daemon.wait_metric("tocsin_delivery_attempts_total", at_least=1, outcome="failing")
        waiting = json.loads(tocsin("outbox", "list", "--state", "queued", "--json", *config).stdout)
        assert waiting["deliveries"][0]["type"] == "alarm.raised"
        shown = tocsin("outbox", "list", "--state", "queued", *config)
        assert "alarm.raised" in shown.stdout
        assert tocsin("outbox", "list", *config).stdout == "no delivery was given up\n"
        before = len(receiver.requests)
        tried = tocsin("outbox", "retry", "--webhook", "hook", *config)
        assert (tried.returncode, tried.stdout) == (0, "queued again: 0; what waits is tried now\n")
        until(lambda: len(receiver.requests) > before, 5, "another attempt")
        assert tocsin("outbox", "purge", *config).returncode == 2
        unknown = tocsin("outbox", "retry", "--webhook", "hok", *config)
        assert unknown.returncode == 2
        assert "expected one of the webhooks (hook), found 'hok'" in unknown.stderr
        removed = tocsin("outbox", "purge", "--state", "queued", "--webhook", "hook", *config)
        assert removed.stdout.startswith("removed: ")
        assert removed.stdout != "removed: 0\n"
        daemon.terminate()
        alone = tocsin("outbox", "list", "--state", "delivered", *config)
        assert (alone.returncode, alone.stdout) == (0, "no delivery arrived in the last week\n")
        assert "no daemon answers" in alone.stderr
        assert tocsin("outbox", "retry", "--all", *config).returncode == 75
