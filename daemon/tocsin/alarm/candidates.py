"""Which detections of a frame a rule is about."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.alarm.rule import Rule
from tocsin.alarm.zone import Zones
from tocsin.errors import ConfigError
from tocsin.frame import Box, Detections

NO_ASPECT = 100.0
"""The aspect at which `max_aspect` limits nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A detection that is of a rule's classes, in its zones and limits, and scored enough to keep its alarm alive.

    `box` is relative to the frame, `zone` the first of the rule's zones that it stands in (None where the
    rule names none), `pixels` its width and height as the detector saw it, `view` the index of its view.
    """

    class_name: str
    score: float
    box: Box
    zone: str | None
    pixels: tuple[float, float]
    view: int


class Sieve:
    """Picks the candidates of one rule on one stream; keeps nothing from frame to frame."""

    def __init__(self, stream: str, rule: Rule, zones: Zones, labels: tuple[str, ...]) -> None:
        """Raise ConfigError for a class that is not in `labels`, the model's in order, or an unknown zone.

        Detections may come with other labels later, when the model was exchanged: they are read by their own.
        """
        named = rule.classes if rule.near is None else (*rule.classes, rule.near)
        unknown = [("class of the model", name) for name in named if name not in labels]
        parts = (*rule.zones, *rule.exclude)
        unknown += [(f"zone of stream {stream}", name) for name in parts if name not in zones.names]
        if unknown:
            raise ConfigError(
                *(f"rule {rule.name}: expected a {what}, found {name}" for what, name in unknown)
            )
        self._rule = rule
        self._zones = zones
        self._labels: tuple[str, ...] = ()
        self._classes = np.array([], dtype=np.int64)

    def pick(self, detections: Detections, shape: float) -> list[Candidate]:
        """Return the candidates among the detections of a frame of that shape, the highest score first."""
        chosen = np.flatnonzero(self._asked_for(detections))
        if not len(chosen):
            return []
        zone = self.fitting(detections.boxes[chosen], shape)
        fits = (zone >= 0) & self._accompanied(detections, chosen, shape)
        chosen, zone = chosen[fits], zone[fits]
        order = np.argsort(-detections.scores[chosen], kind="stable")
        return [self._candidate(detections, int(chosen[one]), int(zone[one])) for one in order]

    def fitting(self, boxes: NDArray[np.float32], shape: float) -> NDArray[np.int64]:
        """Return which of the rule's zones each box stands in, by its place in the rule; 0 where it names none.

        That is -1 for a box that is none of the rule's concern by where it is, how large, or of which aspect. A box
        on the border of an excluded zone is in it. [K, 4] to [K], for a frame of that shape.
        """
        standing = (
            self._zones.inside(boxes, self._rule.zones)
            if self._rule.zones
            else np.zeros(len(boxes), np.int64)
        )
        wrong = ~self._sized(boxes, shape) | self._zones.masked(boxes)
        if self._rule.exclude:
            wrong |= self._zones.inside(boxes, self._rule.exclude) >= 0
        return np.where(wrong, -1, standing)

    def _asked_for(self, detections: Detections) -> NDArray[np.bool_]:
        # compared as float32, which a score is, so that 0.7 reported is not below 0.7 asked for
        enough = detections.scores >= np.float32(self._rule.keeps)
        finite = np.isfinite(detections.scores) & np.isfinite(detections.boxes).all(axis=1)
        return np.isin(detections.classes, self._wanted(detections.labels)) & enough & finite

    def _accompanied(
        self, detections: Detections, chosen: NDArray[np.int64], shape: float
    ) -> NDArray[np.bool_]:
        """Return whether each chosen box has its middle in a box of `near`, or no further off than that is wide.

        What lies in masks is no company.
        """
        if self._rule.near is None or self._rule.near not in detections.labels:
            return np.full(len(chosen), self._rule.near is None)
        of = detections.classes == detections.labels.index(self._rule.near)
        of &= detections.scores >= np.float32(self._rule.min_score)
        of &= np.isfinite(detections.boxes).all(axis=1)
        found = detections.boxes[of]
        others = found[~self._zones.masked(found)].astype(np.float64)
        boxes = detections.boxes[chosen].astype(np.float64)
        across, down = (boxes[:, :1] + boxes[:, 2:3]) / 2, (boxes[:, 1:2] + boxes[:, 3:]) / 2
        wide = others[:, 2] - others[:, 0]
        tall = wide * shape  # the same length, as a share of the frame's height
        beside = (across >= others[:, 0] - wide) & (across <= others[:, 2] + wide)
        level = (down >= others[:, 1] - tall) & (down <= others[:, 3] + tall)
        close: NDArray[np.bool_] = (beside & level).any(axis=1)
        return close

    def _sized(self, boxes: NDArray[np.float32], shape: float) -> NDArray[np.bool_]:
        """Return whether each box, as far as the frame shows it, keeps within the rule's limits."""
        rule, edges = self._rule, np.clip(boxes.astype(np.float64), 0.0, 1.0)
        width, height = edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]
        area, broad = width * height, width * shape
        tall = (rule.min_aspect * height <= broad) & (broad <= rule.max_aspect * height)
        # a limit that is at its end is none: rounding must not cost the box that fills the frame
        free = rule.min_aspect <= 0 and rule.max_aspect >= NO_ASPECT
        return (area >= rule.min_area) & (area <= rule.max_area) & (tall | free)

    def _candidate(self, detections: Detections, index: int, zone: int) -> Candidate:
        x1, y1, x2, y2 = (float(edge) for edge in detections.boxes[index])
        width, height = (float(length) for length in detections.pixels[index])
        return Candidate(
            class_name=detections.labels[detections.classes[index]],
            score=float(detections.scores[index]),
            box=(x1, y1, x2, y2),
            zone=self._rule.zones[zone] if self._rule.zones else None,
            pixels=(width, height),
            view=int(detections.views[index]),
        )

    def _wanted(self, labels: tuple[str, ...]) -> NDArray[np.int64]:
        """Return the index of each of the rule's classes in the labels; kept for as long as these are the same."""
        if labels is not self._labels:
            self._labels = labels
            self._classes = np.array(
                [labels.index(name) for name in self._rule.classes if name in labels], dtype=np.int64
            )
        return self._classes
