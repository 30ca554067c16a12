"""How figures are written in a table, and how tables are printed."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tocsin.evaluate.intervals import Difference
from tocsin.footage.shown import harmless

NONE = "-"
"""Stands where there is no figure."""

_WIDEST = 1000
"""Columns: more than any table has."""


def headed(*heads: str, left: int = 1) -> Table:
    """Return an empty table; its first `left` columns are words, the others figures."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for index, head in enumerate(heads):
        table.add_column(head, justify="left" if index < left else "right", no_wrap=True, vertical="bottom")
    return table


def say(console: Console, line: str = "", style: str | None = None) -> None:
    """Print a line as it is: names of files may hold what rich or a terminal takes for a sign to it."""
    console.print(harmless(line), style=style, markup=False, emoji=False)


def show(console: Console, table: Table) -> None:
    """Print a table as wide as it is: a narrow terminal wraps its lines, and nothing is cut off."""
    wide = console.options.update(width=_WIDEST, max_width=_WIDEST)
    for line in console.render_lines(table, wide, pad=False):
        text = Text.assemble(*((part.text, part.style or "") for part in line))
        text.rstrip()
        console.print(text)


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in per cent."""
    return NONE if share is None else f"{100 * share:.1f}"


def points(difference: Difference) -> str:
    """Return a difference in points with its interval."""
    if difference.value is None:
        return NONE
    if difference.low is None or difference.high is None:
        return _signed(difference.value)
    return f"{_signed(difference.value)} [{_signed(difference.low)} {_signed(difference.high)}]"


def _signed(share: float) -> str:
    points = round(100 * share, 1)
    return f"{points:+.1f}" if points else "0.0"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def brief(value: float) -> str:
    """Return a rate with two figures, or whole."""
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.2g}"
