"""`tocsin evidence`: the pictures and the clip of an alarm, for who may read the daemon's state."""

import contextlib
import filecmp
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from tocsin.asking import DEFAULT_CONFIG, ConfigOption, record

if TYPE_CHECKING:
    from tocsin.evidence.shelf import Kind

MARGIN = 10.0
"""Seconds that a clip may take after its last picture."""

evidence = typer.Typer(
    help="Get what was kept of an alarm.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@evidence.command()
def get(
    alarm: Annotated[str, typer.Argument(metavar="ALARM", help="The alarm's id.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put it in.")] = Path(),
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy the pictures and the clip of an alarm into a folder, whether the daemon runs or not.

    Example: tocsin evidence get alarm_0193... --out /tmp/alarm
    """
    from tocsin.config.load import load
    from tocsin.errors import EvidenceError, InputError, OutputError, reason
    from tocsin.evidence.link import known_key, piece_of
    from tocsin.evidence.shelf import Kind, part_of, path_of

    settings = load(config)
    state = Path(settings.state_dir)
    key = known_key(state)
    pieces = {kind: piece_of(alarm, kind, key) for kind in Kind}
    making = [kind for kind, piece in pieces.items() if part_of(state, piece, kind).exists()]
    kept = [kind for kind, piece in pieces.items() if path_of(state, piece, kind).is_file()]
    takes = max((stream.evidence.after for stream in settings.streams), default=0.0) + MARGIN
    left = f"{', '.join(making)}: still being made, until {takes:g} s after the alarm"
    if making and not kept:
        raise EvidenceError(f"expected what is kept of the alarm, found it to come: {left}")
    if not kept:
        raise InputError(f"expected an alarm of which something is kept, found none for {alarm[:64]!r}")
    record(config, "audit.read", alarm_id=alarm, kinds=",".join(kept))
    for kind in kept:
        target = out / f"{kind}{kind.suffix}"
        try:
            with _opened(state, pieces[kind], kind) as file:
                _copy(file, target)
        except OSError as error:
            raise OutputError(f"{target}: expected to write it, found {reason(error)}") from error
        print(target)
    if making:
        print(f"tocsin: {left}; get it again then", file=sys.stderr)


def _opened(state: Path, piece: str, kind: "Kind") -> BinaryIO:
    """Open what is kept. Raises EvidenceError."""
    from tocsin.errors import EvidenceError, reason
    from tocsin.evidence.shelf import path_of, read_from

    try:
        file, found = read_from(state, piece, kind), "it gone"
    except OSError as error:
        file, found = None, reason(error)
    if file is None:
        raise EvidenceError(f"{path_of(state, piece, kind)}: expected to read a {kind}, found {found}")
    return file


def _copy(source: BinaryIO, target: Path) -> None:
    """Copy a file whole or not at all, into a folder that only this user looks into where it is made.

    What is there already may be the same, and is never another alarm's. Raises OSError, and OutputError.
    """
    from tocsin.errors import OutputError

    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.exists():
        if filecmp.cmp(f"/proc/self/fd/{source.fileno()}", target, shallow=False):
            return
        raise OutputError(f"{target}: expected a folder for this alarm alone, found a file of another")
    new = target.with_name(f".{target.name}.part")
    try:
        new.unlink(missing_ok=True)
        with new.open("xb") as file:  # through no link that somebody puts there
            shutil.copyfileobj(source, file)
        new.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
