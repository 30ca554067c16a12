"""What guards said about alarms goes back to the detector: as a data set, and as figures of the model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream

pytestmark = pytest.mark.acceptance


def run(*arguments: object) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "tocsin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rejected_alarm_is_a_mistake_of_the_model_that_raised_it(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Exported with the daemon and without it: the same pictures, on record once, and counted by the evaluation."""
    with FakeCamera(Scene(fps=10)) as camera:
        yard = stream("yard", camera.url, evidence={"clip": False})
        with Daemon(site(block_model, receiver, yard, latch=True), tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream="yard")
            config = ("--config", daemon.config_file)
            assert "no alarm of those was rejected or confirmed" in run(
                "evidence", "export", "--out", tmp_path / "none", *config
            )
            alarms = []
            for count, verdict in enumerate(("reject", "confirm"), 1):
                camera.show(Scene(fps=10, blocks=visits((0.5, 3.0))))
                alarms.append(receiver.wait_for("alarm.raised", count).data["alarm_id"])
                kept = "tocsin_evidence_total"
                daemon.wait_metric(kept, at_least=count, stream="yard", kind="plain", outcome="kept")
                run("alarm", verdict, alarms[-1], *config)
                receiver.wait_for("alarm.ended", count)
            told = json.loads(run("evidence", "export", "--out", tmp_path / "out", "--json", *config))
            found = {"exported": 1, "gone": 0, "unclear": 0}
            assert told["alarms"] == {"rejected": found, "confirmed": found}
            (entry,) = run("audit", "--act", "evidence.exported", "--json", *config).splitlines()
            assert json.loads(entry)["details"] == {"verdicts": "confirmed,rejected", "alarms": "2"}
            assert daemon.terminate() == 0
        rejected = ("--verdict", "rejected")
        again = run("evidence", "export", "--out", tmp_path / "again", *rejected, *config)
    assert again.startswith("1 picture of 1 rejected alarm\n")
    pictures = sorted(path.name for path in (tmp_path / "out" / "images").iterdir())
    assert pictures == sorted(f"{alarm}.jpg" for alarm in alarms)
    assert [path.name for path in (tmp_path / "again" / "images").iterdir()] == [f"{alarms[0]}.jpg"]
    footage = ("--images", tmp_path / "out" / "images", "--labels", told["labels"][0])
    said = json.loads(
        run("evaluate", *footage, "--model", block_model, "--variants", "off", "--strict", "--json")
    )
    scores = said["conditions"]["as-recorded"]["off"]
    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 1, 0)
