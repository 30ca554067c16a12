"""Who did what to a real daemon, told while it runs, after it was killed, and by its log."""

import hashlib
import json
import os
import pwd
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from support import canary
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance

ME = pwd.getpwuid(os.getuid()).pw_name


def tocsin(daemon: Daemon, *words: str, errors: str = "") -> str:
    """What a command about the daemon prints; fails when the command does, or says what is not among `errors`."""
    command = [sys.executable, "-m", "tocsin", *words, "--config", str(daemon.config_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert errors in done.stderr
    canary.inspect(" ".join(words), done.stdout)
    return done.stdout


def audit(daemon: Daemon, *options: str, errors: str = "") -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in tocsin(daemon, "audit", "--json", *options, errors=errors).splitlines()
    ]


def acts(entries: list[dict[str, Any]]) -> list[str]:
    return [one["act"] for one in entries]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def look(url: str, piece: str | None = None) -> None:
    headers = {} if piece is None else {"range": f"bytes={piece}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10 * SCALE) as answer:
        assert answer.read()


def reload(daemon: Daemon, config: str, result: str) -> None:
    daemon.config_file.write_text(config)
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_metric("tocsin_config_reloads_total", at_least=1, timeout=30.0, result=result)


def test_all_that_was_done_is_on_record(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """By whom, by what way and to what; at once on the disk, each once, also in the log, and without a secret."""
    receiver.answer(503)
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        yard = stream("yard", camera.url, evidence={"before": "1s", "after": "1s"})
        with Daemon(site(block_model, receiver, yard), tmp_path) as daemon:
            raised = until(lambda: receiver.requests, 30.0, "the alarm")[0]
            alarm, links = raised.data["alarm_id"], raised.data["picture"]
            before = digest(daemon.config_file)
            for piece in (None, None, "0-99", "100-199"):
                look(links["url"], piece)
            good = daemon.config_file.read_text()
            reload(daemon, good.replace("min_score: 0.5", "min_score: 0.4"), "applied")
            after = digest(daemon.config_file)
            reload(daemon, good.replace("min_score: 0.5", "min_scoer: 0.4"), "refused")
            daemon.config_file.write_text(good.replace("min_score: 0.5", "min_score: 0.4"))
            tocsin(daemon, "evidence", "get", alarm, "--out", str(tmp_path / "copied"))
            tocsin(daemon, "alarm", "reject", alarm[-6:], "--by", "anna", "--reason", "a mop")
            tocsin(daemon, "outbox", "purge", "--webhook", "hook", "--state", "queued")
            daemon.kill9()  # at once: what was answered is on the disk

            told = "no daemon answers, this is from its file"
            started, looked, applied, refused, fetched, verdict, purged = entries = audit(daemon, errors=told)
            assert acts(entries) == [
                *("daemon.started", "evidence.read", "config.changed", "config.changed"),
                *("evidence.read", "verdict", "outbox.purged"),
            ]
            assert started["details"]["config"] == f"sha256:{before}"
            assert started["details"]["sha256"] == digest(block_model)
            assert (looked["by"], looked["via"], looked["subject"]) == ("127.0.0.1", "link", alarm)
            assert (applied["details"]["old"], applied["details"]["new"], applied["details"]["result"]) == (
                *(f"sha256:{before}", f"sha256:{after}", "applied"),
            )
            assert applied["details"]["rules_changed"] == "visit"
            assert refused["details"]["result"] == "refused"
            assert (fetched["by"], fetched["via"], fetched["subject"]) == (ME, "command", alarm)
            assert "frame" in fetched["details"]["kinds"].split(",")
            assert (purged["by"], purged["subject"], purged["details"]["alarms"]) == (ME, "hook", alarm)
            assert (verdict["by"], verdict["via"], verdict["subject"]) == (f"anna ({ME})", "command", alarm)
            assert (verdict["details"]["verdict"], verdict["details"]["why"]) == ("rejected", "a mop")
            lines = [line for line in daemon.lines if "logger=tocsin.audit" in line]
            assert len(lines) == len(entries)
            assert "signature" not in "".join(lines) + json.dumps(entries)

            daemon.start()
            daemon.wait_ready()
            until(lambda: "daemon.started" in acts(audit(daemon)[7:]), 10.0, "the next start on record")
            (shown,) = json.loads(tocsin(daemon, "alarm", "list", "--json", "--open"))["alarms"]
            assert shown["alarm_id"] == alarm, "it goes on"
            found = json.loads(tocsin(daemon, "alarm", "show", alarm, "--json"))
            assert set(found["evidence"]) >= {"frame", "crop", "first"}
            assert found["verdicts"] == [verdict]
            assert "signature" not in json.dumps(found)
            assert daemon.terminate() == 0
            *_, last = audit(daemon, "--act", "daemon.stopped", errors=told)
            assert last["details"]["reason"] == "asked"
            gone = "this goes on no record: expected a running daemon"
            tocsin(daemon, "evidence", "get", alarm, "--out", str(tmp_path / "copied"), errors=gone)
