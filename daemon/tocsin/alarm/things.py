"""Which candidates of one frame after the other are of the same thing, by where they are and how large.

Association by geometry and not by a tracker: what is asked is only whether some sightings within seconds may be of
one thing. Two persons who cross may be taken for each other, since both count; nobody has to be known again after
minutes; and the smallest of the maintained trackers comes with thirty further packages.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.confirm import Confirmation
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Rule
from tocsin.frame import Box

_AT_ONCE, _A_SECOND = 0.5, 2.0
"""How far a thing may be from where it was last seen, in diagonals of its box: at once and further each second. A
person's box is 1.8 m from corner to corner, so a runner at 3.6 m/s is followed, and further by half a box."""

_OVERLAP = 0.3
"""Boxes that overlap by so much (intersection over union) are at one place. There the thing that is known longest
has the first claim, so that two boxes around one thing, now this and now that, do not share its sightings."""

_GROWTH = 4.0
"""How many times larger its box may have become: half of a person behind a car, or the arms that are spread."""

_FORGOTTEN = 5.0
"""Seconds, or frame periods, after which a thing is forgotten that is not seen and has no sighting that counts."""

STAYS = 0.5
"""What overlaps its place by so much has not moved: boxes tremble."""

MOST = 32
"""Things that are followed, and candidates of a frame that are looked at: the best. More is a crowd."""


@dataclass(slots=True, eq=False)  # each is itself, wherever it is
class Thing:
    """Something that was seen at `box` last, at the time `at`; `candidate` is how it is seen in this frame.

    It has not moved from its `place`, a box too, `since` then.
    """

    box: Box
    at: float
    window: Confirmation
    candidate: Candidate | None
    place: Box
    since: float

    def seen(self, candidate: Candidate, at: float) -> None:
        """Take a candidate for this thing; a step off its place begins another."""
        self.box, self.at, self.candidate = candidate.box, at, candidate
        if overlap(self.place, self.box) < STAYS or at < self.since:
            self.place, self.since = self.box, at


class Things:
    """The things that a rule follows on one stream; for one thread."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.known: list[Thing] = []

    def follow(self, moment: Moment, candidates: Sequence[Candidate]) -> None:
        """Find each thing's candidate in a frame, the nearest pairs first; what is of none is a new thing.

        The candidates best first; `moment.at` is finite.
        """
        self.known = [thing for thing in self.known if not _forgotten(thing, moment)]
        left = dict(enumerate(candidates[:MOST]))
        waiting = dict(enumerate(self.known))
        for thing in self.known:
            thing.candidate = None
        for _, place, index in sorted(self._pairs(moment, left)):
            if place in waiting and index in left:
                waiting.pop(place).seen(left.pop(index), moment.at)
        self.known += [self._new(candidate, moment.at) for candidate in left.values()]
        for thing in sorted(waiting.values(), key=lambda thing: thing.at)[: max(0, len(self.known) - MOST)]:
            self.known.remove(thing)  # no room for all: who was not seen for longest goes

    def _new(self, candidate: Candidate, at: float) -> Thing:
        window = Confirmation(self._rule.hits, self._rule.of, self._rule.within)
        return Thing(candidate.box, at, window, candidate, candidate.box, at)

    def _pairs(self, moment: Moment, candidates: Mapping[int, Candidate]) -> Iterator[tuple[float, int, int]]:
        """Yield the pairs that may be one: how far apart, and which they are."""
        for place, thing in enumerate(self.known):
            for index, candidate in candidates.items():
                apart = _apart(thing, candidate.box, moment)
                if apart <= 1.0:
                    yield apart, place, index


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes; 0 for boxes without an area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0.0) * max(height, 0.0)
    either = _area(one) + _area(other) - both
    return both / either if both > 0 and either > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _apart(thing: Thing, box: Box, moment: Moment) -> float:
    """Return how far a box is from a thing, as a share of how far that may have come; 0 at its place."""
    if overlap(thing.box, box) >= _OVERLAP:
        return 0.0
    small, large = sorted((_area(thing.box), _area(box)))
    if large > _GROWTH * small:
        return math.inf
    shape, elapsed = moment.shape, min(max(moment.at - thing.at, 0.0), max(1.0, moment.period))
    across = shape * (thing.box[0] + thing.box[2] - box[0] - box[2]) / 2
    down = (thing.box[1] + thing.box[3] - box[1] - box[3]) / 2
    diagonal = (_diagonal(thing.box, shape) + _diagonal(box, shape)) / 2
    reach = diagonal * (_AT_ONCE + _A_SECOND * elapsed)
    return math.hypot(across, down) / reach if reach > 0 else math.inf


def _diagonal(box: Box, shape: float) -> float:
    return math.hypot(shape * (box[2] - box[0]), box[3] - box[1])


def _forgotten(thing: Thing, moment: Moment) -> bool:
    unseen = moment.at - thing.at
    return thing.window.first_seen is None and not 0 <= unseen <= max(_FORGOTTEN, _FORGOTTEN * moment.period)
