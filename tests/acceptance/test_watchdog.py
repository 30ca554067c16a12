"""A daemon of which one part does not move any more, as a service manager hears it."""

import os
import signal
import time
from pathlib import Path

import pytest

from support import wedge
from support.daemon import Daemon
from support.receiver import Receiver
from support.servicemanager import ServiceManager
from support.site import site, stream
from support.wait import SCALE

pytestmark = pytest.mark.acceptance

DEAD = ("rtsp://127.0.0.1:9/none", "/dev/video63")
"""A camera that refuses, and one that is not there."""


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    ("part", "limit"), [("main", 10.0), *((part, 2.0) for part in wedge.PARTS if part != "main")]
)
def test_a_wedged_part_is_named_and_then_the_watchdog_is_silent(
    block_model: Path, receiver: Receiver, tmp_path: Path, part: str, limit: float
) -> None:
    """Within its limit the kicks stop, its name in STATUS and the log; SIGABRT leaves every thread's stack."""
    config = site(block_model, receiver, *(stream(f"dead{n}", source) for n, source in enumerate(DEAD)))
    with ServiceManager(tmp_path, watchdog=1.5) as manager:
        environment = {**manager.environment, **wedge.environment(part, limit)}
        with Daemon(config, tmp_path, environment=environment, module="support.wedge") as daemon:
            manager.hear_until("READY", 30.0)
            manager.hear_until("WATCHDOG", 5.0)
            os.kill(daemon.pid, signal.SIGUSR1)
            began = time.monotonic()
            heard = manager.hear_until("STATUS", limit + 8.0, value=f"{part} has not moved for")
            assert time.monotonic() - began < limit + 2.0 * SCALE
            assert "WATCHDOG" not in heard[-1]
            assert any("WATCHDOG" in message for message in heard), "it is kicked up to the limit"
            daemon.wait_log(f'event="a part is stuck" part={part}')
            quiet = manager.hear(3.0)
            assert quiet is None or "WATCHDOG" not in quiet
            os.kill(daemon.pid, signal.SIGABRT)  # as the service manager does now
            assert daemon.wait_end() == -signal.SIGABRT
            daemon.wait_log("Fatal Python error: Aborted")
            daemon.wait_log("in hang\n")  # of the wedged thread, too
