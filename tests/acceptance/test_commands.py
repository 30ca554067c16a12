"""The commands as a person types them: what they print, and what they say about bad input."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.wait import until

pytestmark = pytest.mark.acceptance

GOOD = """
streams:
  - {name: door, source: /dev/video0, rules: [intruder]}
rules:
  - {name: intruder, classes: [person]}
webhooks:
  - {name: hook, url: "http://127.0.0.1:9/", secret: {file: hook.secret}}
state_dir: state
http: {listen: "127.0.0.1:0"}
"""


def tocsin(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed package."""
    return subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A configuration without a fault, and its secret."""
    secret = tmp_path / "hook.secret"
    secret.write_text("whsec_dG9jc2luLXRlc3RzLTAxMjM0NTY3ODktYWJjZGVm\n")
    secret.chmod(0o600)
    file = tmp_path / "tocsin.yaml"
    file.write_text(GOOD)
    return file


def test_a_good_configuration_is_said_to_be_valid(good: Path) -> None:
    """The answer names the model and what it runs on."""
    checked = tocsin("check", str(good))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert re.search(
        r"valid: 1 stream, 1 rule, 1 webhook; nanodet-coco-416 runs on \w+Provider \(\w+.*\)", checked.stdout
    )


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        pytest.param(
            "rules: [intruder]",
            "rulez: [intruder]",
            r"tocsin.yaml:3: .*rulez.*did you mean rules",
            id="a misspelt key",
        ),
        pytest.param(
            "hook.secret",
            "none.secret",
            r"tocsin.yaml:7: webhooks\[0\].secret: expected .*none.secret",
            id="a missing secret",
        ),
        pytest.param(
            "[person]",
            "[persn]",
            r"tocsin.yaml:5: rules\[0\].classes\[0\]: .*did you mean person",
            id="an unknown class",
        ),
        pytest.param(
            "streams:",
            "detector: {model: junk.onnx}\nstreams:",
            r"tocsin.yaml:2: detector.model: .*/junk\.onnx: expected an ONNX model, found a web page",
            id="a model file that is none",
        ),
        pytest.param(
            "streams:",
            "detector: {model: missing.onnx}\nstreams:",
            r"tocsin.yaml:2: detector.model: .*/missing\.onnx: expected",
            id="a model file that is missing",
        ),
        pytest.param(
            "/dev/video0",
            "rtps://camera/1",
            r"tocsin.yaml:3: streams\[0\].source: expected rtsp://",
            id="an unknown kind of source",
        ),
        pytest.param(
            "state_dir: state",
            "state_dir: junk.onnx",
            r"tocsin.yaml:8: state_dir: expected a directory at .*/junk\.onnx, found something else",
            id="a file where the folder for the state belongs",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(good: Path, before: str, after: str, sentence: str) -> None:
    """`check` and `run` say the same, start nothing, and exit with 78."""
    (good.parent / "junk.onnx").write_text("<html>not a model</html>")
    assert before in GOOD
    good.write_text(GOOD.replace(before, after))
    for command in (("check", str(good)), ("run", "--config", str(good))):
        done = tocsin(*command)
        assert done.returncode == 78, done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("tocsin: ")]
        assert len(said) == 1, done.stderr
        assert re.search(sentence, said[0]), said[0]
        assert "Traceback" not in done.stderr


def test_every_fault_is_told_in_one_go(good: Path) -> None:
    """Nobody has to start it five times to find five faults, whichever part of it finds them."""
    (good.parent / "hook.secret").unlink()
    good.write_text(
        GOOD.replace("rules: [intruder]}", "rules: [intrudr], max_fps: -1}")
        .replace("[person]", "[persn], min_score: 2")
        .replace("state_dir: state", "state_dir: tocsin.yaml")
    )
    for command in (("check", str(good)), ("run", "--config", str(good))):
        done = tocsin(*command)
        assert done.returncode == 78
        said = [line for line in done.stderr.splitlines() if line.startswith(f"tocsin: {good}:")]
        assert [line.split(": ")[2] for line in said] == [
            "streams[0].rules[0]",
            "streams[0].max_fps",
            "rules[0].classes[0]",
            "rules[0].min_score",
            "webhooks[0].secret",
            "state_dir",
        ], done.stderr


def test_a_port_in_use_is_told_with_its_place(good: Path) -> None:
    """It may become free, so the exit code asks for another try; a fault beside it is told too, and is final."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = GOOD.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        good.write_text(text)
        run = tocsin("run", "--config", str(good))
        assert run.returncode == 75, run.stderr
        assert f"tocsin: {good}:9: http.listen: expected a free address" in run.stderr
        good.write_text(text.replace("[person]", "[persn]"))
        run = tocsin("run", "--config", str(good))
        assert run.returncode == 78, run.stderr
        assert f"{good}:5: rules[0].classes[0]: " in run.stderr
        assert f"{good}:9: http.listen: expected a free address" in run.stderr


def test_what_may_mend_itself_is_a_warning(good: Path) -> None:
    """A clip that is not there keeps no configuration from being valid."""
    good.write_text(GOOD.replace("/dev/video0", "'file:none.mp4'"))
    checked = tocsin("check", str(good))
    assert checked.returncode == 0
    clip = good.parent / "none.mp4"
    assert checked.stderr == f"tocsin: warning: {good}:3: streams[0].source: there is no file {clip} now\n"


def test_a_webhook_is_tried_only_with_its_secret(good: Path) -> None:
    """A missing secret is told with its place, as `check` does."""
    (good.parent / "hook.secret").unlink()
    tried = tocsin("webhook", "test", "hook", "--config", str(good))
    assert tried.returncode == 78
    assert tried.stderr.startswith(f"tocsin: {good}:7: webhooks[0].secret: expected a readable secret in ")


def test_another_user_learns_only_that_he_is_not_let_in(good: Path) -> None:
    """Of the queues as of the daemon: a sentence that says whom to ask as."""
    state = good.parent / "state"
    state.mkdir(mode=0o700)
    (state / "outbox.sqlite").touch()
    as_another: list[str] = []
    if os.geteuid() == 0:
        os.chown(state, 65534, 65534)
        as_another = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    else:
        state.chmod(0)
    for asked in (["outbox", "list"], ["status"]):
        command = [*as_another, sys.executable, "-m", "tocsin", *asked, "--config", str(good)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 75
        assert done.stderr.startswith(
            f"tocsin: expected to be let in at {state}/control.sock, found permission"
        )
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("listen", ["foo", "127.0.0.1:abc", "127.0.0.1:99999", "0.0.0.0:9464"])
def test_a_wrong_address_of_the_demo_is_one_sentence(listen: str) -> None:
    """Nothing is started, and no traceback shown."""
    shown = tocsin("demo", "--listen", listen)
    assert shown.returncode == 2
    assert re.fullmatch(r"tocsin: --listen: expected .+, found .+\n", shown.stderr), shown.stderr


def test_wrong_usage_is_exit_code_2() -> None:
    """As of every command line."""
    assert tocsin("run", "--no-such-option").returncode == 2
    assert tocsin("no-such-command").returncode == 2


def test_the_version_is_told() -> None:
    """One line."""
    assert re.fullmatch(r"tocsin \d+\.\d+\.\d+\n", tocsin("--version").stdout)


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "demo",
        "check",
        "schema",
        "status",
        "alarm ack",
        "alarm confirm",
        "alarm reject",
        "silence",
        "test",
        "webhook test",
        "outbox list",
        "outbox retry",
        "outbox purge",
        "evidence get",
        "evidence export",
        "alarm list",
        "alarm show",
        "audit",
        "evaluate",
        "light",
        "augment",
        "probe",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`--help` shows how to type it."""
    shown = tocsin(*command.split(), "--help")
    assert shown.returncode == 0
    assert f"Example: tocsin {command}" in shown.stdout


def test_the_schema_is_the_shipped_one() -> None:
    """Editors that read config/tocsin.schema.json know what the program knows."""
    from tocsin.resources import find

    assert tocsin("schema").stdout == find("config/tocsin.schema.json").read_text()


def test_the_demo_raises_alarms_and_stops_at_ctrl_c(tmp_path: Path) -> None:
    """Within seconds a verified alarm is printed; Ctrl-C ends it within three, with a summary and no traceback."""
    printed, errors = tmp_path / "printed", tmp_path / "errors"
    with printed.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "demo"],
            stdout=out,
            stderr=err,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        until(lambda: "/alarm/" in printed.read_text(), 30.0, "the first alarm and its link")
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - began < 3.0
    finally:
        process.kill()
    assert errors.read_text() == ""
    text = printed.read_text()
    assert re.search(r"metrics\s+http://127\.0\.0\.1:\d+/metrics", text)
    assert re.search(r"nanodet-coco-416 on \w+Provider", text)
    assert re.search(
        r"ALARM RAISED\s+person 0\.\d\d at street/gate, .* 5 of 10 frames; verified after \d+ ms", text
    )
    link = r"^ {10}see it, answer it: http://127\.0\.0\.1:\d+/alarm/alarm_\S+&signature=[0-9a-f]+$"
    assert re.search(link, text, re.MULTILINE)
    assert re.search(r"Stopped after \d+ s: \d+ frames analysed, [1-9]\d* alarms? raised", text)
