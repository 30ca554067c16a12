"""Capture against cameras: every kind of source, every way to break, and the workers' own deaths."""

import os
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from multiprocessing import forkserver
from pathlib import Path

import av
import numpy as np
import pytest

from support.camera import FakeCamera
from support.capturing import capturing, order
from support.h264 import record
from support.mjpeg import FakeMjpegCamera
from support.process import descendants, is_alive, kill
from support.rtspserver import RtspServer
from support.scene import Scene, read_number
from support.wait import SCALE, until
from tocsin.capture.process import WorkerProcess, prepare_fork_server
from tocsin.capture.status import StreamState
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
        capture.wait_count("dropped", "superseded", at_least=24)


def test_pictures_beyond_the_wanted_rate_are_counted() -> None:
    """max_fps thins the stream before anything is shrunk."""
    with FakeCamera(Scene(fps=20)) as camera, capturing(order(camera.url, max_fps=5.0)) as capture:
        frames = capture.frames(10)
        assert np.mean(np.diff([frame.at for frame in frames])) == pytest.approx(0.2, abs=0.05)
        capture.wait_count("dropped", "rate", at_least=15)


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
            until(lambda: capture.status().fault is SourceFault.STALL, 5.0, "the status to say why")
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


def test_damage_is_quarantined_until_a_clean_keyframe() -> None:
    """No picture that is handed on after a loss of packets shows anything but the scene."""
    with FakeCamera(Scene(fps=20)) as camera, capturing(order(camera.url, transport="udp")) as capture:
        capture.frames(5)
        with camera.faults(corruption=0.05):
            capture.wait_count("quarantined", timeout=30.0)
        capture.wait_count("decode_errors")


PLAYLIST = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\r\n#EXTM3U\nfile:///etc/passwd\n"
)


@pytest.mark.parametrize(
    ("answer", "scheme", "words"),
    [
        pytest.param(None, "rtsp", "closed the connection", id="RTSP that closes at once"),
        pytest.param(b"no camera\r\n\r\n", "rtsp", "no RTSP", id="RTSP that answers garbage"),
        pytest.param(None, "http", "closed the connection", id="HTTP that closes at once"),
        pytest.param(b"no camera\r\n\r\n", "http", "no Motion JPEG", id="HTTP that answers garbage"),
        pytest.param(PLAYLIST, "http", "no Motion JPEG", id="HTTP that answers a playlist of files"),
    ],
)
def test_a_camera_that_answers_nonsense_is_tried_again_soon(
    answer: bytes | None, scheme: str, words: str
) -> None:
    """A camera that boots does that for a while."""
    with _answering(answer) as port, capturing(order(f"{scheme}://127.0.0.1:{port}/a")) as capture:
        capture.wait_count("connect_failed", SourceFault.EOF, at_least=3, timeout=10.0)
        until(lambda: words in capture.status().message, 5.0, "the status to say why")


def test_an_http_camera_that_accepts_and_is_silent_is_no_dead_one() -> None:
    """It connects, so it is neither the address nor the network."""
    with FakeMjpegCamera() as camera, camera.faults(silent=True), capturing(order(camera.url)) as capture:
        capture.wait_count("connect_failed", SourceFault.HANDSHAKE_TIMEOUT)


def test_an_mjpeg_camera_that_hangs_up_is_at_its_end() -> None:
    """FFmpeg calls it an input/output error."""
    with FakeMjpegCamera() as camera, capturing(order(camera.url)) as capture:
        capture.frames(3)
        assert camera.hang_up() == 1
        capture.wait_count("disconnected", SourceFault.EOF)
        capture.wait_count("connected", at_least=2)


def test_a_slow_mjpeg_camera_is_no_stall_for_ever() -> None:
    """Its rate is measured: it declares 25, sends a picture every two seconds, and is told as that."""
    with FakeMjpegCamera(Scene(fps=0.5)) as camera, capturing(order(camera.url)) as capture:
        frames = capture.frames(8, timeout=60.0)
        assert frames[-1].period == pytest.approx(2.0, abs=0.3)
        assert frames[-1].silence == pytest.approx(2.0, abs=0.5)
        assert capture.tally["stalled"] <= 2


def test_a_stream_without_a_clean_picture_never_is_live() -> None:
    """It is opened anew, and the reason is given."""
    with (
        FakeCamera(Scene(fps=20)) as camera,
        camera.faults(corruption=1.0),
        capturing(order(camera.url)) as capture,
    ):
        capture.wait_count("connect_failed", SourceFault.DECODE, timeout=40.0)
        assert capture.tally["connected"] == 0
        assert capture.tally["decode_errors"] > 0


def test_a_name_with_a_dead_first_address_is_reached_by_its_second() -> None:
    """`localhost` is ::1 before it is 127.0.0.1, and the camera listens there alone."""
    addresses = {entry[4][0] for entry in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    if "127.0.0.1" not in addresses:
        pytest.skip("localhost has no IPv4 address here")
    with FakeCamera() as camera:
        location = camera.url.replace("127.0.0.1", "localhost")
        with capturing(order(location)) as capture:
            capture.frames(1)


@pytest.mark.parametrize("realtime", [True, False])
def test_a_looped_file_of_one_picture_leaves_the_core_alone(realtime: bool, tmp_path: Path) -> None:
    """A pass takes at least a period."""
    file = record(Scene(fps=10), tmp_path / "one.mp4", 0.1)
    with capturing(order(str(file), loop=True, realtime=realtime)) as capture:
        began = time.monotonic()
        capture.frames(10)
        assert time.monotonic() - began >= 0.85


def test_a_file_that_is_none_is_named() -> None:
    """The path is in the message."""
    with capturing(order("/nonexistent/clip.mp4")) as capture:
        expected = "expected a video file at /nonexistent/clip.mp4, found none"
        until(lambda: capture.status().message == expected, 15.0, "the status to name the file")


def test_a_worker_that_is_stuck_dies_with_the_daemon() -> None:
    """The end of the channel ends the process, though its main thread waits for a silent camera."""
    with FakeCamera() as camera, camera.faults(silent=True):
        prepare_fork_server()
        worker = WorkerProcess(order(camera.url))
        try:
            until(lambda: camera.accepted, 15.0, "the worker to open the camera")
            worker.channel.close()
            assert worker.dead(1.5 * SCALE)
        finally:
            worker.kill()
            worker.dead(5.0)
            worker.close()


def test_a_webcam_that_is_not_there_is_named_and_tried_again() -> None:
    """The message names the device."""
    with capturing(order("/dev/video63")) as capture:
        capture.wait_count("connect_failed", "no_device", at_least=2)
        expected = "expected a camera at /dev/video63, found no such device"
        until(lambda: capture.status().message == expected, 5.0, "the status to name the device")


def test_a_worker_that_is_killed_is_replaced() -> None:
    """Only its own stream notices."""
    with FakeCamera() as camera:
        orders = [order(camera.url, name="yard"), order(camera.url, name="door")]
        with capturing(orders) as capture:
            capture.wait_state(StreamState.LIVE, name="yard")
            capture.wait_state(StreamState.LIVE, name="door")
            victim = _worker(capture.supervisor, "yard")
            kill(victim, signal.SIGKILL)
            capture.wait_count("worker_restarted")
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


@contextmanager
def _answering(answer: bytes | None) -> Iterator[int]:
    """A port that takes connections, answers the first bytes with nonsense or nothing, and closes."""

    class Nonsense(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if answer is not None:
                self.request.recv(4096)
                self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


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
