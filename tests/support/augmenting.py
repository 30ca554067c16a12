"""Runs `tocsin augment` in the test's own process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin.augment.command import _options
from tocsin.augment.dataset import Losses
from tocsin.augment.develop import Recipe
from tocsin.augment.run import Outcome, Request, Run
from tocsin.augment.spread import spread
from tocsin.light.plan import Mode, Policy

OFF = Recipe(Policy(Mode.OFF), 64, 64, keep_aspect=True, shrink=False, quality=95)
ALWAYS = Recipe(Policy(Mode.DACOT, brighter_than=0), 64, 64, keep_aspect=True, shrink=False, quality=95)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run returned, and what it told."""

    outcome: Outcome
    told: Sequence[str]


def augment(
    data: Path,
    out: Path,
    *,
    conditions: str = "ev+1",
    ranges: str = "",
    per_image: int = 1,
    original: bool = True,
    splits: tuple[str, ...] = ("train",),
    images: Path | None = None,
    follow: bool = False,
    recipe: Recipe = OFF,
    seed: int = 0,
    processes: int = 1,
    strict: bool = False,
) -> Ran:
    """Augment a data set and return what came of it."""
    told: list[str] = []
    lights = spread(conditions, ranges, per_image, original)
    options = _options(data, images, ranges, per_image, splits, seed, lights, recipe)
    request = Request(data, out, images, follow, lights, splits, recipe, seed, processes, options)
    losses = Losses(told.append, strict)
    outcome = Run(request, losses, told.append, lambda done, wanted: None).run()
    return Ran(outcome, told)
