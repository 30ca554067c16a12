"""`tocsin evidence`: the pictures and the clip of an alarm, for who may read the daemon's state."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from tocsin.asking import record

evidence = typer.Typer(
    help="Get what was kept of an alarm.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@evidence.callback()
def _group() -> None:
    """Get what was kept of an alarm."""  # so that `get` is a word of its own, though the only one


@evidence.command()
def get(
    alarm: Annotated[str, typer.Argument(metavar="ALARM", help="The alarm's id.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put it in.")] = Path(),
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")
    ] = Path("/etc/tocsin/tocsin.yaml"),
) -> None:
    """Copy the pictures and the clip of an alarm into a folder, whether the daemon runs or not.

    Example: tocsin evidence get alarm_0193... --out /tmp/alarm
    """
    from tocsin.config.load import load
    from tocsin.errors import EvidenceError, OutputError, reason
    from tocsin.evidence.link import known_key, piece_of
    from tocsin.evidence.shelf import Kind, path_of

    state = Path(load(config).state_dir)
    key = known_key(state)
    places = {kind: path_of(state, piece_of(alarm, kind, key), kind) for kind in Kind}
    kept = {kind: place for kind, place in places.items() if place.is_file()}
    if not kept:
        raise EvidenceError(f"expected an alarm of which something is kept, found none for {alarm[:64]!r}")
    record(config, "audit.read", alarm_id=alarm, kinds=",".join(kept))
    try:
        out.mkdir(parents=True, exist_ok=True)
        for kind, place in kept.items():
            shutil.copyfile(place, out / f"{kind}{kind.suffix}")
    except OSError as error:
        raise OutputError(f"{out}: expected a folder to write in, found {reason(error)}") from error
    for kind in kept:
        print(out / f"{kind}{kind.suffix}")
