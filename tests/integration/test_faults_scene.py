"""Cameras that are frozen, covered, blinded or put out of focus: each is said once, and once that it is over.

The whole daemon, fake cameras and a real webhook receiver. Whoever means harm begins with the camera.
"""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from support import blockmodel
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import BLACK, WHITE, Scene
from support.site import site, stream
from support.timeline import Timeline

YARD = Scene(texture=90, background=120, grain=3, numbered=False)
"""A yard with things large and small, in the noise of a sensor."""

HARM = {
    "hand": (replace(YARD, texture=0), "stream.covered", "covered", 5.0, 3.0),
    "lamp": (replace(YARD, texture=0, background=WHITE), "stream.covered", "blinded", 5.0, 3.0),
    "focus": (replace(YARD, blur=6.0), "stream.covered", "defocused", 5.0, 3.0),
    "night": (replace(YARD, texture=0, background=BLACK, grain=1), "stream.impaired", "too_dark", 10.0, 5.0),
}
"""What becomes of a camera: its pictures, the event and its reason, and how long it takes to be said and to be
over."""

GAUGES = {"stream.covered": "tocsin_stream_covered", "stream.impaired": "tocsin_stream_impaired"}
LEARNED = 23.0
"""Seconds until the daemon knows what a stream usually shows."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector whose input is as large as a camera's picture: into 64 pixels one is shrunk past any focus."""
    return blockmodel.build(tmp_path_factory.mktemp("model") / "blocks.onnx", size=320)


def standing(daemon: Daemon) -> dict[str, str]:
    """Why each stream does not show what it should, as `tocsin status` says it."""
    return {row["stream"]: row["why"] for row in json.loads(daemon.status("--json"))["streams"]}


@pytest.mark.fault(16)
def test_a_frozen_picture_is_said_once_within_fifteen_seconds(
    model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Though its stream goes on and every frame is new to the decoder; and once more when it moves again."""
    with FakeCamera(YARD) as camera:
        config = site(model, receiver, stream("yard", camera.url, rules=[]), events=("stream.*",))
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            assert daemon.metric("tocsin_stream_frozen", stream="yard") == 0
            zero = camera.restart_clock()
            with receiver.timeline(zero) as timeline:
                timeline.expect_nothing(until=LEARNED)
                with camera.faults(freeze=True):
                    frozen = timeline.expect(
                        "stream.frozen", between=(LEARNED + 5, LEARNED + 15), stream="yard"
                    )
                    assert frozen.data["reason"] == "frozen"
                    assert daemon.metric("tocsin_stream_frozen", stream="yard") == 1
                    assert daemon.metric("tocsin_stream_up", stream="yard") == 1
                    assert standing(daemon) == {"yard": "frozen"}
                    analysed = daemon.metric("tocsin_frames_analysed_total", stream="yard")
                    daemon.wait_metric("tocsin_frames_analysed_total", at_least=analysed + 1, stream="yard")
                    timeline.expect_nothing(until=LEARNED + 19)
                over = timeline.expect("stream.restored", between=(LEARNED + 20, LEARNED + 29), stream="yard")
                assert over.data["reason"] == "frozen"
                assert over.data["seq"] == frozen.data["seq"] + 1
                assert 15 < over.data["lasted_seconds"] < 30
                timeline.expect_nothing(until=over.at - zero + 2)
            assert daemon.metric("tocsin_stream_frozen", stream="yard") == 0
            assert daemon.log.count("the picture of a stream stands still") == 1


@pytest.mark.fault(22)
def test_a_camera_that_is_covered_is_said_once_with_what_was_done_to_it(
    model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A hand, a lamp and a turned lens are tampering; the dark is none, and has its own word."""
    with ExitStack() as stack:
        cameras = {name: stack.enter_context(FakeCamera(YARD)) for name in HARM}
        streams = [stream(name, camera.url, rules=[]) for name, camera in cameras.items()]
        daemon = stack.enter_context(Daemon(site(model, receiver, *streams, events=("stream.*",)), tmp_path))
        for name in HARM:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream=name)
        with receiver.timeline(cameras["hand"].restart_clock()) as timeline:
            timeline.expect_nothing(until=LEARNED)
            for name, camera in cameras.items():
                camera.show(HARM[name][0])
            _expect_begun(timeline, daemon)
            timeline.expect_nothing(until=LEARNED + 14)
            for camera in cameras.values():
                camera.show(YARD)
            _expect_over(timeline, daemon)
            timeline.expect_nothing(until=LEARNED + 25)


def _expect_begun(timeline: Timeline, daemon: Daemon) -> None:
    for name, (_, event, reason, after, _) in HARM.items():
        begun = timeline.expect(event, between=(LEARNED + after - 0.5, LEARNED + after + 3.5), stream=name)
        assert begun.data["reason"] == reason
        assert begun.data["lasted_seconds"] == pytest.approx(after, abs=1.5)
        assert daemon.metric(GAUGES[event], stream=name) == 1
    assert standing(daemon) == {name: reason for name, (_, _, reason, _, _) in HARM.items()}


def _expect_over(timeline: Timeline, daemon: Daemon) -> None:
    for name, (_, event, reason, _, after) in HARM.items():
        low = LEARNED + 14 + after - 0.5
        over = timeline.expect("stream.restored", between=(low, low + 4.5), stream=name)
        assert over.data["reason"] == reason
        assert daemon.metric(GAUGES[event], stream=name) == 0
    assert set(standing(daemon).values()) == {""}
