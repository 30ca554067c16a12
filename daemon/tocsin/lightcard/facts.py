"""What Tocsin makes of the light of a recording; the memory it takes does not grow with the recording."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from tocsin.capture.resize import Plane
from tocsin.capture.shrink import Shrinker
from tocsin.eyesight.impairment import Impairment
from tocsin.footage.camera import InputSize
from tocsin.frame import Correction, Light, fit
from tocsin.light.measure import measure
from tocsin.light.plan import Policy
from tocsin.light.treat import Treatment
from tocsin.lightcard.sight import Sight, Unseen
from tocsin.lightcard.timeline import (
    Change,
    Moment,
    Span,
    Steadiness,
    Thinned,
    Timeline,
    by_correction,
    spread,
)

EXHIBITS = 8
"""Exhibits that are kept in the end: as many as are still recognised side by side."""

_AT_CHANGES = 4
"""At most so many of them show a change of correction; the others are evenly spread."""


@dataclass(frozen=True, slots=True, eq=False)  # pixels cannot be compared as one value
class Exhibit:
    """A moment with its pictures as the detector gets them, without and with the correction.

    `before` and `after` are I420 (BT.601, 16 to 235) as uint8 [h * 3 / 2, w]; `light_after` is the light of
    `after`. `width` and `height` are those of the recorded picture. `gains`, where the correction differs from
    place to place: by how much differences of luma grow there, float32 [rows, columns].
    """

    moment: Moment
    width: int
    height: int
    before: Plane
    after: Plane
    light_after: Light
    gains: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What was seen in a recording.

    `exhibits` are in the order of time: some evenly spread, and some at changes. `changes` holds the first
    `CHANGES_LISTED` of `change_count`; `busiest` is the largest number of changes within ten seconds. `reasons`
    counts the pictures by correction and reason. `unseen` counts those that cannot be seen, and `impaired` are the
    stretches that the daemon would report for it.
    """

    exhibits: tuple[Exhibit, ...]
    spans: tuple[Span, ...]
    changes: tuple[Change, ...]
    change_count: int
    busiest: int
    reasons: Mapping[tuple[Correction, str], int]
    unseen: Mapping[Impairment, int]
    impaired: tuple[Unseen, ...]

    @property
    def treated(self) -> int:
        """How many pictures were treated."""
        return sum(self.reasons.values())

    @property
    def corrections(self) -> dict[Correction, int]:
        """The treated pictures by what was done about them, in the order of the vocabulary."""
        return by_correction(self.reasons)


class Collector:
    """Treats the pictures of one recording as a capture worker does and keeps what is worth showing."""

    def __init__(self, policy: Policy, size: InputSize) -> None:
        self._size = size
        self._shrinker = Shrinker()
        self._treatment = Treatment(policy)
        self._even: Thinned[Exhibit] = Thinned(2 * EXHIBITS)
        self._turns: Thinned[Exhibit] = Thinned(2 * _AT_CHANGES)
        self._timeline = Timeline()
        self._steadiness = Steadiness()
        self._sight = Sight()
        self._reasons: Counter[tuple[Correction, str]] = Counter()
        self._at = -math.inf

    def add(self, frame: VideoFrame, at: float) -> None:
        """Treat one picture, at its time in the recording in seconds; a time that falls counts as the last."""
        self._at = max(self._at, at)
        exhibit = self._exhibit(frame)
        moment = exhibit.moment
        self._reasons[moment.correction, moment.reason] += 1
        self._timeline.add(moment)
        self._sight.add(moment.light, moment.at)
        self._even.add(exhibit)
        if self._steadiness.changes_with(moment):
            self._turns.add(exhibit)

    def facts(self) -> Facts:
        """Return what has been seen so far."""
        turns = spread(self._turns.kept(), _AT_CHANGES)
        chosen = {
            id(exhibit): exhibit for exhibit in (*spread(self._even.kept(), EXHIBITS - len(turns)), *turns)
        }
        return Facts(
            exhibits=tuple(sorted(chosen.values(), key=lambda exhibit: exhibit.moment.at)),
            spans=self._timeline.spans(),
            changes=tuple(self._steadiness.changes),
            change_count=self._steadiness.count,
            busiest=self._steadiness.busiest,
            reasons=dict(self._reasons),
            unseen=dict(self._sight.pictures),
            impaired=self._sight.stretches(),
        )

    def _exhibit(self, frame: VideoFrame) -> Exhibit:
        size = self._size
        width, height = fit(frame.width, frame.height, size.width, size.height, size.keep_aspect)
        before = np.empty((height * 3 // 2, width), np.uint8)
        self._shrinker.shrink(frame, before)
        after = before.copy()
        treated = self._treatment.treat(after, self._at)
        gains = None if treated.plan.local is None else treated.plan.local.gain
        moment = Moment(self._at, treated.light, treated.plan.correction, treated.plan.reason.value)
        return Exhibit(moment, frame.width, frame.height, before, after, light_of(after), gains)


def light_of(pixels: Plane) -> Light:
    """Return the light of an I420 picture, uint8 [h * 3 / 2, w]."""
    return measure(pixels).light
