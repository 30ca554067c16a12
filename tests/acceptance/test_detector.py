"""The daemon as a process whose detector cannot be had, or has no answers any more."""

import json
from pathlib import Path

import pytest

from support import graphs
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import WHITE, Scene
from support.site import site, stream
from support.wait import until
from tocsin.detect import device

pytestmark = pytest.mark.acceptance


@pytest.mark.skipif(device.visible(), reason="this machine has a GPU")
def test_a_device_that_cannot_be_had_ends_the_start(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A GPU that is asked for by name is had or nothing is: one sentence on stderr, never ready, exit code 75."""
    config = site(block_model, receiver, stream("yard", "/dev/video63"), events=("alarm.*", "detector.*"))
    config["detector"]["device"] = "cuda"
    with Daemon(config, tmp_path) as daemon:
        statuses = []

        def has_ended() -> bool:
            statuses.append(daemon.get("/readyz")[0])
            return not daemon.is_running

        until(has_ended, 20.0, "the daemon to end")
        assert daemon.exit_code == 75
        assert 200 not in statuses
        line = daemon.wait_log("detector.device: expected cuda, found that no NVIDIA device is visible")
        assert line.startswith("tocsin: ")
        assert "Traceback" not in daemon.log
        assert "the detector is warm" not in daemon.log, "nor was it opened on the CPU"
    assert receiver.requests == []


def test_a_detector_that_answers_nothing_but_errors_ends_the_daemon(
    receiver: Receiver, tmp_path: Path
) -> None:
    """After one opening it is given up with what the runtime said, and exit code 75 asks for a new process."""
    model = graphs.save(tmp_path / "own.onnx", score="lookup")
    with FakeCamera(Scene(background=WHITE, numbered=False)) as camera:
        watched = stream("yard", camera.url)
        config = site(model, receiver, watched, events=("alarm.*", "detector.*"), classes=["thing"])
        config["detector"]["device"] = "cpu"
        with Daemon(config, tmp_path) as daemon:
            assert daemon.wait_end(30.0) == 75
            sentence = "the detector failed on 3 batches in a row and could not be mended"
            assert "indices element out of data bounds" in daemon.wait_log(sentence)
            assert "Traceback" not in daemon.log
            assert daemon.log.count("the detector is opened anew") == 1
        with Daemon(config, tmp_path) as daemon:  # what was still to be said is said after the restart
            told = receiver.wait_for("detector.degraded", timeout=20.0)
            assert daemon.wait_end(30.0) == 75
    assert told.data["reason"] == "failing"
    assert {message.type for message in receiver.accepted} == {"detector.degraded"}, (
        "no alarm, and no all-clear"
    )


def test_what_runs_is_told_before_the_first_frame(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A daemon that is ready says in /readyz and in its metrics which model runs where, and what the canary saw."""
    config = site(block_model, receiver, stream("yard", "/dev/video63"))
    config["detector"]["device"] = "cpu"
    with Daemon(config, tmp_path) as daemon:
        daemon.wait_ready()
        part = json.loads(daemon.get("/readyz")[1])["parts"]["detector"]
        assert (part["model"], part["device"], part["provider"]) == ("blocks", "cpu", device.CPU)
        where = {"model": "blocks", "device": "cpu", "provider": device.CPU}
        assert daemon.metric("tocsin_detector_info", **where) == 1
        assert daemon.metric("tocsin_detector_info") == 1
        assert daemon.metric("tocsin_detector_accelerated_ratio") == 0
        assert daemon.metric("tocsin_detector_degraded") == 0
        assert daemon.wait_metric("tocsin_model_canary_ok", at_least=1) == 1
