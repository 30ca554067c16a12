"""The daemon reads its configuration again: the model is exchanged, or all goes on as it was."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from support import blockmodel, graphs
from support.camera import FakeCamera
from support.daemon import Daemon, Metrics, select
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import until
from tocsin.capture.mailbox import SLOTS

pytestmark = pytest.mark.acceptance

FPS = 10

TALLIES = {
    "received": "tocsin_frames_received_total",
    "analysed": "tocsin_frames_analysed_total",
    "dropped": "tocsin_frames_dropped_total",
    "sightings": "tocsin_sightings_total",
    "connects": "tocsin_stream_connects_total",
    "disconnects": "tocsin_stream_disconnects_total",
    "restarts": "tocsin_stream_worker_restarts_total",
    "errors": "tocsin_inference_errors_total",
    "raised": "tocsin_alarms_total",
    "active": "tocsin_alarms_active",
    "refused": "tocsin_model_reload_failures_total",
}
STEADY = ("connects", "disconnects", "restarts", "raised", "active")
"""What a reload must not change while somebody stands there."""


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    """Somebody is there all the time."""
    with FakeCamera(Scene(fps=FPS, blocks=visits((0, 600)))) as running:
        yield running


@pytest.fixture
def model(block_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may overwrite."""
    (tmp_path / "models").mkdir()
    return Path(shutil.copy(block_model, tmp_path / "models" / "blocks.onnx"))


def hang_up(daemon: Daemon) -> None:
    os.kill(daemon.pid, signal.SIGHUP)


def put(path: Path, model: Path) -> None:
    """Put a model into the place of another as an operator should: whole at any moment."""
    model.replace(path)


def use(daemon: Daemon, old: str, new: str) -> None:
    """Change the configuration file in one place."""
    text = daemon.config_file.read_text()
    assert text.count(old) == 1
    daemon.config_file.write_text(text.replace(old, new))


def reloaded(daemon: Daemon, result: str, times: int = 1) -> None:
    daemon.wait_metric("tocsin_config_reloads_total", at_least=times, timeout=30.0, result=result)


def reloads(daemon: Daemon) -> float:
    return daemon.metric("tocsin_config_reloads_total")


def tallies(metrics: Metrics) -> dict[str, float]:
    return {word: sum(select(metrics, name, {})) for word, name in TALLIES.items()}


def told(daemon: Daemon) -> set[str]:
    """The model by the metric, by /readyz and by `tocsin status`."""
    (info,) = (dict(labels) for name, labels in daemon.metrics() if name == "tocsin_detector_info")
    ready = json.loads(daemon.get("/readyz")[1])["parts"]["detector"]
    return {info["model"], ready["model"], json.loads(daemon.status("--json"))["detector"]["model"]}


def digest(daemon: Daemon) -> str:
    return str(json.loads(daemon.get("/readyz")[1])["parts"]["configuration"]["digest"])


def look_on(daemon: Daemon, frames: int) -> dict[str, float]:
    """Wait until so many more frames are analysed, and return the tallies then."""
    daemon.wait_metric(TALLIES["analysed"], at_least=tallies(daemon.metrics())["analysed"] + frames)
    return tallies(daemon.metrics())


def test_another_model_takes_over_and_no_stream_and_no_alarm_notices(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Every frame on the way through the exchange, in the old size or the new, shows who is there."""
    blockmodel.build(model.with_name("larger.onnx"), size=128, labels=("other", "block"), block=1)
    with Daemon(site(model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        assert receiver.wait_for("alarm.raised").data["model"] == "blocks"
        assert told(daemon) == {"blocks"}
        began, workers, file = look_on(daemon, 1), set(daemon.children()), digest(daemon)
        use(daemon, "blocks.onnx", "larger.onnx")
        hang_up(daemon)
        reloaded(daemon, "applied")
        until(lambda: told(daemon) == {"larger"}, 10.0, "the new model to be told everywhere")
        assert digest(daemon) != file
        ended = look_on(daemon, 2 * FPS)
        assert {word: ended[word] for word in STEADY} == {word: began[word] for word in STEADY}
        assert (ended["active"], ended["errors"], ended["refused"]) == (1, 0, 0)
        seen, looked = (ended[word] - began[word] for word in ("sightings", "analysed"))
        assert seen == pytest.approx(looked, abs=1), "but for one that is counted between two reads"
        # all that came is accounted for, but for what is on its way and the second by which its count may lag
        known = ended["analysed"] + ended["dropped"]
        assert abs(ended["received"] - known) <= SLOTS + 1.5 * FPS
        assert set(daemon.children()) == workers, "the same processes"
        assert [message.type for message in receiver.accepted] == ["alarm.raised"]


@contextmanager
def held(daemon: Daemon, text: str) -> Iterator[None]:
    """Ask for a reload that does not end before the block does: it waits for the text of its configuration."""
    file, new = daemon.config_file, daemon.config_file.with_suffix(".new")
    new.write_text(text)
    file.unlink()
    os.mkfifo(file)
    hang_up(daemon)
    daemon.wait_log("the configuration is read again")
    yield
    with file.open("w") as pipe:  # whom the reload reads
        new.replace(file)  # what all others find from now on
        pipe.write(text)


def test_the_old_model_works_during_a_reload_and_a_storm_of_signals_is_one_more(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A reload has a thread of its own, and is begun once more however often it is asked for meanwhile."""
    blockmodel.build(model.with_name("other.onnx"))
    with Daemon(site(model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        began = look_on(daemon, 1)
        with held(daemon, daemon.config_file.read_text().replace("blocks.onnx", "other.onnx")):
            for _ in range(50):
                hang_up(daemon)
            ended = look_on(daemon, 2 * FPS)
            assert reloads(daemon) == 0, "it is under way"
            assert {word: ended[word] for word in STEADY} == {word: began[word] for word in STEADY}
        reloaded(daemon, "applied")
        reloaded(daemon, "unchanged")
        look_on(daemon, 2 * FPS)
        assert reloads(daemon) == 2
        assert told(daemon) == {"other"}
        assert "Traceback" not in daemon.log


def test_a_model_that_cannot_be_used_is_refused_and_the_old_one_stays(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Whatever lies in the model's place, one sentence with its place and one count are all that comes of it."""
    new, sound = model.with_name("new.onnx"), model.read_bytes()
    with Daemon(site(model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        began, file = look_on(daemon, 1), digest(daemon)
        number = 0
        for number, (make, sentence) in enumerate(BROKEN.items(), start=1):
            make(new)
            put(model, new)
            hang_up(daemon)
            reloaded(daemon, "refused", number)
            line = [line for line in daemon.lines if "is refused" in line][-1]
            assert sentence in line
            assert "tocsin.yaml:" in line
            assert daemon.metric("tocsin_config_last_reload_successful") == 0
            assert told(daemon) == {"blocks"}
        ended = look_on(daemon, FPS)
        assert (ended["refused"], ended["errors"], ended["active"]) == (number, 0, 1)
        assert {word: ended[word] for word in STEADY} == {word: began[word] for word in STEADY}
        assert digest(daemon) == file
        new.write_bytes(sound)
        put(model, new)
        hang_up(daemon)
        reloaded(daemon, "applied")
        assert daemon.metric("tocsin_config_last_reload_successful") == 1
        assert "Traceback" not in daemon.log


def _lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7651234\n")


def _truncated(path: Path) -> None:
    whole = blockmodel.build(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _four_channels(path: Path) -> None:
    model = onnx.load(str(blockmodel.build(path)))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(model, str(path))


def _elsewhere(path: Path, location: str) -> None:
    """Write a model that keeps its weights in a file, and says that it is another one."""
    model = onnx.load(str(blockmodel.build(path)))
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(path))
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())


def _above(path: Path) -> None:
    _elsewhere(path, "../weights.bin")
    shutil.copy(path.with_name("weights.bin"), path.parent.parent)


def _linked(path: Path) -> None:
    _elsewhere(path, "link.bin")
    path.with_name("link.bin").symlink_to("weights.bin")


def _hard_linked(path: Path) -> None:
    _elsewhere(path, "hard.bin")
    path.with_name("hard.bin").hardlink_to(path.with_name("weights.bin"))


BROKEN = {
    lambda path: path.write_bytes(b""): "an empty file",
    _lfs: "a git-lfs pointer",
    lambda path: path.write_text("<!DOCTYPE html><title>404</title>"): "a web page",
    _truncated: "expected an ONNX model that can be run",
    _four_channels: "the file does not tell the order of the axes [N, 4, 64, 64]",
    lambda path: graphs.save(path, labels=("cat", "dog")): "expected a class of the model, found block",
    _above: "outside its folder",
    _linked: "is a symbolic link",
    _hard_linked: "has another name too",
}
"""What writes it; a part of the sentence that says what is wrong with it."""


def test_a_model_that_fails_at_once_is_taken_back(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """One that passes every check and then has no result for what the cameras see gives way to the old one."""
    blockmodel.build(model.with_name("poisoned.onnx"), size=128, nan_when_bright=True)
    cv2.imwrite(str(model.with_name("dark.png")), np.zeros((96, 128, 3), np.uint8))
    entry = {"file": "poisoned.onnx", "canary": {"picture": "dark.png", "objects": []}}
    model.with_name("manifest.yaml").write_text(json.dumps({"models": {"poisoned": entry}}))
    with Daemon(site(model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        began, file = look_on(daemon, 1), digest(daemon)
        use(daemon, "blocks.onnx", "poisoned.onnx")
        hang_up(daemon)
        reloaded(daemon, "rolled_back")
        daemon.wait_log("the reload is taken back")
        assert sum("batches in a row" in line for line in daemon.lines) == 1, "it is said once"
        ended = look_on(daemon, 2 * FPS)
        assert ended["errors"] > 0, "it failed on pictures"
        assert told(daemon) == {"blocks"}
        assert digest(daemon) == file
        assert {word: ended[word] for word in STEADY} == {word: began[word] for word in STEADY}
        assert ended["refused"] == 1
        assert ended["sightings"] - began["sightings"] >= 2 * FPS - 1, "of the old one again, in its size"
        assert daemon.metric("tocsin_config_last_reload_successful") == 0
        hang_up(daemon)
        reloaded(daemon, "rolled_back", 2)


def test_a_file_with_faults_is_refused_with_all_of_them(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Each has a line with its place, and so has what needs a restart; other comments are no change."""
    blockmodel.build(model.with_name("other.onnx"))
    with Daemon(site(model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        text, file = daemon.config_file.read_text(), digest(daemon)
        daemon.config_file.write_text(
            text.replace("min_score: 0.5", "min_score: 5").replace("url: ", "ulr: ")
        )
        hang_up(daemon)
        reloaded(daemon, "refused")
        refused = [line for line in daemon.lines if "is refused" in line]
        assert any("rules[0].min_score" in line for line in refused)
        assert any("did you mean url" in line for line in refused)
        changed = text.replace("blocks.onnx", "other.onnx").replace(str(daemon.state_dir), "/nowhere/else")
        daemon.config_file.write_text(changed.replace("mode: 'off'", "mode: guided"))
        hang_up(daemon)
        reloaded(daemon, "refused", 2)
        fixed = f"state_dir: expected {daemon.state_dir} as at the start, found /nowhere/else"
        assert fixed in daemon.wait_log(f"{fixed}; restart for this change")
        assert len([line for line in daemon.lines if "is refused" in line]) == 4
        daemon.config_file.write_text(text + "# a comment\n")
        assert told(daemon) == {"blocks"}
        assert digest(daemon) == file
        assert tallies(daemon.metrics())["refused"] == 0, "no model was tried"
        hang_up(daemon)
        reloaded(daemon, "unchanged")
        assert digest(daemon) != file
        assert daemon.log.count("the detector is warm") == 1


def test_the_service_manager_hears_of_reloads_and_keeps_its_watchdog(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """RELOADING comes with the time, WATCHDOG goes on meanwhile, and READY follows, after a refusal too."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(30.0)
        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "1500000"}
        config = site(model, receiver, stream("yard", camera.url))
        with Daemon(config, tmp_path, environment=environment) as daemon:
            _messages(manager, "READY=1")
            for text, result, status in (
                (
                    daemon.config_file.read_text(),
                    "unchanged",
                    "STATUS=the reload changed nothing; streams live",
                ),
                ("streams: []", "refused", "STATUS=the reload was refused and changed nothing: /"),
            ):
                with held(daemon, text):
                    assert "MONOTONIC_USEC=" in _messages(manager, "RELOADING=1")[-1]
                    for _ in range(3):
                        meanwhile = _messages(manager, "WATCHDOG=1")
                        assert not any("READY=1" in one for one in meanwhile)
                assert status in _messages(manager, "READY=1")[-1]
                reloaded(daemon, result)


def _messages(manager: socket.socket, last: str) -> list[str]:
    """Receive messages up to the first that has this field."""
    received: list[str] = []
    while not received or last not in received[-1].splitlines():
        received.append(manager.recv(4096).decode())
    return received


def test_a_stop_does_not_wait_for_a_model_that_loads(
    camera: FakeCamera, model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """What loads is of no use any more: the daemon ends in order and within its promise."""
    blockmodel.build_slow(model.with_name("slow.onnx"), seconds=20.0)
    with Daemon(site(model, receiver, stream("yard", camera.url)), tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        use(daemon, "blocks.onnx", "slow.onnx")
        hang_up(daemon)
        daemon.wait_log("the configuration is read again")
        look_on(daemon, FPS)
        assert daemon.terminate() == 0
        assert "exchanged" not in daemon.log


def test_the_bundled_model_gives_way_to_one_of_another_size(
    clip: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The capture worker shows the smaller views without being restarted, and the old model's memory is freed."""
    small = blockmodel.build(tmp_path / "small.onnx", labels=("person", "other"))
    config = site(
        Path("nanodet-coco-416"), receiver, stream("yard", f"file:{clip}", loop=True), classes=["person"]
    )
    config["detector"]["model"] = "nanodet-coco-416"
    with Daemon(config, tmp_path) as daemon:
        receiver.wait_for("alarm.raised")
        assert told(daemon) == {"nanodet-coco-416"}
        workers, before = set(daemon.children()), tallies(daemon.metrics())
        use(daemon, "model: nanodet-coco-416", f"model: {small}")
        hang_up(daemon)
        reloaded(daemon, "applied")
        until(lambda: told(daemon) == {"small"}, 10.0, "the new model to be told everywhere")
        after = look_on(daemon, 2 * FPS)
        assert set(daemon.children()) == workers
        assert (after["restarts"], after["errors"]) == (0, 0)
        assert after["disconnects"] == before["disconnects"]
