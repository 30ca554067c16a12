"""`tocsin probe`: what a camera sends, whether the daemon can use it, and how large things are in it."""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tocsin.errors import SourceError
from tocsin.exits import INTERRUPTED

if TYPE_CHECKING:
    from tocsin.capture.order import SourceOrder

_WATCHED = 3.0
"""Seconds that a camera is watched for its rate and its keyframes."""


class Transport(StrEnum):
    """How RTSP carries the pictures: the words in the configuration."""

    TCP = "tcp"
    UDP = "udp"


def probe(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="rtsp(s)://..., http(s)://..., /dev/video0 or file:clip.mp4"),
    ],
    username: Annotated[
        str | None, typer.Option(metavar="NAME", help="The user that the camera knows.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds that user's password.")
    ] = None,
    password_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="The environment variable that holds it.")
    ] = None,
    transport: Annotated[
        Transport | None, typer.Option(help="How RTSP carries the pictures.", show_default="tcp")
    ] = None,
    tls_verify: Annotated[
        bool | None,
        typer.Option(
            "--tls-verify/--no-tls-verify",
            help="rtsps and https: check the camera's certificate.",
            show_default="yes",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="rtsps and https: certificates to trust instead of the system's."),
    ] = None,
    lens: Annotated[
        float,
        typer.Option(min=1, max=179, metavar="DEGREES", help="The lens's angle of view from left to right."),
    ] = 90.0,
    size: Annotated[
        float, typer.Option(min=0.01, max=100, metavar="METRES", help="The length of the object.")
    ] = 0.25,
    views: Annotated[
        str, typer.Option(metavar="LIST", help="The kinds of views: full, tiles:ROWSxCOLUMNS[:OVERLAP].")
    ] = "full,tiles:2x3",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ONNX", help="The detector that gets the views.", show_default="the bundled one"
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Where the last picture is written, as the camera sent it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Open a camera as the daemon does, and say what it sends and how many pixels an object has in it.

    It is opened once, watched for three seconds, and given up after twenty. The table tells the length of an
    object that faces the camera in the middle of the picture, by a lens that keeps straight lines straight: in the
    camera's pixels, and in those that the detector gets in each kind of view.

    Example: tocsin probe rtsp://10.0.0.7/stream1 --username viewer --password-file entrance.secret --lens 70
    """
    from tocsin import assembly
    from tocsin.footage.output import check_target, write
    from tocsin.probe import asked, ruler, run, words

    if save is not None:
        check_target("--save", save, ".png", [])
    takes = asked.takes(model)
    kinds = ruler.kinds_from(views, assembly.whole(takes))
    given = asked.Given(source, username, password_file, password_env, transport, tls_verify, ca_file)
    order = asked.order(given, takes)
    if password_env is not None:
        os.environ.pop(password_env, None)  # every process that is started inherits it
    try:
        look = run.look_through([order], _WATCHED, picture=save is not None)[0]
    except KeyboardInterrupt:
        print("tocsin: stopped", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    seen = look.seen
    if isinstance(seen, SourceError):
        _give_up(seen, order.source, as_json)
    if save is not None and look.png is not None:
        write(save, look.png)
    measure = ruler.Ruler(size, lens)
    if as_json:
        found: dict[str, Any] = words.as_json(seen, order.source)
        found["object"] = ruler.as_json(measure, kinds, seen.width, seen.height)
        print(json.dumps(found | ({} if save is None else {"saved": str(save)}), indent=2))
        return
    for line in words.lines(seen, order.source):
        print(line)
    if save is not None:
        print(f"saved      {save}")
    print()
    for line in ruler.lines(measure, kinds, seen.width, seen.height):
        print(line)


def _give_up(error: SourceError, source: "SourceOrder", as_json: bool) -> NoReturn:
    from tocsin.probe import words

    if as_json:
        print(json.dumps(words.fault_as_json(error, source), indent=2))
    raise SourceError(error.fault, words.why(error, source))
