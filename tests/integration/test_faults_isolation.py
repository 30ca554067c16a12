"""What breaks one stream stays with that stream: rows 23 to 25 of the matrix, with the daemon's own metrics."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import structlog
from prometheus_client import CollectorRegistry

from support.camera import FakeCamera
from support.capturing import order
from support.counterpart import free_port
from support.mjpeg import FakeMjpegCamera
from support.process import is_alive, kill
from support.scene import Scene
from support.wait import SCALE, until
from tocsin.capture.order import Order
from tocsin.capture.status import StreamState
from tocsin.capture.supervisor import Supervisor
from tocsin.metrics import Metrics, Names

_MIB = 2**20


@dataclass
class _Site:
    """Capture with the daemon's metrics; `ages` and `gaps` are those of the frames that were taken, by stream."""

    supervisor: Supervisor
    registry: CollectorRegistry
    ages: dict[str, list[float]] = field(default_factory=dict)
    arrivals: dict[str, list[float]] = field(default_factory=dict)

    def watch(self, seconds: float) -> None:
        """Take and give back frames for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.take()

    def take(self) -> None:
        for frame in self.supervisor.take(16, 0.1):
            self.ages.setdefault(frame.stream, []).append(time.monotonic() - frame.at)
            self.arrivals.setdefault(frame.stream, []).append(frame.at)
            self.supervisor.release(frame)

    def metric(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"tocsin_{name}", labels)
        assert value is not None, f"no sample of {name} with {labels}"
        return value

    def is_live(self, stream: str) -> bool:
        return self.metric("stream_up", stream=stream) == 1

    def worker(self, stream: str) -> int:
        keeper = next(one for one in self.supervisor._keepers if one.status.stream == stream)
        process = until(lambda: keeper._worker, 10.0, f"a worker of {stream}")
        return int(process.pid)


@contextmanager
def _site(orders: Sequence[Order]) -> Iterator[_Site]:
    registry = CollectorRegistry()
    names = Names({one.stream: () for one in orders}, {}, ())
    supervisor = Supervisor(orders, Metrics(registry, names))
    supervisor.start()
    try:
        yield _Site(supervisor, registry)
    finally:
        supervisor.stop(time.monotonic() + 5.0)


DEAD = {"refused": 3, "silent": 3, "missing": 2}
REASON = {"refused": "refused", "silent": "handshake_timeout", "missing": "not_found"}


@pytest.mark.fault(23)
def test_eight_dead_cameras_leave_a_live_one_in_peace() -> None:
    """Its frames come in time and without a gap, and each dead camera says what is wrong with it."""
    with ExitStack() as stack:
        live = stack.enter_context(FakeCamera(Scene(fps=20)))
        silent = stack.enter_context(FakeCamera())
        missing = stack.enter_context(FakeCamera())
        stack.enter_context(silent.faults(silent=True))
        stack.enter_context(missing.faults(status={"DESCRIBE": 404}))
        closed = f"rtsp://127.0.0.1:{free_port()}/a"
        url = {"refused": closed, "silent": silent.url, "missing": missing.url}
        dead = [f"{kind}-{number}" for kind, count in DEAD.items() for number in range(count)]
        assert len(dead) == 8
        orders = [order(url[name.partition("-")[0]], name=name) for name in dead]
        site = stack.enter_context(_site([*orders, order(live.url, name="live")]))

        def failures(name: str) -> float:
            reason = REASON[name.partition("-")[0]]
            return site.metric("stream_connect_failures_total", stream=name, reason=reason)

        deadline = time.monotonic() + 30.0 * SCALE
        while not (site.is_live("live") and all(failures(name) for name in dead)):
            site.take()
            assert time.monotonic() < deadline, {name: failures(name) for name in dead}
        site.ages.clear()
        site.arrivals.clear()
        before = {name: failures(name) for name in dead}
        site.watch(8.0)
        assert sum(failures(name) for name in dead) > sum(before.values()), "they are tried again"
        assert site.ages.keys() == {"live"}
        assert len(site.ages["live"]) > 100
        assert np.percentile(site.ages["live"], 99) < 1.0 * SCALE
        assert np.diff(site.arrivals["live"]).max() < 1.5 * SCALE
        assert not any(site.is_live(name) for name in dead)
        assert site.metric("stream_disconnects_total", stream="live", reason="stall") == 0
        for name in ("live", *dead):
            assert site.metric("stream_worker_restarts_total", stream=name) == 0


@pytest.mark.parametrize(
    ("number", "within", "said"),
    [
        pytest.param(
            signal.SIGSTOP,
            10.5,
            "a capture worker hangs and is replaced",
            marks=pytest.mark.fault(24),
            id="hangs",
        ),
        pytest.param(signal.SIGSEGV, 2.0, "a capture worker died", marks=pytest.mark.fault(25), id="crashes"),
    ],
)
def test_a_worker_that_fails_in_native_code_is_replaced_and_nobody_else_notices(
    number: int, within: float, said: str
) -> None:
    """Killed within ten seconds and a turn of the supervisor if it hangs; its stream alone is down meanwhile."""
    with (
        structlog.testing.capture_logs() as lines,
        FakeCamera(Scene(fps=20)) as camera,
        _site([order(camera.url, name="victim"), order(camera.url, name="other")]) as site,
    ):
        until(lambda: site.is_live("victim") and site.is_live("other"), 20.0, "both streams to be up")
        site.watch(1.0)
        victim, other = site.worker("victim"), site.worker("other")
        began = time.monotonic()
        kill(victim, number)
        while is_alive(victim):
            site.take()
            assert time.monotonic() - began < within * SCALE, "it still lives"
        until(lambda: site.metric("stream_worker_restarts_total", stream="victim") == 1, 5.0, "the count")
        assert site.metric("stream_disconnects_total", stream="victim", reason="worker") == 1
        died = time.monotonic()
        while not site.is_live("victim"):
            site.take()
            assert time.monotonic() - died < 10.0 * SCALE, "it does not come back"
        site.watch(0.5)
        assert site.worker("victim") != victim
        assert site.worker("other") == other
        assert site.metric("stream_worker_restarts_total", stream="other") == 0
        assert site.metric("stream_connects_total", stream="other") == 1
        assert np.diff(site.arrivals["other"]).max() < 1.5 * SCALE
        status = {one.stream: one for one in site.supervisor.statuses()}
        assert status["other"].state is status["victim"].state is StreamState.LIVE
    told = [line for line in lines if line["event"] == said]
    assert [line["stream"] for line in told] == ["victim"]
    assert number != signal.SIGSEGV or told[0]["ending"] == "SIGSEGV"


def test_a_picture_that_claims_two_gigabytes_takes_no_more_than_its_worker_may_have() -> None:
    """Its stream is opened anew and lives again, by the same worker, and the one beside it goes on."""
    room = 40 * _MIB  # less than FFmpeg allocates for the first part of such a picture
    with FakeMjpegCamera(Scene(fps=10)) as camera, FakeMjpegCamera(Scene(fps=10)) as other:
        orders = replace(order(camera.url, name="liar"), memory=room), order(other.url, name="gate")
        with _site(orders) as site:
            until(lambda: _fresh(site, "liar") and _fresh(site, "gate"), 20.0, "both cameras")
            worker = site.worker("liar")
            before, highest = _allocated(worker), 0
            with camera.faults(bloated=True):
                deadline = time.monotonic() + 20 * SCALE
                while not site.metric("stream_disconnects_total", stream="liar", reason="decode"):
                    site.take()
                    highest = max(highest, _allocated(worker))
                    assert time.monotonic() < deadline, "it was not given up"
            assert highest <= before + room
            (liar, _) = site.supervisor.statuses()
            assert liar.message == "what it sends takes more memory than a worker may have"
            site.arrivals.clear()
            until(lambda: _fresh(site, "liar") and _fresh(site, "gate"), 20.0, "both cameras again")
            assert site.metric("stream_connects_total", stream="gate") == 1
            assert site.worker("liar") == worker


def _allocated(pid: int) -> int:
    """Return the bytes that a process has allocated."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmData:")[1].split()[0]) * 1024


def _fresh(site: _Site, stream: str) -> bool:
    site.watch(0.2)
    return stream in site.arrivals and site.is_live(stream)
