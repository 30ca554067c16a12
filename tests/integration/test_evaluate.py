"""`tocsin evaluate` on scripted scenes, with a detector that finds bright blocks and nothing else."""

import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from support.footage import CELL, ELSEWHERE, REQUEST, film, label
from support.scene import Block, Scene
from tocsin.detect.detector import Detector, open_detector
from tocsin.errors import ConfigError, InputError
from tocsin.evaluate import report, table
from tocsin.evaluate.assess import Request, assess
from tocsin.evaluate.command import present
from tocsin.evaluate.look import Lane
from tocsin.evaluate.outcome import Outcome
from tocsin.evaluate.report import Head

VISIT = Scene(numbered=False, blocks=(Block(CELL, 1.0, 3.0),))
"""Four seconds, in the middle two of which somebody is there."""

EMPTY = Scene(numbered=False)
GHOST = Scene(numbered=False, blocks=(Block(ELSEWHERE, 0.5, 2.0),))
"""Nobody is there, and the detector sees somebody."""

OFF = Lane("as-recorded", "off")


@pytest.fixture
def visit(tmp_path: Path, block_model: Path) -> Request:
    """The visit with its labels, the rules left to the command."""
    return replace(
        REQUEST,
        videos=(film(tmp_path, "visit", VISIT, 4),),
        labels=(label(tmp_path, "visit", VISIT, 4),),
        model=str(block_model),
    )


def done(request: Request) -> tuple[Head, Outcome]:
    return assess(request, threading.Event())


def printed(head: Head, outcome: Outcome, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)
    table.show(console, head, outcome)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def told(head: Head, outcome: Outcome) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(report.as_json(head, outcome)))
    return shown


def test_what_is_there_and_seen_is_found(visit: Request) -> None:
    """Twenty pictures with one object, found in each; the alarm comes with the fifth of them."""
    head, outcome = done(visit)
    column = outcome.columns[OFF]
    counts = column.scores.overall
    assert (counts.frames, counts.tp, counts.fp, counts.fn) == (40, 20, 0, 0)
    alarms = column.alarms["block"]
    assert (alarms.scenes, alarms.alarmed, alarms.raised, alarms.false) == (1, 1, 1, 0)
    assert alarms.delays is not None
    assert alarms.delays.mean == pytest.approx(0.4, abs=0.01)
    assert alarms.hours == pytest.approx(4 / 3600, rel=0.01)
    assert (head.classes, head.labels) == (("block",), ("what was drawn",))


def test_the_json_has_the_shape_of_the_contract(visit: Request) -> None:
    """Conditions, then variants, then counts; by light and by size; alarms beside them."""
    shown = told(*done(replace(visit, simulate="ev-3,veil0.9", variants="off,guided,placebo")))
    assert list(shown["conditions"]) == ["as-recorded", "ev-3", "veil0.9"]
    assert all(list(lanes) == ["off", "guided", "placebo"] for lanes in shown["conditions"].values())
    entry = shown["conditions"]["ev-3"]["off"]
    assert {"tp", "fp", "fn", "precision", "recall", "f1", "by_light", "by_size"} <= set(entry)
    assert (entry["tp"], entry["fn"], entry["recall"]) == (0, 20, 0.0)
    assert set(entry["by_light"]) == {"artificial"}  # the drawing has no colour
    assert entry["by_size"]["medium"]["positives"] == 20
    assert shown["conditions"]["as-recorded"]["off"]["difference_to_off"] is None
    assert entry["mean_luma"] < 70
    assert shown["alarms"]["ev-3"]["off"]["block"]["never_seen"] == 1
    assert shown["alarms"]["as-recorded"]["off"]["block"]["alarmed"] == 1


def test_the_difference_is_paired_and_has_an_interval(visit: Request) -> None:
    """Where one variant finds everything and the other nothing the interval has no width."""
    _, outcome = done(replace(visit, simulate="ev-2", variants="off,stretch"))
    difference = outcome.columns[Lane("ev-2", "stretch")].difference
    assert difference is not None
    recall = difference.recall
    assert (recall.value, recall.low, recall.high) == (1.0, 1.0, 1.0)


def test_negative_footage_raises_only_false_alarms(visit: Request, tmp_path: Path) -> None:
    """One in three seconds, at every score that the ghost has; above it none, which proves nothing yet."""
    request = replace(visit, negative=(film(tmp_path, "ghost", GHOST, 3),), target=1.0)
    head, outcome = done(request)
    alarms = outcome.columns[OFF].alarms["block"]
    assert (alarms.negative, alarms.false) == (1, 0)
    assert alarms.negative_hours == pytest.approx(3 / 3600, rel=0.01)
    proposal = alarms.proposal
    assert proposal is not None
    assert proposal.threshold == pytest.approx(0.9, abs=0.011)  # the score of every block
    assert not proposal.proven
    text = printed(head, outcome)
    assert "Not proven: 3 s of negative footage is too short" in text
    assert "it takes 72 h without one false alarm" in text


def test_rules_come_from_a_configuration(visit: Request, tmp_path: Path) -> None:
    """With their zones, the model and the rate of their stream: what stands outside the zone is no scene."""
    config = tmp_path / "site.yaml"
    zones = [{"name": "left", "polygon": [[0, 0], [0.3, 0], [0.3, 1], [0, 1]]}]
    rule = {"name": "visit", "classes": ["block"], "confirm": {"hits": 2, "of": 2}}
    streams = [
        {"name": "yard", "source": "/dev/video0", "rules": ["visit"], "max_fps": 5},
        {"name": "door", "source": "/dev/video1", "rules": ["left"], "zones": zones},
    ]
    content = {
        "detector": {"model": visit.model},
        "streams": streams,
        "rules": [rule, {**rule, "name": "left", "zones": ["left"]}],
    }
    config.write_text(json.dumps(content))  # which is YAML too, without the anchors of its writer
    request = replace(visit, model=None, config=config)
    with pytest.raises(InputError, match="expected --stream with one of yard, door, found none"):
        done(request)
    _, at_door = done(replace(request, stream="door"))
    assert at_door.columns[OFF].alarms["left"].scenes == 0
    assert at_door.columns[OFF].alarms["left"].raised == 0
    head, in_yard = done(replace(request, stream="yard"))
    # five frames a second: it is visible from 1.0 s on, and analysed are the pictures of 1.1 and 1.3 s
    alarms = in_yard.columns[OFF].alarms["visit"]
    assert alarms.delays is not None
    assert alarms.first_sightings is not None
    assert (alarms.first_sightings.mean, alarms.delays.mean) == pytest.approx((0.1, 0.3), abs=0.01)
    assert (head.max_fps, head.rules_from) == (5.0, f"{config}, stream yard")


def test_tiles_find_what_the_whole_frame_does_not() -> None:
    """On the bundled clip, with the bundled detector; the text says what it looked at."""
    request = replace(REQUEST, every=20)
    (head, full), (tiled_head, tiled) = done(request), done(replace(request, views="tiles:2x3"))
    assert (head.views, tiled_head.views) == ("full", "tiles 2x3")
    found, more = (outcome.columns[OFF].scores.overall for outcome in (full, tiled))
    assert found.positives == more.positives
    assert found.tp < more.tp
    assert "views       tiles 2x3, beside the whole frame" in printed(tiled_head, tiled)
    assert "views  " not in printed(head, full)


def test_views_come_from_a_configuration(visit: Request, tmp_path: Path) -> None:
    """Those of the stream, unless the command says others."""
    config = tmp_path / "site.yaml"
    stream = {"name": "yard", "source": "/dev/video0", "rules": ["visit"], "views": "tiles"}
    content = {"streams": [stream], "rules": [{"name": "visit", "classes": ["block"]}]}
    config.write_text(json.dumps(content))
    request = replace(visit, config=config, alarms=False)
    assert done(request)[0].views == "tiles 2x3"
    assert done(replace(request, views="full"))[0].views == "full"


@pytest.mark.parametrize("views", ["zones", "tiles", "tiles:1x1"])
def test_unknown_views_are_refused_before_anything_is_opened(visit: Request, views: str) -> None:
    """The sentence says what there is."""
    with pytest.raises(InputError, match="--views: expected full, or tiles:ROWSxCOLUMNS"):
        done(replace(visit, views=views, model="no-such-model"))


def test_a_rule_for_a_class_that_the_model_lacks_is_refused(visit: Request, tmp_path: Path) -> None:
    """As the daemon refuses it."""
    config = tmp_path / "site.yaml"
    stream = {"name": "yard", "source": "/dev/video0", "rules": ["armed"]}
    rule = {"name": "armed", "classes": ["knife"]}
    config.write_text(json.dumps({"streams": [stream], "rules": [rule]}))
    with pytest.raises(ConfigError, match="rule armed: expected a class of the model, found knife"):
        done(replace(visit, config=config))


def test_every_nth_picture_is_scored_without_alarms(visit: Request) -> None:
    """The pictures between are not looked at; asked for, rules watch all of them all the same."""
    _, outcome = done(replace(visit, every=10))
    (footage,) = outcome.footage
    assert (footage.looked, footage.scored, outcome.rules) == (4, 4, ())
    _, outcome = done(replace(visit, every=10, alarms=True))
    (footage,) = outcome.footage
    assert (footage.looked, footage.scored) == (40, 4)
    assert outcome.columns[OFF].alarms["block"].alarmed == 1


def test_several_videos_are_scenes(visit: Request, tmp_path: Path) -> None:
    """The interval is over scenes where there are several, and the text says how many."""
    more = film(tmp_path, "more", VISIT, 3), label(tmp_path, "more", VISIT, 3)
    request = replace(visit, videos=(*visit.videos, more[0]), labels=(*visit.labels, more[1]))
    head, outcome = done(replace(request, variants="off,placebo", alarms=False))
    difference = outcome.columns[Lane("as-recorded", "placebo")].difference
    assert difference is not None
    assert (difference.unit.value, difference.count) == ("scenes", 2)
    assert "over 2 scenes, which is few" in printed(head, outcome)


def test_a_folder_of_images_is_scored_by_its_names(tmp_path: Path, block_model: Path) -> None:
    """No rule watches it; a picture that cannot be read is told and left out, or with strict the end."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, scene in {"a": VISIT, "b": EMPTY}.items():
        pixels = replace(scene).draw(1.5, 0)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_I420))
    (folder / "c.png").write_bytes(b"rubbish")
    images = [{"id": index, "file_name": f"{name}.png"} for index, name in enumerate("abc")]
    box = [0.375 * 320, 0.5 * 240, 0.125 * 320, 240 / 6]
    annotation = {"id": 1, "image_id": 0, "category_id": 1, "bbox": box, "area": 1600, "iscrowd": 0}
    file = label(tmp_path, "images", EMPTY, 0, images=images, annotations=[annotation])
    request = replace(REQUEST, folders=(folder,), labels=(file,), model=str(block_model))
    head, outcome = done(request)
    counts = outcome.columns[OFF].scores.overall
    assert (counts.frames, counts.tp, counts.fp) == (2, 1, 0)
    assert (outcome.footage[0].skipped, head.warnings) == (1, 1)
    assert outcome.columns[OFF].changes is None
    with pytest.raises(InputError, match=r"c\.png: expected an image, found"):
        done(replace(request, strict=True))


def test_labels_beyond_the_end_are_told(
    visit: Request, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The rest is scored; with strict it is the end."""
    longer = label(tmp_path, "longer", VISIT, 5)
    _, outcome = done(replace(visit, labels=(longer,)))
    assert (outcome.footage[0].scored, outcome.footage[0].skipped) == (40, 10)
    sentence = "expected the labelled frames 40, 41, 42 and 7 more in the video, found that it lacks them"
    assert sentence in capfd.readouterr().err
    with pytest.raises(InputError, match=sentence):
        done(replace(visit, labels=(longer,), strict=True))


def test_labels_of_another_shape_are_left_out(visit: Request, tmp_path: Path) -> None:
    """A video cannot be what somebody labelled in another shape: there is nothing to score."""
    wide = label(tmp_path, "wide", replace(VISIT, width=640), 4)
    with pytest.raises(InputError, match="found none to score"):
        done(replace(visit, labels=(wide,)))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"labels": ()}, "--labels: expected one for each --video and --images, which are 1, found 0"),
        ({"classes": "other"}, r"--classes: expected some that are labelled \(block\), found other"),
        (
            {"classes": "blok"},
            r"--classes: expected a class of the model, found blok \(did you mean block\?\)",
        ),
        ({"target": 1.0}, "--target-false-alarms: expected --negative footage beside it, found none"),
        ({"stream": "yard"}, "--stream: expected --rules beside it, found none"),
        ({"negative": (Path("/nowhere.mp4"),)}, "/nowhere.mp4: expected a video"),
        ({"negative": (Path("/n"),), "alarms": False}, "--negative: expected it without --no-alarms"),
        ({"plot": Path("plot.svg")}, r"--plot: expected a name that ends in \.png"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    visit: Request, changed: dict[str, Any], sentence: str
) -> None:
    """One sentence with the option and what was found."""
    with pytest.raises(InputError, match=sentence):
        done(replace(visit, **changed))


@pytest.mark.parametrize(("target", "floor"), [(None, 0.5), (1.0, 0.05)])
def test_the_detector_forgets_no_score_that_is_counted(
    visit: Request, monkeypatch: pytest.MonkeyPatch, target: float | None, floor: float
) -> None:
    """Where thresholds are compared it tells what the lowest of them would see."""
    floors = []

    def noted(model: str, device: Any, batch: Any, lowest: float) -> Detector:
        floors.append(lowest)
        return open_detector(model, device, batch, lowest)

    monkeypatch.setattr("tocsin.evaluate.assess.open_detector", noted)
    done(replace(visit, negative=visit.videos, target=target))
    assert floors == [floor]


def test_it_stops_between_two_pictures(visit: Request) -> None:
    """What was seen until then is whole in every lane, and is said to be a part."""
    stop = threading.Event()
    stop.set()
    head, outcome = assess(replace(visit, variants="off,guided"), stop)
    assert outcome.interrupted
    assert all(column.scores.overall.frames == 0 for column in outcome.columns.values())
    assert printed(head, outcome).startswith("Interrupted")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_column_is_cut(visit: Request, width: int) -> None:
    """On a narrow terminal and in a pipe every figure is there, whole."""
    head, outcome = done(replace(visit, simulate="veil0.75", variants="all"))
    text = printed(head, outcome, width)
    assert "…" not in text
    assert "precision - off" in text
    assert all(f"\n{variant} " in text for variant in head.variants)


def test_the_table_fits_a_terminal(visit: Request) -> None:
    """The tables of scores need no more than 80 columns, with all variants."""
    head, outcome = done(replace(visit, simulate="veil0.3", variants="all", alarms=False))
    rows = [
        line
        for line in printed(head, outcome).splitlines()
        if line.startswith(("variant", "condition", *(f"{name} " for name in head.variants)))
    ]
    assert len(rows) > 4 * len(head.variants)
    assert max(map(len, rows)) <= 80


def test_the_plot_is_a_picture(visit: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both sides are drawn where rules watched, in every one of the variants' colours."""
    plot = tmp_path / "plot.png"
    head, outcome = done(replace(visit, simulate="veil0.75", variants="off,guided", plot=plot))
    present(head, outcome, plot, as_json=True)
    assert json.loads(capsys.readouterr().out)["evaluated"]["conditions"] == ["as-recorded", "veil0.75"]
    picture = cv2.imread(str(plot))
    assert picture is not None
    assert picture.shape[1] > picture.shape[0] > 500
    blue = np.all(np.abs(picture.astype(int) - (0xB2, 0x72, 0x00)) < 8, axis=2)
    middle = picture.shape[1] // 2
    assert blue[:, :middle].any()
    assert blue[:, middle:].any()


def test_the_same_seed_gives_the_same_figures(visit: Request) -> None:
    """Noise and resampling are repeated."""
    request = replace(visit, simulate="ev-1/noise0.2", variants="off,stretch,placebo", alarms=False)
    first, again = told(*done(request)), told(*done(request))
    assert first["conditions"] == again["conditions"]
