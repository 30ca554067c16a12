"""Labelled footage of scripted scenes, for `tocsin evaluate`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.h264 import record
from support.scene import Box, Scene
from tocsin.evaluate.assess import Request
from tocsin.frame import Detections

CELL: Box = (0.375, 0.5, 0.5, 2 / 3)
"""One whole cell of the block model when a 4:3 picture is letterboxed into it: it finds just this box."""

ELSEWHERE: Box = (0.75, 0.5, 0.875, 2 / 3)
"""Another one."""

REQUEST = Request(
    videos=(),
    folders=(),
    labels=(),
    model=None,
    device="cpu",
    variants="off",
    simulate=None,
    score=0.5,
    iou=0.5,
    classes=None,
    every=1,
    alarms=None,
    config=None,
    stream=None,
    negative=(),
    target=None,
    plot=None,
    seed=0,
    strict=False,
)
"""Nothing but the fastest that `tocsin evaluate` can be asked for."""


def film(folder: Path, name: str, scene: Scene, seconds: float) -> Path:
    """Record the first seconds of a scene."""
    return record(scene, folder / f"{name}.mp4", seconds)


def label(folder: Path, name: str, scene: Scene, seconds: float, **more: Any) -> Path:
    """Write what the blocks of a scene are as COCO JSON: each a `block`, with the number of the block as track.

    `more` replaces parts of the file.
    """
    images, annotations = [], []
    for number in range(round(seconds * scene.fps)):
        images.append(
            {"id": number, "file_name": f"{name}#{number}", "width": scene.width, "height": scene.height}
        )
        for track, block in enumerate(scene.blocks):
            if block.is_seen(number / scene.fps):
                annotations.append(_annotation(len(annotations), number, track, block.box, scene))
    content = {
        "info": {"description": "what was drawn"},
        "categories": [{"id": 1, "name": "block"}],
        "images": images,
        "annotations": annotations,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content | more))
    return path


def _annotation(index: int, number: int, track: int, box: Box, scene: Scene) -> dict[str, Any]:
    x1, y1, x2, y2 = (edge * side for edge, side in zip(box, (scene.width, scene.height) * 2, strict=True))
    return {
        "id": index,
        "image_id": number,
        "category_id": 1,
        "track_id": track,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
    }


def seen(
    *boxes: Box, scores: tuple[float, ...] | None = None, labels: tuple[str, ...] = ("block", "other")
) -> Detections:
    """Detections of the first class; sure ones unless their scores are given."""
    count = len(boxes)
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores if scores is not None else [0.9] * count, np.float32),
        classes=np.zeros(count, np.int64),
        pixels=np.full((count, 2), 8, np.float32),
        views=np.zeros(count, np.int64),
        labels=labels,
    )


def boxes(*corners: Box) -> NDArray[np.float64]:
    """Boxes as an array [K, 4]."""
    return np.array(corners, np.float64).reshape(-1, 4)
