"""`tocsin outbox`: what waits for the webhooks, what was given up, and what a person does about it."""

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tocsin.deliver.schedule import State
from tocsin.errors import ControlError, InputError
from tocsin.footage.shown import harmless, shown

outbox = typer.Typer(
    help="See what waits or was given up, try it again, throw it away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
WebhookOption = Annotated[
    str | None, typer.Option("--webhook", "-w", metavar="NAME", help="Of this webhook alone.")
]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER", help="The deliveries' numbers, as listed.")
]

DEFAULT_CONFIG = Path("/etc/tocsin/tocsin.yaml")
_SHOWN = 40  # characters of a cell

_NONE = {
    State.DEAD: "no delivery was given up",
    State.QUEUED: "no delivery waits",
    State.DELIVERED: "no delivery arrived in the last week",
}
_COLUMNS = {
    "number": "number",
    "webhook": "webhook",
    "type": "type",
    "timestamp": "when",
    "alarm_id": "alarm",
    "attempts": "attempts",
    "outcome": "last outcome",
}
"""The columns of the table, and their headings."""


@outbox.command("list")
def list_deliveries(
    config: ConfigOption = DEFAULT_CONFIG,
    webhook: WebhookOption = None,
    state: Annotated[
        State, typer.Option(help="dead: given up; queued: waiting; delivered: of the last week.")
    ] = State.DEAD,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, the oldest first.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List deliveries, of a running daemon or from its file.

    Example: tocsin outbox list --state queued --webhook control-room
    """
    asked: dict[str, Any] = {"state": state.value, "limit": limit, "webhook": webhook}
    found = _listed(config, asked)
    if as_json:
        print(json.dumps({"deliveries": found}, indent=2))
        return
    if not found:
        print(_NONE[state])
        return
    table = Table(*_COLUMNS.values())
    for one in found:
        cells = {**one, "timestamp": local(one["timestamp"])}
        table.add_row(*("" if cells[name] is None else shown(str(cells[name]), _SHOWN) for name in _COLUMNS))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False, emoji=False).print(
        table
    )


@outbox.command()
def retry(
    numbers: Numbers = None,
    config: ConfigOption = DEFAULT_CONFIG,
    webhook: WebhookOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Of every webhook.")] = False,
) -> None:
    """Queue what was given up again, for 72 hours more, and try now what waits.

    Receivers know a delivery by its webhook-id, which stays the same.

    Example: tocsin outbox retry --webhook control-room
    """
    _check_chosen(numbers, webhook, everything=everything)
    answer = ask(config, "outbox.retry", webhook=webhook, numbers=numbers or [])
    print(f"queued again: {answer['queued']}; what waits is tried now")


@outbox.command()
def purge(
    numbers: Numbers = None,
    config: ConfigOption = DEFAULT_CONFIG,
    webhook: WebhookOption = None,
    state: Annotated[
        State, typer.Option(help="dead: given up; queued: waiting, never to be sent.")
    ] = State.DEAD,
) -> None:
    """Remove deliveries for good.

    Example: tocsin outbox purge --webhook control-room
    """
    _check_chosen(numbers, webhook, everything=False)
    answer = ask(config, "outbox.purge", webhook=webhook, numbers=numbers or [], state=state.value)
    print(f"removed: {answer['removed']}")


def _check_chosen(numbers: list[int] | None, webhook: str | None, *, everything: bool) -> None:
    if not (numbers or webhook or everything):
        raise InputError("expected numbers of deliveries or --webhook NAME, found neither")


def _listed(config: Path, asked: dict[str, Any]) -> list[dict[str, Any]]:
    from tocsin.app import OUTBOX_FILE
    from tocsin.config.load import state_of
    from tocsin.deliver.letters import Choice, read_letters

    file = state_of(config)[0] / OUTBOX_FILE
    try:
        return list(ask(config, "outbox.list", **asked)["deliveries"])
    except ControlError:
        if not os.path.exists(file):  # noqa: PTH110  unlike its Path this is False where nobody may look
            raise
        letters = read_letters(file, State(asked["state"]), Choice(asked["webhook"]), asked["limit"])
        print("tocsin: no daemon answers, this is from its file", file=sys.stderr)
        return [dict(letter.as_json()) for letter in letters]


def ask(config: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Return what the daemon of the configuration at `config` answers, be the file itself right by now or not."""
    from tocsin.app import CONTROL_SOCKET
    from tocsin.config.load import state_of
    from tocsin.control import request

    state, faults = state_of(config)
    for fault in faults:
        print(f"tocsin: warning: {harmless(fault)}", file=sys.stderr)
    return request(state / CONTROL_SOCKET, command, **arguments)


def local(text: str) -> str:
    """Return a time of an event by this machine's clock on the wall."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
