"""Which rules watch the footage: those of a stream in a configuration, or one for each class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin.alarm.settings import ConfirmSettings, RuleSettings
from tocsin.alarm.watch import Rule, rule_from
from tocsin.alarm.zone import Zones
from tocsin.assembly import Input, policy, views, whole, zones_of
from tocsin.config.load import StreamSettings, load
from tocsin.detect.settings import DetectorSettings
from tocsin.errors import InputError
from tocsin.footage.camera import MAX_FPS, stream_of
from tocsin.footage.views import Kind
from tocsin.light.plan import Policy


@dataclass(frozen=True, slots=True)
class Setup:
    """What a configuration says about one stream, or what holds without one.

    `rules` is None where no configuration was given: then each class gets one. `views` tells what a detector gets
    to see, by what it takes.
    """

    rules: tuple[Rule, ...] | None
    zones: Zones
    policy: Policy
    max_fps: float
    model: str
    views: Callable[[Input], Kind]
    source: str | None = None


def setup_without() -> Setup:
    """Return what holds without a configuration."""
    return Setup(
        None,
        Zones({}),
        Policy(),
        MAX_FPS,
        DetectorSettings().model,
        lambda takes: Kind("full", (whole(takes),)),
    )


def setup_from(path: Path, stream: str | None) -> Setup:
    """Return what the configuration says about a stream, which may go unnamed where there is one alone.

    Raises ConfigError for a file with faults, InputError where the stream is not clear or has no rules.
    """
    config = load(path)
    found = stream_of(config, path, stream)
    if not found.rules:
        raise InputError(f"{path}: expected rules for stream {found.name}, found none")
    known = {rule.name: rule_from(rule) for rule in config.rules}
    return Setup(
        rules=tuple(known[name] for name in found.rules),
        zones=zones_of(found),
        policy=policy(found),
        max_fps=found.max_fps,
        model=config.detector.model,
        views=lambda takes: Kind(_word(found), views(config, found, takes)),
        source=f"{path}, stream {found.name}",
    )


def _word(stream: StreamSettings) -> str:
    tiles = stream.tiles
    return str(stream.views) if tiles is None else f"tiles {tiles.rows}x{tiles.columns}"


def rule_for_each(classes: Sequence[str], min_score: float) -> tuple[Rule, ...]:
    """Return a rule for each class, with the confirmation and the patience that rules have by default."""
    confirm = ConfirmSettings()
    fields = RuleSettings.model_fields
    return tuple(
        Rule(
            name=name,
            classes=(name,),
            min_score=min_score,
            hits=confirm.hits,
            of=confirm.of,
            within=confirm.within,
            end_after=float(fields["end_after"].default),
            repeat_every=0.0,
        )
        for name in classes
    )
