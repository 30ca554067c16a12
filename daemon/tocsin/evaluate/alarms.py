"""What the daemon's own rules make of a recording: alarms, how late they come, and how many are false; pure.

Each rule watches with the very code of the daemon (`alarm.watch`), three times over:

- *as it is*: all that was seen, as on a live camera; how many alarms that raises.
- *a scene*: what was seen of one appearance of an object, from the moment that it is labelled; whether and when
  that raises the alarm. An alarm that is open because of one object would hide how late the next one comes.
- *false*: what was seen where no object is. An alarm that is open because of an object would hide these too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tocsin.alarm.candidates import Sieve
from tocsin.alarm.confirm import patience
from tocsin.alarm.episode import Decision
from tocsin.alarm.judge import Judge
from tocsin.alarm.moment import Moment
from tocsin.alarm.watch import Rule, Watch
from tocsin.alarm.zone import Zones
from tocsin.evaluate.look import Lane
from tocsin.evaluate.matching import overlaps
from tocsin.evaluate.scores import THRESHOLDS
from tocsin.frame import Detections

OVERLAP = 0.1
"""What overlaps a labelled object by so much (intersection over union) is taken to be of that object. Far less than
scoring asks for: an alarm with a loose box sends somebody to the right place."""

LABELS_LAST = 1.0
"""Seconds for which the labels of a picture stand for those after it that have none."""

_NO_TRACK = -1


def left_out(rule: Rule) -> tuple[str, ...]:
    """Return the keys of a rule that nothing is made of here.

    A recording tells no time of day, so that a rule is always on duty; and nobody gives a verdict, without which
    the first alarm that is latched would hide all others.
    """
    return ("schedule",) * (rule.schedule is not None) + ("latch",) * rule.latch


@dataclass(frozen=True, slots=True)
class Shown:
    """The labelled objects of one picture: `boxes` float64 [K, 4] relative to the frame, `classes` int64 [K] as the
    model counts them, `ignored` bool [K], `tracks` int64 [K], -1 where nobody said which object it is."""

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    tracks: NDArray[np.int64]


NOTHING_SHOWN = Shown(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int64))
"""A picture in which nothing is: what every picture of negative footage shows."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One appearance of an object before one rule; times in seconds in the recording.

    `begun` is when the object became visible, `sighted` the first frame in which it was seen and qualified,
    `raised` when that was confirmed; None where it never was.
    """

    recording: str
    rule: str
    begun: float
    sighted: float | None
    raised: float | None

    @property
    def delay(self) -> float | None:
        """Seconds from visible to alarm, with the frames that confirm it."""
        return None if self.raised is None else self.raised - self.begun

    @property
    def delay_unconfirmed(self) -> float | None:
        """Seconds from visible to the first sighting: the delay of a rule that confirms nothing."""
        return None if self.sighted is None else self.sighted - self.begun


@dataclass(slots=True)
class Guarded:
    """What one rule made of some recordings in one lane.

    `raised` counts the alarms that the daemon would have raised. `hours` are those in which a false alarm could be
    told from a true one, `false` the false ones in them, `sweep` int64 [THRESHOLDS]: how many there are when the
    rule's `min_score` is each of the thresholds.
    """

    scenes: list[Scene] = field(default_factory=list)
    raised: int = 0
    false: int = 0
    hours: float = 0.0
    sweep: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(THRESHOLDS), np.int64))

    def add(self, other: "Guarded") -> None:
        """Count what came of further recordings."""
        self.scenes += other.scenes
        self.raised += other.raised
        self.false += other.false
        self.hours += other.hours
        self.sweep += other.sweep


class Patrol:
    """Shows the frames of one recording to one rule, for every lane; for one thread.

    `period` is the time between two analysed frames when all is well, in seconds. `judged` are the classes, as the
    model counts them, that the labels know; None for footage in which nothing is. With `sweep` false alarms are
    counted at every threshold. Raises ConfigError for a rule whose classes or zones are unknown.
    """

    def __init__(
        self,
        recording: str,
        rule: Rule,
        zones: Zones,
        labels: tuple[str, ...],
        period: float,
        lanes: Iterable[Lane],
        judged: frozenset[int] | None,
        *,
        sweep: bool,
    ) -> None:
        self._recording = recording
        self.rule = rule = replace(rule, latch=False)  # nobody is there to give a verdict
        self._zones = zones
        self._labels = labels
        self._period = period
        classes = {labels.index(name) for name in rule.classes if name in labels}
        self._classes = np.array(sorted(classes), np.int64)
        self._near = -1 if rule.near is None or rule.near not in labels else labels.index(rule.near)
        known = classes if judged is None else classes & judged
        self._known = np.array(sorted(known), np.int64)
        self._sweep = sweep
        # picks all that the rule at any of the thresholds would
        lowest = replace(rule, keep_score=min(rule.keeps, THRESHOLDS[0]))
        self._sieve = Sieve(recording, lowest, zones, labels)
        self._posts = {lane: _Post(self._watch(), self._watch(), rule) for lane in lanes}
        self._appearances = _Appearances(rule.end_after)
        self._last: float | None = None

    @property
    def judges(self) -> bool:
        """Whether the labels know any class of the rule, so that true alarms can be told from false ones."""
        return len(self._known) > 0

    def label(self, at: float, shown: Shown, shape: float) -> None:
        """Note which objects are visible in a picture of that shape, whether or not it is analysed."""
        for gone in self._appearances.update(at, self._present(shown, shape)):
            self._close(gone)

    def analyse(
        self,
        at: float,
        silence: float,
        shape: float,
        shown: Shown | None,
        seen: Mapping[Lane, Detections],
        unsettled: Collection[str] = (),
    ) -> None:
        """Show one analysed frame of that shape; `silence` as the frame's. `shown` is None where nobody can say
        what is there, `unsettled` are the conditions in which the light has just changed."""
        moment = Moment(at, self._period, silence, shape)
        for lane, detections in seen.items():
            post = self._posts[lane]
            post.unsettled = lane.condition in unsettled
            if (
                post.live.update(replace(moment, unsettled=post.unsettled), detections).decision
                is Decision.RAISED
            ):
                post.guarded.raised += 1
        if shown is not None and self.judges:
            self._judge(moment, shown, seen)

    def finish(self) -> dict[Lane, Guarded]:
        """Return what came of it; the recording is over."""
        for gone in self._appearances.close():
            self._close(gone)
        return {lane: post.guarded for lane, post in self._posts.items()}

    def _judge(self, moment: Moment, shown: Shown, seen: Mapping[Lane, Detections]) -> None:
        elapsed = self._period if self._last is None else moment.at - self._last
        silence = max(moment.silence, 0.0 if self._last is None else elapsed)
        moment = replace(moment, silence=silence)
        self._last = moment.at
        ours = np.isin(shown.classes, self._classes)
        keys = np.where(ours & ~shown.ignored, self._keys(shown), _NOBODY)
        for lane, detections in seen.items():
            post = self._posts[lane]
            moment = replace(moment, unsettled=post.unsettled)
            post.guarded.hours += min(elapsed, patience(self._period)) / 3600
            beside = detections.classes == self._near  # belongs to no object, and to all that it is close to
            owner = _owners(detections.boxes, shown.boxes[ours], shown.ignored[ours])
            for number, key in self._appearances.open.items():
                mine = np.isin(owner, np.flatnonzero(keys[ours] == key))
                self._follow(post, number, moment, _part(detections, mine | beside))
            false = (owner < 0) & np.isin(detections.classes, self._known)
            self._suspect(post, moment, _part(detections, false | beside))

    def _follow(self, post: "_Post", number: int, moment: Moment, mine: Detections) -> None:
        """Show a scene's watch what was seen of its object."""
        if number not in post.scenes:
            post.scenes[number] = _Following(self._watch())
        following = post.scenes[number]
        finding = following.watch.update(moment, mine)
        if finding.sighting and following.sighted is None:
            following.sighted = moment.at
        if finding.decision is Decision.RAISED and following.raised is None:
            following.raised = moment.at

    def _suspect(self, post: "_Post", moment: Moment, false: Detections) -> None:
        """Show what lies on no object to the rule as it is, and to one for each threshold."""
        if post.false.update(moment, false).decision is Decision.RAISED:
            post.guarded.false += 1
        if not self._sweep:
            return
        found = self._sieve.pick(false, moment.shape)
        for index, (keeps, judge) in enumerate(post.sweep):
            kept = [one for one in found if one.score >= keeps]
            if judge.update(moment, kept).decision is Decision.RAISED:
                post.guarded.sweep[index] += 1

    def _present(self, shown: Shown, shape: float) -> dict[int, None]:
        """Return the keys of the objects that the rule should see: of its classes, in its zones and limits."""
        wanted = np.isin(shown.classes, self._known) & ~shown.ignored
        wanted &= self._sieve.fitting(shown.boxes.astype(np.float32), shape) >= 0
        return dict.fromkeys(self._keys(shown)[wanted].tolist())

    def _keys(self, shown: Shown) -> NDArray[np.int64]:
        """Return whose appearance each object belongs to: its own, or the common one where nobody knows."""
        return np.where(shown.tracks >= 0, shown.tracks, _NO_TRACK)

    def _close(self, gone: "_Appearance") -> None:
        for post in self._posts.values():
            following = post.scenes.pop(gone.number, None)
            sighted, raised = (None, None) if following is None else (following.sighted, following.raised)
            post.guarded.scenes.append(Scene(self._recording, self.rule.name, gone.begun, sighted, raised))

    def _watch(self) -> Watch:
        return Watch(self._recording, self.rule, self._zones, self._labels)


_NOBODY = -2


class _Following:
    """One scene as one lane sees it."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.sighted: float | None = None
        self.raised: float | None = None


class _Post:
    """One lane's watches of one rule."""

    def __init__(self, live: Watch, false: Watch, rule: Rule) -> None:
        self.live = live
        self.unsettled = False  # whether the light of the frame at hand has just changed
        self.false = false
        rules = [replace(rule, min_score=threshold) for threshold in THRESHOLDS]
        # as float32, which a score is
        self.sweep = [(float(np.float32(one.keeps)), Judge(one)) for one in rules]
        self.scenes: dict[int, _Following] = {}
        self.guarded = Guarded()


@dataclass(slots=True)
class _Appearance:
    number: int
    begun: float
    last: float


class _Appearances:
    """Which appearances of objects are going on; a pause as long as `gap` seconds ends one."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._count = 0
        self._going: dict[int, _Appearance] = {}

    @property
    def open(self) -> dict[int, int]:
        """The key of the object of each appearance by its number."""
        return {appearance.number: key for key, appearance in self._going.items()}

    def update(self, at: float, keys: Iterable[int]) -> list[_Appearance]:
        """Note what is visible now; return the appearances that are over."""
        over = [key for key, appearance in self._going.items() if at - appearance.last >= self._gap]
        gone = [self._going.pop(key) for key in over]
        for key in keys:
            if key not in self._going:
                self._going[key] = _Appearance(self._count, at, at)
                self._count += 1
            self._going[key].last = at
        return gone

    def close(self) -> list[_Appearance]:
        """Return those that still go on: the recording ends them."""
        gone, self._going = list(self._going.values()), {}
        return gone


def _owners(
    boxes: NDArray[np.float32], objects: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return for each box the object that it overlaps most, -1 where it overlaps none enough: int64 [K]."""
    if not len(objects):
        return np.full(len(boxes), -1, np.int64)
    shares = overlaps(boxes.astype(np.float64), objects, crowd)
    return np.where(shares.max(axis=1) >= OVERLAP, shares.argmax(axis=1), -1)


def _part(found: Detections, chosen: NDArray[np.bool_]) -> Detections:
    if chosen.all():
        return found
    return Detections(
        found.boxes[chosen],
        found.scores[chosen],
        found.classes[chosen],
        found.pixels[chosen],
        found.views[chosen],
        found.labels,
    )
