"""One rule on one stream: from the detections of a frame to what they mean for the alarm."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tocsin.alarm.confirm import Confirmation
from tocsin.alarm.episode import Decision, Episode, Resumed, State
from tocsin.alarm.zone import Zones
from tocsin.errors import ConfigError
from tocsin.frame import Box, Detections

if TYPE_CHECKING:  # rules can be watched without the library that reads the configuration
    from tocsin.alarm.settings import RuleSettings


@dataclass(frozen=True, slots=True)
class Rule:
    """Which detections matter and how they are confirmed; times in seconds.

    No `zones` means anywhere. A `repeat_every` of 0 raises once only.
    """

    name: str
    classes: tuple[str, ...]
    min_score: float
    hits: int
    of: int
    within: float
    end_after: float
    repeat_every: float
    zones: tuple[str, ...] = ()


def rule_from(settings: "RuleSettings") -> Rule:
    """Return the rule that the configuration describes."""
    return Rule(
        name=settings.name,
        classes=settings.classes,
        min_score=settings.min_score,
        hits=settings.confirm.hits,
        of=settings.confirm.of,
        within=settings.confirm.within,
        end_after=settings.end_after,
        repeat_every=settings.repeat_every,
        zones=settings.zones,
    )


@dataclass(frozen=True, slots=True)
class Best:
    """The detection with the highest score among those of a frame that qualify for a rule.

    `box` is relative to the frame, `zone` the first of the rule's zones that it stands in (None where the
    rule names none), `pixels` its width and height as the detector saw it, `view` the index of its view.
    """

    class_name: str
    score: float
    box: Box
    zone: str | None
    pixels: tuple[float, float]
    view: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What one frame means for one rule on one stream.

    `best` is None in a frame that is no sighting, as every frame is that ends an alarm. `first_seen` is the
    time of the first of the sightings that raised the alarm; None where there is no alarm. `hits` of the last
    `of` frames are what it takes to raise one.
    """

    stream: str
    rule: str
    decision: Decision
    best: Best | None
    first_seen: float | None
    hits: int
    of: int

    @property
    def sighting(self) -> bool:
        """Whether the frame holds a detection that qualifies."""
        return self.best is not None


class Watch:
    """Watches one stream for one rule; for one thread.

    Only frames that were analysed may be counted: one whose analysis failed is no frame without a sighting.
    """

    def __init__(
        self, stream: str, rule: Rule, zones: Zones, labels: tuple[str, ...], resumed: Resumed | None = None
    ) -> None:
        """Raise ConfigError for a class that is not in `labels`, the model's in order, or an unknown zone.

        Detections may come with other labels later, when the model was exchanged: they are read by their own.
        """
        unknown = [("class of the model", name) for name in rule.classes if name not in labels]
        unknown += [(f"zone of stream {stream}", name) for name in rule.zones if name not in zones.names]
        if unknown:
            raise ConfigError(
                *(f"rule {rule.name}: expected a {what}, found {name}" for what, name in unknown)
            )
        self._stream = stream
        self._rule = rule
        self._zones = zones
        self._labels: tuple[str, ...] = ()
        self._classes = np.array([], dtype=np.int64)
        self._episode = Episode(
            Confirmation(rule.hits, rule.of, rule.within), rule.end_after, rule.repeat_every, resumed
        )

    @property
    def active(self) -> bool:
        """Whether an alarm is open."""
        return self._episode.state is State.ACTIVE

    def update(self, at: float, period: float, silence: float, detections: Detections) -> Finding:
        """Count one analysed frame; `at`, `period` and `silence` are the frame's."""
        best = self._best(detections)
        decision = self._episode.update(best is not None, at, period, silence)
        return Finding(
            stream=self._stream,
            rule=self._rule.name,
            decision=decision,
            best=best,
            first_seen=self._episode.first_seen,
            hits=self._rule.hits,
            of=self._rule.of,
        )

    def _best(self, detections: Detections) -> Best | None:
        zone = self._standing(detections)
        scores = np.where(self._qualifies(detections, zone), detections.scores, -1.0)
        if len(scores) == 0 or scores.max() < 0:
            return None
        index = int(scores.argmax())
        x1, y1, x2, y2 = (float(edge) for edge in detections.boxes[index])
        width, height = (float(length) for length in detections.pixels[index])
        return Best(
            class_name=detections.labels[detections.classes[index]],
            score=float(detections.scores[index]),
            box=(x1, y1, x2, y2),
            zone=self._rule.zones[zone[index]] if self._rule.zones else None,
            pixels=(width, height),
            view=int(detections.views[index]),
        )

    def _standing(self, detections: Detections) -> NDArray[np.int64]:
        """Return the index of each detection's zone in the rule, -1 for none; 0 where the rule names none."""
        if not self._rule.zones:
            return np.zeros(len(detections), dtype=np.int64)
        return self._zones.inside(detections.boxes, self._rule.zones)

    def _qualifies(self, detections: Detections, zone: NDArray[np.int64]) -> NDArray[np.bool_]:
        # compared as float32, which a score is, so that 0.7 reported is not below 0.7 asked for
        enough = detections.scores >= np.float32(self._rule.min_score)
        finite = np.isfinite(detections.scores) & np.isfinite(detections.boxes).all(axis=1)
        return np.isin(detections.classes, self._wanted(detections.labels)) & enough & finite & (zone >= 0)

    def _wanted(self, labels: tuple[str, ...]) -> NDArray[np.int64]:
        """Return the index of each of the rule's classes in the labels; kept for as long as these are the same."""
        if labels is not self._labels:
            self._labels = labels
            self._classes = np.array(
                [labels.index(name) for name in self._rule.classes if name in labels], dtype=np.int64
            )
        return self._classes
