"""`tocsin evidence`: the pictures and the clip of an alarm, for who may read the daemon's state."""

import contextlib
import filecmp
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from tocsin.asking import DEFAULT_CONFIG, AlarmArgument, ConfigOption, ask_or_read, record

if TYPE_CHECKING:
    from tocsin.evidence.shelf import Kind

MARGIN = 10.0
"""Seconds that a clip may take after its last picture."""

evidence = typer.Typer(
    help="Get what was kept of alarms.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@evidence.command()
def get(
    alarm: AlarmArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put it in.")] = Path(),
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy the pictures and the clip of an alarm into a folder, whether the daemon runs or not.

    Example: tocsin evidence get 8123ab --out /tmp/alarm
    """
    from tocsin.config.load import state_of
    from tocsin.errors import EvidenceError, InputError, OutputError, reason

    state, _ = state_of(config)
    pieces, making, kept = _found(state, alarm)
    if not (making or kept):
        alarm = _whole(config, alarm)
        pieces, making, kept = _found(state, alarm)
    left = f"{', '.join(making)}: still being made{_takes(config)}" if making else ""
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


def _found(state: Path, alarm_id: str) -> "tuple[dict[Kind, str], list[Kind], list[Kind]]":
    """Return the pieces of an alarm, which are still being made, and which are kept. Raises EvidenceError."""
    from tocsin.evidence.link import known_key, piece_of
    from tocsin.evidence.shelf import Kind, part_of, path_of

    key = known_key(state)
    pieces = {kind: piece_of(alarm_id, kind, key) for kind in Kind}
    making = [kind for kind, piece in pieces.items() if part_of(state, piece, kind).exists()]
    kept = [kind for kind, piece in pieces.items() if path_of(state, piece, kind).is_file()]
    return pieces, making, kept


def _whole(config: Path, named: str) -> str:
    """Return the identity of the alarm that is remembered and ends like this. Raises InputError."""
    from tocsin.desk.history import Resting, alarm_shown
    from tocsin.errors import ControlError

    asked = {"alarm_id": named}
    try:
        found = ask_or_read(config, "alarm.show", lambda file: alarm_shown(Resting(file), asked), **asked)
    except ControlError:  # neither a daemon nor its file: nobody remembers any
        return named
    return str(found["alarm"]["alarm_id"])


def _takes(config: Path) -> str:
    """Say for how long a clip is made; nothing where the configuration is wrong by now."""
    from tocsin.config.load import load
    from tocsin.errors import ConfigError

    try:
        streams = load(config).streams
    except ConfigError:
        return ""
    return f", until {max(one.evidence.after for one in streams) + MARGIN:g} s after the alarm"


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
