"""Alarms that nobody is to hear of, or that are a test: what is told, what is kept, and what comes after."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance

EVENTS = ("alarm.*", "silence.*", "test.*")
STAYS = Scene(blocks=visits((0, 600)))


def _tocsin(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin", *words, "--config", str(daemon.config_file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30 * SCALE)


def _rows(daemon: Daemon, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(daemon.state_dir / "outbox.sqlite", timeout=10)) as database, database:
        return database.execute(query).fetchall()


def _told(receiver: Receiver) -> list[str]:
    return [message.type for message in receiver.accepted]


def test_a_silence_is_kept_through_a_kill_and_leaves_nobody_untold(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Its alarm is recorded with pictures and POSTed nowhere; who is still there at its end is told, once."""
    config = site(block_model, receiver, stream("yard", ""), events=EVENTS, cooldown="10m")
    with FakeCamera() as camera:
        config["streams"][0]["source"] = camera.url
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            said = _tocsin(daemon, "silence", "yard", "--for", "30m", "--reason", "the lock is repaired")
            assert said.stdout.startswith("the stream yard is silenced until "), said.stderr
            begun = receiver.wait_for("silence.begun").data
            assert (begun["stream"], begun["rule"], begun["why"]) == ("yard", None, "the lock is repaired")
            camera.show(STAYS)
            daemon.wait_metric("tocsin_alarms_silenced_total", at_least=1, stream="yard", rule="visit")
            assert daemon.metric("tocsin_silenced", stream="yard", rule="visit") == 1
            assert daemon.metric("tocsin_alarms_active") == daemon.metric("tocsin_alarms_total") == 0
            status = daemon.status()
            assert "the lock is repaired" in status
            assert "silenced" in status

            daemon.kill9()
            # nobody waits for half an hour here
            ends = time.time() + 8.0 * SCALE
            _rows(daemon, f"UPDATE overrides SET until = {ends} WHERE id = '{begun['id']}'")
            daemon.start()
            daemon.wait_ready()
            assert time.time() < ends, "the machine is too slow to see it"
            assert daemon.metric("tocsin_silenced", stream="yard", rule="visit") == 1
            assert daemon.metric("tocsin_alarms_silenced_total") == 0, "the alarm of before goes on"
            ended = receiver.wait_for("silence.ended", timeout=20.0)
            assert ended.data["reason"] == "expired"
            assert 0 <= ended.wall - ends < 3.0 * SCALE
            raised = receiver.wait_for("alarm.raised")
            assert _told(receiver) == ["silence.begun", "silence.ended", "alarm.raised"]
            assert (raised.data["silenced"], raised.data["test"]) == (False, False)
            assert daemon.metric("tocsin_alarms_active", stream="yard", rule="visit") == 1

            first, second = _rows(daemon, "SELECT alarm_id, silenced, ended FROM alarms ORDER BY opened")
            assert (first[1], second[:2], second[2]) == (1, (raised.data["alarm_id"], 0), None)
            assert first[2] is not None
            for alarm_id, *_ in (first, second):
                out = tmp_path / alarm_id
                get = "evidence", "get", alarm_id, "--out", str(out)
                until(lambda get=get: _tocsin(daemon, *get).returncode == 0, 20.0, "pictures of both")
                assert (out / "frame.jpg").stat().st_size > 0
            query = "SELECT act, by, via, subject FROM audit WHERE act LIKE 'silence.%' ORDER BY number"
            acts = _rows(daemon, query)
            assert [(act, via, subject) for act, _, via, subject in acts] == [
                ("silence.begun", "command", "yard"),
                ("silence.ended", "daemon", "yard"),
            ]
            assert acts[0][1] == begun["by"] != ""


def test_a_walk_test_shows_who_accepted_its_alarms(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """They go their whole way as tests; Ctrl-C ends it and sums up; who is still there then is no test."""
    config = site(block_model, receiver, stream("yard", ""), events=EVENTS)
    with FakeCamera() as camera:
        config["streams"][0]["source"] = camera.url
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=3, stream="yard")
            for words in (("test", "cellar"), ("silence",)):
                refused = _tocsin(daemon, *words)
                assert (refused.returncode, refused.stdout) == (2, ""), words
                assert refused.stderr.startswith("tocsin: "), words
            options = "--config", str(daemon.config_file)
            walk = subprocess.Popen(
                [sys.executable, "-m", "tocsin", "test", "yard", "--for", "5m", "--by", "Anna", *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                begun = receiver.wait_for("test.begun", timeout=20.0).data
                assert begun["by"].startswith("Anna (")
                assert "expected a stream without a walk test" in _tocsin(daemon, "test", "yard").stderr
                camera.show(STAYS)
                raised = receiver.wait_for("alarm.raised")
                assert raised.data["test"] is True
                assert daemon.metric("tocsin_walk_test", stream="yard") == 1
                daemon.wait_metric("tocsin_test_alarms_total", at_least=1, stream="yard", rule="visit")
                assert daemon.metric("tocsin_alarms_total") == 0
                assert walk.stdout is not None
                lines = [walk.stdout.readline() for _ in range(3)]
                assert lines[0].startswith("walk test of yard until "), lines
                assert "visit: block " in lines[1], lines
                assert lines[2].strip() == "accepted by hook", lines
                walk.send_signal(signal.SIGINT)
                rest, errors = walk.communicate(timeout=20 * SCALE)
            finally:
                walk.kill()
            assert "1 alarm raised, all accepted by hook" in rest, errors
            assert "sightings: visit " in rest
            assert (walk.returncode, errors) == (0, "")
            assert receiver.wait_for("test.ended").data["reason"] == "lifted"
            meant = receiver.wait_for("alarm.raised", count=2)
            assert meant.data["test"] is False
            told = [(one.type, one.data.get("test")) for one in receiver.accepted if one.type != "test.ended"]
            assert told == [
                ("test.begun", None),
                ("alarm.raised", True),
                ("alarm.ended", True),
                ("alarm.raised", False),
            ]

            # what hinders a test is said by the one who opens it, and a silence wins
            silence = "silence", "visit", "--for", "1h", "--reason", "a parade", "--json"
            identity = json.loads(_tocsin(daemon, *silence).stdout)["silence"]["id"]
            assert "a parade" in _tocsin(daemon, "silence", "--list").stdout
            with subprocess.Popen(
                [sys.executable, "-m", "tocsin", "test", "yard", "--json", *options],
                stdout=subprocess.PIPE,
                text=True,
            ) as hindered:
                receiver.wait_for("test.begun", count=2, timeout=20.0)
                ended = _tocsin(daemon, "test", "yard", "--end")
                assert ended.stdout == "the walk test of yard has ended\n", ended.stderr
                output, _ = hindered.communicate(timeout=30 * SCALE)
            told_by = json.loads(output)
            assert (hindered.returncode, told_by["passed"], told_by["alarms"]) == (75, False, [])
            assert "silenced" in " ".join(told_by["notes"])
            assert "is open" in " ".join(told_by["notes"])
            assert _tocsin(daemon, "silence", "--end", identity).returncode == 0
            assert _tocsin(daemon, "silence", "--list").stdout == "nothing is silenced\n"

            # nor does one outlive its stream
            assert _tocsin(daemon, "silence", "yard", "--for", "1h", "--reason", "a fair").returncode == 0
            text = daemon.config_file.read_text()
            daemon.config_file.write_text(text.replace("name: yard", "name: porch"))
            os.kill(daemon.pid, signal.SIGHUP)
            assert receiver.wait_for("silence.ended", count=2, timeout=20.0).data["reason"] == "gone"
            assert daemon.metric("tocsin_silenced", stream="porch") == 0
