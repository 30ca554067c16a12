"""`tocsin augment` as a person types it, interrupts it, and types it again."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.datasets import coco, picture, records, save, tree, yolo
from support.process import descendants, is_alive
from support.wait import until

pytestmark = pytest.mark.acceptance

TOCSIN = (sys.executable, "-m", "tocsin", "augment")


def augment(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command of the installed package."""
    words = [*TOCSIN, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=folder)


def large(folder: Path, count: int) -> Path:
    """Write a data set that takes a while."""
    file = yolo(folder, {"train": count})
    for number in range(count):
        save(folder / f"images/train/{number:02}.jpg", picture(number, 1280, 720))
    return file


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Run the command in the background, in a group of its own as a shell does."""
    words = [*TOCSIN, *map(str, arguments)]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def some_done(out: Path) -> bool:
    """Whether a few pictures are in the manifest."""
    return (out / "tocsin-augment.jsonl").exists() and len(records(out)) > 3


def gone(pids: Sequence[int]) -> bool:
    """Whether none of the processes lives."""
    return not any(is_alive(pid) for pid in pids)


def test_a_data_set_is_augmented_in_a_few_words(tmp_path: Path) -> None:
    """Without any option: as recorded and three draws a picture, and what to give to the trainer."""
    yolo(tmp_path / "knives")
    ran = augment("knives/data.yaml", "out", folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.search(r"^out: 18 pictures of 6 sources \(\d+\.\d a second\)$", ran.stdout, re.MULTILINE)
    assert ran.stdout.endswith("for the trainer: out/data.yaml\n")
    again = augment("knives/data.yaml", "out", folder=tmp_path)
    assert "out: 18 pictures of 6 sources, 18 of them from an earlier run\n" in again.stdout


def test_the_outcome_is_told_to_programs(tmp_path: Path) -> None:
    """`--json`: how many of what, where, and what is left out and why."""
    file = coco(tmp_path / "in")
    (tmp_path / "in/images/01.png").unlink()
    ran = augment(file, tmp_path / "out", "--conditions", "ev+2", "--json")
    assert ran.returncode == 0
    told = json.loads(ran.stdout)
    assert told["trainer_file"] == str(tmp_path / "out/annotations.json")
    assert (told["sources"], told["pictures"], told["made"]) == (2, 4, 4)
    assert told["left_out"] == [
        {
            "why": "missing picture",
            "what": f"{tmp_path}/in/images/01.png: expected a picture, found no such file",
        }
    ]
    assert ran.stderr == f"tocsin: left out: {told['left_out'][0]['what']}\n"


def test_light_and_input_come_from_a_configuration(tmp_path: Path) -> None:
    """What the daemon will do, from the daemon's own file."""
    file = yolo(tmp_path / "in")
    (tmp_path / "tocsin.yaml").write_text(
        "streams:\n"
        "  - {name: door, source: /dev/video0, light: {mode: dacot, brighter_than: 0}}\n"
        "  - {name: yard, source: /dev/video1}\n"
    )
    config = ("--config", tmp_path / "tocsin.yaml")
    ran = augment(file, tmp_path / "out", *config, "--stream", "door", "--conditions", "ev+1")
    assert ran.returncode == 0, ran.stderr
    options = json.loads((tmp_path / "out/tocsin-augment.jsonl").read_text().splitlines()[0])
    assert (options["light_mode"], options["input"]) == ("dacot", "416x416")
    assert {record["correction"] for record in records(tmp_path / "out")} <= {"clahe", "darken+clahe"}
    for words, sentence in (
        (config, f"{config[1]}: expected --stream with one of door, yard, found none"),
        ((*config, "--stream", "roof"), "--stream: expected one of door, yard in "),
        (("--stream", "door"), "--stream: expected --config beside it"),
        (("--size", "9", "--model", "x.onnx"), "--size: expected it without --model"),
        (("--brighter-than", "9"), "--brighter-than: expected it only with --mode dacot"),
    ):
        wrong = augment(file, tmp_path / "other", *words)
        assert wrong.returncode == 2
        assert wrong.stderr.startswith(f"tocsin: {sentence}"), wrong.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["nowhere", "out"],
            "nowhere: expected a data set: a COCO .json, a data.yaml or a folder, found nothing",
        ),
        (["in", "in/out"], "in/out: expected a folder apart from the data set"),
        (["in", "out", "--conditions", "ev2+"], "condition 'ev2+'"),
        (["in", "out", "--range", "ev3..1"], "--range ev3..1: expected the lower end first"),
        (["in", "out", "--size", "0x3"], "--size: expected a size such as"),
        (["in", "out", "--splits", "test"], "--splits: expected some of train, val, found test"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    """Nothing is made, and the exit code is 2."""
    yolo(tmp_path / "in")
    ran = augment(*words, folder=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"tocsin: {sentence}"), ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_it_quickly_and_it_goes_on(tmp_path: Path, processes: int) -> None:
    """One sentence, no process left behind, no torn file, much left to do; the same command completes it."""
    file = large(tmp_path / "in", 12)
    words = (file, tmp_path / "out", "--jobs", str(processes))
    run = start(*words)
    try:
        until(lambda: some_done(tmp_path / "out"), 30.0, "the first pictures")
        workers = descendants(run.pid)
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == 130
    assert errors == "tocsin: stopped; what is done stays valid, and the same command goes on from here\n"
    until(lambda: gone(workers), 30.0, "the end of every process")
    assert len(records(tmp_path / "out")) < 48, "it ends before the work does"
    assert not (tmp_path / "out/data.yaml").exists(), "an unfinished data set is not for training"
    again = augment(*words)
    assert (again.returncode, again.stderr) == (0, "")
    assert augment(file, tmp_path / "whole").returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_kill_is_survived(tmp_path: Path) -> None:
    """The processes end with the one that started them, and the same command completes the data set."""
    file = large(tmp_path / "in", 12)
    run = start(file, tmp_path / "out", "--jobs", "2")
    try:
        until(lambda: some_done(tmp_path / "out"), 30.0, "the first pictures")
        workers = descendants(run.pid)
        assert len(workers) >= 2
    finally:
        run.kill()
        run.communicate(timeout=30)
    until(lambda: gone(workers), 30.0, "the end of every process")
    assert augment(file, tmp_path / "out").returncode == 0
    assert augment(file, tmp_path / "whole").returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_process_that_dies_is_a_temporary_failure(tmp_path: Path) -> None:
    """As where memory ends: one sentence, exit code 75, and what is done stays."""
    file = large(tmp_path / "in", 12)
    run = start(file, tmp_path / "out", "--jobs", "2")
    try:
        until(lambda: some_done(tmp_path / "out"), 30.0, "the first pictures")
        helpers = [child for child in descendants(run.pid) if descendants(child)]
        workers = [worker for helper in helpers for worker in descendants(helper)]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        _, errors = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == 75
    assert re.fullmatch(r"tocsin: expected every process to go on, found that one died, .*\n", errors), errors
    assert 3 < len(records(tmp_path / "out")) < 48


def test_a_full_disk_is_a_temporary_failure(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: exit code 75 and one sentence."""
    file = large(tmp_path / "in", 4)
    words = " ".join([*TOCSIN, str(file), str(tmp_path / "out"), "--jobs", "2"])
    ran = subprocess.run(["bash", "-c", f"ulimit -f 8; {words}"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 75, ran.stderr
    assert re.fullmatch(
        r"tocsin: .*/images/train/00__\S+: expected to write there, found: File too large; what is done stays "
        r"valid, and the same command goes on from here\n",
        ran.stderr,
    )
    assert augment(file, tmp_path / "out").returncode == 0


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """A bar with counts there, and nothing of it in a pipe."""
    file = yolo(tmp_path / "in")
    mine, theirs = pty.openpty()
    run = subprocess.Popen(
        [*TOCSIN, str(file), str(tmp_path / "out")],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(mine, 4096):
            shown += piece
    except OSError:  # the terminal is gone with its last user
        pass
    finally:
        os.close(mine)
        assert run.wait(timeout=30) == 0
    assert b"18/18" in shown


def test_a_name_is_told_as_it_is_written(tmp_path: Path) -> None:
    """Neither colons around a word nor brackets become something else; bytes that are no letters are no end."""
    name = os.fsdecode(b"root:x:0 [red]\xff.jpg")
    yolo(tmp_path / "in")
    (tmp_path / "in/images/train" / name).write_bytes(b"rubbish")
    ran = augment("in", "out\udcff", "--conditions", "ev+1", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "in/images/train/root:x:0 [red]\\udcff.jpg: expected an image, found data of another" in ran.stderr
    assert ran.stdout.endswith("for the trainer: out\\udcff/data.yaml\n")


def test_links_are_followed_where_a_person_says_so(tmp_path: Path) -> None:
    """The sentence about a link tells the option that lets it through."""
    yolo(tmp_path / "in")
    (tmp_path / "in/images/train/00.jpg").rename(tmp_path / "00.jpg")
    (tmp_path / "in/images/train/00.jpg").symlink_to(tmp_path / "00.jpg")
    ran = augment("in", "out", folder=tmp_path)
    assert ran.stderr == (
        "tocsin: left out: in/images/train/00.jpg: expected what lies in in, "
        "found a link that leads out of it (see --follow-links)\n"
    )
    assert augment("in", "whole", "--follow-links", folder=tmp_path).stderr == ""


def test_help_shows_an_example() -> None:
    """How to type it."""
    shown = augment("--help")
    assert shown.returncode == 0
    assert "Example: tocsin augment " in shown.stdout
