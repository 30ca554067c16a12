"""`tocsin augment`."""

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin import __version__
from tocsin.errors import InputError
from tocsin.exits import INTERRUPTED
from tocsin.footage.options import BrighterThanOption, LightMode, ModeOption, StreamOption

if TYPE_CHECKING:  # the libraries for pixels load when the command runs
    from rich.console import Console

    from tocsin.augment.develop import Recipe
    from tocsin.augment.run import Outcome
    from tocsin.augment.spread import Spread
    from tocsin.footage.camera import Settings

_SIZE = "640"
"""The input of most detectors that are trained; that of the bundled one is smaller, and it is not trained here."""


def augment(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="COCO .json, data.yaml, or a folder with images and labels."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make, or to go on with.")],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the paths in DATA start. COCO: images beside DATA, or its folder; "
            "YOLO: the folder of data.yaml.",
        ),
    ] = None,
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links", help="Read what links in DATA lead to elsewhere, too: trust its maker."
        ),
    ] = False,
    conditions: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Show every picture in these, such as ev+2,veil0.5,ev-4/noise0.004."
        ),
    ] = "",
    ranges: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="LIST",
            help="Draw conditions for each picture, such as ev-3..ev+3,veil0.2..veil0.8. Without --conditions and "
            "--range: too dark with noise, too bright, veiled, and glaring in one place.",
        ),
    ] = "",
    per_image: Annotated[int, typer.Option(min=1, max=100, help="So many are drawn for each picture.")] = 3,
    original: Annotated[bool, typer.Option(help="Show every picture as recorded, too.")] = True,
    splits: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="YOLO: the splits that get other light; the others stay as recorded, corrected.",
        ),
    ] = "train",
    mode: ModeOption = None,
    brighter_than: BrighterThanOption = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Take light and model from this configuration."),
    ] = None,
    stream: StreamOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ONNX", help="A detector: light is measured on pictures shrunk to its input."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="That input, in pixels: 640 or 640x384.", show_default="640"),
    ] = None,
    shrink: Annotated[
        bool,
        typer.Option("--shrink", help="Write the pictures shrunk to that input, as the daemon shrinks them."),
    ] = False,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the JPEG files.")] = 95,
    seed: Annotated[int, typer.Option(help="Decides what is drawn, and the noise.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; one for each core by default.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first picture that is unusable.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show a labelled data set in many lights, corrected as the daemon does it, to train a detector with.

    Labels are carried along; pictures keep their size and format. A run that was interrupted goes on where it
    stopped: type the same command again. A picture with an unusable label is left out with it, said and counted.

    OUT holds images/, the labels in the format of DATA, and tocsin-augment.jsonl, which says for each picture what
    it was made from, its light and its correction. Pictures are turned as their EXIF data say; in COCO's format the
    stored pixels count where only they have the size that the labels tell.

    Conditions (--conditions, --range): comma for a further one, slash for a mix. ev: exposure; noise; veil: haze;
    halfveil; glare: in one spot; gamma; grey: infrared.

    Example: tocsin augment knives/data.yaml knives-light --range ev-3..ev+3,veil0.2..veil0.8 --per-image 3
    """
    from rich.console import Console

    from tocsin.augment.dataset import Losses
    from tocsin.augment.run import Request, Run
    from tocsin.augment.spread import DEFAULT_RANGE, spread

    if not conditions.strip() and not ranges.strip():
        ranges = DEFAULT_RANGE
    lights = spread(conditions, ranges, per_image, original)
    settings = _settings(mode, brighter_than, config, stream, model, size)
    recipe = _recipe(settings, shrink, quality)
    chosen = tuple(split.strip() for split in splits.split(","))
    options = _options(data, images, ranges, per_image, chosen, seed, lights, recipe)
    processes = jobs or len(os.sched_getaffinity(0))
    request = Request(data, out, images, follow_links, lights, chosen, recipe, seed, processes, options)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    losses = Losses(lambda sentence: console.print(f"tocsin: {sentence}"), strict)
    started = time.monotonic()
    try:
        with _progress(console) as progress:
            outcome = Run(request, losses, lambda note: console.print(f"tocsin: {note}"), progress).run()
    except KeyboardInterrupt:
        print(
            "tocsin: stopped; what is done stays valid, and the same command goes on from here",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    losses.tell_rest()
    if as_json:
        print(json.dumps(_summary(out, outcome), indent=2))
    else:
        _show(out, outcome, time.monotonic() - started)


def _settings(
    mode: LightMode | None,
    brighter_than: float | None,
    config: Path | None,
    stream: str | None,
    model: str | None,
    size: str | None,
) -> "Settings":
    """Return the light and the detector's input; raises ConfigError and InputError."""
    from tocsin.footage import camera

    if stream is not None and config is None:
        raise InputError("--stream: expected --config beside it, found none")
    if size is not None and model is not None:
        raise InputError("--size: expected it without --model, which has a size of its own, found both")
    if config is None and model is None:
        size = size or _SIZE
    settings = camera.Settings() if config is None else camera.from_config(config, stream)
    return camera.overruled(settings, mode=mode, brighter_than=brighter_than, model=model, size=size)


def _recipe(settings: "Settings", shrink: bool, quality: int) -> "Recipe":
    from tocsin.augment.develop import Recipe
    from tocsin.footage.camera import input_size

    takes = input_size(settings)
    return Recipe(settings.policy, takes.width, takes.height, takes.keep_aspect, shrink, quality)


def _options(
    data: Path,
    images: Path | None,
    ranges: str,
    per_image: int,
    splits: tuple[str, ...],
    seed: int,
    lights: "Spread",
    recipe: "Recipe",
) -> dict[str, Any]:
    """Return what decides the result, for the first line of the manifest: a run goes on only with the same."""
    return {
        "version": __version__,
        "data": str(data.resolve()),
        "images": None if images is None else str(images.resolve()),
        "conditions": [condition.name for condition in lights.fixed],
        "range": ranges,
        "per_image": per_image if ranges else 0,
        "splits": splits,
        "seed": seed,
        **{f"light_{key}": value for key, value in asdict(recipe.policy).items()},
        "input": f"{recipe.width}x{recipe.height}",
        "keep_aspect": recipe.keep_aspect,
        "shrink": recipe.shrink,
        "quality": recipe.quality,
    }


@contextlib.contextmanager
def _progress(console: "Console") -> Iterator[Callable[[int, int], None]]:
    """Show progress on a terminal, and none in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("pictures", total=None)
        yield lambda done, wanted: bar.update(task, completed=done, total=wanted)


def _summary(out: Path, outcome: "Outcome") -> dict[str, Any]:
    from tocsin.augment.manifest import NAME

    return {
        "trainer_file": str(outcome.trainer_file),
        "manifest": str(out / NAME),
        "sources": outcome.sources,
        "pictures": len(outcome.records),
        "made": outcome.made,
        "corrections": outcome.by(lambda record: record.correction),
        "left_out": [{"why": loss.value, "what": sentence} for loss, sentence in outcome.losses],
    }


def _show(out: Path, outcome: "Outcome", seconds: float) -> None:
    from tocsin.fields import counted
    from tocsin.footage.shown import shown

    pictures = len(outcome.records)
    kept = pictures - outcome.made
    before = f", {kept} of them from an earlier run" if kept else ""
    rate = f" ({outcome.made / seconds:.1f} a second)" if outcome.made else ""
    print(f"{shown(out)}: {counted(pictures, 'picture')} of {outcome.sources} sources{before}{rate}")
    corrections = outcome.by(lambda record: record.correction).most_common()
    print(f"corrected: {', '.join(f'{word} {count}' for word, count in corrections)}")
    if outcome.losses:
        counts = Counter(loss for loss, _ in outcome.losses)
        print(f"left out: {', '.join(f'{loss} {count}' for loss, count in counts.items())}")
    print(f"for the trainer: {shown(outcome.trainer_file)}")
