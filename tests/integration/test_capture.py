"""Capture against cameras: every kind of source, every way to break, and the workers' own deaths."""

import os
import signal
import time
from collections.abc import Callable
from fractions import Fraction
from multiprocessing import forkserver
from pathlib import Path

import av
import numpy as np
import pytest

from support.access import Login
from support.camera import FakeCamera
from support.capturing import capturing, order
from support.mjpeg import FakeMjpegCamera
from support.process import descendants, is_alive, kill
from support.rtspserver import RtspServer
from support.scene import Scene, read_number
from support.wait import until
from tocsin.capture.keeper import StreamState
from tocsin.errors import SourceFault


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_an_rtsp_camera_is_read_over_both_transports(transport: str) -> None:
    """Frames come in order, whole, with their arrival and size."""
    with FakeCamera(Scene(fps=20)) as camera, capturing(order(camera.url, transport=transport)) as capture:
        numbers, arrivals = [], []
        while len(numbers) < 20:
            for frame in capture.supervisor.take(1, 5.0):
                numbers.append(read_number(frame.views[0].pixels[:240]))
                arrivals.append(frame.at)
                assert (frame.width, frame.height) == (320, 240)
                capture.supervisor.release(frame)
        assert numbers == sorted(set(numbers))
        assert arrivals == sorted(arrivals)
        assert time.monotonic() - arrivals[-1] < 5.0
        assert capture.status().state is StreamState.LIVE


def test_a_real_rtsp_server_is_read_over_both_transports(clip: Path) -> None:
    """GStreamer's server is a second opinion on RTSP."""
    with RtspServer(clip) as server:
        orders = [order(server.url, name=transport, transport=transport) for transport in ("tcp", "udp")]
        with capturing(orders) as capture:
            until(
                lambda: all(status.last_frame_at for status in capture.supervisor.statuses()),
                20.0,
                "a frame of each transport",
            )


def test_an_mjpeg_camera_is_read_over_http() -> None:
    """JPEG's full range arrives as the limited range that correction and detector expect."""
    with FakeMjpegCamera(Scene(background=90)) as camera, capturing(order(camera.url)) as capture:
        (frame,) = capture.frames(1)
        assert frame.views[0].light.p50 == pytest.approx((90 - 16) * 255 / 219, abs=4)


def test_a_file_is_played_in_real_time_and_its_seam_is_a_silence(clip: Path, tmp_path: Path) -> None:
    """A looped file starts again at its end, and what follows has nothing to do with what was before."""
    short = _first_second(clip, tmp_path)
    with capturing(order(str(short), loop=True)) as capture:
        began = time.monotonic()
        seams: list[float] = []
        while len(seams) < 3:
            seams += [frame.at for frame in capture.frames(1) if np.isinf(frame.silence)]
        assert time.monotonic() - began > 1.5
        assert np.allclose(np.diff(seams), 1.0, atol=0.2)


def test_a_file_that_is_not_in_real_time_loses_no_frame(clip: Path, tmp_path: Path) -> None:
    """Every frame is analysed, however slow the detector, at the times it was recorded."""
    short = _first_second(clip, tmp_path)
    with capturing(order(str(short), realtime=False)) as capture:
        frames = []
        while len(frames) < 10:
            for frame in capture.supervisor.take(1, 5.0):
                time.sleep(0.05)
                frames.append(frame)
                capture.supervisor.release(frame)
        assert np.allclose(np.diff([frame.at for frame in frames]), 0.1, atol=1e-3)
        capture.wait_state(StreamState.ENDED)
        assert capture.tally["dropped", "superseded"] == capture.tally["dropped", "busy"] == 0


def test_the_newest_frame_wins() -> None:
    """A consumer four times too slow gets fresh frames, and every other one is counted."""
    with FakeCamera(Scene(fps=20)) as camera, capturing(order(camera.url)) as capture:
        ages = []
        for _ in range(12):
            (frame,) = capture.supervisor.take(1, 5.0)
            ages.append(time.monotonic() - frame.at)
            capture.supervisor.release(frame)
            time.sleep(0.2)
        assert max(ages) < 1.0
        assert capture.tally["dropped", "superseded"] >= 24


def test_pictures_beyond_the_wanted_rate_are_counted() -> None:
    """max_fps thins the stream before anything is shrunk."""
    with FakeCamera(Scene(fps=20)) as camera, capturing(order(camera.url, max_fps=5.0)) as capture:
        frames = capture.frames(10)
        assert np.mean(np.diff([frame.at for frame in frames])) == pytest.approx(0.2, abs=0.05)
        capture.wait_count("dropped", "rate", at_least=15)


@pytest.mark.parametrize(
    ("knobs", "fault"),
    [
        pytest.param({"status": {"DESCRIBE": 404}}, SourceFault.NOT_FOUND, id="404"),
        pytest.param({"silent": True}, SourceFault.HANDSHAKE_TIMEOUT, id="accepts and is silent"),
        pytest.param({"hang_on": "DESCRIBE"}, SourceFault.HANDSHAKE_TIMEOUT, id="hangs on DESCRIBE"),
    ],
)
def test_a_camera_that_cannot_be_opened_is_named_and_tried_again(
    knobs: dict[str, object], fault: SourceFault
) -> None:
    """The reason is a word of the closed set, and the stream recovers by itself."""
    with FakeCamera() as camera:
        with camera.faults(**knobs), capturing(order(camera.url)) as capture:
            capture.wait_count("connect_failed", fault)
            until(lambda: capture.status().fault is fault, 1.0, "the status to say why")
        with capturing(order(camera.url)) as capture:
            capture.frames(1)


def test_a_camera_that_is_down_at_start_is_tried_until_it_is_there() -> None:
    """A closed port is no start-up failure."""
    with FakeCamera() as camera, camera.refusing(), capturing(order(camera.url)) as capture:
        capture.wait_count("connect_failed", "refused", at_least=2)
        assert capture.status().fault is SourceFault.REFUSED


@pytest.mark.parametrize(
    "cut", [pytest.param(FakeCamera.hang_up, id="FIN"), pytest.param(FakeCamera.reset, id="RST")]
)
def test_a_connection_that_is_cut_comes_back(cut: Callable[[FakeCamera], int]) -> None:
    """A camera that reboots is back soon; FFmpeg's RTSP reader tells an end and a reset alike."""
    with FakeCamera() as camera, capturing(order(camera.url)) as capture:
        capture.frames(3)
        assert cut(camera) == 1
        capture.wait_count("disconnected", SourceFault.EOF)
        capture.wait_count("connected", at_least=2, timeout=5.0)
        capture.frames(3)


def test_a_stall_is_noticed_and_mended() -> None:
    """A stream that says nothing is closed and opened again."""
    with FakeCamera() as camera, capturing(order(camera.url)) as capture:
        capture.frames(3)
        with camera.faults(stall=True):
            capture.wait_count("stalled")
            assert capture.status().fault is SourceFault.STALL
        capture.wait_state(StreamState.LIVE)
        capture.frames(3)


def test_a_silence_over_a_reconnection_is_told() -> None:
    """The first frame after an outage carries the time in which nothing was seen."""
    with FakeCamera() as camera, capturing(order(camera.url)) as capture:
        last = capture.frames(3)[-1].at
        with camera.faults(stall=True):
            capture.wait_count("stalled")
        (first,) = capture.frames(1)
        assert first.silence == pytest.approx(first.at - last, abs=0.3)


def test_a_refused_password_is_tried_once_and_never_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """The account is not locked by us, and neither logs nor FFmpeg's own output hold the password."""
    login = Login("viewer", "s3cret/with@signs")
    with FakeCamera(login=login) as camera:
        with capturing(order(camera.url, username="viewer", password="wr0ng/with@signs")) as capture:
            capture.wait_count("connect_failed", "auth")
            assert "password" in capture.status().message
            assert len(camera.accepted) == 1
        with capturing(order(camera.url, username=login.username, password=login.password)) as capture:
            capture.frames(1)
    out, err = capfd.readouterr()
    assert not any(word in out + err for word in ("s3cret", "wr0ng"))


def test_damage_is_quarantined_until_a_clean_keyframe() -> None:
    """No picture that is handed on after a loss of packets shows anything but the scene."""
    with FakeCamera(Scene(fps=20)) as camera, capturing(order(camera.url, transport="udp")) as capture:
        capture.frames(5)
        with camera.faults(corruption=0.05):
            capture.wait_count("quarantined", timeout=30.0)
        assert capture.tally["decode_errors"] >= 1


def test_a_webcam_that_is_not_there_is_named_and_tried_again() -> None:
    """The message names the device."""
    with capturing(order("/dev/video63")) as capture:
        capture.wait_count("connect_failed", "no_device", at_least=2)
        assert capture.status().message == "expected a camera at /dev/video63, found no such device"


@pytest.mark.parametrize(
    ("number", "timeout"),
    [
        pytest.param(signal.SIGKILL, 10.0, id="killed"),
        pytest.param(signal.SIGSEGV, 10.0, id="crashed in native code"),
        pytest.param(signal.SIGSTOP, 25.0, id="hung"),
    ],
)
def test_a_worker_that_is_lost_is_replaced(number: int, timeout: float) -> None:
    """Only its own stream notices."""
    with FakeCamera() as camera:
        orders = [order(camera.url, name="yard"), order(camera.url, name="door")]
        with capturing(orders) as capture:
            capture.wait_state(StreamState.LIVE, name="yard")
            capture.wait_state(StreamState.LIVE, name="door")
            victim = _worker(capture.supervisor, "yard")
            kill(victim, number)
            capture.wait_count("worker_restarted", timeout=timeout)
            until(lambda: not is_alive(victim), 5.0, "the old worker to be gone")
            capture.wait_state(StreamState.LIVE, timeout=10.0)
            assert capture.tally["worker_restarted"] == 1
            assert capture.status("door").state is StreamState.LIVE


def test_workers_ignore_the_signals_of_a_terminal() -> None:
    """Ctrl-C and SIGTERM reach the whole process group, and only the daemon decides."""
    with FakeCamera() as camera, capturing(order(camera.url)) as capture:
        capture.frames(3)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(_worker(capture.supervisor, "yard"), number)
        capture.frames(10)
        assert capture.tally["worker_restarted"] == 0


def test_a_dead_fork_server_is_repaired() -> None:
    """Workers that lost it are replaced through a new one."""
    with FakeCamera() as camera, capturing(order(camera.url)) as capture:
        capture.frames(3)
        server = forkserver._forkserver._forkserver_pid
        victim = _worker(capture.supervisor, "yard")
        os.kill(server, signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)
        capture.wait_count("worker_restarted")
        until(lambda: not is_alive(victim), 5.0, "the old worker to be gone")
        capture.wait_state(StreamState.LIVE)
        capture.frames(3)
        assert forkserver._forkserver._forkserver_pid != server


def test_stopping_leaves_no_process_and_no_descriptor() -> None:
    """Workers that were killed and replaced leave nothing behind."""
    with FakeCamera() as camera:
        with capturing(order(camera.url)) as capture:
            capture.frames(1)
        before = _descriptors()
        with capturing([order(camera.url, name=f"s{number}") for number in range(4)]) as capture:
            for number in range(4):
                capture.wait_state(StreamState.LIVE, name=f"s{number}")
            workers = [_worker(capture.supervisor, f"s{number}") for number in range(4)]
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            capture.wait_count("worker_restarted", at_least=4)
            workers += [_worker(capture.supervisor, f"s{number}") for number in range(4)]
        assert not any(is_alive(worker) for worker in workers)
        until(lambda: _descriptors() <= before, 5.0, "all descriptors to be closed")


def _worker(supervisor: object, stream: str) -> int:
    """Return the process of a stream's worker."""
    keepers = supervisor._keepers  # type: ignore[attr-defined]
    keeper = next(keeper for keeper in keepers if keeper.status.stream == stream)
    worker = until(lambda: keeper._worker, 10.0, f"a worker of {stream}")
    assert worker.pid in descendants(os.getpid())
    return int(worker.pid)


def _descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def _first_second(clip: Path, folder: Path) -> Path:
    """Return the first ten pictures of the clip as a file of their own."""
    short = folder / "short.mp4"
    with av.open(str(clip)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream("libx264", rate=10, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index, frame in enumerate(source.decode(video=0)):
            if index == 10:
                break
            picture = frame.reformat(320, 240)
            picture.pts, picture.time_base = index, Fraction(1, 10)
            target.mux(stream.encode(picture))
        target.mux(stream.encode())
    return short
