"""What is counted is what COCO's own evaluation code counts."""

import contextlib
import io
import json
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tocsin.evaluate.labels import load
from tocsin.evaluate.matching import Found, Judged, Matched, Size, Truth, judge
from tocsin.evaluate.scores import count
from tocsin.resources import find

with warnings.catch_warnings():
    # its compiled part and its use of numpy are older than today's Python and numpy
    warnings.simplefilter("ignore", DeprecationWarning)
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")

THRESHOLDS = (0.3, 0.5, 0.75, 0.95)
SCORES = (0.0, 0.25, 0.5, 0.9)
NAMES = ("person", "knife", "scissors")
AREAS = {
    None: [0.0, 1e10],
    # there both ends belong to a range: the upper ones are moved by the least step, so that no box has two sizes
    Size.SMALL: [0.0, np.nextafter(32.0**2, 0)],
    Size.MEDIUM: [32.0**2, np.nextafter(96.0**2, 0)],
    Size.LARGE: [96.0**2, 1e10],
}


@dataclass(frozen=True)
class Scene:
    """Pictures with what is labelled and what is found in them."""

    truths: list[Truth]
    founds: list[Found]

    def judged(self, iou: float) -> list[Judged]:
        return [judge(truth, found, iou) for truth, found in zip(self.truths, self.founds, strict=True)]


def one_size(judged: list[Judged], size: Size | None) -> list[Matched]:
    return [one.whole if size is None else one.by_size[size] for one in judged]


def scattered(dice: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Boxes on whole pixels, many of them of exactly the sizes at which one size ends."""
    corners = dice.integers(0, 300, (count, 2))
    sides = np.where(
        dice.random((count, 2)) < 0.3, dice.choice([32, 96], (count, 1)), dice.integers(4, 150, (count, 2))
    )
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float64)


def picture(dice: np.random.Generator) -> tuple[Truth, Found]:
    """A picture in which most detections lie near an object, and some tie in score or in overlap."""
    boxes = scattered(dice, int(dice.integers(0, 9)))
    count = len(boxes)
    wide, high = (boxes[:, 2:] - boxes[:, :2]).T
    areas = np.where(
        dice.random(count) < 0.8, wide * high, np.rint(wide * high * 0.6)
    )  # some are those of a mask
    truth = Truth(
        boxes=boxes,
        classes=dice.integers(0, len(NAMES), count),
        areas=areas,
        crowd=dice.random(count) < 0.25,
        tracks=np.full(count, -1),
    )
    near = dice.integers(0, max(count, 1), int(dice.integers(0, 16)) if count else 0)
    moved = boxes[near] + dice.integers(-6, 7, (len(near), 4)) * (dice.random((len(near), 1)) < 0.8)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    stray = scattered(dice, int(dice.integers(0, 5)))
    classes = np.concatenate([truth.classes[near], dice.integers(0, len(NAMES), len(stray))])
    swapped = dice.random(len(classes)) < 0.1
    classes[swapped] = dice.integers(0, len(NAMES), int(swapped.sum()))
    return truth, Found(np.concatenate([moved, stray]), np.round(dice.random(len(classes)), 1), classes)


def corners_to_sides(box: NDArray[np.float64]) -> list[float]:
    return [*map(float, box[:2]), *map(float, box[2:] - box[:2])]


def official(scene: Scene) -> COCOeval:
    """The scene in COCO's own code, evaluated."""
    annotations = [
        {
            "image_id": image,
            "category_id": int(truth.classes[k]) + 1,
            "bbox": corners_to_sides(truth.boxes[k]),
            "area": float(truth.areas[k]),
            "iscrowd": int(truth.crowd[k]),
        }
        for image, truth in enumerate(scene.truths)
        for k in range(len(truth))
    ]
    for number, annotation in enumerate(annotations, 1):  # it takes an object of id 0 for none
        annotation["id"] = number
    results = [
        {
            "image_id": image,
            "category_id": int(found.classes[k]) + 1,
            "bbox": corners_to_sides(found.boxes[k]),
            "score": float(found.scores[k]),
        }
        for image, found in enumerate(scene.founds)
        for k in range(len(found))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(scene.truths))],
            "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES, 1)],
            "annotations": annotations,
        }
        labels.createIndex()
        judge = COCOeval(labels, labels.loadRes(results), "bbox")
        judge.params.iouThrs = np.array(THRESHOLDS)
        judge.params.areaRng = list(AREAS.values())
        judge.params.areaRngLbl = [str(size) for size in AREAS]
        judge.params.maxDets = [1000]
        judge.evaluate()
        judge.accumulate()
    return judge


def official_counts(judge: COCOeval, size: Size | None, iou: float, least: float) -> dict[str, int]:
    """What COCO's own code counts: every detection and object is right, false, missed or ignored."""
    row = THRESHOLDS.index(iou)
    counts = dict.fromkeys(("tp", "fp", "fn", "ignored detections", "ignored objects"), 0)
    for one in judge.evalImgs:
        if one is None or one["aRng"] != AREAS[size]:
            continue
        scored = np.array(one["dtScores"]) >= least
        ignored = one["dtIgnore"][row].astype(bool)
        matched = one["dtMatches"][row] > 0
        right = int((scored & matched & ~ignored).sum())
        counts["tp"] += right
        counts["fp"] += int((scored & ~matched & ~ignored).sum())
        counts["fn"] += int((one["gtIgnore"] == 0).sum()) - right
        counts["ignored detections"] += int((scored & ignored).sum())
        counts["ignored objects"] += int((one["gtIgnore"] == 1).sum())
    return counts


def our_counts(matches: list[Matched], least: float) -> dict[str, int]:
    tp, fp, fn = (sum(counts) for counts in zip(*(count(one, least) for one in matches), strict=True))
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "ignored detections": sum(int((one.ignored & (one.scores >= least)).sum()) for one in matches),
        "ignored objects": sum(int((~one.counted).sum()) for one in matches),
    }


def assert_same(scene: Scene) -> None:
    theirs = official(scene)
    for iou in THRESHOLDS:
        judged = scene.judged(iou)
        for size in AREAS:
            matches = one_size(judged, size)
            for least in SCORES:
                assert our_counts(matches, least) == official_counts(theirs, size, iou, least), (
                    iou,
                    size,
                    least,
                )


@pytest.mark.parametrize("seed", range(25))
def test_random_pictures(seed: int) -> None:
    """Right, false, missed and ignored agree at every overlap, size and score: with crowds, ties and classes."""
    dice = np.random.default_rng(seed)
    truths, founds = zip(*(picture(dice) for _ in range(12)), strict=True)
    assert_same(Scene(list(truths), list(founds)))


def test_what_is_compared_occurs() -> None:
    """The random pictures hold everything that could be counted differently."""
    dice = np.random.default_rng(0)
    pictures = [picture(dice) for _ in range(300)]
    judged = [judge(truth, found) for truth, found in pictures]
    counts = our_counts(one_size(judged, None), 0.0)
    assert min(counts.values()) > 100, counts
    for size in Size:
        assert min(our_counts(one_size(judged, size), 0.0).values()) > 50, size
    shared = [np.bincount(one.whole.truths[one.whole.truths >= 0], minlength=1).max() for one in judged]
    assert max(shared) > 1, "a crowd takes several detections"


def labelled_clip() -> list[Truth]:
    clip = find("assets/pedestrians.mp4")
    labels = load(find("assets/pedestrians.coco.json"), clip, NAMES, strict=True)
    return [labels.pictures[index].truth for index in range(0, 260, 5)]


def test_the_bundled_labels() -> None:
    """On the bundled labels, against boxes moved by a few pixels, both count the same."""
    dice, truths = np.random.default_rng(1), labelled_clip()
    founds = []
    for truth in truths:
        again = np.concatenate([truth.boxes, truth.boxes[:2]])
        boxes = again + np.round(dice.normal(0, 4, again.shape), 1)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        founds.append(Found(boxes, dice.random(len(boxes)), np.zeros(len(boxes), np.int64)))
    assert_same(Scene(truths, founds))


def test_the_bundled_labels_are_coco_json() -> None:
    """COCO's own code reads the bundled labels."""
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(find("assets/pedestrians.coco.json")))
    assert len(labels.getImgIds()) == 260
    assert len(labels.getAnnIds(iscrowd=False)) + len(labels.getAnnIds(iscrowd=True)) == len(
        labels.getAnnIds()
    )
    assert "machine labels" in json.dumps(labels.dataset["info"]).lower()
