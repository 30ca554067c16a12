"""How commands ask the running daemon, or its file where none runs, and how they show a person what they heard."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tocsin.errors import ControlError, InputError
from tocsin.footage.shown import harmless, shown

ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
AlarmArgument = Annotated[
    str, typer.Argument(metavar="ALARM", help="The alarm's id, or its last six characters or more.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ByOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="SUDO_USER",
        help="Who says so, told beside the user who asks; who has called sudo by default.",
    ),
]

DEFAULT_CONFIG = Path("/etc/tocsin/tocsin.yaml")

TAIL = 8  # characters of an identity, of those that are random

_TEXTS = {"opened", "when", "until", "settled", "timestamp"}  # times, which have a space to be broken at
_TEXTS |= {"seen", "verdict", "by", "subject", "told", "why", "is", "picture", "standing"}
"""Columns that grow narrow with the terminal; in the others stands what a person types, or less."""

_WIDTH = 160  # rich would cut at 80 columns where there is no terminal


def ask(config: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Return what the daemon of the configuration at `config` answers, be the file itself right by now or not."""
    from tocsin.control import CONTROL_SOCKET, request

    return request(state_folder(config) / CONTROL_SOCKET, command, **arguments)


def ask_or_read(
    config: Path, command: str, read: Callable[[Path], dict[str, Any]], **arguments: Any
) -> dict[str, Any]:
    """Return what the daemon answers, or what `read` finds in its database where none answers, and say so."""
    from tocsin.control import CONTROL_SOCKET, request
    from tocsin.deliver.database import OUTBOX_FILE

    state = state_folder(config)
    try:
        return request(state / CONTROL_SOCKET, command, **arguments)
    except ControlError:
        file = state / OUTBOX_FILE
        if not os.path.exists(file):  # noqa: PTH110  unlike its Path this is False where nobody may look
            raise
        found = read(file)
        print("tocsin: no daemon answers, this is from its file", file=sys.stderr)
        return found


def record(config: Path, command: str, **arguments: Any) -> None:
    """Have the daemon put on record what is about to be done; say so where it cannot, and nothing else fails."""
    try:
        ask(config, command, **arguments)
    except ControlError as error:
        print(f"tocsin: this goes on no record: {error}", file=sys.stderr)


def state_folder(config: Path) -> Path:
    """Return the folder of the daemon's state, and say what is wrong with the file that names it."""
    from tocsin.config.load import state_of

    state, faults = state_of(config)
    for fault in faults:
        print(f"tocsin: warning: {harmless(fault)}", file=sys.stderr)
    return state


def console_of() -> Console:
    """Return what tables are printed on, be it a terminal or a pipe."""
    wide = None if sys.stdout.isatty() else _WIDTH
    return Console(width=wide, highlight=False, markup=False, emoji=False)


def table_of(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], longest: int, title: str | None = None
) -> Table:
    """Return a table with these columns and their headings; what strangers wrote does nothing in it.

    Columns in which nothing stands are left out, and a narrow terminal breaks the lines of texts.
    """
    told = [
        {column: "" if row[column] is None else shown(row[column], longest) for column in columns}
        for row in rows
    ]
    filled = [column for column in columns if any(row[column] for row in told)]
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in filled:
        table.add_column(columns[column], no_wrap=column not in _TEXTS, overflow="fold")
    for row in told:
        table.add_row(*(row[column] for column in filled))
    return table


def tail(identity: str | None) -> str:
    """Return the end of an identity, by which commands know it: tables have no room for the whole."""
    return "" if identity is None else identity[-TAIL:]


def local(text: str) -> str:
    """Return a time of an event by this machine's clock on the wall."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def moment(option: str, text: str | None, now: datetime) -> str | None:
    """Return the time that a person means, for the daemon: `24h` ago, a day, or a time of this machine's clock.

    `option` is where it stands. Raises InputError.
    """
    if text is None:
        return None
    try:
        return (_ago(text, now) or datetime.fromisoformat(text)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise InputError(
            f"{option}: expected a time such as 24h (ago), 2026-11-20 or 2026-11-20T18:30, found {text[:40]!r}"
        ) from None


def seconds_of(option: str, text: str) -> float:
    """Return the seconds of a time as the configuration has them, such as 30m or 1h30m. Raises InputError."""
    from pydantic import TypeAdapter, ValidationError

    from tocsin.fields import Duration

    try:
        return float(TypeAdapter(Duration).validate_python(text))
    except ValidationError:
        raise InputError(
            f"{option}: expected a time with its unit, such as 30m, found {text[:40]!r}"
        ) from None


_LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _ago(text: str, now: datetime) -> datetime | None:
    found = _LENGTH.fullmatch(text)
    return None if found is None else now - timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


def warn_unless_durable(answer: dict[str, Any]) -> None:
    """Say of what was ended that nothing but memory knows of it, where that is so."""
    if not answer["durable"]:
        print(
            "tocsin: warning: it has ended, but not on the disk yet: a restart would bring it back",
            file=sys.stderr,
        )
