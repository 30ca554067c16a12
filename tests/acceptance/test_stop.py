"""How the daemon ends: in time whatever holds it up, at once when told twice, and with which exit code."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.process import descendants
from support.receiver import Answer, Receiver
from support.scene import Scene, visits
from support.servicemanager import ServiceManager
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as running:
        yield running


@pytest.mark.fault(59)
def test_a_stop_does_not_wait_for_a_receiver_that_hangs(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """STOPPING is said, the end comes in time, and the next start sends the same event with the same bytes."""
    receiver.answer(Answer(204, delay=60.0))
    config = site(
        block_model, receiver, stream("yard", camera.url), stream("dead", "rtsp://127.0.0.1:9/none")
    )
    with (
        ServiceManager(tmp_path, watchdog=60.0) as manager,
        Daemon(config, tmp_path, environment=manager.environment) as daemon,
    ):
        held = until(lambda: receiver.requests, 20.0, "a delivery under way")[0]
        began = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - began < 10.0 * SCALE
        manager.hear_until("STOPPING", 1.0)
        until(lambda: not daemon.leftovers(), 5.0, "every process to be gone")
        receiver.answer(204)
        daemon.start()
        raised = receiver.wait_for("alarm.raised", timeout=20.0)
        assert (raised.id, raised.raw) == (held.id, held.raw)


def test_a_stop_leaves_nothing_in_the_temporary_folder(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The folder of the socket on which workers are asked for goes with the daemon."""
    config = site(block_model, receiver, stream("yard", camera.url))
    # not below `tmp_path`, which is deeper than a socket's path may be long
    with (
        TemporaryDirectory() as folder,
        Daemon(config, tmp_path, environment={"TMPDIR": folder}) as daemon,
    ):
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=1, stream="yard", timeout=20.0)
        assert any(Path(folder).iterdir())
        assert daemon.terminate() == 0
        assert not any(Path(folder).iterdir())


def test_a_stop_does_not_wait_for_a_worker_that_hangs(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """As one does whose camera holds it up in native code; it is killed."""
    with (
        FakeCamera(Scene(fps=10, blocks=visits((500, 600)))) as camera,
        Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon,
    ):
        daemon.wait_metric("tocsin_frames_analysed_total", at_least=1, stream="yard", timeout=20.0)
        workers = [worker for child in daemon.children() for worker in descendants(child)]
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - began < 10.0 * SCALE
        until(lambda: not daemon.leftovers(), 5.0, "every process to be gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path, number: signal.Signals
) -> None:
    """While the stop waits for a receiver; the exit code is that of the signal, and no worker is left."""
    receiver.answer(Answer(204, delay=60.0))
    with Daemon(site(block_model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        until(lambda: receiver.requests, 20.0, "a delivery under way")
        os.kill(daemon.pid, number)
        daemon.wait_log("the daemon stops")
        os.kill(daemon.pid, number)
        assert daemon.wait_end(1.0) == 128 + number
        assert "the daemon has stopped" not in daemon.log
        until(lambda: not daemon.leftovers(), 5.0, "every process to be gone")


def _unchanged(config: dict[str, Any]) -> None:
    pass


def _misspelt(config: dict[str, Any]) -> None:
    config["steams"] = []


def _no_model(config: dict[str, Any]) -> None:
    config["detector"]["model"] = "/dev/null"


def _no_gpu(config: dict[str, Any]) -> None:
    config["detector"]["device"] = "cuda"


def _taken(config: dict[str, Any]) -> None:
    config["http"] = {"listen": config["http"]["taken"]}


@pytest.mark.parametrize(
    ("fault", "options", "code"),
    [
        pytest.param(_unchanged, ["--no-such-option"], 2, id="2 for wrong usage"),
        pytest.param(_taken, [], 75, id="75 for an address that another program has"),
        pytest.param(_no_gpu, [], 75, id="75 for a device that is not there"),
        pytest.param(_misspelt, [], 78, id="78 for a key that there is not"),
        pytest.param(_no_model, [], 78, id="78 for a model that is none"),
    ],
)
def test_an_exit_code_says_whether_a_restart_helps(
    block_model: Path,
    receiver: Receiver,
    tmp_path: Path,
    fault: Callable[[dict[str, Any]], None],
    options: list[str],
    code: int,
) -> None:
    """And a sentence on stderr says why; 0 is for a stop that was asked for."""
    config = site(block_model, receiver, stream("yard", "/dev/video63"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config["http"] = {"taken": f"127.0.0.1:{taken.getsockname()[1]}"}
        fault(config)
        config["http"].pop("taken", None)
        file = Daemon(config, tmp_path).config_file
        command = [sys.executable, "-m", "tocsin", "run", "--config", str(file), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SCALE)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
