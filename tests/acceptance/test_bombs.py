"""Configuration files that are made to cost more than they weigh: refused at once, by the command itself."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tocsin.yamlfile import MAX_VALUES

pytestmark = pytest.mark.acceptance

SOUND = """
streams:
  - {name: door, source: /dev/video0, rules: [intruder]}
rules:
  - {name: intruder, classes: [person]}
state_dir: state
"""
MANY = MAX_VALUES // 4

BOMBS = {
    "aliases": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n" for one, two in pairwise("abcdefghi"))
    ),
    "merge keys": "a: &a {b: 1}\nc: {<<: *a}\n",
    "a tower of lists": "a: " + "[" * 100_000,
    "a tower of keys": "a: " + "{b: " * 100_000,
    "a tag": "a: !!python/object/apply:os.system [true]\n",
    "over a mebibyte": SOUND + "#" * 1024 * 1024,
    "many values": "streams:\n" + "- {}\n" * 200_000,
    "many faults": "streams:\n" + "- {name: a, source: b}\n" * MANY,
    "many unknown keys": "".join(f"k{number}: 1\n" for number in range(2 * MANY)),
    "many unknown rules": f"streams:\n- {{name: a, source: 'rtsp://h/', rules: [{'a, ' * 3 * MANY}]}}\n",
    "many repeated keys": SOUND + "state_dir: state\n" * 2 * MANY,
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command cost: seconds of a processor, and megabytes at most."""

    status: int
    said: str
    seconds: float
    megabytes: float


def check(file: Path) -> Cost:
    """Check a configuration in a process of its own."""
    errors = file.with_suffix(".errors")
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "check", str(file)], stdout=subprocess.DEVNULL, stderr=stderr
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it is gone: nobody else may wait for it
    return Cost(
        process.returncode, errors.read_text(), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Cost:
    """What it costs to check a sound configuration: most of it is the model."""
    file = tmp_path_factory.mktemp("sound") / "tocsin.yaml"
    file.write_text(SOUND)
    cost = check(file)
    assert cost.status == 0, cost.said
    return cost


@pytest.mark.fault(56)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_for_the_price_of_a_sound_file(bomb: str, sound: Cost, tmp_path: Path) -> None:
    """With exit code 78, in sentences, within a second and fifty megabytes more than a sound one takes."""
    file = tmp_path / "tocsin.yaml"
    file.write_text(BOMBS[bomb])
    cost = check(file)
    assert cost.status == 78, cost.said
    assert all(re.match(rf"tocsin: {re.escape(str(file))}\S* .+", line) for line in cost.said.splitlines())
    assert 1 <= len(cost.said.splitlines()) <= 101
    assert cost.seconds < sound.seconds + 1.0
    assert cost.megabytes < sound.megabytes + 50
