"""How a camera would treat pictures: by the configuration of its stream, or by what was asked for instead."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from tocsin.assembly import policy
from tocsin.capture.settings import SourceSettings
from tocsin.config.load import Config, StreamSettings, load
from tocsin.detect import manifest
from tocsin.detect.manifest import Fit, InputFormat
from tocsin.detect.model import open_model
from tocsin.detect.settings import DetectorSettings
from tocsin.errors import InputError
from tocsin.light.plan import Mode, Policy
from tocsin.resources import find

MAX_FPS = float(SourceSettings.model_fields["max_fps"].default)
"""Analysed frames a second where no configuration says it."""

_LARGEST = 8192


@dataclass(frozen=True, slots=True)
class Settings:
    """How pictures are treated: the policy, the detector's input, and how many pictures a second at most."""

    policy: Policy = field(default_factory=Policy)
    size: str | None = None
    model: str = DetectorSettings().model
    max_fps: float = MAX_FPS


@dataclass(frozen=True, slots=True)
class InputSize:
    """What the detector takes, in pixels, and whether a picture keeps its shape in it."""

    width: int
    height: int
    keep_aspect: bool = True


def from_config(path: Path, stream: str | None) -> Settings:
    """Return what a configuration says about a stream, which may go unnamed where there is only one.

    Raises ConfigError for a file with faults, InputError where the stream is not clear.
    """
    config = load(path)
    found = stream_of(config, path, stream)
    return Settings(policy(found), None, config.detector.model, found.max_fps)


def stream_of(config: Config, path: Path, name: str | None) -> StreamSettings:
    """Return the stream of that name, or the only one. Raises InputError."""
    names = [stream.name for stream in config.streams]
    if name is None and len(names) > 1:
        raise InputError(f"{path}: expected --stream with one of {', '.join(names)}, found none")
    for stream in config.streams:
        if name in (None, stream.name):
            return stream
    raise InputError(f"--stream: expected one of {', '.join(names)} in {path}, found {name}")


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
    keys = shipped[model].input.told() if model in shipped else {}
    return InputFormat(**keys) if {"width", "height"} <= set(keys) else open_model(model, "cpu")[0].takes
