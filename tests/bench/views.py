"""What each kind of view costs a frame, and what it finds of persons who are far away.

    python tests/bench/views.py [--clip CLIP --labels COCO.json] [--every 1] [--turns 9]

Cost: the worker's part (cut, shrink, measure, correct; one core) and the detector's (all rows of a frame, merging
included) for one 1080p frame and the bundled model. Recall: the labelled clip is shrunk and lies in the middle of a
1080p frame of plain grey, so that its persons are as small as far ones; the zone is where the clip lies. Persons by
their height in the camera's pixels, at score 0.5 and an overlap of 0.5. The bundled clip's labels were made by two
detectors that agree, one of them the bundled one.
"""

import argparse
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from measure import side_by_side

from tocsin import assembly
from tocsin.capture import mailbox
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.views import Views
from tocsin.config.load import loads
from tocsin.detect.detector import Detector, open_detector
from tocsin.evaluate.labels import Labelled, load
from tocsin.evaluate.matching import Found, Truth, judge
from tocsin.footage.pictures import from_rgb, pictures, to_rgb
from tocsin.frame import Frame
from tocsin.light.plan import Policy
from tocsin.resources import find

LABELS = Path(__file__).parents[1] / "data" / "pedestrians-labels.coco.json"
WIDE, HIGH = 1920, 1080
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25)
SCORE = 0.5
HEIGHTS = ((0, 16), (16, 24), (24, 32), (32, 48), (48, 64), (64, 96), (96, 1080))
KINDS = {
    "full": "full",
    "zones": "zones",
    "tiles 2x3": "tiles",
    "tiles 3x5": "{tiles: {rows: 3, columns: 5, overlap: 0.2}}",
}
CONFIG = """\
streams:
  - {{name: a, source: /dev/video0, views: {views}, zones: [{{name: z, polygon: {zone}}}], rules: [r]}}
rules: [{{name: r, classes: [person], zones: [z]}}]
"""


@dataclass
class Eye:
    """One kind of view: from a decoder's frame to what is detected in it."""

    detector: Detector
    views: Views
    box: Mailbox
    count: int

    @classmethod
    def of(cls, kind: str, detector: Detector, zone: list[list[float]]) -> "Eye":
        config = loads(CONFIG.format(views=KINDS[kind], zone=zone).encode(), name="bench", folder=Path("/"))
        orders = assembly.views(config, config.streams[0], detector)
        size = sum(order.capacity for order in orders)
        descriptor = mailbox.create(size)
        box = Mailbox(descriptor, size)
        os.close(descriptor)
        return cls(detector, Views(orders, Policy()), box, len(orders))

    def show(self, picture: VideoFrame, at: float = 0.0) -> Frame:
        views = tuple(self.box.view(0, one) for one in self.views.fill(picture, at, self.box, 0))
        return Frame("bench", 0, at, 0.1, 0.0, picture.width, picture.height, views)

    def find(self, picture: VideoFrame, at: float) -> Found:
        found = self.detector.detect([self.show(picture, at)])[0]
        sides = np.array([picture.width, picture.height] * 2)
        return Found(found.boxes * sides, found.scores.astype(np.float64), found.classes)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--clip", type=Path, default=find("assets/pedestrians.mp4"))
    options.add_argument("--labels", type=Path, default=LABELS)
    options.add_argument("--every", type=int, default=1)
    options.add_argument("--turns", type=int, default=9)
    asked = options.parse_args()
    detector = open_detector("nanodet-coco-416", "cpu", "auto", SCORE)
    detector.warm()
    cost(detector, asked.clip, asked.turns)
    recall(detector, asked.clip, asked.labels, asked.every)


def cost(detector: Detector, clip: Path, turns: int) -> None:
    """Print what a frame costs the worker and the detector."""
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).reformat(WIDE, HIGH, format="yuv420p")
    eyes = {kind: Eye.of(kind, detector, _zone(1.0)) for kind in KINDS}
    frames = {kind: eye.show(picture) for kind, eye in eyes.items()}
    worker = side_by_side(
        {kind: lambda eye=eye: eye.show(picture) for kind, eye in eyes.items()}, turns, repeats=3
    )
    infer = side_by_side(
        {kind: lambda frame=frame: detector.detect([frame]) for kind, frame in frames.items()},
        turns,
        repeats=1,
    )
    print(f"one {WIDE}x{HIGH} frame, {detector.provider}, milliseconds, medians of {turns} turns")
    print(f"{'views':<10} {'rows':>4} {'worker':>7} {'detector':>9}")
    for kind, eye in eyes.items():
        print(
            f"{kind:<10} {eye.count:>4} {np.median(worker[kind]) * 1e3:7.2f} {np.median(infer[kind]) * 1e3:9.1f}"
        )


def recall(detector: Detector, clip: Path, path: Path, every: int) -> None:
    """Print what is found of persons by their height, and how much was found that is none."""
    labels = load(path, clip, detector.labels)
    found: defaultdict[tuple[str, int], int] = defaultdict(int)
    there: defaultdict[int, int] = defaultdict(int)
    wrong: defaultdict[str, int] = defaultdict(int)
    for scale in SCALES:
        eyes = {kind: Eye.of(kind, detector, _zone(scale)) for kind in KINDS}
        for picture in pictures(clip, lambda index: index % every == 0):
            if picture.index not in labels.pictures:
                continue
            far, truth = _far(picture.frame, labels.pictures[picture.index], scale)
            heights = truth.boxes[:, 3] - truth.boxes[:, 1]
            sizes = [next(n for n, (_, below) in enumerate(HEIGHTS) if high < below) for high in heights]
            for size, crowd in zip(sizes, truth.crowd, strict=True):
                there[size] += not crowd
            for kind, eye in eyes.items():
                seen = eye.find(far, picture.at)
                known = np.isin(seen.classes, list(labels.classes)) & (seen.scores >= SCORE)
                seen = Found(seen.boxes[known], seen.scores[known], seen.classes[known])
                matched = judge(truth, seen).whole
                wrong[kind] += int(((matched.truths < 0) & ~matched.ignored).sum())
                for size, counted, taker in zip(sizes, matched.counted, matched.takers, strict=True):
                    found[kind, size] += bool(counted and taker >= SCORE)
    print(
        f"\npersons found at score {SCORE}, by their height in a {WIDE}x{HIGH} picture; false: boxes of none"
    )
    heads = [f"{low}-{below - 1}" if below < HIGH else f"{low}+" for low, below in HEIGHTS]
    print(f"{'views':<10} " + " ".join(f"{head:>7}" for head in heads) + f" {'false':>6}")
    for kind in KINDS:
        shares = [
            f"{found[kind, n] / there[n]:7.2f}" if there[n] else f"{'-':>7}" for n in range(len(HEIGHTS))
        ]
        print(f"{kind:<10} " + " ".join(shares) + f" {wrong[kind]:>6}")
    print(f"{'persons':<10} " + " ".join(f"{there[n]:>7}" for n in range(len(HEIGHTS))))


def _far(frame: VideoFrame, labelled: Labelled, scale: float) -> tuple[VideoFrame, Truth]:
    """Return the picture shrunk in the middle of a large grey one, and what is labelled there."""
    rgb = to_rgb(frame)
    high, wide = (2 * round(side * scale / 2) for side in rgb.shape[:2])
    across, down = (WIDE - wide) // 4 * 2, (HIGH - high) // 4 * 2
    whole = np.full((HIGH, WIDE, 3), 114, np.uint8)
    whole[down : down + high, across : across + wide] = cv2.resize(
        rgb, (wide, high), interpolation=cv2.INTER_AREA
    )
    truth = labelled.truth
    by = np.array([wide / rgb.shape[1], high / rgb.shape[0]] * 2)
    boxes = truth.boxes * by + [across, down, across, down]
    return from_rgb(whole), Truth(
        boxes, truth.classes, truth.areas * by[0] * by[1], truth.crowd, truth.tracks
    )


def _zone(scale: float) -> list[list[float]]:
    """A zone around where the clip of 768x576 lies, which holds all its persons' feet."""
    wide, high = 768 * scale / WIDE / 2, 576 * scale / HIGH / 2
    left, top, right, bottom = 0.5 - wide, 0.5 - high, 0.5 + wide, 0.5 + high
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


if __name__ == "__main__":
    main()
