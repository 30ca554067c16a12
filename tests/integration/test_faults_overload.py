"""A detector that is too slow gets fresh frames and never a queue of old ones: row 19 of the fault matrix."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from support.camera import FakeCamera
from support.capturing import order
from support.scene import Scene, read_number
from support.wait import until
from tocsin.capture.supervisor import Supervisor
from tocsin.detect.detector import Attempt, Detector, Ticket
from tocsin.detect.engine import Engine
from tocsin.frame import Detections, Frame
from tocsin.metrics import Metrics, Names

_NOTHING = Detections(
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float32),
    np.zeros(0, np.int64),
    np.zeros((0, 2), np.float32),
    np.zeros(0, np.int64),
    (),
)


@dataclass
class _Slow:
    """A detector that takes so many seconds for each frame and sees nothing; `shown` are the pictures' numbers."""

    seconds: float
    max_batch: int = 1
    overlaps: bool = False
    lost: str | None = None
    taken: list[float] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)

    def attend(self) -> None: ...

    def begin(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Ticket:
        assert release is not None
        for frame in frames:
            view = frame.views[0]
            self.shown.append(read_number(view.pixels[: view.height]))
            release(frame)
        return Ticket(cast("Detector", self), frames, release)

    def finish(self, ticket: Ticket) -> Attempt:
        began = time.monotonic()
        threading.Event().wait(self.seconds)
        self.taken.append(time.monotonic() - began)
        return Attempt((_NOTHING,) * len(ticket.frames), infer=self.seconds, postprocess=0.0, rows=(1,))


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("fps", "inference"),
    [
        pytest.param(10.0, 0.3, id="inference takes 300 ms"),
        pytest.param(20.0, 0.2, id="four times more frames than it can look at"),
    ],
)
def test_a_slow_detector_gets_fresh_frames(fps: float, inference: float) -> None:
    """What it looks at is a second old at most and does not grow older, by the clock and by the picture itself."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, Names({"yard": ()}, {}, ()))
    slow, ages = _Slow(inference), list[float]()

    def metric(name: str, **labels: str) -> float:
        return registry.get_sample_value(f"tocsin_{name}", {"stream": "yard", **labels}) or 0.0

    with FakeCamera(Scene(fps=fps)) as camera:
        supervisor = Supervisor([order(camera.url)], metrics)

        def sink(frame: Frame, _: Detections) -> None:
            drawn = (
                camera.zero + slow.shown[-1] / fps
            )  # the camera drew this picture then, whatever `at` says
            ages.append(time.monotonic() - drawn)

        engine = Engine(slow, supervisor, sink, metrics, pytest.fail)
        supervisor.start()
        engine.start()
        try:
            until(lambda: len(ages) >= 24, 60.0, "24 results")
        finally:
            engine.stop(time.monotonic() + 5.0)
            supervisor.stop(time.monotonic() + 5.0)

    assert min(slow.taken) >= inference, "the detector was slow"
    superseded = metric("frames_dropped_total", reason="superseded")
    left = superseded + metric("frames_dropped_total", reason="busy")
    assert superseded > 0
    assert left >= (fps * inference - 1) * len(ages) / 2, "most frames had to be dropped"
    assert slow.shown == sorted(set(slow.shown)), "no picture twice, none out of order"
    told = metric("frame_age_seconds_bucket", le="1.0")
    assert told == metric("frame_age_seconds_count") >= len(ages), "every age that is told is within a second"
    # the camera's picture lies in FFmpeg until the next one comes
    assert max(ages) <= 1.0 + 1.0 / fps
    half = len(ages) // 2
    assert statistics.median(ages[half:]) <= statistics.median(ages[:half]) + 0.25, "flat"
