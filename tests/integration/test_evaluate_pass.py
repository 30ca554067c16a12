"""One pass over the recordings: which pictures count, in which light, as whose scene, and what is left out."""

import io
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from support.footage import CELL, ELSEWHERE, REQUEST, film, label, seen
from support.scene import Block, Scene
from tocsin.alarm.zone import Zones
from tocsin.capture.mailbox import Mailbox, create
from tocsin.capture.order import ViewOrder
from tocsin.capture.pace import Pace
from tocsin.capture.views import Views
from tocsin.errors import InputError
from tocsin.evaluate import assess as assessing
from tocsin.evaluate import table
from tocsin.evaluate.assess import Telling, assess
from tocsin.evaluate.cells import say
from tocsin.evaluate.intervals import Unit
from tocsin.evaluate.labels import load
from tocsin.evaluate.look import Lane, Plain
from tocsin.evaluate.outcome import Outcome
from tocsin.evaluate.report import Head
from tocsin.evaluate.run import Asked, Recording, run
from tocsin.evaluate.scores import THRESHOLDS, LightClass
from tocsin.evaluate.variants import parse
from tocsin.footage.pictures import pictures
from tocsin.footage.simulate import conditions
from tocsin.frame import Detections, Frame
from tocsin.light.plan import Mode, Policy
from tocsin.resources import find

VISIT = Scene(numbered=False, blocks=(Block(CELL, 1.0, 3.0),))
EMPTY = Scene(numbered=False)
OFF = Lane("as-recorded", "off")
CATEGORIES = [{"id": 1, "name": "block"}]


def done(**changed: Any) -> tuple[Head, Outcome]:
    return assess(replace(REQUEST, **changed), threading.Event())


def folder_of(place: Path, **colours: tuple[int, int, int]) -> Path:
    """A folder of images, each of one colour."""
    place.mkdir()
    for name, colour in colours.items():
        cv2.imwrite(str(place / f"{name}.png"), np.full((48, 64, 3), colour, np.uint8))
    return place


def labels_of(folder: Path, **more: dict[str, Any]) -> Path:
    """Labels of all images of a folder, in which nothing is; `more` about each by its name."""
    images = [
        {"id": number, "file_name": file.name, **more.get(file.stem, {})}
        for number, file in enumerate(sorted(folder.iterdir()))
    ]
    return label(folder.parent, folder.name, EMPTY, 0, images=images)


def test_images_without_scenes_are_drawn_one_by_one(tmp_path: Path, block_model: Path) -> None:
    """Two folders are no two scenes: nothing binds the pictures of one together, unless their labels say so."""
    grey = dict.fromkeys("abc", (90, 90, 90))
    folders = folder_of(tmp_path / "one", **grey), folder_of(tmp_path / "two", **grey)
    files = tuple(labels_of(folder) for folder in folders)
    asked = {"folders": folders, "model": str(block_model), "variants": "off,stretch"}
    _, outcome = done(labels=files, **asked)
    difference = outcome.columns[Lane("as-recorded", "stretch")].difference
    assert difference is not None
    assert (difference.unit, difference.count) == (Unit.FRAMES, 6)
    gate = {name: {"scene": "gate"} for name in "ab"}
    _, outcome = done(labels=tuple(labels_of(folder, **gate) for folder in folders), **asked)
    difference = outcome.columns[Lane("as-recorded", "stretch")].difference
    assert difference is not None
    assert (difference.unit, difference.count) == (Unit.SCENES, 4)


def test_the_light_of_labels_is_that_of_the_recording(tmp_path: Path, block_model: Path) -> None:
    """A simulated light is measured; a picture whose colour only a veil took away is no infrared one."""
    folder = folder_of(tmp_path / "images", blue=(200, 40, 20), dark=(60, 60, 90), grey=(100, 100, 100))
    files = (labels_of(folder, blue={"light": "low"}),)
    _, outcome = done(folders=(folder,), labels=files, model=str(block_model), simulate="veil1")
    shown = {
        name: {
            light: counts.frames
            for light, counts in outcome.columns[Lane(name, "off")].scores.by_light.items()
        }
        for name in ("as-recorded", "veil1")
    }
    assert shown["as-recorded"] == {LightClass.LOW: 2, LightClass.ARTIFICIAL: 1}
    assert shown["veil1"] == {LightClass.HIGH: 2, LightClass.ARTIFICIAL: 1}


def test_what_is_left_out_is_counted(tmp_path: Path, block_model: Path) -> None:
    """Labelled pictures that are not there, and boxes with faults, are shown beside the footage."""
    folder = folder_of(tmp_path / "images", a=(9, 9, 9), b=(9, 9, 9))
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("abcd")]
    boxes = [{"id": number, "image_id": 0, "category_id": 1, "bbox": []} for number in range(20)]
    file = label(tmp_path, "images", EMPTY, 0, images=images, annotations=boxes)
    head, outcome = done(folders=(folder,), labels=(file,), model=str(block_model))
    (footage,) = outcome.footage
    assert (footage.scored, footage.skipped, footage.boxes_skipped, head.warnings) == (2, 2, 20, 22)
    console = Console(file=io.StringIO(), width=80, soft_wrap=True)
    table.show(console, head, outcome)
    assert isinstance(console.file, io.StringIO)
    assert "images: 2 pictures; left out: 2 pictures and 20 labelled boxes" in console.file.getvalue()


def test_labels_are_read_once(tmp_path: Path, block_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of the file while the command works for hours changes nothing."""
    video, file = film(tmp_path, "visit", VISIT, 4), label(tmp_path, "visit", VISIT, 4)
    real = assessing.run

    def late(*given: Any, **more: Any) -> Any:
        file.unlink()
        return real(*given, **more)

    monkeypatch.setattr(assessing, "run", late)
    head, _ = done(videos=(video,), labels=(file,), model=str(block_model))
    assert head.labels == ("what was drawn",)


def test_a_plot_spares_what_is_read(tmp_path: Path, block_model: Path) -> None:
    """Neither a picture of a folder, nor of negative footage, nor the folder itself is written to."""
    folder = folder_of(tmp_path / "images", a=(9, 9, 9))
    file, before = labels_of(folder), (folder / "a.png").read_bytes()
    for given in ({"folders": (folder,), "labels": (file,)}, {"negative": (folder,)}):
        with pytest.raises(InputError, match="--plot: expected a place outside"):
            done(**given, model=str(block_model), plot=folder / "a.png")
    assert (folder / "a.png").read_bytes() == before


def test_labels_stand_for_a_second(tmp_path: Path, block_model: Path) -> None:
    """What is there long after the last labelled picture nobody knows: it is no hour without false alarms."""
    video, file = film(tmp_path, "visit", VISIT, 4), label(tmp_path, "visit", VISIT, 1)
    _, outcome = done(videos=(video,), labels=(file,), model=str(block_model))
    assert outcome.columns[OFF].alarms["block"].hours * 3600 == pytest.approx(2.0, abs=0.15)


def test_false_alarms_of_the_plot_are_those_of_negative_footage(tmp_path: Path, block_model: Path) -> None:
    """Where there is some, what lies beside labelled objects is not mixed with it."""
    ghost = Scene(numbered=False, blocks=(Block(ELSEWHERE, 0.5, 2.0),))
    _, outcome = done(
        videos=(film(tmp_path, "visit", VISIT, 4),),
        labels=(label(tmp_path, "visit", VISIT, 4),),
        negative=(film(tmp_path, "ghost", ghost, 3),),
        model=str(block_model),
        target=1.0,
    )
    rates = outcome.false_per_hour[OFF]
    assert rates is not None
    assert rates[THRESHOLDS.index(0.5)] == pytest.approx(3600 / 3, rel=0.02)


class Eyes:
    """A detector that keeps what it was shown, by the number of the picture, and sees nothing."""

    input_width = input_height = 160
    keep_aspect = True

    def __init__(self) -> None:
        self.shown: dict[int, np.ndarray] = {}

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        for frame in frames:
            self.shown[frame.number] = frame.views[0].pixels.copy()
        return [seen(labels=("person",)) for _ in frames]


@pytest.mark.parametrize("watched", [True, False])
def test_pictures_that_the_daemon_leaves_out_change_nothing(watched: bool) -> None:
    """With labels at 25 frames a second and 10 analysed, these are seen as the daemon's worker shows them."""
    clip, policy, eyes = find("assets/pedestrians.mp4"), Policy(mode=Mode.DACOT, brighter_than=0), Eyes()
    labels = load(find("assets/pedestrians.coco.json"), clip, ("person",))
    labels = replace(labels, pictures={index: labels.pictures[index] for index in range(40)})
    asked = Asked(
        plain=Plain(conditions(None), parse("dacot")[1:], policy, 0),
        classes=None,
        score=0.5,
        iou=0.5,
        every=1,
        rules=(),
        zones=Zones({}),
        max_fps=10.0,
        sweep=False,
    )
    if watched:
        asked = replace(asked, rules=assessing.rule_for_each(("person",), 0.5))
    stop, count = threading.Event(), iter(range(1000))

    def step() -> None:
        if next(count) == 39:
            stop.set()

    recording = Recording("clip", clip, labels, still=False, rate=25.0)
    run([recording], asked, eyes, ("person",), tell=lambda _: None, step=step, stop=stop)
    order = ViewOrder(160, 160, True)
    worker, pace, due = Views((order,), policy), Pace(10.0), 0
    descriptor = create(order.capacity)
    mailbox = Mailbox(descriptor, order.capacity)
    os.close(descriptor)
    for picture in pictures(clip, lambda index: index < 40):
        if pace.due(picture.index / 25):
            due += 1
            (record,) = worker.fill(picture.frame, picture.index / 25, mailbox, 0)
            expected = mailbox.pixels(0, 0, record.width, record.height)
            assert np.array_equal(eyes.shown[picture.index], expected), picture.index
    assert 10 < due < 20
    assert len(eyes.shown) == 40


def test_what_strangers_wrote_is_printed_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    """No word becomes a picture, a colour or a command to the terminal."""
    Telling(strict=False).tell("root:x:0:0 [red]\x1b[2J\ud800")
    assert capfd.readouterr().err == "tocsin: warning: root:x:0:0 [red]\\x1b[2J\\ud800\n"
    say(Console(), "root:x:0:0 [red]\x1b[2J\ud800")
    assert capfd.readouterr().out == "root:x:0:0 [red]\\x1b[2J\\ud800\n"
