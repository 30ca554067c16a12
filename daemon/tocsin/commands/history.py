"""`tocsin alarm list`, `tocsin alarm show` and `tocsin audit`: what happened, and who did what."""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.asking import (
    DEFAULT_CONFIG,
    AlarmArgument,
    ConfigOption,
    JsonOption,
    ask_or_read,
    console_of,
    local,
    moment,
    table_of,
    tail,
)
from tocsin.deliver.act import Act
from tocsin.errors import OutboxError

_SHOWN = 120  # characters of a cell
_ACT_SHOWN = 700  # of one that may hold a reason and more

_IDENTITY = re.compile(r"(alarm|silence|test)_[0-9a-f]{32}")
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")

_WHEN = "a time ago such as 24h or 7d, a day such as 2026-11-20, or 2026-11-20T18:30 by this machine's clock"
Since = Annotated[str | None, typer.Option(metavar="TIME", help=f"From then on: {_WHEN}.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Until then, in the same words.")]
Limit = Annotated[int, typer.Option(min=1, max=2000, help="How many at most, the latest.")]


class Verdicts(StrEnum):
    """The words of `--verdict`."""

    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    NONE = "none"


def list_alarms(
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Of this stream alone.")] = None,
    rule: Annotated[str | None, typer.Option(metavar="NAME", help="Of this rule alone.")] = None,
    verdict: Annotated[Verdicts | None, typer.Option(help="With this verdict; none: without any.")] = None,
    since: Since = None,
    until: Until = None,
    is_open: Annotated[bool | None, typer.Option("--open/--ended", help="Open ones, or ended ones.")] = None,
    silenced: Annotated[
        bool | None, typer.Option("--silenced/--no-silenced", help="Those that a silence kept back, or not.")
    ] = None,
    test: Annotated[bool | None, typer.Option("--test/--no-test", help="Those of tests, or not.")] = None,
    limit: Limit = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the alarms that were raised, the latest last, of a running daemon or from its file.

    Example: tocsin alarm list --since 24h --verdict none
    """
    found = _asked(
        config,
        "alarm.list",
        stream=stream,
        rule=rule,
        verdict=None if verdict is None else verdict.value,
        open=is_open,
        silenced=silenced,
        test=test,
        **_times(since, until),
        limit=limit,
    )
    if as_json:
        print(json.dumps({"alarms": found["alarms"]}, indent=2))
    elif not found["alarms"]:
        print("no such alarm was raised")
    else:
        console_of().print(table_of([_in_cells(one) for one in found["alarms"]], _ALARMS, _SHOWN))
    _tell_rest(found["left_out"] or len(found["alarms"]) == limit, found["alarms"], "opened")


def show_alarm(
    alarm_id: AlarmArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one alarm: what was seen, who said what about it, who was told, and what was kept of it.

    Deliveries that arrived are known for a week.

    Example: tocsin alarm show 8123ab
    """
    found = _asked(config, "alarm.show", alarm_id=alarm_id)
    found["evidence"] = _evidence(config, found["alarm"]["alarm_id"])
    if as_json:
        print(json.dumps(found, indent=2))
        return
    screen = console_of()
    facts = [{"what": what, "is": text} for what, text in _facts(found).items() if text]
    for rows, columns, title in (
        (facts, {"what": "", "is": ""}, None),
        ([_act_in_cells(one) | one["details"] for one in found["verdicts"]], _VERDICTS, "verdicts"),
        ([_delivery_in_cells(one) for one in found["deliveries"]], _DELIVERIES, "deliveries"),
    ):
        table = table_of([dict.fromkeys(columns) | row for row in rows], columns, _SHOWN, title)
        table.show_header = title is not None
        if title is not None:
            screen.print()
        screen.print(table if rows else f"no {title}")


def audit(
    since: Since = None,
    until: Until = None,
    act: Annotated[list[Act] | None, typer.Option(help="Of this kind alone; repeatable.")] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject", "--stream", metavar="WORD", help="About this alarm, stream, rule, webhook or digest."
        ),
    ] = None,
    limit: Limit = 100,
    verify: Annotated[
        bool, typer.Option("--verify", help="Say instead whether an entry is missing, but for the oldest.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show who did what, the latest last, of a running daemon or from its file.

    Example: tocsin audit --since 7d --act verdict --stream yard
    """
    if verify:
        _verify(config, as_json=as_json)
        return
    acts = [one.value for one in act or ()]
    times = _times(since, until)
    found = _asked(config, "audit.list", acts=acts, subject=subject, **times, limit=limit)
    entries = found["entries"]
    if as_json:
        for one in entries:
            print(json.dumps(one))
    elif not entries:
        print("nothing of the kind is on record")
    else:
        console_of().print(table_of([_act_in_cells(one) for one in entries], _ACTS, _ACT_SHOWN))
    _tell_rest(found["left_out"] or len(entries) == limit, entries, "timestamp")


def _verify(config: Path, *, as_json: bool) -> None:
    found = _asked(config, "audit.verify")
    if found["missing"] or not found["guarded"]:
        less = (
            f"{found['missing']} missing" if found["missing"] else "a database that lets entries be changed"
        )
        raise OutboxError(f"expected every entry from {found['first']} to {found['last']}, found {less}")
    if as_json:
        print(json.dumps(found))
    else:
        print(f"{found['count']} entries, from {found['first']} to {found['last']}: none is missing")


def _asked(config: Path, command: str, **asked: Any) -> dict[str, Any]:
    from tocsin.desk.history import COMMANDS, Resting

    return ask_or_read(config, command, lambda file: COMMANDS[command](Resting(file), asked), **asked)


def _times(since: str | None, until: str | None) -> dict[str, str | None]:
    now = datetime.now(UTC)
    return {"since": moment("--since", since, now), "until": moment("--until", until, now)}


def _tell_rest(is_cut: bool, rows: list[dict[str, Any]], time: str) -> None:
    """Say that there may be more, where a person would not see it."""
    if is_cut and rows:
        print(f"tocsin: there may be older ones: --limit, or --until {rows[0][time]}", file=sys.stderr)


_ALARMS = {
    "opened": "raised",
    "lasted": "lasted",
    "where": "stream",
    "rule": "rule",
    "seen": "seen",
    "verdict": "verdict",
    "alarm_id": "alarm",
}
_ACTS = {
    "when": "when",
    "act": "act",
    "by": "by",
    "via": "via",
    "subject": "subject",
    "told": "details",
}
_VERDICTS = {"when": "when", "verdict": "verdict", "by": "by", "via": "via", "why": "why"}
_DELIVERIES = {
    "webhook": "webhook",
    "type": "type",
    "standing": "state",
    "settled": "settled",
    "attempts": "attempts",
    "number": "number",
}
"""The columns of the tables, and their headings."""


def _in_cells(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table says of an alarm."""
    judged, marks = one["judged"], _marks(one)
    return {
        **one,
        "opened": local(one["opened"]),
        "alarm_id": tail(one["alarm_id"]),
        "where": "/".join(filter(None, (one["stream"], one["zone"]))),
        "seen": f"{one['class']} {one['score'] or 0:.2f}{f' ({marks})' if marks else ''}",
        "lasted": _lasted(one["lasted_seconds"]),
        "verdict": judged and " by ".join(filter(None, (one["verdict"], judged["by"]))),
    }


def _lasted(seconds: float | None) -> str:
    if seconds is None:
        return "open"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _marks(one: Mapping[str, Any]) -> str:
    return ", ".join(mark for mark in ("test", "silenced") if one[mark])


def _act_in_cells(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a table says of an entry."""
    told = " ".join(f"{key}={_brief(key, value)}" for key, value in one["details"].items() if value)
    subject = _brief("subject", one["subject"])
    return {**one, "when": local(one["timestamp"]), "subject": subject, "told": told}


def _brief(key: str, value: str) -> str:
    """Return a value as a person reads it: the end of an identity, the start of a digest, a time of this clock."""
    if _IDENTITY.fullmatch(value):
        return tail(value)
    if _DIGEST.fullmatch(value):
        return value[: value.index(":") + 13] if ":" in value else value[:12]
    return local(value) if key == "until" else value


def _delivery_in_cells(one: Mapping[str, Any]) -> dict[str, Any]:
    state, outcome, settled = one["state"], one["outcome"], one["settled"]
    standing = state if outcome in (None, state) else f"{state} ({outcome})"
    return {**one, "standing": standing, "settled": settled and local(settled)}


def _facts(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines about one alarm, each under its heading."""
    one = found["alarm"]
    pixels, light = one["pixels"], one["light"]
    until = (
        ""
        if one["ended"] is None
        else f", ended {local(one['ended'])} after {_lasted(one['lasted_seconds'])}"
    )
    zone = f" in {one['zone']}" if one["zone"] else ""
    return {
        "alarm": one["alarm_id"],
        "rule": f"{one['rule']} on {one['stream']} ({one['severity']}, tier {one['tier']})",
        "raised": f"{local(one['opened'])}{until or ', open'}",
        "seen": f"{one['class']} {one['score']}{zone}, {pixels[0] or 0:.0f}x{pixels[1] or 0:.0f} pixels, "
        f"{one['confirmed_by']['hits']} of {one['confirmed_by']['of']} frames",
        "light": f"mean {light['mean']}, contrast {light['contrast']}, correction {light['correction']}",
        "by": f"{one['model']}, {one['config']}",
        "marks": _marks(one),
        "evidence": ", ".join(found["evidence"]) or "none is kept",
    }


def _evidence(config: Path, alarm_id: str) -> list[str]:
    """Return what is kept of an alarm now."""
    from tocsin.config.load import state_of
    from tocsin.errors import EvidenceError
    from tocsin.evidence.link import known_key, piece_of
    from tocsin.evidence.shelf import Kind, path_of

    state, _ = state_of(config)
    try:
        key = known_key(state)
    except EvidenceError:  # nothing was ever kept
        return []
    found = partial(piece_of, alarm_id, key=key)
    return [kind.value for kind in Kind if path_of(state, found(kind), kind).is_file()]
