"""`tocsin evaluate` as a person types it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.wait import until

pytestmark = pytest.mark.acceptance

COMMAND = [sys.executable, "-m", "tocsin", "evaluate"]


def evaluate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=100)


def test_it_runs_on_what_is_shipped() -> None:
    """Without footage it scores the bundled model on the bundled clip, and says whose labels they are."""
    done = evaluate("--every", "52", "--simulate", "veil0.75")
    assert (done.returncode, done.stderr) == (0, "")
    assert "scored      5 pictures, every 52nd labelled one" in done.stdout
    assert "Machine labels" in done.stdout
    assert "veil0.75: mean luma 20" in done.stdout
    assert "\x1b" not in done.stdout


def test_glare_costs_persons_and_the_guided_correction_finds_them() -> None:
    """What the product is for, in the JSON that programs read."""
    shown = json.loads(evaluate("--every", "13", "--simulate", "veil0.75", "--json").stdout)
    recorded, veiled = (shown["conditions"][name] for name in ("as-recorded", "veil0.75"))
    assert recorded["off"]["recall"] > 0.9
    assert veiled["off"]["recall"] < recorded["off"]["recall"] - 0.05
    gain = veiled["guided"]["difference_to_off"]["recall"]
    assert gain["value"] > 0.04
    assert gain["low"] > 0


def test_a_name_does_nothing_to_the_terminal() -> None:
    """A sentence about a file with control characters in its name shows them and does not send them."""
    done = evaluate("--video", "a\x1b[2J:x:.mp4", "--labels", "none.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "\x1b" not in done.stderr


def test_ctrl_c_shows_what_was_seen() -> None:
    """The first one ends the pass, and the code is that of an interruption."""
    running = subprocess.Popen(
        [*COMMAND, "--variants", "off", "--alarms", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        until(lambda: _has_open(running.pid, "pedestrians.mp4"), 30, "the clip to be open")
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "")
    shown = json.loads(out)
    assert shown["evaluated"]["interrupted"] is True
    assert shown["conditions"]["as-recorded"]["off"]["frames"] < 260


def _has_open(pid: int, name: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(entry.readlink().name == name for entry in folder.iterdir())
    except OSError:  # a descriptor that was closed while we looked
        return False


def test_help_says_what_the_figures_mean() -> None:
    """Matching, sizes, light and every variant are defined there, in 80 columns."""
    shown = evaluate("--help").stdout
    for word in ("32x32", "96x96", "iscrowd", "Poisson", "gamma100", "halfveil", "track_id", "Example:"):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["--labels", "x.json"],
            2,
            "--labels: expected one for each --video and --images, which are 0, found 1",
        ),
        (["--simulate", "viel0.5"], 2, "did you mean veil?"),
        (["--rules", "/nowhere.yaml"], 78, "/nowhere.yaml: expected a readable file"),
        (
            ["--model", "nanodet"],
            78,
            "detector.model: expected nanodet-coco-416, nanodet-coco-416-int8 or a path",
        ),
        (["--plot", "/nowhere/plot.png"], 2, "--plot: expected a name in a folder that is there, found"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: list[str], code: int, sentence: str) -> None:
    """On stderr, with the exit code of its kind."""
    done = evaluate(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("tocsin: ")
    assert sentence in line
