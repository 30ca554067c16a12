"""Puts the figures where they were asked for: a table or JSON on standard output, a picture in a file."""

import json
from pathlib import Path

from rich.console import Console

from tocsin.evaluate import report, table
from tocsin.evaluate.outcome import Outcome
from tocsin.evaluate.output import write
from tocsin.evaluate.report import Head


def present(head: Head, outcome: Outcome, plot: Path | None, *, as_json: bool) -> None:
    """Print, and draw where a `plot` is asked for. Raises OutputError."""
    if as_json:
        print(json.dumps(report.as_json(head, outcome), indent=2))
    else:
        table.show(Console(highlight=False, soft_wrap=True), head, outcome)
    if plot is None:
        return
    from tocsin.evaluate.plot import draw

    write(plot, draw(head, outcome))
    if not as_json:
        print(f"\nplot        {plot}")
