"""From what was counted to the figures that are shown: scores, differences, delays, rates; pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.alarm.watch import Rule
from tocsin.evaluate.alarms import Guarded
from tocsin.evaluate.intervals import Comparison, Difference, Rate, compare, rate
from tocsin.evaluate.look import Lane
from tocsin.evaluate.run import Footage, Results
from tocsin.evaluate.scores import THRESHOLDS, Scores, Sheet
from tocsin.evaluate.threshold import Proposal, propose
from tocsin.evaluate.variants import OFF
from tocsin.frame import Correction

_TEN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Delays:
    """How long something took over some scenes, in seconds."""

    count: int
    mean: float
    median: float
    longest: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """What one rule made of the footage in one lane.

    Of so many `scenes` the alarm was raised in `alarmed`; in `unconfirmed` the object was seen, but not often
    enough; in `unseen` never. `delays` are those of alarms, `first_sightings` those of a rule that confirms
    nothing; None where there was none. `false` alarms and their rate an hour are those beside labelled objects,
    `negative` those on footage with nothing in it; the rate is None where there was no such footage.
    """

    scenes: int
    alarmed: int
    unconfirmed: int
    unseen: int
    delays: Delays | None
    first_sightings: Delays | None
    raised: int
    false: int
    hours: float
    false_rate: Rate | None
    negative: int
    negative_hours: float
    negative_rate: Rate | None
    proposal: Proposal | None


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """What one variant did and achieved under one condition.

    `difference` is to `off`; None for `off` itself. `recall` has the interval of the recall alone. `changes` counts
    changes of the correction in ten seconds; None where no time passed.
    """

    scores: Scores
    difference: Comparison | None
    recall: Difference
    luma: float
    corrections: Mapping[Correction, int]
    changes: float | None
    alarms: Mapping[str, Alarms]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Every figure of a run; `labels` are the model's classes in order.

    `false_per_hour` are the false alarms of all rules together at each threshold, float64 [THRESHOLDS].
    """

    labels: tuple[str, ...]
    footage: tuple[Footage, ...]
    rules: tuple[Rule, ...]
    columns: Mapping[Lane, Column]
    false_per_hour: Mapping[Lane, NDArray[np.float64] | None]
    interrupted: bool


def outcome(
    results: Results,
    labels: tuple[str, ...],
    rules: Sequence[Rule],
    seed: int,
    target: float | None,
) -> Outcome:
    """Return the figures; with a `target` of false alarms a day also what would keep it."""
    scored = {lane: strip.tally.scores() for lane, strip in results.strips.items()}
    columns = {}
    for lane, strip in results.strips.items():
        sheet = scored[lane].sheet
        baseline = scored[Lane(lane.condition, OFF)].sheet
        columns[lane] = Column(
            scores=scored[lane],
            difference=None if lane.variant == OFF else compare(sheet, baseline, results.scenes, seed=seed),
            recall=compare(sheet, _blind(sheet), results.scenes, seed=seed).recall,
            luma=statistics.fmean(results.lumas[lane.condition] or [0.0]),
            corrections=strip.corrections,
            changes=strip.changes / results.seconds * _TEN_SECONDS if results.seconds > 0 else None,
            alarms={rule.name: _alarms(results, rule.name, lane, target) for rule in rules},
        )
    false = {lane: _false_per_hour(results, lane) for lane in results.strips}
    return Outcome(labels, tuple(results.footage), tuple(rules), columns, false, results.interrupted)


def _blind(sheet: Sheet) -> Sheet:
    """Return what would have been counted had nothing been seen: the difference to it is the figure itself."""
    return Sheet(np.zeros_like(sheet.tp), np.zeros_like(sheet.fp), sheet.tp + sheet.fn)


def _alarms(results: Results, rule: str, lane: Lane, target: float | None) -> Alarms:
    seen = results.guarded.get(rule, {}).get(lane, Guarded())
    empty = results.negative.get(rule, {}).get(lane, Guarded())
    sighted = [scene for scene in seen.scenes if scene.sighted is not None]
    alarmed = [scene for scene in seen.scenes if scene.raised is not None]
    return Alarms(
        scenes=len(seen.scenes),
        alarmed=len(alarmed),
        unconfirmed=sum(scene.raised is None for scene in sighted),
        unseen=len(seen.scenes) - len(sighted),
        delays=_delays(scene.delay for scene in alarmed),
        first_sightings=_delays(scene.delay_unconfirmed for scene in sighted),
        raised=seen.raised,
        false=seen.false,
        hours=seen.hours,
        false_rate=rate(seen.false, seen.hours) if seen.hours > 0 else None,
        negative=empty.false,
        negative_hours=empty.hours,
        negative_rate=rate(empty.false, empty.hours) if empty.hours > 0 else None,
        proposal=propose(THRESHOLDS, empty.sweep.tolist(), empty.hours, target)
        if target is not None and empty.hours > 0
        else None,
    )


def _delays(seconds: Iterable[float | None]) -> Delays | None:
    known = [one for one in seconds if one is not None]
    if not known:
        return None
    return Delays(len(known), statistics.fmean(known), statistics.median(known), max(known))


def _false_per_hour(results: Results, lane: Lane) -> NDArray[np.float64] | None:
    """Return how many false alarms all rules together raise in an hour, at each threshold: float64 [THRESHOLDS].

    From footage with nothing in it where there is some, else from what lies beside the labelled objects.
    """
    guarded = results.negative or results.guarded
    parts = [lanes[lane] for lanes in guarded.values() if lane in lanes]
    if not any(part.hours > 0 for part in parts):
        return None
    rates = [part.sweep / part.hours for part in parts if part.hours > 0]
    whole: NDArray[np.float64] = np.array(rates, np.float64).sum(axis=0)
    return whole
