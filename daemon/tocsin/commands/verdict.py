"""`tocsin alarm ack`, `confirm` and `reject`: what a person says about an alarm, at the machine itself."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.asking import DEFAULT_CONFIG, AlarmArgument, ByOption, ConfigOption, JsonOption, ask, local
from tocsin.deliver.verdict import MOST_BY, MOST_WHY, Judgement, Verdict, words_of
from tocsin.footage.shown import harmless

ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help=f"Why: {MOST_WHY} characters at most.")]


def ack(
    alarm_id: AlarmArgument,
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say that somebody looks after an alarm.

    Example: tocsin alarm ack 8123ab --by anna
    """
    _give(Verdict.ACKNOWLEDGED, alarm_id, reason, by, config, as_json=as_json)


def confirm(
    alarm_id: AlarmArgument,
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say that an alarm is real.

    Example: tocsin alarm confirm 8123ab --reason "a man with a crowbar at the gate"
    """
    _give(Verdict.CONFIRMED, alarm_id, reason, by, config, as_json=as_json)


def reject(
    alarm_id: AlarmArgument,
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say that an alarm is false.

    Example: tocsin alarm reject 8123ab --reason "a mop"
    """
    _give(Verdict.REJECTED, alarm_id, reason, by, config, as_json=as_json)


def _give(verdict: Verdict, alarm_id: str, reason: str, by: str, config: Path, *, as_json: bool) -> None:
    # what cannot be said is said to be so before anybody is asked
    said = {"by": words_of(by, "--by", MOST_BY), "why": words_of(reason, "--reason", MOST_WHY)}
    answer = ask(config, "alarm.verdict", alarm=alarm_id, verdict=verdict.value, **said)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        for line in _lines(answer, datetime.now(UTC)):
            print(harmless(line))
    if not answer["durable"]:
        print(
            "tocsin: warning: it is sent, but not on the disk yet, and would be lost with the machine's power",
            file=sys.stderr,
        )


def _lines(answer: dict[str, Any], now: datetime) -> list[str]:
    """Return what was done, and what stood before."""
    ended = f", ended {local(answer['ended'])}" if answer["ended"] else ""
    about = (
        f"{answer['class']}, {answer['rule']} on {answer['stream']}, raised {local(answer['raised'])}{ended}"
    )
    before = answer["before"]
    lines = [f"{answer['alarm_id']}: {answer['verdict']} ({about})"]
    if before is not None:
        at = datetime.fromisoformat(before["at"])
        sentence = Judgement(Verdict(before["verdict"]), before["by"], at, before["why"]).sentence(now)
        lines.append(f"that was known: {sentence}" if answer["repeated"] else f"before that {sentence}")
    return lines
