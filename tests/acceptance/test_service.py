"""The unit under a real systemd: start, watchdog, death, reload, stop, and what it does after each exit code."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import wedge
from support.box import Box, need_box
from support.camera import FakeCamera
from support.daemon import parse_metrics
from support.receiver import Answer, Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

DEAD = stream("dead", "rtsp://127.0.0.1:9/none")
FIRST_DYNAMIC_UID = 61184


@pytest.fixture(autouse=True)
def box_at_hand() -> None:
    need_box()


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as running:
        yield running


def watched(receiver: Receiver, *streams: dict[str, Any]) -> dict[str, Any]:
    """A site whose model lies beside its configuration, and whose state where the unit puts it."""
    return site(Path("/etc/tocsin/blocks.onnx"), receiver, *streams)


def wait_running(box: Box, restarts: int = 0) -> None:
    box.wait_state(30.0, SubState="running", NRestarts=str(restarts))


def metric(box: Box, name: str) -> float:
    """The sum of a metric's samples."""
    values = [value for (each, _), value in parse_metrics(box.get("/metrics")).items() if each == name]
    assert values, f"no sample of {name}"
    return sum(values)


def test_it_is_ready_with_every_camera_dead_and_hides_nothing_that_is_promised(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Within ten seconds, as a user of its own; it tells of its process, its status and its clock."""
    with Box(watched(receiver, DEAD), tmp_path, files=[block_model]) as box:
        wait_running(box)
        took = box.show("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        began, ready = (int(took[f"{end}TimestampMonotonic"]) for end in ("InactiveExit", "ActiveEnter"))
        assert ready - began < 10_000_000 * SCALE
        until(lambda: "streams live: 0 of 1" in box.show("StatusText")["StatusText"], 15.0, "the status")
        assert Path(f"/proc/{box.pid}").stat().st_uid >= FIRST_DYNAMIC_UID
        modes = box.run(
            "stat", "-c", "%a %n", "/var/lib/private/tocsin/", "/var/lib/private/tocsin/outbox.sqlite"
        )
        assert [line.split()[0] for line in modes.splitlines()] == ["700", "600"]
        assert metric(box, "process_resident_memory_bytes") > 0
        assert metric(box, "process_start_time_seconds") > 0
        box.wait_journal("the clock is not synchronized", 5.0)
        assert metric(box, "tocsin_clock_synchronized") == 0
        box.run("mkdir", "-p", "/run/systemd/timesync")
        box.run("touch", "/run/systemd/timesync/synchronized")
        until(lambda: metric(box, "tocsin_clock_synchronized") == 1, 5.0, "the clock to be right")
        warnings = box.run("journalctl", "-u", "tocsin", "-p", "warning", "-o", "cat")
        assert "the clock is not synchronized" in warnings
        assert "the daemon is ready" not in warnings


@pytest.mark.parametrize("part", ["main", "engine"])
def test_a_wedged_part_is_named_killed_and_started_anew(
    block_model: Path, receiver: Receiver, tmp_path: Path, part: str
) -> None:
    """By the watchdog's SIGABRT, which leaves every thread's stack in the journal."""
    given = {**wedge.environment(part, 3.0), "PYTHONPATH": ""}
    lines = [f"Environment={name}={value}" for name, value in given.items() if value]
    drop_in = "\n".join(["[Service]", "WatchdogSec=6s", *lines, ""])
    with Box(
        watched(receiver, DEAD),
        tmp_path,
        files=[block_model],
        drop_ins={"wedge": drop_in},
        module="support.wedge",
    ) as box:
        wait_running(box)
        box.signal(signal.SIGUSR1)
        named = f"{part} has not moved for"
        until(lambda: named in box.show("StatusText")["StatusText"], 15.0, "the name in the status")
        box.wait_journal(f'event="a part is stuck" part={part}', 5.0)
        wait_running(box, restarts=1)
        journal = box.journal()
        assert "Watchdog timeout (limit 6s)" in journal
        assert "Fatal Python error: Aborted" in journal
        assert "in hang" in journal
        assert journal.index("a part is stuck") < journal.index("Watchdog timeout")
        assert journal.count("the daemon is ready") == 2


def test_a_killed_daemon_comes_back_and_goes_on_with_its_alarms(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The state outlives the process and its user; nothing is raised twice."""
    config = watched(receiver, stream("yard", camera.url))
    with Box(config, tmp_path, files=[block_model]) as box:
        raised = receiver.wait_for("alarm.raised", timeout=30.0)
        box.signal(signal.SIGKILL)
        wait_running(box, restarts=1)
        assert f"alarm_id={raised.data['alarm_id']}" in next(
            line for line in box.journal().splitlines() if "an alarm goes on" in line
        )
        until(lambda: metric(box, "tocsin_frames_analysed_total") > 20, 20.0, "more pictures")
        assert metric(box, "tocsin_alarms_active") == 1
        assert [message.type for message in receiver.accepted] == ["alarm.raised"]


def test_it_reads_its_configuration_again_and_stays_active(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """`systemctl reload` is taken or refused, and the process is the same afterwards."""
    config = watched(receiver, DEAD)
    with Box(config, tmp_path, files=[block_model]) as box:
        wait_running(box)
        pid = box.pid
        assert box.run("systemctl", "reload", "tocsin") == ""
        box.wait_journal("the reload changes nothing", 10.0)
        (box.etc / "tocsin.yaml").write_text("streams: []\n")
        assert box.run("systemctl", "reload", "tocsin") == ""
        box.wait_journal("the reload is refused and changes nothing", 10.0)
        assert metric(box, "tocsin_config_last_reload_successful") == 0
        box.wait_state(5.0, ActiveState="active", SubState="running", NRestarts="0")
        assert box.pid == pid


def test_it_stops_in_time_whatever_a_receiver_does_and_resumes(
    camera: FakeCamera, block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The stop is clean, no process is left, and the next start sends what was under way."""
    receiver.answer(Answer(204, delay=60.0))
    with Box(watched(receiver, stream("yard", camera.url)), tmp_path, files=[block_model]) as box:
        held = until(lambda: receiver.requests, 30.0, "a delivery under way")[0]
        began = time.monotonic()
        box.run("systemctl", "stop", "tocsin")
        assert time.monotonic() - began < 10.0 * SCALE
        stopped = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
        assert box.show(*stopped) == stopped
        receiver.answer(204)
        box.run("systemctl", "start", "--no-block", "tocsin")
        assert receiver.wait_for("alarm.raised", timeout=30.0).id == held.id


def test_a_wrong_configuration_is_tried_once(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Exit code 78: what is wrong stands in the journal, and no restart fills it."""
    config = {**watched(receiver, DEAD), "steams": []}
    with Box(config, tmp_path, files=[block_model]) as box:
        box.wait_state(20.0, ActiveState="failed", ExecMainStatus="78", NRestarts="0")
        assert re.search(r"tocsin.yaml:\d+: steams: .*did you mean streams", box.journal())


def test_a_temporary_failure_is_tried_until_it_is_over(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Exit code 75: a port that somebody else has now may be free later."""
    box = Box(
        watched(receiver, DEAD),
        tmp_path,
        files=[block_model],
        drop_ins={"soon": "[Service]\nRestartSec=1s\n"},
    )
    host, port = box.address.split(":")
    with socket.create_server((host, int(port))) as taken, box:
        until(lambda: int(box.show("NRestarts")["NRestarts"]) >= 1, 20.0, "a restart")
        assert "status=75" in box.journal()
        taken.close()
        box.wait_state(20.0, SubState="running")
