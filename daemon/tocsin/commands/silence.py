"""`tocsin silence`: alarms that are kept and told to nobody for a while, and who wanted it so."""

import json
from typing import Annotated, Any

import typer

from tocsin.asking import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    ask,
    console_of,
    local,
    seconds_of,
    table_of,
    tail,
    warn_unless_durable,
)
from tocsin.errors import InputError

ForOption = Annotated[str | None, typer.Option("--for", metavar="TIME", help="For how long: 30m, 2h, 1d.")]
_SHOWN = 60  # characters of a cell

_COLUMNS = {"stream": "stream", "rule": "rule", "until": "until", "by": "by", "why": "why", "id": "id"}
"""The columns of the table, and their headings."""


def silence(
    name: Annotated[str | None, typer.Argument(metavar="STREAM|RULE", help="Whose alarms.")] = None,
    for_: ForOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for who asks later.")] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="A stream; with --rule that rule on it alone.")
    ] = None,
    rule: Annotated[str | None, typer.Option(metavar="NAME", help="A rule.")] = None,
    by: ByOption = "",
    listed: Annotated[bool, typer.Option("--list", help="List the silences that are in force.")] = False,
    end: Annotated[
        bool, typer.Option("--end", help="End it before its time; an id of --list will do, too.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell nobody of the alarms of a stream or a rule for a while; they are recorded.

    From a minute to seven days. Who is still there when it ends is told as a new alarm.

    Example: tocsin silence entrance --for 30m --reason "a broken lock"

    Example: tocsin silence entrance --end
    """
    begins = any(one is not None for one in (for_, reason, stream, rule))
    if listed or end:
        is_clear = not begins and listed != end and listed == (name is None)
    else:
        is_clear = begins or name is not None
    if not is_clear:
        found = "more" if listed or (end and begins) else "less"
        raise InputError(
            f"expected STREAM or RULE with --for and --reason, or with --end, or --list alone, found {found}"
        )
    if listed:
        _show(ask(config, "silence.list")["silences"], as_json=as_json)
    elif end:
        answer = ask(config, "silence.end", name=name, by=by)
        if as_json:
            print(json.dumps(answer, indent=2))
        for one in [] if as_json else answer["ended"]:
            print(f"{target(one)} is silenced no more")
        warn_unless_durable(answer)
    else:
        asked = {"name": name, "stream": stream, "rule": rule, "reason": reason, "by": by}
        if for_ is None:
            raise InputError("--for: expected a time such as 30m, found none")
        one = ask(config, "silence.begin", seconds=seconds_of("--for", for_), **asked)["silence"]
        if as_json:
            print(json.dumps({"silence": one}, indent=2))
        else:
            print(
                f"{target(one)} is silenced until {local(one['until'])}: alarms are kept, and told to nobody"
            )
            print(f"sooner: tocsin silence {tail(one['id'])} --end")


def target(one: dict[str, Any]) -> str:
    """Return whose alarms an answer of the daemon is about."""
    if one["stream"] and one["rule"]:
        return f"the rule {one['rule']} on {one['stream']}"
    return f"the stream {one['stream']}" if one["stream"] else f"the rule {one['rule']}"


def _show(silences: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"silences": silences}, indent=2))
        return
    if not silences:
        print("nothing is silenced")
        return
    rows = [
        {
            **one,
            "until": local(one["until"]),
            "rule": one["rule"] or "any",
            "stream": one["stream"] or "any",
            "id": tail(one["id"]),
        }
        for one in silences
    ]
    console_of().print(table_of(rows, _COLUMNS, _SHOWN))
