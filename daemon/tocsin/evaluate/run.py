"""One pass over the recordings: every picture in every light and with every variant, scored and watched."""

import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tocsin.alarm.settling import Settling
from tocsin.alarm.watch import Rule
from tocsin.alarm.zone import Zones
from tocsin.capture.pace import Pace, Silence
from tocsin.errors import InputError
from tocsin.evaluate.alarms import LABELS_LAST, NOTHING_SHOWN, Guarded, Patrol, Shown
from tocsin.evaluate.labels import Labelled, Labels
from tocsin.evaluate.look import Detects, Lane, Look, Looker, Plain, Sight
from tocsin.evaluate.matching import Found, Truth, at, judge
from tocsin.evaluate.scores import Tally, light_class
from tocsin.footage.pictures import Picture, every, pictures
from tocsin.footage.simulate import AS_RECORDED
from tocsin.frame import Correction, Detections


@dataclass(frozen=True, slots=True)
class Recording:
    """Footage to look at. Without `labels` it is negative: nothing is in it, so whatever is found is false.

    `still` pictures have nothing to do with each other, as those of a folder: no rule watches them. Where `rate` is
    given, they were recorded at so many a second.
    """

    name: str
    path: Path
    labels: Labels | None
    still: bool
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """How the recordings are looked at and judged.

    `classes` are those that are scored, as the model counts them; None for all that are labelled. Every `every`-th
    labelled picture is scored. Without `rules` nothing is watched; with `sweep` false alarms are counted at every
    threshold.
    """

    plain: Plain
    classes: frozenset[int] | None
    score: float
    iou: float
    every: int
    rules: tuple[Rule, ...]
    zones: Zones
    max_fps: float
    sweep: bool


@dataclass(slots=True)
class Footage:
    """What was seen of one recording: `seconds` of it were watched, `looked` pictures went through the detector.

    `skipped` counts the labelled pictures that are not there, cannot be read or do not fit, and whatever else of
    the recording cannot be read; `boxes_skipped` the labelled boxes with faults, or of classes the model lacks.
    """

    name: str
    negative: bool
    looked: int = 0
    scored: int = 0
    skipped: int = 0
    boxes_skipped: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Strip:
    """What one lane did and saw.

    `tally` of the scored pictures; `changes` of its correction from one picture of a recording to the next.
    """

    tally: Tally
    corrections: Counter[Correction] = field(default_factory=Counter)
    changes: int = 0


@dataclass(slots=True)
class Results:
    """What came of all recordings.

    `scenes` holds a number for the scene of each scored picture, `lumas` its mean luma in each condition.
    Corrections are counted in footage with labels; `seconds` is the time over which their changes were. `guarded`
    holds what each rule made of that footage, `negative` what it made of footage with nothing in it.
    """

    footage: list[Footage] = field(default_factory=list)
    strips: dict[Lane, Strip] = field(default_factory=dict)
    scenes: "array[int]" = field(default_factory=lambda: array("q"))
    lumas: "dict[str, array[float]]" = field(default_factory=dict)
    seconds: float = 0.0
    guarded: dict[str, dict[Lane, Guarded]] = field(default_factory=dict)
    negative: dict[str, dict[Lane, Guarded]] = field(default_factory=dict)
    interrupted: bool = False


Tell = Callable[[str], None]


def run(
    recordings: Sequence[Recording],
    asked: Asked,
    detector: Detects,
    labels: tuple[str, ...],
    *,
    tell: Tell,
    step: Callable[[], None],
    stop: threading.Event,
) -> Results:
    """Look at all recordings, those with labels first, until done or `stop` is set.

    `labels` are the model's classes in order. What cannot be read or does not fit goes to `tell` in one sentence
    each, which may raise InputError. `step` is called after each picture. Between two pictures nothing is half
    counted: what came before `stop` is whole.
    """
    lanes = asked.plain.lanes
    results = Results(strips={lane: Strip(Tally(asked.score)) for lane in lanes})
    for condition in asked.plain.conditions:
        results.lumas[condition.name] = array("d")
    for recording in sorted(recordings, key=lambda one: one.labels is None):
        if stop.is_set():
            break
        _Walk(recording, asked, detector, labels, results, tell).go(step, stop)
    results.interrupted = stop.is_set()
    return results


class _Walk:
    """From the first picture of one recording to its last."""

    def __init__(
        self,
        recording: Recording,
        asked: Asked,
        detector: Detects,
        labels: tuple[str, ...],
        results: Results,
        tell: Tell,
    ) -> None:
        self._recording = recording
        self._asked = asked
        self._results = results
        self._tell = tell
        self._looker = Looker(detector, asked.plain, recording.still)
        self._footage = Footage(recording.name, recording.labels is None)
        if recording.labels is not None:
            self._footage.skipped = recording.labels.pictures_skipped
            self._footage.boxes_skipped = recording.labels.boxes_skipped
        labelled = recording.labels.pictures if recording.labels else {}
        self._labelled: Mapping[int, Labelled] = labelled
        self._scored = frozenset(sorted(labelled)[:: asked.every])
        self._missing = set(self._scored)
        self._misfits = self._unread = 0
        self._shown: tuple[float, Shown] | None = None
        self._pace, self._silence = Pace(asked.max_fps), Silence()
        self._settling: dict[str, Settling] = {}  # by condition
        self._last: float | None = None
        self._before: dict[Lane, Correction] = {}
        self._scenes: dict[str | None, int] = {}
        rules = () if recording.still else asked.rules
        judged = recording.labels.classes if recording.labels else None
        self._patrols = [
            Patrol(
                recording.name,
                rule,
                asked.zones,
                labels,
                self._pace.period,
                asked.plain.lanes,
                judged,
                sweep=asked.sweep,
            )
            for rule in rules
        ]

    def go(self, step: Callable[[], None], stop: threading.Event) -> None:
        self._results.footage.append(self._footage)
        for picture in self._pictures():
            self._meet(picture)
            step()
            if stop.is_set():
                break
        else:
            self._complain()
        guarded = self._results.negative if self._footage.negative else self._results.guarded
        for patrol in self._patrols:
            whole = guarded.setdefault(patrol.rule.name, {})
            for lane, part in patrol.finish().items():
                whole.setdefault(lane, Guarded()).add(part)

    def _pictures(self) -> Iterator[Picture]:
        """Yield what is needed: for rules all of it, else the pictures that are scored, and no more after them."""
        watched = bool(self._patrols)
        last = max(self._scored, default=-1)
        found = pictures(self._recording.path, every if watched else self._scored.__contains__, self._skip)
        rate = self._recording.rate
        for picture in found:
            yield picture if rate is None else replace(picture, at=picture.index / rate)
            if not watched and picture.index >= last:
                return

    def _meet(self, picture: Picture) -> None:
        self._missing.discard(picture.index)
        labelled = self._fitting(picture)
        if self._patrols:
            self._silence.arrived(picture.at)
            self._note(picture, labelled)
        scored = labelled is not None and picture.index in self._scored
        if not (self._patrols or scored):
            return
        due = self._recording.still or self._pace.due(picture.at)
        if not (due or scored):
            return
        look = self._looker.look(picture, glance=not due)
        self._footage.looked += 1
        if due:
            self._count_changes(picture.at, look)
        if due and self._patrols:
            self._watch(picture.at, _shape(picture), look)
        if scored and labelled is not None:
            self._score(picture, labelled, look)

    def _fitting(self, picture: Picture) -> Labelled | None:
        """Return the picture's labels, unless they are those of another."""
        labelled = self._labelled.get(picture.index)
        if labelled is None:
            return None
        misfit = labelled.misfit(picture.frame.width, picture.frame.height)
        if misfit is None:
            return labelled
        self._misfits += 1
        self._footage.skipped += 1
        if self._misfits == 1 or self._recording.still:
            self._tell(f"{self._recording.path}: {picture.name}, picture {picture.index}: {misfit}")
        return None

    def _note(self, picture: Picture, labelled: Labelled | None) -> None:
        """Keep in mind what is there to be seen."""
        if labelled is not None:
            self._shown = picture.at, _shown(labelled, picture)
            for patrol in self._patrols:
                patrol.label(*self._shown, _shape(picture))

    def _watch(self, at: float, shape: float, look: Look) -> None:
        shown: Shown | None = NOTHING_SHOWN if self._footage.negative else None
        if self._shown is not None and at - self._shown[0] <= LABELS_LAST:
            shown = self._shown[1]
        silence = self._silence.taken()
        seen = {lane: sight.detections for lane, sight in look.sights.items()}
        unsettled = {
            name
            for name, light in look.lights.items()
            if self._settling.setdefault(name, Settling()).update(light, at, self._pace.period, silence)
        }
        for patrol in self._patrols:
            patrol.analyse(at, silence, shape, shown, seen, unsettled)

    def _count_changes(self, at: float, look: Look) -> None:
        if self._last is not None and not self._recording.still:
            self._footage.seconds += at - self._last
        before, self._last = self._last, at
        if self._footage.negative:
            return
        if before is not None and not self._recording.still:
            self._results.seconds += at - before
        for lane, sight in look.sights.items():
            strip = self._results.strips[lane]
            strip.corrections[sight.correction] += 1
            if not self._recording.still and self._before.get(lane, sight.correction) != sight.correction:
                strip.changes += 1
            self._before[lane] = sight.correction

    def _score(self, picture: Picture, labelled: Labelled, look: Look) -> None:
        labels = self._recording.labels
        assert labels is not None, "only pictures with labels are scored"
        classes = labels.classes if self._asked.classes is None else labels.classes & self._asked.classes
        wanted = np.array(sorted(classes), np.int64)
        size = labelled.width or picture.frame.width, labelled.height or picture.frame.height
        truth = _only(labelled.truth, wanted)
        recorded = look.lights[AS_RECORDED]
        lights = {}
        for condition in self._asked.plain.conditions:
            light = look.lights[condition.name]
            # a simulated veil takes colour away too, but a picture behind it is no infrared one
            grey = recorded.infrared or any(step.word == "grey" for step in condition.steps)
            told = None if condition.steps else labelled.light
            lights[condition.name] = light_class(light.mean, grey, told)
            self._results.lumas[condition.name].append(light.mean)
        for lane, sight in look.sights.items():
            found = _found(sight, wanted, size)
            if labelled.checked is not None:
                found = at(labelled.checked, found, self._asked.iou)
            judged = judge(truth, found, self._asked.iou)
            self._results.strips[lane].tally.add(judged, lights[lane.condition])
        self._results.scenes.append(self._scene(labelled.scene))
        self._footage.scored += 1

    def _scene(self, name: str | None) -> int:
        """Return the number of a scene of this recording; a still picture without a name is one of its own."""
        # the first picture of a scene numbers it
        new = len(self._results.scenes)
        return new if name is None and self._recording.still else self._scenes.setdefault(name, new)

    def _skip(self, sentence: str) -> None:
        self._unread += 1
        self._footage.skipped += 1
        self._tell(sentence)

    def _complain(self) -> None:
        """Tell what the labels promised and the recording does not hold."""
        labels = self._recording.labels
        if labels is None:
            return
        if self._missing and not self._recording.still:
            self._footage.skipped += max(len(self._missing) - self._unread, 0)  # those are counted already
            self._tell(labels.absent(sorted(self._missing)))
        if self._misfits > 1 and not self._recording.still:
            self._tell(
                f"{self._recording.path}: {self._misfits} pictures in all have another shape than labelled"
            )
        if not self._footage.scored:
            raise InputError(
                f"{self._recording.path}: expected pictures that {labels.path} labels, found none to score"
            )


def _shown(labelled: Labelled, picture: Picture) -> Shown:
    truth = labelled.truth
    size = labelled.width or picture.frame.width, labelled.height or picture.frame.height
    return Shown(truth.boxes / np.array(size * 2, np.float64), truth.classes, truth.crowd, truth.tracks)


def _shape(picture: Picture) -> float:
    return picture.frame.width / picture.frame.height


def _only(truth: Truth, classes: NDArray[np.int64]) -> Truth:
    chosen = np.isin(truth.classes, classes)
    if chosen.all():
        return truth
    return Truth(
        truth.boxes[chosen],
        truth.classes[chosen],
        truth.areas[chosen],
        truth.crowd[chosen],
        truth.tracks[chosen],
    )


def _found(sight: Sight, classes: NDArray[np.int64], size: tuple[int, int]) -> Found:
    """Return the detections of these classes in pixels of the labelled picture."""
    seen: Detections = sight.detections
    chosen = np.isin(seen.classes, classes)
    return Found(
        seen.boxes[chosen].astype(np.float64) * np.array(size * 2, np.float64),
        seen.scores[chosen].astype(np.float64),
        seen.classes[chosen],
    )
