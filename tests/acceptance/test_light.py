"""The daemon as a process: what it says about the light of its streams."""

import json
from pathlib import Path

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import BLACK, Scene, visits
from support.site import site, stream

pytestmark = pytest.mark.acceptance

NIGHT = Scene(background=BLACK, numbered=False, blocks=visits((13, 14), (17, 600)))
"""A black picture in which a lamp is lit for a second, and later for good."""

GLARE = Scene(background=200)
"""A bright picture, which `dacot` darkens."""


def test_a_stream_that_goes_dark_and_comes_back_is_said_once_each(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Ten seconds of darkness, then five of light; the second of light in between changes nothing."""
    with FakeCamera() as camera:
        source = stream("yard", camera.url, rules=[])  # no alarm comes between the two in the count of events
        config = site(block_model, receiver, source, events=("stream.*",))
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            assert daemon.metric("tocsin_stream_impaired", stream="yard") == 0
            zero = camera.show(NIGHT)
            with receiver.timeline(zero) as timeline:
                impaired = timeline.expect("stream.impaired", between=(9.8, 11.5), stream="yard")
                assert impaired.data["reason"] == "too_dark"
                assert impaired.data["light"] == {"mean": 0, "contrast": 0}
                assert 9.7 < impaired.data["lasted_seconds"] < 11.5
                assert daemon.metric("tocsin_stream_impaired", stream="yard") == 1
                (row,) = json.loads(daemon.status("--json"))["streams"]
                assert (row["state"], row["impaired"]) == ("live", "too_dark")
                assert row["light"]["correction"] == "none"
                assert "too_dark" in daemon.status()
                restored = timeline.expect("stream.restored", between=(21.7, 23.5), stream="yard")
                assert restored.data["reason"] == "too_dark"
                assert 21.5 < restored.data["lasted_seconds"] < 23.5
                assert restored.data["seq"] == impaired.data["seq"] + 1
                timeline.expect_nothing(until=25)
            assert daemon.metric("tocsin_stream_impaired", stream="yard") == 0
            assert "too_dark" not in daemon.status()
            daemon.wait_log("the stream can be seen again")


def test_a_correction_that_changes_is_seen_in_the_log(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """With what was done before, what is done now and why; contrast and cost are in the metrics."""
    with FakeCamera() as camera:
        source = stream("yard", camera.url, light={"mode": "dacot"})
        with Daemon(site(block_model, receiver, source), tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            sentence = "the correction of a stream's light changed"
            assert sentence not in daemon.log
            camera.show(GLARE)
            line = daemon.wait_log(sentence)
            assert "stream=yard before=none now=darken+clahe why=" in line
            assert 180 < daemon.metric("tocsin_light_luma", stream="yard") < 230
            assert 50 < daemon.metric("tocsin_light_contrast", stream="yard") < 200
            frames = daemon.metric("tocsin_light_seconds_count", stream="yard")
            assert frames >= daemon.metric("tocsin_stage_seconds_count", stage="light") > 3
