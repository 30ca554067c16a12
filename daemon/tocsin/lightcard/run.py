"""`tocsin light` from what was asked to what was seen: the settings, the pictures, the progress."""

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
from av.video.frame import VideoFrame
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tocsin.capture.pace import Pace
from tocsin.errors import InputError
from tocsin.footage.camera import Settings, input_size
from tocsin.footage.pictures import (
    IMAGES,
    Picture,
    every,
    expected_count,
    expected_seconds,
    from_rgb,
    pictures,
    refuse,
)
from tocsin.footage.simulate import Condition, conditions, parse
from tocsin.lightcard.facts import Collector, Facts
from tocsin.lightcard.losses import Losses
from tocsin.lightcard.table import Asked


def condition(text: str | None) -> Condition:
    """Return the one simulated light that was asked for; without any, the light as recorded."""
    asked = parse(text or "")
    if len(asked) > 1:
        raise InputError(f"--simulate: expected one condition, found {len(asked)}: {text}")
    return asked[0] if asked else conditions(None)[0]


def check_recording(path: Path) -> None:
    """Raise InputError unless `path` can be an image or a video."""
    if re.match(r"[a-z]{2,}:/", str(path), re.IGNORECASE | re.ASCII) or path.is_char_device():
        # not shown: an address may hold a password
        raise InputError(
            "expected an image or a video file, found the address of a camera: record a minute of it first"
        )
    if path.is_dir():
        raise InputError(f"{path}: expected an image or a video, found a folder")
    if not path.exists():
        raise InputError(f"{path}: expected an image or a video, found nothing there")


def collect(
    path: Path, settings: Settings, condition: Condition, *, step: int | None, strict: bool
) -> tuple[Facts, Asked]:
    """Treat a recording as a capture worker would, and return what was seen.

    Without a `step` so many pictures a second are treated as the settings allow, with one every `step`-th; the
    others are only read. With `strict` a picture that cannot be read is the end. Raises InputError.
    """
    cv2.setNumThreads(1)  # the pictures are small: more threads take longer
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own sentence tells what is wrong
    collector = Collector(settings.policy, input_size(settings))
    pace = Pace(settings.max_fps)
    still = path.suffix.lower() in IMAGES
    losses = Losses(path, refuse if strict or still else None)
    read = 0
    for picture in _shown(path, pictures(path, every, losses.skip)):
        read += 1
        losses.arrived(picture)
        if (step is None and not pace.due(picture.at)) or (step is not None and picture.index % step):
            continue
        collector.add(_lit(picture, condition), picture.at)
    lost = losses.ended(expected_seconds(path))
    facts = collector.facts()
    if not facts.treated:
        raise InputError(f"{path}: expected pictures to treat with --every {step}, found none among {read}")
    return facts, Asked(path, settings.policy.mode.value, condition.name, read, lost)


def _lit(picture: Picture, condition: Condition) -> VideoFrame:
    if not condition.steps:
        return picture.frame
    return from_rgb(condition.apply(picture.rgb(), picture.index))


def _shown(path: Path, found: Iterator[Picture]) -> Iterator[Picture]:
    """Pass the pictures on; on a terminal, show how far it is."""
    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        yield from found
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed} frames"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield from progress.track(found, total=expected_count(path), description=path.name)
