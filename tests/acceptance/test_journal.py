"""What the running daemon writes to its log: for people, for machines and for the journal."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import canary, rtsp
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Answer, Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import until

pytestmark = pytest.mark.acceptance

HOSTILE = "up\x1b[2J\u202egnp\u2066\u200b\u200d\x9b31m\x7f <0>level=error {} " + "x" * 300
"""Terminal sequences, directions, widths of nothing, and what looks like a line of the log."""


def objects(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.lines]


@pytest.mark.fault(66)
def test_what_others_say_stays_in_its_line(
    block_model: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera and a receiver that speak in control characters write no line, colour or object of their own."""
    described = rtsp.describe
    named = "s=" + HOSTILE
    monkeypatch.setattr(rtsp, "describe", lambda scene: described(scene).replace("s=fake camera", named))
    real = rtsp.Session._reply

    async def reply(
        self: rtsp.Session, status: int, request: Any, headers: dict[str, str], body: str
    ) -> None:
        await real(self, status, request, {**headers, "Server": HOSTILE}, body)

    monkeypatch.setattr(rtsp.Session, "_reply", reply)
    receiver.answer(lambda _: Answer(400, {"X-Why": "no"}, HOSTILE.encode() + b"\n{}\n"))
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url))
        with Daemon(config, tmp_path, options=("--log-format", "json")) as daemon:
            until(lambda: receiver.requests, 30, "the receiver to refuse")
            daemon.wait_log('"webhook": "hook"')
            assert camera.requests
            camera.reset()
            daemon.wait_log("the stream is down")
            daemon.terminate()
            said = objects(daemon)
    assert {"the daemon is ready", "alarm raised", "the daemon has stopped"} <= {one["event"] for one in said}
    for line in daemon.lines:
        assert line[:-1].isascii()
        assert line[:-1].isprintable()
    texts = [
        value for one in said for key, value in one.items() if isinstance(value, str) and key != "exception"
    ]
    assert max(map(len, texts)) <= 256


NATIVE = """
import os, threading
def speak():
    os.write(2, b"[h264 @ 0x55d0] open rtsp://viewer:c@nary-of-a-worker@10.0.0.7/1\\n")
def after():
    for seconds in (2.0, 2.5, 3.0, 3.5, 4.0, 4.5):
        threading.Timer(seconds, speak).start()
os.register_at_fork(after_in_child=after)
"""


def test_a_library_s_own_words_are_lines_of_its_stream(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """What native code of a worker writes to standard error is scrubbed, told with the stream, and summed up."""
    (tmp_path / "sitecustomize.py").write_text(NATIVE)
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url))
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        with Daemon(config, tmp_path, environment={"PYTHONPATH": path}) as daemon:
            line = daemon.wait_log("a library says", timeout=30)
            assert "stream=yard" in line
            assert 'text="[h264 @ 0x55d0] open rtsp://***@10.0.0.7/1"' in line
            assert "level=warning" in line
            receiver.wait_for("alarm.raised", timeout=40)
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=80, timeout=30)
            assert daemon.terminate() == 0
        assert daemon.log.count("a library says") == 4
        assert "again=3" in daemon.lines[-1]
        assert "c@nary" not in daemon.log


BROKEN = """
def main():
    from tocsin.__main__ import main as run
    from tocsin.app import App

    def look(self, now):
        raise RuntimeError("cannot ask " + self._secrets.signing_keys["hook"])

    App._look = look
    run()

if __name__ == "__main__":
    main()
"""


def test_an_error_that_ends_the_daemon_is_a_line_without_secrets(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """What nobody expected in the main thread is told like all else, and the exit code has it started anew."""
    (tmp_path / "broken.py").write_text(BROKEN)
    config = site(block_model, receiver, stream("yard", "rtsp://127.0.0.1:9/none"))
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    with Daemon(config, tmp_path, environment={"PYTHONPATH": path}, module="broken") as daemon:
        line = daemon.wait_log("the daemon ends by an unexpected error", timeout=30)
        assert "RuntimeError: cannot ask whsec_***" in line
        assert daemon.wait_end(30) == 1
    assert daemon.log.count("Traceback") == 1


def test_doubts_about_the_configuration_are_lines_of_the_log(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """For machines each line is an object, from the first to the last."""
    with FakeCamera(Scene(fps=10)) as camera:
        config = site(block_model, receiver, stream("yard", camera.url))
        config["streams"][0]["rules"] = []
        with Daemon(config, tmp_path, options=("--log-format", "json")) as daemon:
            daemon.wait_ready()
            daemon.terminate()
            doubts = [one["why"] for one in objects(daemon) if one["event"].endswith("with a doubt")]
    assert any("stream yard has no rules" in doubt for doubt in doubts)


def test_the_journal_gets_priorities(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Where standard error is the journal's, each line begins with what the journal takes for its priority."""
    config = site(block_model, receiver, stream("yard", "rtsp://127.0.0.1:9/none"))
    daemon = Daemon(config, tmp_path)
    with (tmp_path / "journal").open("w") as journal:
        status = os.fstat(journal.fileno())
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "run", "--config", str(daemon.config_file)],
            stderr=journal,
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        )
        written = tmp_path / "journal"
        try:
            until(lambda: "the stream is down" in written.read_text(), 30, "the camera to be missed")
            until(lambda: "the daemon is ready" in written.read_text(), 30, "the daemon to be ready")
        finally:
            process.terminate()
            assert process.wait(30) == 0
    canary.inspect("the journal", written.read_text())
    lines = written.read_text().splitlines()
    assert all(line[0] == "<" and line[1] in "23467" and line[2] == ">" for line in lines), lines
    assert any(line.startswith("<6>level=info") for line in lines)
    assert any(line.startswith("<4>level=warning") for line in lines)
