"""The commands as a person types them: what they print, and what they say about bad input."""

import os
import re
import signal
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
        r"valid: 1 streams?, 1 rules?, 1 webhooks?; nanodet-coco-416 runs on \w+Provider", checked.stdout
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
            r"webhooks\[0\].secret: expected .*none.secret",
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
            r"junk\.onnx: .*found",
            id="a model file that is none",
        ),
        pytest.param(
            "streams:",
            "detector: {model: missing.onnx}\nstreams:",
            r"missing\.onnx",
            id="a model file that is missing",
        ),
        pytest.param(
            "/dev/video0",
            "rtps://camera/1",
            r"streams\[0\].source: expected rtsp://",
            id="an unknown kind of source",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(good: Path, before: str, after: str, sentence: str) -> None:
    """`check` and `run` say the same, start nothing, and exit with 78."""
    (good.parent / "junk.onnx").write_text("<html>not a model</html>")
    assert before in GOOD
    good.write_text(
        GOOD.replace(before, after) + f"state_dir: {good.parent / 'state'}\nhttp: {{listen: '127.0.0.1:0'}}\n"
    )
    for command in (("check", str(good)), ("run", "--config", str(good))):
        done = tocsin(*command)
        assert done.returncode == 78, done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("tocsin: ")]
        assert len(said) == 1, done.stderr
        assert re.search(sentence, said[0]), said[0]
        assert "Traceback" not in done.stderr


def test_every_fault_is_told_in_one_go(good: Path) -> None:
    """Nobody has to start it five times to find five faults."""
    good.write_text(
        GOOD.replace("rules: [intruder]}", "rules: [intrudr], max_fps: -1}").replace(
            "classes: [person]", "min_score: 2"
        )
    )
    checked = tocsin("check", str(good))
    assert checked.returncode == 78
    assert len(checked.stderr.splitlines()) == 4, checked.stderr


def test_wrong_usage_is_exit_code_2() -> None:
    """As of every command line."""
    assert tocsin("run", "--no-such-option").returncode == 2
    assert tocsin("no-such-command").returncode == 2


def test_the_version_is_told() -> None:
    """One line."""
    assert re.fullmatch(r"tocsin \d+\.\d+\.\d+\n", tocsin("--version").stdout)


@pytest.mark.parametrize("command", ["run", "demo", "check", "schema", "status", "webhook test"])
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
        until(lambda: "ALARM RAISED" in printed.read_text(), 30.0, "the first alarm")
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
    assert re.search(r"Stopped after \d+ s: \d+ frames analysed, [1-9]\d* alarms? raised", text)
