"""`tocsin outbox`: what waits for the webhooks, what was given up, and what a person does about it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.asking import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    ask,
    ask_or_read,
    console_of,
    local,
    table_of,
    tail,
)
from tocsin.deliver.schedule import State
from tocsin.errors import InputError

outbox = typer.Typer(
    help="See what waits or was given up, try it again, throw it away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

WebhookOption = Annotated[
    str | None, typer.Option("--webhook", "-w", metavar="NAME", help="Of this webhook alone.")
]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER", help="The deliveries' numbers, as listed.")
]

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
    webhook: WebhookOption = None,
    state: Annotated[
        State, typer.Option(help="dead: given up; queued: waiting; delivered: of the last week.")
    ] = State.DEAD,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, the oldest first.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
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
    rows = ({**one, "timestamp": local(one["timestamp"]), "alarm_id": tail(one["alarm_id"])} for one in found)
    console_of().print(table_of(rows, _COLUMNS, _SHOWN))


@outbox.command()
def retry(
    numbers: Numbers = None,
    webhook: WebhookOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Of every webhook.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
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
    webhook: WebhookOption = None,
    state: Annotated[
        State, typer.Option(help="dead: given up; queued: waiting, never to be sent.")
    ] = State.DEAD,
    config: ConfigOption = DEFAULT_CONFIG,
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
    from tocsin.deliver.letters import Choice, read_letters

    def read(file: Path) -> dict[str, Any]:
        letters = read_letters(file, State(asked["state"]), Choice(asked["webhook"]), asked["limit"])
        return {"deliveries": [dict(letter.as_json()) for letter in letters]}

    return list(ask_or_read(config, "outbox.list", read, **asked)["deliveries"])
