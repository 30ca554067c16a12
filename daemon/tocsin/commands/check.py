"""`tocsin check`: whether a configuration, its model and its streams would work, without starting anything."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.errors import InputError
from tocsin.exits import INTERRUPTED, TEMPORARY_FAILURE
from tocsin.footage.shown import shown

if TYPE_CHECKING:  # the configuration's libraries load when a command needs them
    from tocsin.config.load import Config

_SHOWN = 500  # twelve labels, or the inputs of a large graph: a line's worth


class DeviceName(StrEnum):
    """The words of `detector.device`."""

    AUTO = "auto"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"
    CPU = "cpu"


def check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The configuration file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|ONNX", help="Say what is understood of a model, instead of a FILE."),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="With --model: run it on this picture.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PNG", help="Where the picture with boxes is written."),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0.01, max=1, help="With --image: what is shown.")] = 0.5,
    device: Annotated[
        DeviceName | None, typer.Option(help="With --model: where it shall run, or nowhere; auto by default.")
    ] = None,
    probe_streams: Annotated[
        bool,
        typer.Option("--probe", help="Also open every stream of FILE for one picture, for 20 s at most."),
    ] = False,
    lens: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[STREAM=]DEGREES",
            help="With --probe: the lens's angle of view from left to right, of all streams or of one; repeatable.",
            show_default="90",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --probe: print JSON, for programs.")] = False,
) -> None:
    """Check a configuration, its model and its secrets, without starting anything.

    With --probe: what each stream shows, and how many pixels 25 cm are in its views, as in tocsin probe.

    With --model: what is understood of a model, how fast it is here, and what it sees.

    Example: tocsin check /etc/tocsin/tocsin.yaml
    """
    from tocsin import check as checks
    from tocsin import logs

    logs.configure("auto", "error")
    if (file is None) == (model is None):
        raise InputError(f"expected either FILE or --model, found {'neither' if file is None else 'both'}")
    if (lens or as_json) and not probe_streams:
        raise InputError(f"{'--lens' if lens else '--json'}: expected --probe beside it, found none")
    if model is not None:
        if probe_streams:
            raise InputError("--probe: expected FILE beside it, found --model")
        _check_model(model, image, out, min_score, device or DeviceName.AUTO)
        return
    if image is not None or out is not None or device is not None:
        raise InputError("--image, --out and --device: expected --model beside them, found none")
    assert file is not None, "there is either a file or a model"
    checked = checks.check(file)
    for warning in checked.warnings:
        print(f"tocsin: warning: {warning}", file=sys.stderr)
    if not as_json:
        print(f"{file}: {checked}", flush=True)  # opening the streams may take a while
    if probe_streams:
        _probe_streams(checked.config, lens or [], as_json)


def _probe_streams(settings: "Config", lens: list[str], as_json: bool) -> None:
    from tocsin.config.load import forget_environment
    from tocsin.probe import streams

    plans = streams.plans(settings, streams.lenses(lens, settings))
    forget_environment(settings)
    try:
        tried = streams.attempt(plans)
    except KeyboardInterrupt:
        print("tocsin: stopped", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print(json.dumps({"streams": streams.as_json(tried)}, indent=2))
    else:
        for line in streams.lines(tried):
            print(line)
    if not all(one.ok for one in tried):
        raise typer.Exit(TEMPORARY_FAILURE)


def _check_model(
    model: str, image: Path | None, out: Path | None, min_score: float, device: DeviceName
) -> None:
    from tocsin.commands import modelcheck
    from tocsin.footage.output import check_target, write

    if out is not None and image is None:
        raise InputError("--out: expected --image beside it, found none")
    if image is not None and out is not None:
        check_target("--out", out, ".png", [image])
    picture = None if image is None else modelcheck.read_image(image)
    examined = modelcheck.examine(model, device.value, picture, min_score)
    for line in modelcheck.lines(examined):
        print(shown(line, _SHOWN))
    if out is not None and picture is not None and examined.found is not None:
        write(out, modelcheck.draw(picture, examined.found))
        print(f"picture   {out}")
