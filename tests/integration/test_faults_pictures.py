"""Rows of the fault matrix about connections and pictures: what is injected, what must hold, what must show."""

import contextlib
import itertools
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from support.camera import FakeCamera
from support.capturing import PICTURE, Capture, capturing, order
from support.counterpart import need
from support.daemon import Daemon
from support.process import descendants
from support.proxy import Proxy
from support.receiver import Receiver
from support.rtspserver import RtspServer
from support.scene import Scene, read_number, visits
from support.site import site, stream
from support.wait import SCALE, until
from tocsin.capture.intake import Intake
from tocsin.capture.order import Order, SourceOrder, ViewOrder
from tocsin.capture.reconnect import Reconnect
from tocsin.capture.source import Source
from tocsin.capture.status import StreamState
from tocsin.errors import SourceFault
from tocsin.metrics import Metrics, Names

_NOTICED = 3.0
"""Seconds from the last picture to the moment that the stream counts as down."""


class _Watched(Capture):
    """Capture that reports to the daemon's own metrics."""

    registry: CollectorRegistry

    def value(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(f"tocsin_{name}", {"stream": "yard", **labels})
        assert found is not None, f"no series {name} of {labels}"
        return found

    def wait_value(self, name: str, at_least: float = 1, timeout: float = 15.0, **labels: str) -> None:
        what = f"{name}{labels or ''} to be {at_least:g}"
        until(lambda: self.value(name, **labels) >= at_least, timeout, what)


@contextlib.contextmanager
def _watching(ordered: Order) -> Iterator[_Watched]:
    registry = CollectorRegistry()
    metrics = Metrics(registry, Names({"yard": []}, {}, []))
    with capturing(ordered, metrics) as capture:
        watched = _Watched(capture.supervisor, capture.tally)
        watched.registry = registry
        yield watched


def _seconds_until_down(capture: _Watched) -> float:
    """Wait until the stream counts as down; return how long that was after the last picture."""
    until(lambda: capture.value("stream_up") == 0, 15.0, "the stream to be down")
    now, last = time.monotonic(), capture.status().last_frame_at
    assert last is not None
    return now - last


@pytest.mark.fault(6)
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_goes_silent_is_noticed_and_comes_back(transport: str) -> None:
    """Three seconds after its last picture the stream is down, and it is up again when the camera is."""
    with FakeCamera(Scene(fps=5)) as camera, _watching(order(camera.url, transport=transport)) as capture:
        period = capture.frames(5)[-1].period
        assert capture.status().period == pytest.approx(period, rel=0.5)
        with camera.faults(stall=True):
            assert _seconds_until_down(capture) <= _NOTICED * SCALE
            assert capture.value("stream_stalls_total") == 1
            assert capture.value("stream_disconnects_total", reason="stall") == 1
            assert capture.value("stream_last_frame_age_seconds") > 1.0
            assert capture.value("stream_fps") == 0
        capture.wait_value("stream_connects_total", 2)
        capture.frames(3)


@pytest.mark.fault(6)
def test_a_server_that_stands_still_is_noticed(clip: Path) -> None:
    """A process that was stopped keeps its connections open."""
    with RtspServer(clip) as server, _watching(order(server.url)) as capture:
        capture.frames(5)
        server.freeze()
        assert _seconds_until_down(capture) <= _NOTICED * SCALE
        assert capture.value("stream_stalls_total") == 1
        server.thaw()
        capture.wait_value("stream_connects_total", 2)


@pytest.mark.fault(6)
def test_packets_without_pictures_in_them_are_silence_too() -> None:
    """A camera whose sensor died may go on sending."""
    with FakeCamera(Scene(fps=25)) as camera, _watching(order(camera.url)) as capture:
        capture.frames(5)
        with camera.faults(hollow=True):
            assert _seconds_until_down(capture) <= _NOTICED * SCALE
            assert capture.value("stream_stalls_total") == 1
        capture.wait_value("stream_connects_total", 2)


@contextlib.contextmanager
def _cut_off(port: int) -> Iterator[Callable[[], int]]:
    """Let nothing that comes from a port of this machine arrive; yields a count of what was dropped."""
    table = f"tocsin_test_{os.getpid()}"
    script = f"""
    table inet {table} {{
        counter dropped {{}}
        chain arriving {{
            type filter hook input priority 0;
            iif lo tcp sport {port} counter name dropped drop
        }}
    }}"""
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    try:
        yield lambda: _dropped(table)
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


def _dropped(table: str) -> int:
    listing = subprocess.run(
        ["nft", "list", "counter", "inet", table, "dropped"], capture_output=True, text=True, check=True
    ).stdout
    return int(listing.split("packets")[1].split()[0])


def _may_filter() -> bool:
    listed = shutil.which("nft") and subprocess.run(["nft", "list", "tables"], capture_output=True)
    return bool(listed and listed.returncode == 0)


@pytest.mark.fault(7)
def test_a_camera_that_lost_its_power_is_noticed() -> None:
    """Nothing arrives any more and nobody says goodbye; when the way is free again the stream comes back."""
    need(_may_filter, "run as root with nftables: apt-get install nftables")
    with FakeCamera(Scene(fps=10)) as camera, _watching(order(camera.url)) as capture:
        capture.frames(5)
        with _cut_off(camera.port) as dropped:
            assert _seconds_until_down(capture) <= _NOTICED * SCALE
            assert dropped() > 0
            assert capture.value("stream_stalls_total") == 1
            assert capture.value("stream_last_frame_age_seconds") > 1.0
        capture.wait_value("stream_connects_total", 2, timeout=30.0)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(FakeCamera.hang_up, id="FIN", marks=pytest.mark.fault(8)),
        # PyAV's RTSP reader ends for a reset as it does for an end: the reason is eof and never reset.
        pytest.param(FakeCamera.reset, id="RST", marks=pytest.mark.fault(9)),
    ],
)
def test_a_connection_that_is_cut_is_made_again_within_a_second(cut: Callable[[FakeCamera], int]) -> None:
    """A camera that reboots or restarts its server is mostly there at once."""
    with FakeCamera(Scene(fps=10)) as camera, _watching(order(camera.url)) as capture:
        capture.frames(3)
        before = time.monotonic()
        assert cut(camera) == 1
        until(lambda: len(camera.accepted) == 2, 5.0, "a second connection")
        assert camera.accepted[1] - before <= 1.0 * SCALE
        capture.wait_value("stream_disconnects_total", reason="eof")
        capture.wait_value("stream_connects_total", 2)


@pytest.mark.fault(10)
def test_a_camera_that_hangs_up_at_once_is_tried_fifteen_times_in_a_minute() -> None:
    """And twice in each minute after it, whatever chance says, with tries that take no longer than 0.2 s."""
    for seed in range(200):
        reconnect = Reconnect(random.Random(seed).random)
        now, tries = 0.0, []
        while now < 660.0:
            tries.append(now)
            now += 0.2
            now += reconnect.failed(SourceFault.EOF, now)
        assert sum(at < 60.0 for at in tries) <= 15
        assert sum(60.0 <= at < 660.0 for at in tries) <= 22


@pytest.mark.fault(10)
def test_a_camera_that_hangs_up_after_play_is_not_hammered() -> None:
    """In twenty seconds there are as many connections as the gaps allow, and the worker hardly works."""
    with FakeCamera() as camera, camera.faults(cut_after_play="reset"):
        with _watching(order(camera.url)) as capture:
            until(lambda: camera.accepted, 15.0, "the first connection")
            worker = capture.supervisor._keepers[0]._worker
            assert worker is not None
            assert worker.pid in descendants(os.getpid())
            began, used = time.monotonic(), _cpu_seconds(worker.pid)
            until(lambda: time.monotonic() - began > 20.0, 30.0, "twenty seconds to pass")
            used = _cpu_seconds(worker.pid) - used
            assert capture.value("stream_connects_total") == 0
            assert capture.value("stream_connect_failures_total", reason="eof") >= 5
        assert 5 <= len(camera.accepted) <= 11
        assert used < 1.0 * SCALE, f"{used:.2f} s of CPU in 20 s"


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_STATIC = Scene(fps=20, background=170, grain=8)
"""Nearly as bright as what the block model reports, so that damage has it easy."""


@pytest.mark.fault(14)
@pytest.mark.fault(15)
def test_no_alarm_comes_of_damaged_pictures_and_one_comes_of_a_visitor(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """One camera loses a twentieth of its packets by UDP, another breaks as many; both scenes are still."""
    with FakeCamera(_STATIC) as lossy, FakeCamera(_STATIC) as broken:
        streams = [
            stream("lossy", lossy.url, transport="udp"),
            stream("broken", broken.url, transport="udp"),
        ]
        with Daemon(site(block_model, receiver, *streams), tmp_path) as daemon:
            for name in ("lossy", "broken"):
                daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream=name, timeout=30.0)
            with lossy.faults(loss=0.05), broken.faults(corruption=0.05):
                for name in ("lossy", "broken"):
                    daemon.wait_metric("tocsin_frames_quarantined_total", 60, stream=name, timeout=30.0)
                    daemon.wait_metric("tocsin_decode_errors_total", 10, stream=name, timeout=30.0)
                daemon.wait_metric("tocsin_packets_lost_total", at_least=10, stream="lossy")
            assert daemon.metric("tocsin_packets_lost_total", stream="broken") == 0
            assert daemon.metric("tocsin_stream_worker_restarts_total") == 0
            assert daemon.metric("tocsin_alarms_total") == 0
            assert not receiver.accepted
            for camera in (lossy, broken):
                camera.show(replace(_STATIC, blocks=visits((0.0, 60.0))))
            for name in ("lossy", "broken"):
                daemon.wait_metric("tocsin_alarms_total", at_least=1, stream=name, timeout=20.0)


@pytest.mark.fault(14)
def test_a_picture_that_the_camera_left_out_is_noticed_over_tcp() -> None:
    """FFmpeg says nothing of it; what builds on it waits for the next keyframe, and all that passes is whole."""
    scene = Scene(fps=20, grain=8)
    with FakeCamera(scene) as camera, _watching(order(camera.url)) as capture:
        capture.frames(3)
        with camera.faults(missing=0.05):
            capture.wait_value("frames_quarantined_total", 20)
            assert capture.value("decode_errors_total") == 0
        for _ in range(30):
            for frame in capture.supervisor.take(1, 5.0):
                luma = frame.views[0].pixels[: scene.height].copy()
                capture.supervisor.release(frame)
                drawn = scene.draw(0.0, read_number(luma))[: scene.height]
                assert np.abs(_blocks(luma) - _blocks(drawn)).max() < 25


def _blocks(luma: np.ndarray) -> np.ndarray:
    height, width = luma.shape
    return luma.astype(float).reshape(height // 8, 8, width // 8, 8).mean((1, 3))


@pytest.mark.fault(17)
def test_a_stream_that_repeats_itself_faster_than_any_camera_is_opened_anew() -> None:
    """A restreamer that lost its camera repeats the last picture as fast as it can."""
    with FakeCamera(Scene(160, 120, fps=100)) as camera, _watching(order(camera.url)) as capture:
        capture.frames(3)
        with camera.faults(freeze=True):
            capture.wait_value("stream_fps", 80.0)
            capture.wait_value("stream_disconnects_total", reason="overrate", timeout=20.0)
        assert "expected 75 pictures a second at most" in capture.status().message
        capture.wait_value("stream_connects_total", 2)


@pytest.mark.fault(18)
def test_a_trickle_shows_in_the_rate() -> None:
    """A link that lets a tenth through gives a stream that is up and slow, and says so."""
    scene = Scene(fps=20, grain=12)
    with FakeCamera(scene) as camera, Proxy(camera.port) as proxy:
        location = camera.url.replace(str(camera.port), str(proxy.port))
        with _watching(order(location)) as capture:
            capture.wait_value("stream_fps", 15.0)
            before = proxy.passed
            capture.frames(20)
            proxy.bytes_per_s = (proxy.passed - before) / 10
            until(lambda: 0 < capture.value("stream_fps") < 8.0, 30.0, "the rate to show the trickle")
            assert capture.status().fps < 8.0


@pytest.mark.fault(20)
def test_timestamps_that_jump_by_an_hour_change_nothing() -> None:
    """Frames keep the times of their arrival, and the jumps are counted."""
    with FakeCamera(Scene(fps=20)) as camera, _watching(order(camera.url)) as capture:
        frames = capture.frames(5)
        for shift in (3600.0, -3600.0):
            with camera.faults(timestamp_shift_s=shift):
                frames += capture.frames(15)
        frames += capture.frames(15)
        capture.wait_value("stream_pts_jumps_total", 3)
        assert np.diff([frame.at for frame in frames]).max() < 1.0
        assert max(frame.silence for frame in frames[1:]) < 1.0
        assert frames[-1].period == pytest.approx(0.05, abs=0.03)
        assert capture.value("stream_connects_total") == 1


@pytest.mark.fault(21)
def test_a_change_of_resolution_moves_no_zone_and_breaks_nothing() -> None:
    """Zones and tiles are parts of the frame, whatever its size; the change is counted once."""
    zone, tiles = (0.25, 0.25, 0.75, 0.75), ((0.0, 0.0, 0.6, 0.6), (0.4, 0.4, 1.0, 1.0))
    views = (
        PICTURE,
        *(ViewOrder(160, 120, keep_aspect=True, region=part, grow=True) for part in (zone, *tiles)),
    )
    with FakeCamera(Scene(fps=20)) as camera, _watching(replace(order(camera.url), views=views)) as capture:
        capture.frames(5)
        for width, height in ((640, 480), (320, 240)):
            camera.show(Scene(width, height, fps=20))
            until(lambda size=(width, height): _size(capture) == size, 15.0, "frames of the other size")
            (frame,) = capture.frames(1)
            for view, region in zip(frame.views[1:], (zone, *tiles), strict=True):
                assert np.allclose(view.region, region, atol=0.02)
        assert capture.value("stream_resolution_changes_total") == 2
        assert capture.value("stream_worker_restarts_total") == 0
        assert capture.status().state is StreamState.LIVE
        assert capture.status().size == (320, 240)


def _size(capture: Capture) -> tuple[int, int]:
    (frame,) = capture.frames(1)
    return frame.width, frame.height


def test_the_clock_of_a_camera_is_reported_where_it_tells_it() -> None:
    """Only that: an hour is an hour, and the series goes with the stream."""
    chance = random.Random(1).choice((-3600.0, 3600.0))
    with FakeCamera(Scene(fps=10), clock_ahead_s=chance) as camera, _watching(order(camera.url)) as capture:
        until(lambda: capture.status().clock_ahead is not None, 15.0, "the camera's clock to be known")
        assert capture.value("stream_clock_offset_seconds") == pytest.approx(chance, abs=1.0)
    with FakeCamera(Scene(fps=10)) as camera, _watching(order(camera.url)) as capture:
        capture.wait_value("frames_received_total", 5)
        assert capture.status().clock_ahead is None


def test_what_was_lost_while_the_stream_was_opened_is_not_believed() -> None:
    """FFmpeg reads half a second of a stream to know it, and gives it afterwards."""
    with FakeCamera(Scene(fps=25, grain=8)) as camera, camera.faults(loss=0.2):
        source = Source(SourceOrder(camera.url, transport="udp"), Event(), lambda _: None, read_timeout=1.4)
        with contextlib.closing(source.pictures()) as pictures:
            first = next(pictures)
        source.close()
        assert first.gap
        assert first.lost > 0


def test_a_camera_that_breaks_the_standard_harmlessly_is_seen_when_decoded_leniently() -> None:
    """A strict opening gives nothing of it, and what is damaged is damaged in a lenient one too."""
    with FakeCamera(Scene(fps=25)) as camera:
        with camera.faults(flawed=True):
            assert _clean(camera, strict=True) == 0
            assert _clean(camera, strict=False) == 40
        with camera.faults(flawed=True, corruption=1.0):
            assert _clean(camera, strict=False) == 0


def _clean(camera: FakeCamera, *, strict: bool) -> int:
    """Return how many of forty packets' pictures are clean."""
    source = Source(SourceOrder(camera.url), Event(), lambda _: None, read_timeout=1.4, strict=strict)
    intake, tally = Intake(30.0), Counter[str]()
    intake.opened(source.rate)
    with contextlib.closing(source.pictures()) as pictures:
        taken = [intake.take(picture, tally) for picture in itertools.islice(pictures, 40)]
    source.close()
    return sum(one.is_clean for one in taken)
