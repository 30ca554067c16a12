"""Tests side by side, and those that run alone: by runs of small suites."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.wait import SCALE

CONFTEST = """
from pathlib import Path
from support import parallel
from support.parallel import pytest_cmdline_main, pytest_collection_modifyitems, pytest_runtest_protocol
parallel._ROOM, parallel._DOOR = Path(__file__).parent, Path(__file__).parents[1]  # the others are in use
"""
WITH_ANOTHER = """
from pathlib import Path
from support.wait import until
def test_it():
    Path("{me}-began").touch()
    until(Path("{other}-began").exists, 10, "the other")
    Path("{me}-ended").touch()
"""
ALONE = """
import time, pytest
from pathlib import Path
pytestmark = pytest.mark.alone
def test_it():
    assert len(list(Path().glob("*-ended"))) == 2
    with open("alone", "x"):
        time.sleep(0.3)
    Path("alone").unlink()
"""
WHERE = """
import os
def test_it(): print("worker:", os.environ.get("PYTEST_XDIST_WORKER", "none"))
"""


def run(folder: Path, files: dict[str, str], *arguments: str) -> str:
    """Run a suite of these files on one core; return what pytest prints."""
    tests = folder / "tests"
    tests.mkdir(exist_ok=True)
    for name, text in {"conftest": CONFTEST, **files}.items():
        (tests / f"{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\nmarkers = alone\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rP", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        timeout=60 * SCALE,
        preexec_fn=lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_others_run_side_by_side_and_what_is_alone_comes_last_and_alone(tmp_path: Path) -> None:
    """Two that wait for one another both pass; two that bear nobody, from two workers, meet nobody."""
    others = {f"test_{me}": WITH_ANOTHER.format(me=me, other=other) for me, other in ("bc", "cb")}
    assert "4 passed" in run(tmp_path, {"test_a": ALONE, **others, "test_d": ALONE})


@pytest.mark.parametrize(
    ("arguments", "workers"), [([], {"gw0", "gw1"}), (["-n", "0"], {"none"}), (["tests/test_a.py"], {"none"})]
)
def test_everything_has_workers_and_a_file_has_none(
    tmp_path: Path, arguments: list[str], workers: set[str]
) -> None:
    """One more than there are cores; whoever looks into one file needs no other process for that."""
    said = run(tmp_path, {"test_a": WHERE, "test_b": WHERE}, *arguments)
    assert {line.split()[1] for line in said.splitlines() if line.startswith("worker:")} == workers
