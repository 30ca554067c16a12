"""The fake cameras, as PyAV sees them."""

import contextlib
import itertools
import math
import socket
import time
from collections.abc import Iterator

import av
import numpy as np
import pytest

from support.access import Login
from support.camera import FakeCamera
from support.h264 import luma_of
from support.mjpeg import FakeMjpegCamera
from support.scene import Scene, read_number, visits

QUICK = {"analyzeduration": "0", "probesize": "32"}
FAST = Scene(fps=25)
TIMEOUT = (1.0, 0.4)
TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "udp"])


def frames(url: str, transport: str = "tcp") -> Iterator[av.VideoFrame]:
    """The frames of a stream until it ends or breaks."""
    with av.open(url, options={**QUICK, "rtsp_transport": transport}, timeout=TIMEOUT) as container:
        yield from container.decode(video=0)


def numbers(url: str, count: int, transport: str = "tcp") -> list[int]:
    stream = frames(url, transport)
    taken = [read_number(luma_of(frame)) for frame in itertools.islice(stream, count)]
    stream.close()
    return taken


@TRANSPORTS
def test_pictures_come_in_order_and_in_time(transport: str) -> None:
    """Numbers rise one by one, and picture k arrives k frame periods after the scene's zero."""
    with FakeCamera(FAST) as camera:
        late = [
            time.monotonic() - camera.zero - read_number(luma_of(frame)) / FAST.fps
            for frame in itertools.islice(frames(camera.url, transport), 10)
        ]
        first = numbers(camera.url, 10, transport)
    assert first == list(range(first[0], first[0] + 10))
    assert min(late) >= 0
    assert min(late) < 0.1


def test_several_clients_see_the_same_camera() -> None:
    """Clients over both transports play at once and see the same numbers at the same time."""
    with FakeCamera(FAST) as camera:
        streams = [frames(camera.url, transport) for transport in ("tcp", "udp", "tcp")]
        seen = [read_number(luma_of(next(stream))) for stream in streams]
        camera.wait_playing(3)
        for stream in streams:
            stream.close()
    assert seen == sorted(seen)
    assert seen[-1] - seen[0] < 50


def test_a_block_is_seen_from_its_first_to_its_last_second() -> None:
    """A visit from 0.2 to 0.4 s covers exactly those pictures, counted from the restarted clock."""
    scene = Scene(fps=20, blocks=visits((0.2, 0.4)))
    with FakeCamera(scene) as camera:
        stream = frames(camera.url)
        before = read_number(luma_of(next(stream)))
        zero = camera.restart_clock()
        bright = {}
        for frame in itertools.islice(stream, 15):
            plane = luma_of(frame)
            if read_number(plane) > before + 1:
                bright[time.monotonic() - zero] = bool(plane[150, 160] > 200)
        stream.close()
    assert sum(bright.values()) == 4
    assert [at for at, is_bright in bright.items() if is_bright] == pytest.approx(
        [0.2, 0.25, 0.3, 0.35], abs=0.1
    )


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_the_right_password_opens_and_a_wrong_one_is_unauthorized(scheme: str) -> None:
    """Both schemes admit the right password, odd characters included, and answer 401 to a wrong one."""
    with FakeCamera(FAST, login=Login("viewer", "p:@/ä", scheme)) as camera:
        assert numbers(camera.url_with_login, 1)
        for url in (camera.url, camera.url.replace("://", "://viewer:wrong@")):
            with pytest.raises(av.error.HTTPUnauthorizedError):
                numbers(url, 1)


def test_digest_with_sha_256_looks_like_a_wrong_password_to_ffmpeg() -> None:
    """FFmpeg knows MD5 only: the right password gets 401."""
    login = Login("viewer", "secret", "Digest", "SHA-256")
    with FakeCamera(FAST, login=login) as camera, pytest.raises(av.error.HTTPUnauthorizedError):
        numbers(camera.url_with_login, 1)


def test_a_status_is_what_the_client_gets() -> None:
    """A method can be answered with any status."""
    with FakeCamera(FAST) as camera:
        with camera.faults(status={"DESCRIBE": 404}), pytest.raises(av.error.HTTPNotFoundError):
            numbers(camera.url, 1)
        with camera.faults(status={"SETUP": 461}), pytest.raises(av.error.FFmpegError):
            numbers(camera.url, 1)


def test_a_transport_that_is_not_offered_is_answered_461() -> None:
    """A camera with TCP alone refuses UDP."""
    with FakeCamera(FAST, transports=("tcp",)) as camera:
        assert numbers(camera.url, 1, "tcp")
        with pytest.raises(av.error.FFmpegError):
            numbers(camera.url, 1, "udp")


@pytest.mark.parametrize(
    "knob", [{"silent": True}, {"hang_on": "DESCRIBE"}], ids=["no answer at all", "no DESCRIBE"]
)
def test_a_silent_camera_costs_the_opening_timeout(knob: dict[str, object]) -> None:
    """The connection is accepted and opening ends by its timeout."""
    with FakeCamera(FAST) as camera, camera.faults(**knob):
        started = time.monotonic()
        with pytest.raises((av.error.InvalidDataError, av.error.ExitError, av.error.TimeoutError)):
            av.open(camera.url, timeout=0.4)
        assert time.monotonic() - started >= 0.4
        assert len(camera.accepted) == 1


def test_a_refusing_camera_comes_back_on_the_same_port() -> None:
    """The port is closed for a while and then opens again."""
    with FakeCamera(FAST) as camera:
        with camera.refusing(), pytest.raises(ConnectionRefusedError):
            numbers(camera.url, 1)
        assert camera.faults.fired["refused"] == 1
        assert numbers(camera.url, 1)


@TRANSPORTS
def test_a_stall_ends_the_read_by_its_timeout(transport: str) -> None:
    """No picture comes while the connection stays open; a new client plays on afterwards."""
    with FakeCamera(FAST) as camera:
        stream = frames(camera.url, transport)
        next(stream)
        with camera.faults(stall=True), pytest.raises(av.error.ExitError):
            list(stream)
        assert numbers(camera.url, 1, transport)


@TRANSPORTS
def test_a_fin_ends_the_stream_without_an_error(transport: str) -> None:
    """After an orderly end the iterator is simply over."""
    with FakeCamera(FAST) as camera:
        stream = frames(camera.url, transport)
        next(stream)
        assert camera.hang_up() == 1
        assert len(list(stream)) < 25
        assert camera.faults.fired["fin"] == 1


def test_a_reset_is_one_on_the_wire_and_a_quiet_end_in_ffmpeg() -> None:
    """A bare socket sees RST; FFmpeg's RTSP client makes no difference between that and an orderly end."""
    with FakeCamera(FAST) as camera, socket.create_connection(("127.0.0.1", camera.port), timeout=5) as bare:
        stream = frames(camera.url)
        next(stream)
        assert camera.reset() == 2
        with pytest.raises(ConnectionResetError):
            bare.recv(1)
        assert len(list(stream)) < 25
        assert camera.faults.fired["reset"] == 2


def test_a_camera_can_cut_each_connection_after_play() -> None:
    """Playing is agreed and the connection ends before any picture."""
    with FakeCamera(FAST) as camera, camera.faults(cut_after_play="fin"):
        with contextlib.suppress(av.error.FFmpegError):  # the end can also come while FFmpeg still opens
            assert list(frames(camera.url)) == []
        assert [request.method for request in camera.requests][-1] == "PLAY"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("knob", ["loss", "corruption"])
def test_lost_and_corrupt_packets_damage_pictures(knob: str, transport: str) -> None:
    """With one packet in ten spoilt, pictures are damaged or missing, which they are not without."""
    scene = Scene(fps=25, grain=20)
    with FakeCamera(scene) as camera:
        assert damage(camera, transport) < 5
        with camera.faults(**{knob: 0.1}):
            assert damage(camera, transport) > 10


def damage(camera: FakeCamera, transport: str) -> float:
    """The largest mean difference between a frame and what the camera saw; infinite where it cannot be told."""
    worst = 0.0
    stream = frames(camera.url, transport)
    try:
        for frame in itertools.islice(stream, 10):
            seen = Scene(fps=25, grain=20).draw(0.0, read_number(luma_of(frame)))[:240].astype(float)
            worst = max(worst, float(np.abs(luma_of(frame) - seen).mean()))
    except (ValueError, av.error.FFmpegError):
        worst = math.inf
    stream.close()
    return worst


def test_a_shifted_timestamp_moves_the_presentation_time() -> None:
    """An hour on the camera's clock is an hour in the timestamps."""
    with FakeCamera(FAST) as camera:
        stream = frames(camera.url)
        before = [next(stream) for _ in range(3)][-1]
        with camera.faults(timestamp_shift_s=3600.0):
            after = [next(stream) for _ in range(5)][-1]
        stream.close()
    assert after.time - before.time == pytest.approx(3600, abs=1)


def test_a_frozen_camera_repeats_its_picture() -> None:
    """Frames go on coming and all show the same number."""
    with FakeCamera(FAST) as camera:
        stream = frames(camera.url)
        next(stream)
        with camera.faults(freeze=True):
            seen = [read_number(luma_of(next(stream))) for _ in range(8)]
        stream.close()
    assert len(set(seen[3:])) == 1


def test_a_new_scene_can_have_another_size() -> None:
    """The size of the frames changes in the middle of the stream."""
    with FakeCamera(FAST) as camera:
        stream = frames(camera.url)
        assert next(stream).width == 320
        camera.show(Scene(640, 480, fps=25))
        sizes = [(frame.width, frame.height) for frame in itertools.islice(stream, 5)]
        stream.close()
    assert sizes[-1] == (640, 480)


def test_a_fault_that_never_fires_fails_the_test() -> None:
    """A knob that did nothing is reported at the end of its block."""
    with (
        FakeCamera(FAST) as camera,
        pytest.raises(AssertionError, match="these faults never fired: stall"),
        camera.faults(stall=True),
    ):
        pass


@pytest.mark.parametrize("format_name", [None, "mpjpeg"], ids=["probed", "mpjpeg"])
def test_mjpeg_over_http_opens_and_comes_in_order(format_name: str | None) -> None:
    """PyAV opens the multipart stream with and without being told its format."""
    with FakeMjpegCamera(FAST) as camera:
        with av.open(camera.url, format=format_name, options=QUICK, timeout=TIMEOUT) as container:
            seen = [read_number(luma_of(frame)) for frame in itertools.islice(container.decode(video=0), 8)]
        assert len(camera.accepted) == 1
    assert seen == list(range(seen[0], seen[0] + 8))


def test_the_mjpeg_camera_has_faults_too() -> None:
    """It stalls, answers with a status and hangs up."""
    with FakeMjpegCamera(FAST) as camera:
        with camera.faults(status={"GET": 404}), pytest.raises(av.error.HTTPNotFoundError):
            next(frames(camera.url))
        stream = frames(camera.url)
        next(stream)
        with camera.faults(stall=True), pytest.raises((av.error.ExitError, av.error.TimeoutError)):
            list(stream)
        stream = frames(camera.url)
        next(stream)
        assert camera.hang_up() == 1
        with contextlib.suppress(av.error.OSError):  # FFmpeg says so when the last part was not whole
            assert len(list(stream)) < 25
