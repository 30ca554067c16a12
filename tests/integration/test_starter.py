"""A fork server that hangs or dies, a worker that will not die, and a hundred deaths in a row."""

import gc
import os
import signal
import threading
from multiprocessing import current_process, forkserver
from pathlib import Path

import numpy as np
import pytest
import structlog

from support.camera import FakeCamera
from support.capturing import Capture, capturing, order
from support.process import is_alive, kill
from support.scene import Scene
from support.wait import until
from tocsin.capture import keeper, reconnect, starter, supervisor
from tocsin.capture.process import WorkerProcess
from tocsin.capture.status import StreamState
from tocsin.errors import WorkerError


def _worker(capture: Capture, name: str) -> int:
    one = next(keeper for keeper in capture.supervisor._keepers if keeper.status.stream == name)
    return until(lambda: one._worker, 10.0, f"a worker of {name}").pid


def _fork_server() -> int:
    pid = forkserver._forkserver._forkserver_pid
    assert pid is not None, "a worker was started"
    return int(pid)


def _fork_server_runs() -> bool:
    return forkserver._forkserver._forkserver_pid is not None


def _assert_frames_of(capture: Capture, name: str) -> None:
    """Frames of a stream come, at least ten, and the supervisor turns."""
    pulse = capture.supervisor.pulse()
    seen: list[str] = []
    until(lambda: seen.extend(f.stream for f in capture.frames(1)) or seen.count(name) >= 10, 10.0, "frames")
    until(lambda: capture.supervisor.pulse() > pulse, 5.0, "a turn")


@pytest.mark.parametrize("helped", [False, True], ids=["hangs", "dies in the middle of a fork"])
def test_a_fork_server_that_does_not_answer_keeps_only_its_own_stream_waiting(
    helped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other streams go on, it is replaced when its time is over or it is dead, and the stream comes back."""
    monkeypatch.setattr(starter, "_FORK_LIMIT", 1e6 if helped else 2.0)
    with FakeCamera(Scene(fps=20)) as camera:
        orders = [order(camera.url, name="victim"), order(camera.url, name="other")]
        with capturing(orders) as capture:
            for name in ("victim", "other"):
                capture.wait_state(StreamState.LIVE, name=name)
            server = _fork_server()
            os.kill(server, signal.SIGSTOP)
            kill(_worker(capture, "victim"), signal.SIGKILL)
            until(lambda: capture.supervisor._starter._busy_since is not None, 15.0, "a fork that hangs")
            _assert_frames_of(capture, "other")
            assert capture.status("victim").state is StreamState.WAITING
            if helped:
                os.kill(server, signal.SIGKILL)
            capture.wait_state(StreamState.LIVE, name="victim", timeout=20.0)
            assert _fork_server() != server
            assert capture.tally["worker_restarted"] == 1


def test_a_temporary_folder_with_too_long_a_path_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork server's socket lies there; what Python says of it has no number of the system's."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    if _fork_server_runs():
        server = _fork_server()
        kill(server, signal.SIGKILL)
        until(lambda: not is_alive(server), 5.0, "the fork server to be dead")
    monkeypatch.setitem(current_process()._config, "tempdir", str(folder))
    with pytest.raises(WorkerError, match=r"^stream gate: .* worker to start, found AF_UNIX path too long$"):
        WorkerProcess(order("rtsp://127.0.0.1/", name="gate"))


def test_a_worker_that_survives_being_killed_keeps_only_its_own_stream_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel may hold a process for minutes; it is given up after a while, and nobody waits for it."""
    monkeypatch.setattr(keeper, "_KILL_LIMIT", 3.0)
    held: list[WorkerProcess] = []
    kill_it = WorkerProcess.kill

    def hold(worker: WorkerProcess) -> None:
        held.append(worker)

    monkeypatch.setattr(WorkerProcess, "kill", hold)
    with structlog.testing.capture_logs() as lines, FakeCamera(Scene(fps=20)) as camera:
        orders = [order(camera.url, name="victim"), order(camera.url, name="other")]
        with capturing(orders) as capture:
            for name in ("victim", "other"):
                capture.wait_state(StreamState.LIVE, name=name)
            victim = _worker(capture, "victim")
            os.kill(victim, signal.SIGSTOP)
            until(lambda: held, 15.0, "the worker to be killed in vain")
            _assert_frames_of(capture, "other")
            assert capture.status("victim").state is StreamState.WAITING
            assert is_alive(victim)
            capture.wait_state(StreamState.LIVE, name="victim", timeout=20.0)
            assert _worker(capture, "victim") != victim
            monkeypatch.setattr(WorkerProcess, "kill", kill_it)
            os.kill(victim, signal.SIGKILL)
    (told,) = [line for line in lines if line["event"] == "a capture worker survives being killed"]
    assert (told["stream"], told["pid"]) == ("victim", victim)


def test_a_hundred_deaths_in_a_row_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor, no thread, no process; and the stream would live as soon as its worker did."""
    monkeypatch.setattr(supervisor, "_TICK", 0.02)
    monkeypatch.setattr(reconnect, "_FIRST_GAP", 0.0)
    monkeypatch.setattr(reconnect, "_GAPS", ((1e9, 0.0),))
    with FakeCamera(Scene(fps=10)) as camera, capturing(order(camera.url)) as capture:
        capture.frames(1)
        gc.collect()  # what earlier tests left
        before = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
        dead = set()
        for count in range(1, 101):
            pid = until(
                lambda: (w := capture.supervisor._keepers[0]._worker) and w.pid not in dead and w.pid,
                10.0,
                "another worker",
            )
            os.kill(pid, signal.SIGKILL)
            dead.add(pid)
            capture.wait_count("worker_restarted", at_least=count)
        capture.wait_state(StreamState.LIVE)
        capture.frames(3)
        assert len(dead) == capture.tally["worker_restarted"] == 100
        assert not any(is_alive(pid) for pid in dead)
        assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == before


def test_pixels_outlive_the_worker_that_wrote_them() -> None:
    """A frame that the detector reads stays what it was when its worker is replaced, and then it is let go."""
    with FakeCamera(Scene(fps=10)) as camera, capturing(order(camera.url)) as capture:
        (frame,) = capture.supervisor.take(1, 15.0)
        pixels = frame.views[0].pixels
        copy = pixels.copy()
        os.kill(_worker(capture, "yard"), signal.SIGKILL)
        capture.wait_count("connected", at_least=2)
        capture.frames(3)
        assert np.array_equal(pixels, copy)
        capture.supervisor.release(frame)
        capture.frames(3)
