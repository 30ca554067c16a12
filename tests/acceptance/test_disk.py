"""The daemon on a disk that is full."""

from pathlib import Path

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.disk import small_disk
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import until


@pytest.mark.acceptance
@pytest.mark.fault(48)
def test_a_full_disk_stops_neither_detection_nor_delivery(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Alarms go on from memory, the metrics say so, and all is as before soon after there is room again."""
    with (
        small_disk(tmp_path / "state", megabytes=8) as disk,
        FakeCamera(Scene(blocks=visits((0, 600)))) as camera,
    ):
        config = site(block_model, receiver, stream("yard", camera.url), repeat_every="1s")
        with Daemon(config, tmp_path) as daemon:
            receiver.wait_for("alarm.repeated")
            until(lambda: list(disk.path.glob("*.ballast")), 10, "the ballast")
            disk.fill()
            daemon.wait_log("the outbox takes the space that it held back", timeout=20)
            disk.fill()
            daemon.wait_metric("tocsin_outbox_degraded", at_least=1, timeout=20)
            until(
                lambda: daemon.metric("tocsin_disk_free_bytes") < 100_000, 15, "the lack of space to be told"
            )
            assert daemon.metric("tocsin_outbox_errors_total", error="full") >= 2
            seen = len(receiver.accepted)
            until(lambda: len(receiver.accepted) >= seen + 3, 20, "alarms from memory")
            assert receiver.accepted[-1].headers["tocsin-durable"] == "false"
            assert daemon.get("/healthz")[0] == 200
            disk.clear()
            until(lambda: daemon.metric("tocsin_outbox_degraded") == 0, 30, "the disk to be used again")
            seen = len(receiver.accepted)
            until(lambda: len(receiver.accepted) >= seen + 2, 20, "alarms from the disk")
            assert "tocsin-durable" not in receiver.accepted[-1].headers
            assert daemon.terminate() == 0
    assert len({message.id for message in receiver.accepted}) == len(receiver.accepted)


@pytest.mark.acceptance
@pytest.mark.fault(48)
def test_a_daemon_that_starts_on_a_full_disk_watches_and_sends(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """A first start without a free byte gets ready, sends from memory, and is durable once there is room."""
    with (
        small_disk(tmp_path / "state", megabytes=8) as disk,
        FakeCamera(Scene(blocks=visits((0, 600)))) as camera,
    ):
        disk.fill()
        config = site(block_model, receiver, stream("yard", camera.url), repeat_every="1s")
        with Daemon(config, tmp_path) as daemon:
            until(lambda: len(receiver.accepted) >= 3, 30, "alarms from memory")
            assert {message.headers["tocsin-durable"] for message in receiver.accepted} == {"false"}
            assert daemon.metric("tocsin_outbox_degraded") == 1
            assert daemon.metric("tocsin_outbox_errors_total", error="full") >= 1
            assert daemon.get("/readyz")[0] == 200
            disk.clear()
            until(lambda: daemon.metric("tocsin_outbox_degraded") == 0, 30, "the disk to be used")
            until(lambda: "tocsin-durable" not in receiver.accepted[-1].headers, 20, "an alarm from the disk")
            assert daemon.terminate() == 0
    assert len({message.id for message in receiver.accepted}) == len(receiver.accepted)
