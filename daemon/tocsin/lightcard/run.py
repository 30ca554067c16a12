"""`tocsin light` from what was asked to what was seen: the settings, the pictures, the progress."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
from av.video.frame import VideoFrame
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tocsin.assembly import policy
from tocsin.capture.pace import Pace
from tocsin.config.load import load
from tocsin.detect import manifest
from tocsin.detect.manifest import Fit, InputFormat
from tocsin.detect.model import open_model
from tocsin.detect.settings import DetectorSettings
from tocsin.errors import InputError
from tocsin.evaluate.pictures import (
    IMAGES,
    Picture,
    every,
    expected_count,
    from_rgb,
    pictures,
    refuse,
    to_rgb,
)
from tocsin.evaluate.rules import stream_of
from tocsin.evaluate.simulate import Condition, conditions, parse
from tocsin.light.plan import Mode, Policy
from tocsin.lightcard.facts import Collector, Facts, InputSize
from tocsin.lightcard.table import Asked
from tocsin.resources import find

_LARGEST = 8192


@dataclass(frozen=True, slots=True)
class Settings:
    """How pictures are treated: the policy, the detector's input, and how many pictures a second at most."""

    policy: Policy = field(default_factory=Policy)
    size: str | None = None
    model: str = DetectorSettings().model
    max_fps: float = 10.0


def from_config(path: Path, stream: str | None) -> Settings:
    """Return what a configuration says about a stream, which may go unnamed where there is only one.

    Raises ConfigError for a file with faults, InputError where the stream is not clear.
    """
    config = load(path)
    found = stream_of(config, path, stream)
    return Settings(policy(found), None, config.detector.model, found.max_fps)


def overruled(
    settings: Settings, *, mode: str | None, brighter_than: float | None, model: str | None, size: str | None
) -> Settings:
    """Return the settings with what was asked for on the command line. Raises InputError for what cannot be."""
    chosen = settings.policy if mode is None else replace(settings.policy, mode=Mode(mode))
    if brighter_than is not None:
        if chosen.mode is not Mode.DACOT:
            raise InputError(f"--brighter-than: expected it only with --mode dacot, found mode {chosen.mode}")
        chosen = replace(chosen, brighter_than=brighter_than)
    return replace(settings, policy=chosen, size=size, model=model or settings.model)


def input_size(settings: Settings) -> InputSize:
    """Return the size that pictures are shrunk to. Raises InputError, ModelError and StartError."""
    if settings.size is None:
        takes = _takes(settings.model)
        return InputSize(takes.width, takes.height, takes.fit is Fit.LETTERBOX)
    found = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", settings.size, re.ASCII)
    sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not all(2 <= side <= _LARGEST for side in sides):
        raise InputError(
            f"--size: expected a size such as 416 or 640x384, each from 2 to {_LARGEST}, found {settings.size}"
        )
    return InputSize(*sides)


def _takes(model: str) -> InputFormat:
    """Return what a model takes; a shipped one need not be opened for it."""
    shipped = manifest.read(find("models/manifest.yaml"))
    return shipped[model].input if model in shipped else open_model(model, "cpu")[0].takes


def condition(text: str | None) -> Condition:
    """Return the one simulated light that was asked for; without any, the light as recorded."""
    asked = parse(text or "")
    if len(asked) > 1:
        raise InputError(f"--simulate: expected one condition, found {len(asked)}: {text}")
    return asked[0] if asked else conditions(None)[0]


def check_recording(path: Path) -> None:
    """Raise InputError unless `path` can be an image or a video."""
    if path.is_dir():
        raise InputError(f"{path}: expected an image or a video, found a folder")
    if not path.exists():
        raise InputError(f"{path}: expected an image or a video, found nothing there")


@dataclass(slots=True)
class _Skips:
    """Counts what could not be read, and says the first of it at once."""

    count: int = 0

    def skip(self, sentence: str) -> None:
        if not self.count:
            print(f"tocsin: warning: {sentence}", file=sys.stderr)
        self.count += 1


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
    skips = _Skips()
    still = path.suffix.lower() in IMAGES
    read = 0
    for picture in _shown(path, pictures(path, every, refuse if strict or still else skips.skip)):
        read += 1
        if (step is None and not pace.due(picture.at)) or (step is not None and picture.index % step):
            continue
        collector.add(_lit(picture, condition), picture.at)
    if skips.count > 1:
        print(f"tocsin: warning: {path}: {skips.count} frames in all could not be read", file=sys.stderr)
    facts = collector.facts()
    if not facts.treated:
        raise InputError(f"{path}: expected pictures to treat with --every {step}, found none among {read}")
    return facts, Asked(path, settings.policy.mode.value, condition.name, read, skips.count)


def _lit(picture: Picture, condition: Condition) -> VideoFrame:
    if not condition.steps:
        return picture.frame
    return from_rgb(condition.apply(to_rgb(picture.frame), picture.index))


def _shown(path: Path, found: Iterator[Picture]) -> Iterator[Picture]:
    """Pass the pictures on; on a terminal, show how far it is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from found
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} frames"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield from progress.track(found, total=expected_count(path), description=path.name)
