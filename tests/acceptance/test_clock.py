"""The daemon on a machine whose clock is a day off, as one without a battery for it is after a power cut."""

import time
from pathlib import Path

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.fakeclock import FakeClock
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until
from tocsin.control import CONTROL_SOCKET, request

DAY = 86_400.0


@pytest.mark.acceptance
@pytest.mark.fault(53)
def test_a_clock_that_is_a_day_off_costs_time_and_no_alarm(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """What is signed a day ahead is refused, and tried again at the pace of the schedule, whatever the clock does.

    Also after a kill, with the next attempt noted for the day after tomorrow. Once the clock is right it is taken.
    """
    clock = FakeClock(tmp_path, off=DAY)
    with (
        FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera,
        Daemon(
            site(block_model, receiver, stream("yard", camera.url)),
            tmp_path,
            environment=clock.environment,
            module="support.fakeclock",
        ) as daemon,
    ):
        until(lambda: receiver.refused, 30, "a refusal")
        sent = int(receiver.refused[0].headers["webhook-timestamp"])
        assert abs(sent - time.time() - DAY) < 60, "the fault did not fire: it was to be signed a day ahead"
        clock.set(-DAY)
        until(lambda: daemon.metric("tocsin_clock_jumps_total") == 1, 10, "the jump to be counted")
        daemon.kill9()
        before = len(receiver.refused)
        assert before <= 2, "a storm"
        began = time.monotonic()
        daemon.start()
        until(lambda: len(receiver.refused) > before, 40, "an attempt after the restart")
        ready = receiver.refused[before].at - began
        assert ready < 6.0 + 15 * SCALE, "the first step of the schedule, and the start"
        clock.set(0.0)
        until(lambda: daemon.metric("tocsin_clock_jumps_total") == 1, 10, "the jump to be counted")
        assert len(receiver.refused) <= before + 2, "a storm"
        request(daemon.state_dir / CONTROL_SOCKET, "outbox.retry", webhook="hook")
        receiver.wait_for("alarm.raised")
        assert {one.id for one in receiver.accepted} == {
            one.headers["webhook-id"] for one in receiver.refused
        }
        assert daemon.terminate() == 0
