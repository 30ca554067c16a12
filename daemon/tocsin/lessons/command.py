"""`tocsin evidence export`: judged alarms as a data set, for who may read the daemon's state."""

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.asking import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, state_folder
from tocsin.deliver.verdict import Verdict
from tocsin.errors import ConfigError, ControlError
from tocsin.fields import counted, duration_text
from tocsin.lessons.form import Form

if TYPE_CHECKING:  # pictures and the configuration load when there is something to export
    from collections.abc import Callable

    from tocsin.lessons.gather import Fate, Gathered


def export(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or an empty folder.", show_default=False)],
    verdict: Annotated[
        list[Verdict] | None,
        typer.Option(help="Alarms with this verdict; repeatable.", show_default="rejected and confirmed"),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="For whom the labels are.")] = Form.COCO,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Of this stream alone.")] = None,
    rule: Annotated[str | None, typer.Option(metavar="NAME", help="Of this rule alone.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Raised from then on: 30d (ago), 2026-11-20.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Raised before then.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write pictures of judged alarms, and labels, as a data set to train with and for tocsin evaluate.

    A confirmed alarm's object is labelled. A rejected one's is not: its picture shows what is no such object, and
    the false box stands beside the labels. Nobody judged what else is in a picture, and nothing else is labelled:
    look through them before you train. tocsin evaluate counts at the judged boxes alone. What was only acknowledged
    comes into a folder to_label, with the detector's own box. Who exports is on record while the daemon runs.

    Example: tocsin evidence export --verdict rejected --verdict confirmed --since 30d --out november
    """
    from tocsin.evidence.link import known_key
    from tocsin.lessons.gather import Gatherer, check, gather

    wanted = tuple(dict.fromkeys(verdict or (Verdict.REJECTED, Verdict.CONFIRMED)))
    now = datetime.now(UTC)
    asked = {
        "stream": stream,
        "rule": rule,
        "test": False,  # "rejected" says there that it was the walk test, and not that nobody was there
        "since": moment("--since", since, now),
        "until": moment("--until", until, now),
    }
    state = state_folder(config)
    history = History(state)
    alarms = [alarm for word in wanted for alarm in judged(history.alarms, word, asked)]
    if not alarms:
        _tell_none(wanted, as_json)
        return
    check(out)
    gatherer = Gatherer(state, known_key(state))
    history.put_on_record({**asked, "verdicts": [word.value for word in wanted], "alarms": len(alarms)})
    with _progress(len(alarms)) as step:
        gathered = gather(alarms, gatherer, out, form, step)
    if as_json:
        print(json.dumps(_as_json(gathered, out, form), indent=2))
    else:
        _tell(gathered, config, form)


class History:
    """The history of a running daemon, or of its file from the first question on that no daemon answers."""

    def __init__(self, state: Path) -> None:
        from tocsin.control import CONTROL_SOCKET
        from tocsin.deliver.database import OUTBOX_FILE

        self._socket, self._file = state / CONTROL_SOCKET, state / OUTBOX_FILE
        self._answers = True

    def alarms(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `alarm.list` is answered. Raises ControlError where there is neither."""
        from tocsin.control import request
        from tocsin.desk.history import Resting, alarms_listed

        if self._answers:
            try:
                return request(self._socket, "alarm.list", **asked)
            except ControlError:
                if not os.path.exists(self._file):  # noqa: PTH110  unlike its Path this is False where nobody may look
                    raise
                self._answers = False
                print("tocsin: no daemon answers, this is from its file, and not on record", file=sys.stderr)
        return alarms_listed(Resting(self._file), asked)

    def put_on_record(self, what: Mapping[str, Any]) -> None:
        """Have the daemon remember that pictures are taken from it; one that does not run cannot."""
        from tocsin.control import request

        if self._answers:
            request(self._socket, "audit.exported", **what)


def judged(
    ask: "Callable[[Mapping[str, Any]], dict[str, Any]]",
    verdict: Verdict,
    asked: Mapping[str, Any],
    most: int = 2_000,
) -> list[dict[str, Any]]:
    """Return the alarms with a verdict, the oldest first, asked for in pages of at most so many."""
    found: dict[str, dict[str, Any]] = {}
    page = {**asked, "verdict": verdict.value, "limit": most}
    while True:
        answer = ask(page)
        rows, known = answer["alarms"], len(found)
        found |= {row["alarm_id"]: row for row in rows}
        if len(found) == known or not (answer["left_out"] or len(rows) == most):
            return sorted(found.values(), key=lambda row: (row["opened"], row["alarm_id"]))
        # those of the same millisecond again, of which there may be more
        page["until"] = (datetime.fromisoformat(rows[0]["opened"]) + timedelta(milliseconds=1)).isoformat()


def _tell_none(verdicts: Sequence[Verdict], as_json: bool) -> None:
    if as_json:
        print(
            json.dumps({"out": None, "labels": [], "alarms": {word.value: {} for word in verdicts}}, indent=2)
        )
    else:
        print(f"no alarm of those was {' or '.join(verdicts)}: nothing was written")


def _as_json(gathered: "Gathered", out: Path, form: Form) -> dict[str, Any]:
    from tocsin.lessons.gather import Fate

    return {
        "out": str(out),
        "format": form.value,
        "labels": [str(path) for path in gathered.labels],
        "alarms": {
            verdict.value: {fate.value: fates[fate] for fate in Fate}
            for verdict, fates in gathered.fates.items()
        },
    }


def _tell(gathered: "Gathered", config: Path, form: Form) -> None:
    from tocsin.lessons.gather import TO_LABEL, Fate

    for verdict, fates in gathered.fates.items():
        total = f"{fates.total()} {verdict} {'alarm' if fates.total() == 1 else 'alarms'}"
        print(f"{counted(fates[Fate.EXPORTED], 'picture')} of {total}")
        _tell_lost(fates, total, _kept(config, verdict))
    for path in gathered.labels:
        print(path)
    told = [path for path in gathered.labels if path.parent.name != TO_LABEL]
    if told and form is Form.COCO:
        images, labels = (shlex.quote(str(path)) for path in (told[0].parent / "images", told[0]))
        print(f"next: tocsin evaluate --images {images} --labels {labels} --model MODEL")


def _kept(config: Path, verdict: Verdict) -> str:
    """Say for how long the pictures are kept; nothing where the file is wrong by now, of which was told."""
    from tocsin.config.load import load

    try:
        kept = load(config).evidence
    except ConfigError:
        return ""
    seconds = kept.keep if verdict is Verdict.ACKNOWLEDGED else max(kept.keep, kept.keep_judged)
    return f": it is kept for {duration_text(seconds)}"


def _tell_lost(fates: "Counter[Fate]", total: str, kept: str) -> None:
    from tocsin.lessons.gather import Fate

    if gone := fates[Fate.GONE]:
        print(f"note: {gone} of {total} have no picture, or none any more{kept}")
    if unclear := fates[Fate.UNCLEAR]:
        print(f"note: {unclear} of {total} have a picture that does not show their object")


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[], None]]":
    """Show how far it is, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pictures", total=total)
        yield lambda: progress.advance(task)
