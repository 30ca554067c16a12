"""The figures of a run as tables, for people; those of scores fit into 80 columns as long as names are short."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tocsin.evaluate.alarmtable import show_rule
from tocsin.evaluate.cells import NONE, duration, headed, percent, points, say
from tocsin.evaluate.cells import show as show_table
from tocsin.evaluate.intervals import Unit
from tocsin.evaluate.look import Lane
from tocsin.evaluate.matching import Size
from tocsin.evaluate.outcome import Column, Outcome
from tocsin.evaluate.report import Head
from tocsin.evaluate.run import Footage
from tocsin.evaluate.scores import Counts, LightClass
from tocsin.evaluate.variants import NOISE_FLOOR, OFF
from tocsin.frame import Correction

_FEW_SCENES = 10


def show(console: Console, head: Head, outcome: Outcome) -> None:
    """Print everything."""
    for line in _heading(head, outcome):
        say(console, line)
    if any(footage.scored for footage in outcome.footage):
        _show_scores(console, head, outcome)
    for rule in outcome.rules:
        show_rule(console, head, outcome, rule)


def _heading(head: Head, outcome: Outcome) -> Iterator[str]:
    if outcome.interrupted:
        yield "Interrupted: what follows is of the pictures looked at so far."
    for footage in outcome.footage:
        yield _footage(footage, watched=bool(outcome.rules))
    counts = [column.scores.overall for column in outcome.columns.values()]
    if counts and counts[0].frames:
        which = "" if head.every == 1 else f", every {_ordinal(head.every)} labelled one"
        yield f"scored      {counts[0].frames} pictures{which}; {counts[0].positives} {_objects(head)}"
        for description in head.labels:
            yield f"labels      {description}"
    yield f"detector    {head.model} on {head.provider} ({head.device}), score {head.score:g}, IoU {head.iou:g}"
    if head.views != "full":
        yield f"views       {head.views}, beside the whole frame"


def _footage(footage: Footage, *, watched: bool) -> str:
    kind = "negative" if footage.negative else "footage"
    seconds = f", {duration(footage.seconds)} watched by rules" if watched and footage.seconds else ""
    pictures, boxes = footage.skipped, footage.boxes_skipped
    lost = [f"{pictures} picture{'' if pictures == 1 else 's'}"] if pictures else []
    lost += [f"{boxes} labelled box{'' if boxes == 1 else 'es'}"] if boxes else []
    left_out = f"; left out: {' and '.join(lost)}" if lost else ""
    return f"{kind:<11} {footage.name}: {footage.looked} pictures{seconds}{left_out}"


def _objects(head: Head) -> str:
    """Say what was to be found."""
    if len(head.classes) == 1:
        return f"labelled objects of the class {head.classes[0]}"
    return f"labelled objects of {len(head.classes)} classes"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _show_scores(console: Console, head: Head, outcome: Outcome) -> None:
    for condition in head.conditions:
        columns = {variant: outcome.columns[Lane(condition, variant)] for variant in head.variants}
        say(console)
        say(console, _title(condition, columns[OFF]), style="bold")
        show_table(console, _scores(columns))
        say(console)
        show_table(console, _by_group(columns))
    say(console)
    if len(head.conditions) > 1:
        say(console, "recall in every light", style="bold")
        show_table(console, _overview(head, outcome))
        say(console)
    for line in _legend(head, outcome):
        say(console, line)


def _title(condition: str, column: Column) -> str:
    lights = ", ".join(f"{light.value} {counts.frames}" for light, counts in column.scores.by_light.items())
    return f"{condition}: mean luma {column.luma:.0f}; light of the pictures: {lights}"


def _scores(columns: dict[str, Column]) -> Table:
    table = headed("variant", "precision", "recall", "F1", "TP", "FP", "recall - off", "precision - off")
    for variant, column in columns.items():
        counts, difference = column.scores.overall, column.difference
        table.add_row(
            variant,
            percent(counts.precision),
            percent(counts.recall),
            percent(counts.f1),
            str(counts.tp),
            str(counts.fp),
            "" if difference is None else points(difference.recall),
            "" if difference is None else points(difference.precision),
        )
    return table


def _corrected(column: Column) -> str:
    """Say in how many of 100 pictures something was done."""
    whole = sum(column.corrections.values())
    done = whole - column.corrections.get(Correction.NONE, 0)
    return f"{100 * done / whole:.0f} %" if done else NONE


def _groups(column: Column) -> list[LightClass | Size]:
    """Return the lights and sizes that have a column: those that hold objects, lights only where they differ."""
    lights = [light for light, counts in column.scores.by_light.items() if counts.positives]
    sizes = [size for size, counts in column.scores.by_size.items() if counts.positives]
    return [*(lights if len(column.scores.by_light) > 1 else []), *sizes]


def _group(column: Column, group: LightClass | Size) -> Counts:
    return column.scores.by_size[group] if isinstance(group, Size) else column.scores.by_light[group]


def _by_group(columns: dict[str, Column]) -> Table:
    groups = _groups(columns[OFF])
    heads = [
        f"{group.value}{'' if isinstance(group, Size) else ' light'}\n{_group(columns[OFF], group).positives}"
        for group in groups
    ]
    table = headed("recall / precision\nobjects", *heads, "pictures\ncorrected", "changes\nin 10 s")
    for variant, column in columns.items():
        counts = [_group(column, group) for group in groups]
        table.add_row(
            variant,
            *(f"{percent(one.recall)} / {percent(one.precision)}" for one in counts),
            _corrected(column),
            NONE if column.changes is None else f"{column.changes:.1f}",
        )
    return table


def _overview(head: Head, outcome: Outcome) -> Table:
    table = headed("condition", *head.variants)
    for condition in head.conditions:
        recalls = [
            outcome.columns[Lane(condition, variant)].scores.overall.recall for variant in head.variants
        ]
        best = max((recall for recall in recalls if recall is not None), default=None)
        table.add_row(condition, *(_best(percent(recall), recall == best) for recall in recalls))
    return table


def _best(text: str, best: bool) -> str:
    return f"[bold]{text}[/bold]" if best else text


def _legend(head: Head, outcome: Outcome) -> Iterator[str]:
    yield "Precision, recall and F1 in %. Differences in points [95 % interval]."
    comparison = next(
        (one.difference for one in outcome.columns.values() if one.difference is not None), None
    )
    if comparison is not None:
        yield (
            f"Intervals: a paired bootstrap over {comparison.count} {comparison.unit.value}"
            f"{_doubt(comparison.unit, comparison.count)}"
        )
    if NOISE_FLOOR in head.variants:
        yield f"{NOISE_FLOOR}: the picture is moved by a few pixels, nothing else: what it differs by is chance."
    if len(head.conditions) > 1:
        yield "All light but the first is simulated: no lens and no sensor is in it."


def _doubt(unit: Unit, count: int) -> str:
    if unit is Unit.FRAMES:
        return "; other scenes and other days differ by more."
    return ", which is few: they say little." if count < _FEW_SCENES else "."
