"""`tocsin evaluate`: how well the detector sees in which light, with which correction; what alarms come of it."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tocsin.exits import INTERRUPTED

if TYPE_CHECKING:  # what detects and draws loads when the command runs
    from tocsin.evaluate.outcome import Outcome
    from tocsin.evaluate.report import Head


class Device(StrEnum):
    """Where the detector runs: the word in the configuration."""

    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"


class Explained(TyperCommand):
    """Says at the end of its help what its figures mean, out of the modules that make them."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's, or typer's copy
        from tocsin.evaluate.meaning import sections

        for title, entries in sections():
            with formatter.section(title):
                formatter.write_dl(entries)


def evaluate(
    video: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A labelled video; may be given again, each with its --labels."),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="A folder of labelled images, with its --labels; no rule watches them."
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="JSON", help="Labels in COCO's format: of each --video in order, then of each --images."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ONNX", help="The detector.", show_default="that of --rules, else the bundled one"
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where it runs.")] = Device.AUTO,
    variants: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What is done about the light, side by side; see below, or: all.",
            show_default="off,guided,dacot,placebo",
        ),
    ] = None,
    simulate: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Further light to look at everything in: ev+2,veil0.75,ev-5/noise0.004. See below.",
        ),
    ] = None,
    score: Annotated[
        float, typer.Option(min=0.05, max=1, help="The least score of a detection that counts.")
    ] = 0.5,
    iou: Annotated[
        float, typer.Option(min=0.01, max=1, help="The least overlap with an object that finds it.")
    ] = 0.5,
    classes: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Score these classes alone.", show_default="all that are labelled"),
    ] = None,
    every: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Score every N-th labelled picture; above 1 without alarms."),
    ] = 1,
    alarms: Annotated[
        bool | None,
        typer.Option(
            "--alarms/--no-alarms",
            help="Let rules watch every frame of the videos.",
            show_default="yes; with --every above 1 only where --rules or --negative is given",
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG",
            help="Take the rules, zones, light, views, max_fps and model of a stream in this configuration.",
            show_default="a rule for each class",
        ),
    ] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="That stream; needed where there are several.")
    ] = None,
    negative: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A video in which nothing is that a rule looks for, or its frames in a folder; repeatable.",
        ),
    ] = None,
    target_false_alarms: Annotated[
        float | None,
        typer.Option(
            metavar="PER_CAMERA_DAY",
            help="Propose the lowest min_score that raises no more on --negative footage.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw recall over light, and over false alarms.")
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="full|tiles:ROWSxCOLUMNS[:OVERLAP]",
            help="What the detector sees beside the whole frame.",
            show_default="that of --rules, else full",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides simulated noise and resampling.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at anything that is left out otherwise.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Score the detector on labelled footage, with and without correction of the light, side by side.

    Without footage it takes the bundled clip of pedestrians, which machines labelled. Ctrl-C stops and shows what
    was seen so far; a second one ends at once.

    Example: tocsin evaluate --video entrance.mp4 --labels entrance.json --simulate veil0.75,ev-5/noise0.004
    """
    from tocsin.evaluate.assess import Request, assess

    request = Request(
        videos=tuple(video or ()),
        folders=tuple(images or ()),
        labels=tuple(labels or ()),
        model=model,
        device=device.value,
        variants=variants,
        simulate=simulate,
        score=score,
        iou=iou,
        classes=classes,
        every=every,
        alarms=alarms,
        config=rules,
        stream=stream,
        negative=tuple(negative or ()),
        target=target_false_alarms,
        plot=plot,
        seed=seed,
        strict=strict,
        views=views,
    )
    with _until_interrupted() as stop:
        head, outcome = assess(request, stop)
    present(head, outcome, plot, as_json=as_json)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


def present(head: "Head", outcome: "Outcome", plot: Path | None, *, as_json: bool) -> None:
    """Print, and draw where a `plot` is asked for. Raises OutputError."""
    from rich.console import Console

    from tocsin.evaluate import report, table
    from tocsin.footage.output import write

    if as_json:
        print(json.dumps(report.as_json(head, outcome), indent=2))
    else:
        table.show(Console(highlight=False, soft_wrap=True, emoji=False), head, outcome)
    if plot is None:
        return
    from tocsin.evaluate.plot import draw  # a second of loading that a table does not need

    write(plot, draw(head, outcome))
    if not as_json:
        print(f"\nplot        {plot}")


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """Give a flag that the first Ctrl-C sets; a second one ends the command as it ends any."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
