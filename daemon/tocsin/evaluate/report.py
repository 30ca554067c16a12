"""The figures of a run as JSON, for programs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tocsin.alarm.watch import Rule
from tocsin.evaluate.alarms import left_out
from tocsin.evaluate.intervals import Comparison, Difference, Rate
from tocsin.evaluate.look import Lane
from tocsin.evaluate.outcome import Alarms, Column, Outcome
from tocsin.evaluate.scores import Counts

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Head:
    """What was evaluated, with what, and against whose labels; all of it is shown with the figures.

    `labels` are the descriptions that the files of labels give of themselves. `warnings` counts
    the sentences about what was left out, printed or not.
    """

    model: str
    provider: str
    device: str
    score: float
    iou: float
    every: int
    seed: int
    max_fps: float
    views: str
    rules_from: str | None
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    variants: tuple[str, ...]
    conditions: tuple[str, ...]
    target: float | None
    warnings: int

    @property
    def lanes(self) -> list[Lane]:
        return [Lane(condition, variant) for condition in self.conditions for variant in self.variants]


def as_json(head: Head, outcome: Outcome) -> dict[str, Any]:
    """Return what `--json` prints: shares from 0 to 1, times in seconds."""
    return {
        "evaluated": {
            "footage": [asdict(footage) for footage in outcome.footage],
            "interrupted": outcome.interrupted,
            **asdict(head),
            "rules": [_rule(rule) for rule in outcome.rules],
        },
        "conditions": {
            condition: {
                variant: _column(outcome.columns[Lane(condition, variant)], outcome.labels)
                for variant in head.variants
            }
            for condition in head.conditions
        },
        "alarms": {
            condition: {
                variant: {
                    rule: _alarms(alarms)
                    for rule, alarms in outcome.columns[Lane(condition, variant)].alarms.items()
                }
                for variant in head.variants
            }
            for condition in head.conditions
        },
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {**asdict(rule), "left_out": left_out(rule)}


def _column(column: Column, known: tuple[str, ...]) -> dict[str, Any]:
    scores = column.scores
    return {
        **_counts(scores.overall),
        "recall_interval": _ends(column.recall),
        "by_light": {light.value: _counts(counts) for light, counts in scores.by_light.items()},
        "by_size": {size.value: _counts(counts) for size, counts in scores.by_size.items()},
        "by_light_and_size": {
            f"{light.value}/{size.value}": _counts(counts)
            for (light, size), counts in scores.by_light_and_size.items()
        },
        "by_class": {known[index]: _counts(counts) for index, counts in scores.by_class.items()},
        "difference_to_off": None if column.difference is None else _comparison(column.difference),
        "mean_luma": round(column.luma, 1),
        "corrections": {correction.value: count for correction, count in column.corrections.items()},
        "changes_in_10_s": _rounded(column.changes),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "frames": counts.frames,
        "positives": counts.positives,
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "precision": _rounded(counts.precision),
        "recall": _rounded(counts.recall),
        "f1": _rounded(counts.f1),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "recall": _difference(comparison.recall),
        "precision": _difference(comparison.precision),
        "f1": _difference(comparison.f1),
        "over": comparison.unit.value,
        "count": comparison.count,
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {"value": _rounded(difference.value), **_ends(difference)}


def _ends(difference: Difference) -> dict[str, Any]:
    return {"low": _rounded(difference.low), "high": _rounded(difference.high)}


def _alarms(alarms: Alarms) -> dict[str, Any]:
    return {
        "scenes": alarms.scenes,
        "alarmed": alarms.alarmed,
        "seen_but_not_confirmed": alarms.unconfirmed,
        "never_seen": alarms.unseen,
        "delay": _told(alarms.delays),
        "delay_without_confirmation": _told(alarms.first_sightings),
        "raised": alarms.raised,
        "labelled": _false(alarms.false, alarms.hours, alarms.false_rate),
        "negative": _false(alarms.negative, alarms.negative_hours, alarms.negative_rate),
        "proposal": _told(alarms.proposal),
    }


def _false(count: int, hours: float, rate: Rate | None) -> dict[str, Any]:
    return {"false_alarms": count, "hours": round(hours, 6), "per_hour": _told(rate)}


def _told(record: Any | None) -> dict[str, Any] | None:
    if record is None:
        return None
    values: Mapping[str, Any] = asdict(record)
    return {key: _rounded(value) if isinstance(value, float) else value for key, value in values.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
