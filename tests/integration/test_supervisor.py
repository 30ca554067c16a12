"""The supervisor against what workers and machines do wrong."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from support.access import Login
from support.camera import FakeCamera
from support.capturing import Capture, Tally, capturing, order
from support.h264 import record
from support.process import is_alive
from support.scene import Scene, read_number
from support.wait import SCALE, until
from tocsin.capture import mailbox
from tocsin.capture.keeper import Keeper
from tocsin.capture.order import ViewOrder
from tocsin.capture.status import StreamState
from tocsin.capture.supervisor import Supervisor
from tocsin.errors import SourceFault


def _pid(supervisor: Supervisor, number: int = 0) -> int:
    worker = until(lambda: supervisor._keepers[number]._worker, 10.0, "a worker")
    return worker.pid


def test_a_file_is_played_once_though_its_worker_dies_afterwards(tmp_path: Path) -> None:
    """The stream has ended, is no longer up, and stays so."""
    clip = tmp_path / "clip.mp4"
    record(Scene(fps=10), clip, 0.5)
    with capturing(order(str(clip))) as capture:
        capture.wait_state(StreamState.ENDED)
        assert capture.status().fault is SourceFault.ENDED
        capture.wait_count("disconnected", "ended")
        received = capture.tally["received"]
        worker = _pid(capture.supervisor)
        os.kill(worker, signal.SIGKILL)
        until(lambda: not is_alive(worker), 5.0, "the worker to be gone")
        until(lambda: capture.supervisor._keepers[0]._worker is None, 5.0, "the supervisor to notice")
        turn = capture.supervisor.pulse()
        until(lambda: capture.supervisor.pulse() > turn + 1.0, 10.0, "some turns")
        assert capture.supervisor._keepers[0]._worker is None
        assert (capture.tally["received"], capture.tally["worker_restarted"]) == (received, 0)


def test_a_supervisor_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end must end the daemon, since nobody would look at the cameras any more."""

    def fail(self: Keeper, now: float) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(Keeper, "tend", fail)
    told: list[str] = []
    supervisor = Supervisor([order("/dev/video63")], Tally(), told.append)
    supervisor.start()
    until(lambda: told, 5.0, "the failure to be told")
    supervisor.stop(time.monotonic() + 5)
    assert told == ["the supervisor stopped on an unexpected error"]


def test_a_machine_without_descriptors_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start needs and cannot get is an error of that start, and the stream comes later."""
    refused: list[int] = []
    create = mailbox.create

    def short(slot_bytes: int) -> int:
        if len(refused) < 2:
            refused.append(1)
            raise OSError(24, "Too many open files")
        return create(slot_bytes)

    monkeypatch.setattr(mailbox, "create", short)
    with FakeCamera() as camera, capturing(order(camera.url)) as capture:
        capture.wait_state(StreamState.LIVE)
    assert len(refused) == 2


def test_many_hung_workers_are_ended_together() -> None:
    """Stopping takes one grace for all of them, not one for each."""
    with FakeCamera() as camera:
        with capturing([order(camera.url, name=f"s{number}") for number in range(6)]) as capture:
            for number in range(6):
                capture.wait_state(StreamState.LIVE, name=f"s{number}", timeout=20.0)
            workers = [_pid(capture.supervisor, number) for number in range(6)]
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            began = time.monotonic()
            capture.supervisor.stop(began + 5.0)
            assert time.monotonic() - began < 2.0 * SCALE
        assert not any(is_alive(worker) for worker in workers)


def _shown(capture: Capture, width: int) -> list[int]:
    """Take frames until one has a view of this width; return how wide they all were."""
    widths: list[int] = []
    until(
        lambda: widths.extend(f.views[0].width for f in capture.frames(1)) or width in widths,
        10.0,
        "its frame",
    )
    return widths


def _show(capture: Capture, camera: FakeCamera, *views: ViewOrder) -> None:
    """Order other views, and nothing else."""
    capture.supervisor.adopt([replace(order(camera.url), views=views)])


def test_a_worker_shows_other_views_without_a_pause() -> None:
    """The stream stays up in the same process, every frame in between is of the old size or of the new one."""
    with FakeCamera(Scene(fps=10)) as camera, capturing(order(camera.url)) as capture:
        _shown(capture, 320)
        worker = _pid(capture.supervisor)
        _show(capture, camera, ViewOrder(1280, 1280, keep_aspect=True))
        assert set(_shown(capture, 1280)) <= {320, 1280}
        _show(capture, camera, ViewOrder(64, 64, keep_aspect=True))
        assert set(_shown(capture, 64)) <= {1280, 64}
        assert _pid(capture.supervisor) == worker
        told = ("connected", "worker_restarted", "disconnected")
        assert [capture.tally[one] for one in told] == [1, 0, 0]


def test_a_worker_whose_memory_is_too_small_for_new_views_is_replaced() -> None:
    """What does not fit into a slot is never written there: a new worker has the memory for it."""
    large = ViewOrder(1600, 1600, keep_aspect=True)
    assert large.capacity > order("").slot_bytes
    with FakeCamera(Scene(fps=10)) as camera, capturing(order(camera.url)) as capture:
        _shown(capture, 320)
        worker = _pid(capture.supervisor)
        _show(capture, camera, large)
        assert set(_shown(capture, 1600)) <= {320, 1600}
        assert _pid(capture.supervisor) != worker
        assert capture.tally["worker_restarted"] == 1


def test_views_that_are_ordered_before_a_worker_is_there_are_what_it_starts_with() -> None:
    """An order is not lost between the death of one worker and the start of the next."""
    with FakeCamera(Scene(fps=10)) as camera, capturing(order(camera.url)) as capture:
        _shown(capture, 320)
        _show(capture, camera, ViewOrder(64, 64, keep_aspect=True))
        _shown(capture, 64)
        os.kill(_pid(capture.supervisor), signal.SIGKILL)
        capture.wait_count("worker_restarted")
        capture.wait_count("connected", at_least=2)
        assert set(_shown(capture, 64)) == {64}


def _numbers(capture: Capture, name: str, frames: int) -> list[int]:
    """The numbers in the pictures of a stream, as they come."""
    numbers: list[int] = []
    deadline = time.monotonic() + 15.0 * SCALE
    while len(numbers) < frames:
        assert time.monotonic() < deadline, f"{len(numbers)} frames of {name}"
        for frame in capture.supervisor.take(8, 0.5):
            if frame.stream == name:
                numbers.append(read_number(frame.views[0].pixels[: frame.views[0].height]))
            capture.supervisor.release(frame)
    return numbers


def test_streams_come_go_and_change_while_another_loses_no_picture() -> None:
    """One that is served as before keeps its process, and the numbers in its pictures go on.

    One picture may be missed at any time, for camera and consumer share a machine under load; a connection that is
    opened anew misses several.
    """
    with FakeCamera(Scene(fps=5)) as camera, FakeCamera(Scene(fps=5)) as other:
        yard, gate = order(camera.url), order(other.url, name="gate")
        with capturing([yard, gate]) as capture:
            _numbers(capture, "yard", 2)
            capture.wait_state(StreamState.LIVE, name="gate")
            kept, gone = _pid(capture.supervisor, 0), _pid(capture.supervisor, 1)
            capture.supervisor.adopt([order(other.url, name="barn"), yard])
            seen = _numbers(capture, "yard", 10)
            capture.wait_state(StreamState.LIVE, name="barn")
            capture.supervisor.adopt([replace(order(other.url, name="barn"), max_fps=5.0), yard])
            seen += _numbers(capture, "yard", 20)
            assert seen == sorted(set(seen)), "none came twice"
            assert len(set(range(seen[0], seen[-1])).difference(seen)) <= 1
            until(lambda: not is_alive(gone), 5.0, "the worker of the stream that is gone to be gone")
            capture.wait_state(StreamState.LIVE, name="barn")
            assert [status.stream for status in capture.supervisor.statuses()] == ["barn", "yard"]
            assert _pid(capture.supervisor, 1) == kept
            assert capture.tally["connected"] == 4
            assert capture.tally["disconnected", "reload"] == 2
            assert capture.tally["worker_restarted"] == 0
            until(lambda: not capture.supervisor._leaving, 5.0, "nothing to be left")
            assert other.playing == 1, "its old sessions were ended"


def test_another_password_is_tried_at_once() -> None:
    """Who mends a refused password does not wait for the five minutes that keep an account from being locked."""
    login = Login("viewer", "s3cret-camera")
    with FakeCamera(Scene(fps=10), login=login) as camera:
        wrong = order(camera.url, username="viewer", password="w0ng-camera")
        with capturing(wrong) as capture:
            capture.wait_count("connect_failed", "auth")
            began = time.monotonic()
            capture.supervisor.adopt([order(camera.url, username="viewer", password=login.password)])
            capture.wait_state(StreamState.LIVE)
            assert time.monotonic() - began < 5.0 * SCALE


def test_a_stop_ends_workers_that_are_leaving() -> None:
    """One that does not say goodbye is killed, and nothing outlives the supervisor; till then it has its name."""
    with FakeCamera(Scene(fps=10)) as camera, capturing(order(camera.url)) as capture:
        _shown(capture, 320)
        worker = _pid(capture.supervisor)
        os.kill(worker, signal.SIGSTOP)
        capture.supervisor.adopt([])
        until(lambda: capture.supervisor._leaving, 5.0, "the stream to leave")
        assert capture.supervisor.stream_of(worker) == "yard"
        capture.supervisor.stop(time.monotonic() + 5.0)
        assert not is_alive(worker)


def test_room_for_a_larger_input_costs_no_memory_until_it_is_used() -> None:
    """Of the 56 MiB for eight views in a mailbox, a worker that shows small ones holds next to nothing."""
    views = (ViewOrder(64, 64, keep_aspect=True),) * 8
    with FakeCamera(Scene(fps=10)) as camera, capturing(replace(order(camera.url), views=views)) as capture:
        _shown(capture, 64)
        pid = _pid(capture.supervisor)
        room = mailbox.SLOTS * replace(order(""), views=views).slot_bytes
        lines = Path(f"/proc/{pid}/smaps").read_text().split("tocsin-mailbox", 1)[1].splitlines()
        measured = {key: int(rest.split()[0]) for key, _, rest in (one.partition(":") for one in lines[1:7])}
        assert measured["Size"] * 1024 >= room > 50 << 20
        assert measured["Pss"] < 1024, "in KiB"
