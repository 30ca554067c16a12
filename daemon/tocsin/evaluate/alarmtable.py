"""What rules make of the footage as tables, for people: delays, false alarms, proposed thresholds."""

import math
from collections.abc import Collection, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from tocsin.alarm.rule import Per
from tocsin.alarm.watch import Rule
from tocsin.evaluate.alarms import left_out
from tocsin.evaluate.cells import NONE, brief, duration, headed, percent, say, show
from tocsin.evaluate.intervals import Rate
from tocsin.evaluate.look import Lane
from tocsin.evaluate.outcome import Alarms, Column, Delays, Outcome
from tocsin.evaluate.report import Head
from tocsin.evaluate.scores import THRESHOLDS
from tocsin.evaluate.threshold import Proposal


def show_rule(console: Console, head: Head, outcome: Outcome, rule: Rule) -> None:
    """Print what one rule made of all footage."""
    source = "" if head.rules_from is None else f" of {head.rules_from}"
    columns = {lane: outcome.columns[lane].alarms[rule.name] for lane in head.lanes}
    if not any(alarms.hours or alarms.negative_hours for alarms in columns.values()):
        return  # there is no video: rules watch nothing
    say(console)
    say(console, f"alarms of the rule {rule.name}{source}", style="bold")
    one = " of one object" if rule.per is Per.OBJECT else ""
    say(
        console,
        f"score {rule.min_score:g}, {rule.hits} of {rule.of} frames{one} within {rule.within:g} s,"
        f" {head.max_fps:g} frames a second",
    )
    if missed := left_out(rule):
        say(console, f"without its {' and '.join(missed)}: a recording has no time of day, and no verdicts")
    if any(alarms.scenes for alarms in columns.values()):
        show(console, _delays_table(columns))
        say(
            console,
            "From the moment it is visible, in seconds: to the alarm, and to the first sighting. Seen only:",
        )
        say(console, "not often enough to be confirmed. A scene without an alarm is in no mean.")
        say(console)
    if any(alarms.false_rate or alarms.negative_rate for alarms in columns.values()):
        show(console, _false_table(columns))
    if head.target is not None:
        _show_proposals(console, head, outcome, rule)


def _delays_table(columns: dict[Lane, Alarms]) -> Table:
    table = headed(
        *("\ncondition", "\nvariant", "\nscenes", "with\nalarm", "seen\nonly", "never\nseen"),
        *("alarm\nmean", "after\nmedian", "(s)\nmax", "seen\nmean", "after\nmedian"),
        left=2,
    )
    for lane, alarms in columns.items():
        table.add_row(
            lane.condition,
            lane.variant,
            str(alarms.scenes),
            str(alarms.alarmed),
            str(alarms.unconfirmed),
            str(alarms.unseen),
            *_times(alarms.delays),
            *_times(alarms.first_sightings)[:2],
        )
    return table


def _times(delays: Delays | None) -> tuple[str, str, str]:
    if delays is None:
        return NONE, NONE, NONE
    return f"{delays.mean:.2f}", f"{delays.median:.2f}", f"{delays.longest:.2f}"


def _false_table(columns: dict[Lane, Alarms]) -> Table:
    """Beside labelled objects, and on negative footage; what there is of both."""
    labelled = any(alarms.false_rate for alarms in columns.values())
    negative = any(alarms.negative_rate for alarms in columns.values())
    heads = ["beside\nlabelled objects", "\nan hour [95 %]"] if labelled else []
    heads += ["on negative\nfootage", "\nan hour [95 %]"] if negative else []
    table = headed("false alarms\ncondition", "\nvariant", *heads, left=2)
    for lane, alarms in columns.items():
        cells = [_count(alarms.false, alarms.hours), _rate(alarms.false_rate)] if labelled else []
        if negative:
            cells += [_count(alarms.negative, alarms.negative_hours), _rate(alarms.negative_rate)]
        table.add_row(lane.condition, lane.variant, *cells)
    return table


def _count(alarms: int, hours: float) -> str:
    return f"{alarms} in {duration(hours * 3600)}"


def _rate(rate: Rate | None) -> str:
    return NONE if rate is None else f"{brief(rate.value)} [{brief(rate.low)} {brief(rate.high)}]"


def _show_proposals(console: Console, head: Head, outcome: Outcome, rule: Rule) -> None:
    table = headed(
        *("\ncondition", "\nvariant", "\nmin_score", "false\nalarms", "\na day", "at most\n(95 %)"),
        *("there:\nrecall", "\nprecision"),
        left=2,
    )
    proposals = []
    for lane in head.lanes:
        column = outcome.columns[lane]
        proposal = column.alarms[rule.name].proposal
        if proposal is not None:
            proposals.append(proposal)
            classes = {k for k, label in enumerate(outcome.labels) if label in rule.classes}
            table.add_row(lane.condition, lane.variant, *_proposal(proposal, column, classes))
    say(console)
    alarms = "alarm" if head.target == 1 else "alarms"
    say(
        console,
        f"the lowest min_score with no more than {head.target:g} false {alarms} per camera and day",
        "bold",
    )
    show(console, table)
    for line in _sureness(proposals):
        say(console, line)


def _proposal(proposal: Proposal, column: Column, classes: Collection[int]) -> list[str]:
    """The cells of a proposal; recall and precision are of the rule's classes, in the whole picture."""
    index = len(THRESHOLDS) - 1 if proposal.threshold is None else THRESHOLDS.index(proposal.threshold)
    shares = [float(curve[index]) for curve in column.scores.at_thresholds(classes)]
    return [
        f"{proposal.threshold:.2f}" if proposal.threshold is not None else f"none to {THRESHOLDS[-1]:.2f}",
        _count(proposal.alarms, proposal.hours),
        brief(proposal.per_day),
        brief(proposal.upper),
        *(NONE if math.isnan(share) else percent(share) for share in shares),
    ]


def _sureness(proposals: Sequence[Proposal]) -> Iterator[str]:
    """Say what the proposals are worth."""
    if not proposals:
        return
    first = proposals[0]
    if all(proposal.proven_threshold is None for proposal in proposals):
        yield (
            f"Not proven: {duration(first.hours * 3600)} of negative footage is too short for any of them. To say"
            f" with 95 % confidence that there are at most {first.target:g} a day, it takes"
            f" {first.hours_needed:.0f} h without one false alarm."
        )
    elif not all(proposal.proven for proposal in proposals):
        yield (
            "Proven (95 %) only where the upper bound lies within the target:"
            f" {', '.join(f'{one.proven_threshold:.2f}' for one in proposals if one.proven_threshold is not None)}."
        )
    yield "Chosen and counted on the same footage: other hours and other cameras may raise more."
