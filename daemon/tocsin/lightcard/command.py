"""`tocsin light`: see what Tocsin makes of a camera's light, and why."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.errors import InputError
from tocsin.exits import INTERRUPTED
from tocsin.footage.options import BrighterThanOption, ModeOption, StreamOption

if TYPE_CHECKING:  # what draws and decodes loads when the command runs
    from tocsin.lightcard.facts import Facts
    from tocsin.lightcard.table import Asked


def light(
    recording: Annotated[Path, typer.Argument(metavar="IMAGE|VIDEO", help="What the camera recorded.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PNG", help="Where the picture is written.")],
    mode: ModeOption = None,
    brighter_than: BrighterThanOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="Take light, max_fps and model from this configuration."
        ),
    ] = None,
    stream: StreamOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ONNX",
            help="The detector whose input it is shrunk to.",
            show_default="the bundled one",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Another input: 640 or 640x384, in pixels.")
    ] = None,
    simulate: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION", help="See it in another light: veil0.75, ev-5/noise0.004, glare0.8."
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Treat every N-th frame.", show_default="10 frames a second, as max_fps"
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a frame that cannot be read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """See what Tocsin makes of a camera's light: before, after, the numbers and the reason, on one picture.

    Uses the very code of the daemon, at the size that the detector gets. For a video: a strip of moments, and
    its light and corrections over the whole time.

    Example: tocsin light entrance.mp4 --out entrance-light.png
    """
    if stream is not None and config is None:
        raise InputError("--stream: expected --config beside it, found none")
    if size is not None and model is not None:
        raise InputError("--size: expected it without --model, which has a size of its own, found both")
    try:
        from tocsin.footage import camera
        from tocsin.footage.output import check_target, write
        from tocsin.lightcard import card, run

        run.check_recording(recording)
        check_target("--out", out, ".png", [one for one in (recording, config) if one is not None])
        settings = camera.Settings() if config is None else camera.from_config(config, stream)
        settings = camera.overruled(settings, mode=mode, brighter_than=brighter_than, model=model, size=size)
        facts, asked = run.collect(recording, settings, run.condition(simulate), step=every, strict=strict)
        write(out, card.draw(facts, asked))
    except KeyboardInterrupt:
        print("tocsin: stopped; nothing was written", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    _report(facts, asked, out, as_json)


def _report(facts: "Facts", asked: "Asked", out: Path, as_json: bool) -> None:
    """Print the numbers and where the picture is."""
    import json

    from tocsin.lightcard import table

    single = facts.exhibits[0] if facts.treated == 1 else None
    if as_json:
        found = table.recording_json(facts, asked) if single is None else table.picture_json(single, asked)
        print(json.dumps({**found, "out": table.readable(out)}, indent=2))
        return
    lines = table.recording_table(facts, asked) if single is None else table.picture_table(single, asked)
    for line in lines:
        print(line)
    print(f"picture: {table.readable(out)}")
