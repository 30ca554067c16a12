"""A run can be stopped anywhere and goes on where it was; what is there is whole, and always the same."""

import errno
import json
import os
import pickle
import re
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from support.augmenting import ALWAYS, OFF, augment
from support.datasets import coco, picture, records, save, tree, yolo
from tocsin.augment import output
from tocsin.augment.dataset import Source
from tocsin.augment.manifest import Line, Manifest, Record
from tocsin.augment.produce import Job, Workshop, make, make_all
from tocsin.errors import InputError, OutputError
from tocsin.footage.simulate import parse
from tocsin.light.plan import Mode, Policy

RANGES = "ev-4..ev-1/noise0.001..0.006,veil0.2..veil0.8"


@pytest.mark.parametrize("make", [yolo, coco], ids=["yolo", "coco"])
def test_the_number_of_processes_changes_nothing(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """Not a byte differs between one process and three, the manifest included."""
    file = make(tmp_path / "in")
    recipe = replace(OFF, policy=Policy())
    for processes in (1, 3):
        out = tmp_path / f"out{processes}"
        augment(file, out, ranges=RANGES, per_image=2, processes=processes, recipe=recipe)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")


def test_many_pictures_come_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    """More than the processes are handed at once: the manifest does not tell how many there were."""
    file = yolo(tmp_path / "in", {"train": 20})
    for processes in (1, 2):
        augment(file, tmp_path / f"out{processes}", processes=processes)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out2")


def jobs(folder: Path, counts: Sequence[int]) -> list[Job]:
    """Write a picture for each count, to be shown in as many conditions."""
    found = []
    for number, count in enumerate(counts):
        path = save(folder / f"{number}.png", picture(number, 1280, 720))
        lights = parse(",".join(f"veil0.{share:02}" for share in range(1, count + 1)))
        found.append(Job(Source(path.name, path, PurePosixPath("images", path.name), "train"), lights))
    return found


def test_a_job_ends_before_the_next_picture(tmp_path: Path) -> None:
    """Once it is told to stop; what is made until then is told."""
    (job,) = jobs(tmp_path, [3])
    answers = iter([False, True])
    made = make(job, Workshop(tmp_path / "out", OFF, 0), lambda: next(answers))
    assert [line.record.picture for line in made.lines] == ["images/0__veil0.01.png"]
    assert made.loss is None


def test_processes_end_within_their_jobs(tmp_path: Path) -> None:
    """When nobody wants more results, none makes all the pictures that it was asked for."""
    results = make_all(jobs(tmp_path, [1, 60, 60]), Workshop(tmp_path / "out", OFF, 0), 2)
    first = next(results)
    results.close()
    assert len(first.lines) == 1
    assert len(tree(tmp_path / "out")) < 1 + 60


def test_the_seed_changes_what_is_drawn(tmp_path: Path) -> None:
    """Another seed, another data set."""
    file = yolo(tmp_path / "in")
    for seed in (0, 1):
        augment(file, tmp_path / f"out{seed}", ranges=RANGES, seed=seed)
    assert tree(tmp_path / "out0") != tree(tmp_path / "out1")


def test_every_picture_has_dice_of_its_own(tmp_path: Path) -> None:
    """Two sources have not the same noise, nor has one in two conditions; another seed is another noise."""
    file = yolo(tmp_path / "in", {"train": 3})
    seeds: list[int] = []
    for seed in (0, 1):
        augment(file, tmp_path / f"out{seed}", conditions="ev-1/noise0.01,ev-2/noise0.01", seed=seed)
        seeds += [record["seed"] for record in records(tmp_path / f"out{seed}")]
    assert len(seeds) == 18
    assert len(set(seeds)) == 18


class Disk:
    """A disk that has room for so many files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, error: int = errno.ENOSPC) -> None:
        self.room = room
        self.refused = 0
        self._error = error
        self._sync = os.fsync
        monkeypatch.setattr(output.os, "fsync", self._fsync)

    def _fsync(self, descriptor: int) -> None:
        if self.room == 0:
            self.refused += 1
            raise OSError(self._error, os.strerror(self._error))
        self.room -= 1
        self._sync(descriptor)


@pytest.mark.parametrize("make", [yolo, coco], ids=["yolo", "coco"])
@pytest.mark.parametrize("room", [0, 1, 2, 5, 7])
def test_a_full_disk_is_told_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], room: int
) -> None:
    """Wherever the room ends: one sentence, nothing half-written, and in the end what an untroubled run makes."""
    file = make(tmp_path / "in")
    with monkeypatch.context() as patch:
        disk = Disk(patch, room)
        with pytest.raises(
            OutputError, match=r"expected to write there, found: No space left on device; what is"
        ):
            augment(file, tmp_path / "out")
        assert disk.refused == 1
    assert not list(tmp_path.rglob("*.part"))
    done = [record["picture"] for record in records(tmp_path / "out")] if room else []
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.made == len(ran.outcome.records) - len(done)
    augment(file, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_second_run_redoes_nothing(tmp_path: Path) -> None:
    """No picture is touched, and the outcome speaks of all that are there."""
    file = yolo(tmp_path / "in")
    first = augment(file, tmp_path / "out", recipe=ALWAYS).outcome
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/images").rglob("*.jpg")}
    second = augment(file, tmp_path / "out", recipe=ALWAYS, processes=2).outcome
    assert second.made == 0
    assert second.records == first.records
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_manifest_that_breaks_off_is_mended(tmp_path: Path) -> None:
    """A line that was being written when the power went is no line; its picture is made again."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out")
    whole = tree(tmp_path / "out")
    manifest = tmp_path / "out/tocsin-augment.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-30])
    assert augment(file, tmp_path / "out").outcome.made == 1
    assert tree(tmp_path / "out") == whole


def test_a_manifest_that_was_not_begun_is_no_stranger(tmp_path: Path) -> None:
    """A run that was killed at its first step leaves half a file, and the same command goes on."""
    file = yolo(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/tocsin-augment.jsonl.part").write_bytes(b'{"tocs')
    augment(file, tmp_path / "out")
    augment(file, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
    ],
)
def test_a_picture_that_is_gone_is_made_again(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """The disk is believed, not the manifest."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out")
    whole = tree(tmp_path / "out/images")
    harm(tmp_path / "out/images/train/02__ev+1.jpg")
    assert augment(file, tmp_path / "out").outcome.made == 1
    assert tree(tmp_path / "out/images") == whole


def test_what_changed_in_the_data_set_is_followed(tmp_path: Path) -> None:
    """A new picture, a new version of one and a new label come in with the next run; the rest stays."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out")
    save(tmp_path / "in/images/train/09.jpg", picture(9))
    save(tmp_path / "in/images/train/01.jpg", picture(7))
    (tmp_path / "in/labels/train/00.txt").write_text("1 0.1 0.1 0.1 0.1\n")
    assert augment(file, tmp_path / "out").outcome.made == 4
    augment(file, tmp_path / "whole")
    for folder in ("images", "labels"):
        assert tree(tmp_path / "out" / folder) == tree(tmp_path / "whole" / folder)


def test_a_new_version_is_seen_by_its_time(tmp_path: Path) -> None:
    """A file of the same size, written later and with other content, is another picture."""
    file = yolo(tmp_path / "in", suffix=".bmp")
    augment(file, tmp_path / "out")
    changed = save(tmp_path / "in/images/train/01.bmp", picture(7))
    same = tmp_path / "in/images/train/02.bmp"
    later = (tmp_path / "out/data.yaml").stat().st_mtime_ns + 1_000_000_000
    for path in (changed, same):
        os.utime(path, ns=(later, later))
    assert augment(file, tmp_path / "out").outcome.made == 2


def test_a_new_version_is_seen_by_its_size(tmp_path: Path) -> None:
    """An older file that took the place of a picture is another picture too."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out")
    os.utime(save(tmp_path / "in/images/train/01.jpg", picture(7, 80, 60)), ns=(0, 0))
    assert augment(file, tmp_path / "out").outcome.made == 2


def test_a_picture_that_broke_is_no_longer_spoken_of(tmp_path: Path) -> None:
    """What was made of it before was made of another file: its labels may be as old."""
    file = coco(tmp_path / "in")
    augment(file, tmp_path / "out")
    (tmp_path / "in/images/01.png").write_bytes(b"rubbish")
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 2
    images = json.loads((tmp_path / "out/annotations.json").read_text())["images"]
    assert {image["source_id"] for image in images} == {100, 102}


def test_an_old_file_stays_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads at any time reads one or the other."""
    output.write(tmp_path / "a.json", b"old")
    disk = Disk(monkeypatch, 0)
    with pytest.raises(OutputError):
        output.write(tmp_path / "a.json", b"new")
    assert disk.refused == 1
    assert tree(tmp_path) == {"a.json": b"old"}


def test_a_picture_without_a_source_is_told(tmp_path: Path) -> None:
    """It is nobody's right to delete it; a COCO file no longer speaks of it."""
    file = coco(tmp_path / "in")
    augment(file, tmp_path / "out")
    coco(tmp_path / "in", count=2)
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 2
    assert any("2 pictures" in sentence and "sources that are gone" in sentence for sentence in ran.told)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"seed": 1}, "found seed 1 where it was 0"),
        (
            {"conditions": "ev+2"},
            'found conditions ["as-recorded", "ev+2"] where it was ["as-recorded", "ev+1"]',
        ),
        ({"recipe": ALWAYS}, "found light mode dacot where it was off"),
        ({"recipe": replace(OFF, shrink=True)}, "found shrink true where it was false"),
        ({"recipe": replace(OFF, width=96)}, "found input 96x64 where it was 64x64"),
        ({"ranges": "ev+1..ev+2"}, "found range ev+1..ev+2 where it was"),
    ],
)
def test_other_options_are_refused(tmp_path: Path, changed: dict[str, object], sentence: str) -> None:
    """One folder is made in one way; the sentence says which option differs, and how."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(InputError) as caught:
        augment(file, tmp_path / "out", **changed)  # type: ignore[arg-type]
    assert sentence in str(caught.value)
    assert tree(tmp_path / "out") == before


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    """Two data sets in one folder would be mixed."""
    augment(yolo(tmp_path / "in"), tmp_path / "out")
    with pytest.raises(InputError, match=r"found data .*/other/data.yaml where it was .*/in/data.yaml"):
        augment(yolo(tmp_path / "other"), tmp_path / "out")


def test_nothing_is_written_over_the_input(tmp_path: Path) -> None:
    """Neither into it, nor around it, nor over a link to it."""
    file = yolo(tmp_path / "in")
    before = tree(tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in ("in", "in/augmented", "in/images", "link", "link/new", "."):
        with pytest.raises(InputError, match="expected a folder apart from the data set"):
            augment(file, tmp_path / out)
    assert tree(tmp_path / "in") == before


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """What stands in the way is named."""
    file = yolo(tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"expected an empty folder .*found 'thesis.txt' in it"):
        augment(file, tmp_path / "full")
    with pytest.raises(InputError, match="expected a folder, found a file"):
        augment(file, tmp_path / "full/thesis.txt")
    assert list(tree(tmp_path / "full")) == ["thesis.txt"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "found no first line"),
        (b"rubbish\n", r"jsonl:1: expected a line of a manifest, found no JSON"),
        (b"[]\n", r"jsonl:1: expected an object"),
        (b"{}\n", "found tocsin augment 1 where it was null"),
    ],
)
def test_a_damaged_manifest_is_told(tmp_path: Path, text: bytes, sentence: str) -> None:
    """Nothing is guessed about a folder that cannot say what it is."""
    file = yolo(tmp_path / "in")
    augment(file, tmp_path / "out")
    (tmp_path / "out/tocsin-augment.jsonl").write_bytes(text)
    with pytest.raises(InputError, match=sentence):
        augment(file, tmp_path / "out")


def lines(folder: Path, count: int) -> dict[str, int]:
    """Write a manifest of so many pictures, four of each source; return the options it was begun with."""
    entry = {
        "source_bytes": 99,
        "source_size": [1920, 1080],
        "size": [1920, 1080],
        "correction": "stretch",
        "seed": 5,
        "light": dict.fromkeys(map(str, range(20)), 0.5),
        "reason": "haze",
        "bytes": 99,
    }
    written = [{"tocsin_augment": 1, "seed": 0}] + [
        {
            "picture": f"images/train/{number:06}.jpg",
            "source": f"images/{number // 4:06}.jpg",
            "sha256": f"{number // 4:064}",
            "condition": f"ev+{number % 4}",
            **entry,
        }
        for number in range(count)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "tocsin-augment.jsonl").write_text("".join(json.dumps(one) + "\n" for one in written))
    return {"seed": 0}


def test_a_picture_costs_little_memory(tmp_path: Path) -> None:
    """A few hundred bytes, read from a manifest or made just now: there may be a million pictures.

    Looked at twice: Python's own table of strings may grow by megabytes at any moment, and then for long no more.
    """
    kept, peak, added = map(min, zip(_costs(tmp_path / "one"), _costs(tmp_path / "other"), strict=True))
    assert kept < 500
    assert peak < 600, "the file is not held as a whole"
    assert added < 500


def _costs(folder: Path) -> tuple[float, float, float]:
    """Return the bytes for a picture: one that was read, the same at the worst moment, and one that is added."""
    options, count = lines(folder, 4000), 4000
    tracemalloc.start()
    try:
        with Manifest.open(folder, options) as manifest:
            kept, peak = tracemalloc.get_traced_memory()
            assert len(manifest.records) == count
            made = [
                Line(
                    replace(record, picture=f"new/{number:06}.jpg", sha256="".join(record.sha256)),
                    0,
                    {},
                    None,
                )
                for number, record in enumerate(manifest.records.values())
            ]
            before = tracemalloc.get_traced_memory()[0]
            manifest.add(made)
            made.clear()
            added = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return kept / count, peak / count, added / count


def test_equal_values_of_pictures_are_one_object(tmp_path: Path) -> None:
    """Of a line that was read and of one that is added."""
    with Manifest.open(tmp_path, lines(tmp_path, 5)) as manifest:
        one, other, *_, last = manifest.records.values()
        copy = Record(**{**{key: copied(getattr(one, key)) for key in one.__slots__}, "picture": "new.jpg"})
        manifest.add([Line(copy, 0, {}, None)])
        new = manifest.records["new.jpg"]
    for key in ("source", "sha256", "source_size", "size", "correction"):
        assert getattr(one, key) is getattr(other, key), key
        assert getattr(one, key) is getattr(new, key), key
    assert one.condition is last.condition is new.condition


def copied(value: object) -> object:
    """Return an equal value in another object, as it comes from another process."""
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", [1, 2, 3]), ("size", None), ("source", 7), ("sha256", None), ("picture", [])],
)
def test_a_strange_line_of_a_manifest_is_told(tmp_path: Path, key: str, value: object) -> None:
    """With its number."""
    options = lines(tmp_path, 2)
    manifest = tmp_path / "tocsin-augment.jsonl"
    written = [json.loads(line) for line in manifest.read_text().splitlines()]
    written[2][key] = value
    manifest.write_text("".join(json.dumps(one) + "\n" for one in written))
    with pytest.raises(InputError, match=r"jsonl:3: expected a picture of a manifest, found"):
        Manifest.open(tmp_path, options)


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    """The second one is told so."""
    (tmp_path / "out").mkdir()
    with (
        Manifest.open(tmp_path / "out", {"seed": 0}),
        pytest.raises(InputError, match="found another run at work"),
    ):
        Manifest.open(tmp_path / "out", {"seed": 0})
    Manifest.open(tmp_path / "out", {"seed": 0}).__exit__(None, None, None)


def test_unusable_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    """With their labels; all others are there, and the next run tries again."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/images/train/01.jpg").write_bytes(b"rubbish")
    (tmp_path / "in/labels/train/02.txt").write_text("0 0.5 0.5 0.1 0.1\n0 0.5 oops\n")
    save(tmp_path / "in/images/train/04.jpg", picture(4)).rename(tmp_path / "in/images/train/04.heic")
    ran = augment(file, tmp_path / "out", processes=2)
    assert ran.outcome.sources == 4
    lines, foreign, rubbish = ran.told
    folder = f"left out: {tmp_path}/in"
    assert lines.startswith(
        f"{folder}/labels/train/02.txt:2: expected a class and four or more numbers, found none in place 3"
    )
    assert foreign.startswith(f"{folder}/images/train/04.heic: expected one of .bmp, .jpeg, .jpg")
    assert rubbish.startswith(f"{folder}/images/train/01.jpg: expected an image, found data of another kind")
    assert not [path for path in tree(tmp_path / "out") if re.search(r"train/0[124]__", path)]
    yolo(tmp_path / "in")
    (tmp_path / "in/images/train/04.heic").unlink()
    assert augment(file, tmp_path / "out").told == []
    augment(file, tmp_path / "whole")
    assert tree(tmp_path / "out/images") == tree(tmp_path / "whole/images")


@pytest.mark.parametrize("processes", [1, 2])
def test_strict_stops_at_the_first(tmp_path: Path, processes: int) -> None:
    """What was done before it stays."""
    file = yolo(tmp_path / "in")
    (tmp_path / "in/images/train/02.jpg").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"train/02.jpg: expected an image, found data of another kind"):
        augment(file, tmp_path / "out", strict=True, processes=processes)
    assert {record["source"] for record in records(tmp_path / "out")} == {
        "images/train/00.jpg",
        "images/train/01.jpg",
    }


def test_a_name_that_would_grow_too_long_is_told(tmp_path: Path) -> None:
    """File systems end at 255 bytes."""
    file = yolo(tmp_path / "in")
    save(tmp_path / "in/images/train" / ("x" * 245 + ".jpg"), picture(1))
    ran = augment(file, tmp_path / "out")
    assert ran.outcome.sources == 6
    assert "expected a shorter name" in ran.told[-1]


def test_the_manifest_says_what_was_done(tmp_path: Path) -> None:
    """For programs: the options first, then a line for each picture."""
    file = yolo(tmp_path / "in")
    policy = Policy(Mode.DACOT, brighter_than=0)
    augment(file, tmp_path / "out", recipe=replace(OFF, policy=policy))
    first = json.loads((tmp_path / "out/tocsin-augment.jsonl").read_text().splitlines()[0])
    assert first["tocsin_augment"] == 1
    assert (first["light_mode"], first["light_brighter_than"], first["seed"]) == ("dacot", 0, 0)
    second = records(tmp_path / "out")[1]
    assert second["picture"] == "images/train/00__ev+1.jpg"
    assert second["source"] == "images/train/00.jpg"
    assert len(second["sha256"]) == 64
    assert second["condition"] == "ev+1"
    assert second["correction"] in ("darken+clahe", "clahe")
    assert 0 < second["light"]["mean"] < 255
    numbers = [value for value in second["light"].values() if isinstance(value, float)]
    assert numbers == [round(value, 4) for value in numbers]
