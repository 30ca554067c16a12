"""The counterparts that are programs of their own, the block model, and the look at processes."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import onnxruntime
import prometheus_client
import pytest
from numpy.typing import NDArray

from support import blockmodel, counterpart
from support.daemon import parse_metrics, select
from support.h264 import luma_of, record
from support.process import descendants, is_alive, marked
from support.prometheus import Prometheus
from support.rtspserver import RtspServer
from support.scene import Scene, read_number
from support.wait import until

QUICK = {"analyzeduration": "0", "probesize": "32"}


def numbers(url: str, count: int, transport: str) -> list[int]:
    with av.open(url, options={**QUICK, "rtsp_transport": transport}, timeout=(5.0, 2.0)) as container:
        return [read_number(luma_of(frame)) for frame in itertools.islice(container.decode(video=0), count)]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_gstreamer_plays_a_file_in_a_loop(tmp_path: Path, transport: str) -> None:
    """Every picture of the file comes in order and in real time, and then the file begins again."""
    with RtspServer(record(Scene(fps=25), tmp_path / "short.mp4", 0.24)) as server:
        started = time.monotonic()
        assert numbers(server.url, 14, transport) == [*range(6), *range(6), 0, 1]
        assert 13 / 25 - 0.1 <= time.monotonic() - started < 3


def test_gstreamer_plays_a_file_once(tmp_path: Path) -> None:
    """Without a loop the stream ends with the file."""
    with RtspServer(record(Scene(fps=25), tmp_path / "short.mp4", 0.24), loop=False) as server:
        assert numbers(server.url, 100, "tcp") == list(range(6))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_gstreamer_serves_the_surveillance_clip(clip: Path, transport: str) -> None:
    """The clip's own pictures arrive, not encoded anew."""
    with RtspServer(clip) as server, av.open(str(clip)) as file:
        options = {**QUICK, "rtsp_transport": transport}
        with av.open(server.url, options=options, timeout=(5.0, 2.0)) as live:
            served = [luma_of(frame) for frame in itertools.islice(live.decode(video=0), 4)]
        recorded = [luma_of(frame) for frame in itertools.islice(file.decode(video=0), 4)]
    assert np.array_equal(served, recorded)


def test_a_frozen_server_stalls_and_a_killed_one_ends_the_stream(tmp_path: Path) -> None:
    """SIGSTOP is a read timeout for the client, SIGKILL a quiet end."""
    path = record(Scene(fps=25), tmp_path / "short.mp4", 0.24)
    with RtspServer(path) as server, av.open(server.url, options=QUICK, timeout=(5.0, 0.4)) as live:
        packets = live.demux(video=0)  # not decoded: the freeze may cut a picture in two
        next(packets)
        server.freeze()
        with pytest.raises(av.error.ExitError):
            list(packets)
        server.thaw()
    with (
        RtspServer(path) as server,
        av.open(server.url, options={**QUICK, "rtsp_transport": "tcp"}, timeout=5) as live,
    ):
        packets = live.demux(video=0)
        next(packets)
        server.kill()
        assert len(list(packets)) < 25


def test_prometheus_scrapes_and_answers_queries() -> None:
    """A counter of a live target is visible by query."""
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("visits", "Visits", ["place"], registry=registry)
    counter.labels("yard").inc(3)
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    with Prometheus(f"127.0.0.1:{server.server_port}") as prometheus:
        ((labels, value),) = prometheus.wait_query('visits_total{place="yard"}', at_least=3)
    server.shutdown()
    server.server_close()
    thread.join()
    assert (labels["job"], value) == ("tocsin", 3.0)


def run_model(path: Path, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(None, {"images": images})
    return boxes, scores


def test_the_block_model_finds_a_bright_block_exactly_where_it_is(block_model: Path) -> None:
    """The one bright cell of the second picture, and nothing else, is a block with its own box."""
    images = np.full((2, 3, 64, 64), 0.35, np.float32)
    images[1, :, 16:24, 40:48] = 1.0
    boxes, scores = run_model(block_model, images)
    assert scores.shape == (2, 64, 2)
    assert np.argwhere(scores > 0.5).tolist() == [[1, 2 * 8 + 5, 0]]
    assert boxes[1, 2 * 8 + 5].tolist() == [40, 16, 48, 24]
    assert scores.max() == pytest.approx(0.9)
    assert scores[0, :, 0].max() == pytest.approx(0.01)


def test_the_number_in_the_picture_is_no_block(block_model: Path) -> None:
    """The strip of white cells never makes a cell of the model bright, whatever the number."""
    for number in (0, 0xFFFF, 0xAAAA, 0xFF00):
        luma = Scene().draw(0.0, number)[:240].astype(np.float32)
        picture = luma.reshape(48, 5, 64, 5).mean(axis=(1, 3))
        images = np.full((1, 3, 64, 64), 114 / 255, np.float32)
        images[0, :, 8:56] = (picture - 16) / 219
        assert run_model(block_model, images)[1].max() < 0.02


def test_the_block_model_can_fail_on_purpose(tmp_path: Path) -> None:
    """Scores that are no numbers come only with a bright picture, and a slow model is slow."""
    images = np.full((2, 3, 64, 64), 0.35, np.float32)
    images[1, :, :8, :8] = 1.0
    _, scores = run_model(blockmodel.build(tmp_path / "nan.onnx", nan_when_bright=True), images)
    assert np.isnan(scores[1]).all()
    assert np.isfinite(scores[0]).all()
    slow = blockmodel.build_slow(tmp_path / "slow.onnx", 0.2)
    started = time.perf_counter()
    run_model(slow, images)
    assert time.perf_counter() - started > 0.05


def test_a_missing_counterpart_skips_on_a_desk_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same absence is a skip with a hint, or a failure where CI is set."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        counterpart.need("no-such-program", "install it")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="install it"):
        counterpart.need("no-such-program", "install it")
    counterpart.need("sh", "install it")


def test_processes_are_found_by_parent_and_by_mark() -> None:
    """A grandchild is found below its grandparent, and still by its mark when it is an orphan."""
    environment = {**os.environ, "TOCSIN_TEST_MARK": "self-test"}
    parent = subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True, env=environment
    )
    with parent:
        orphan = int(parent.stdout.readline())
        assert orphan in descendants(parent.pid)
        assert orphan in descendants(os.getpid())
        parent.kill()
        parent.wait()
        assert marked("TOCSIN_TEST_MARK", "self-test") == [orphan]
        os.kill(orphan, 9)
        until(lambda: not is_alive(orphan), 5, "the orphan to be gone")


def test_samples_are_selected_by_some_of_their_labels() -> None:
    """Samples of an exposition are found by name and by any part of their labels."""
    metrics = parse_metrics(
        '# TYPE a counter\na_total{x="1",y="2"} 3\na_total{x="1",y="3"} 4\na_total{x="2",y="3"} 5\n'
    )
    assert sorted(select(metrics, "a_total", {"x": "1"})) == [3, 4]
    assert select(metrics, "a_total", {"z": "1"}) == []


def test_waiting_fails_with_what_was_waited_for() -> None:
    """A deadline that passes names the condition."""
    with pytest.raises(AssertionError, match="for pigs to fly, last seen: 0"):
        until(lambda: 0, 0.05, "pigs to fly")


def test_this_python_is_the_one_that_runs_the_daemon() -> None:
    """The daemon's module can be found by the Python that the harness starts."""
    found = subprocess.run([sys.executable, "-c", "import tocsin"], capture_output=True)
    assert found.returncode == 0
