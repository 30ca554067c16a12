"""A daemon that may have fewer files, threads or less memory than it needs."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(shutil.which("prlimit") is None, reason="there is no prlimit: install util-linux"),
]

STREAMS = 8
FILES = 64
"""Enough for the daemon and some of the streams."""

SPARED = 8
"""What must be left at least, some connections to receivers besides."""


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    with FakeCamera(Scene(fps=5, blocks=visits((0, 600)))) as running:
        yield running


def streams_up(daemon: Daemon) -> int:
    """How many streams bring pictures."""
    return int(daemon.metric("tocsin_stream_up"))


@pytest.mark.fault(60)
def test_without_files_for_all_streams_the_others_go_on(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Which stream has no worker, and why, is told by event; nothing spins, and more files bring it back."""
    streams = [stream(f"s{number}", camera.url) for number in range(STREAMS)]
    config = site(block_model, receiver, *streams, events=("alarm.raised", "stream.*"))
    with Daemon(config, tmp_path, inside=["prlimit", f"--nofile={FILES}:4096"]) as daemon:
        down = receiver.wait_for("stream.down", timeout=40.0).data
        assert down["reason"] == "worker"
        daemon.wait_log("expected a capture worker to start, found Too many open files")
        up = streams_up(daemon)
        assert 0 < up < STREAMS
        receiver.wait_for("alarm.raised", count=up)
        assert daemon.metric("process_max_fds") == FILES
        assert daemon.metric("process_open_fds") <= FILES - SPARED
        assert daemon.log.count("did not start") <= 15 * (STREAMS - up), "no try without a pause"
        assert daemon.metric("process_cpu_seconds_total") < 10.0 * SCALE
        for pid in (daemon.pid, *daemon.children()):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096))
        until(lambda: streams_up(daemon) == STREAMS, 45.0, "every stream to be up")
        assert daemon.terminate() == 0


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("stack", "share"),
    [pytest.param(8 << 20, 0.6, id="for the model"), pytest.param(512 << 20, 1.5, id="for all threads")],
)
def test_a_start_without_enough_memory_is_tried_again(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path, stack: int, share: float
) -> None:
    """It ends with one sentence and exit code 75, nothing of it is left, and with enough it starts."""
    config = site(block_model, receiver, stream("yard", camera.url))
    with Daemon(config, tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        (peak,) = [
            int(line.split()[1]) * 1024
            for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
            if line.startswith("VmPeak:")
        ]
        assert daemon.terminate() == 0
    inside = ["prlimit", f"--stack={stack}:{stack}", f"--as={round(share * peak)}"]
    with Daemon(config, tmp_path, inside=inside) as daemon:
        assert daemon.wait_end(30.0) == 75
        assert not any(line.lstrip(" |+-").startswith("Traceback") for line in daemon.lines)
        # Where it ends is chance: mostly in the main thread, else in one without which the daemon is none, whose
        # line may be one of those for which there is no memory.
        said = [line for line in daemon.lines if line.startswith("tocsin: ") or "the daemon ends" in line]
        assert len(said) <= 1
        assert said or "lines of the log are lost" in daemon.log
        assert all("found" in line or "stopped on an unexpected error" in line for line in said)
        until(lambda: not daemon.leftovers(), 5.0, "every process to be gone")
    with Daemon(config, tmp_path) as daemon:
        daemon.wait_ready()
