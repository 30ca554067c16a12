"""Where things stand that never move: a poster, a garden gnome, a parked car."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tocsin.alarm.memory import Spot
from tocsin.alarm.things import STAYS, Thing, overlap
from tocsin.frame import Box

_REMEMBERED = 86400.0
"""Seconds for which a place is remembered at which nothing is seen: a car that the night hides is there at dawn."""

_VACANT = 10.0
"""Seconds without anything at a place after which it is forgotten where what stood there was seen to leave. Not at
once: who walks past what is hidden for a moment may be taken for it."""

MOST = 100
"""Places that are remembered; of more, those at which something was seen last."""


@dataclass(slots=True)
class _Place:
    """`by` are the things that were seen there; `left` is when one was seen elsewhere, and nothing there."""

    box: Box
    seen: float
    by: set[Thing] = field(default_factory=set)
    left: float | None = None


class Places:
    """The places of one rule on one stream at which something stands still; for one thread.

    A place does not move with what stands there: who creeps along leaves it. `changes` grows whenever one is
    learned or given up.
    """

    def __init__(self, after: float, spots: Iterable[Spot] = ()) -> None:
        """A thing stands still that has been in one place for `after` seconds; `spots` are known from before."""
        self._after = after
        self._places = [_Place(spot.box, spot.seen) for spot in spots]
        self.changes = 0

    @property
    def spots(self) -> tuple[Spot, ...]:
        """What is remembered, for a restart."""
        return tuple(Spot(place.box, place.seen) for place in self._places)

    def revise(self, after: float) -> None:
        """Go on with another time; the places that are known stay."""
        self._after = after

    def forget(self) -> None:
        """Give up all of them: the camera looks at something else."""
        self.changes += len(self._places)
        self._places = []

    def learn(self, things: Iterable[Thing], now: float) -> None:
        """Remember where a thing has stood for long enough among those that are seen in a frame."""
        for thing in things:
            stands = thing.candidate is not None and now - thing.since >= self._after
            if stands and not self.holds(thing.box, now):
                self._places.append(_Place(thing.place, now, {thing}))
                self.changes += 1
        self._places = sorted(self._places, key=lambda place: -place.seen)[:MOST]

    def follow(self, things: Sequence[Thing], now: float) -> None:
        """See who of what is seen in a frame is where, and forget the places that were left."""
        if not self._places:
            return
        seen = [thing for thing in things if thing.candidate is not None]
        for place in self._places:
            if there := {thing for thing in seen if overlap(place.box, thing.box) >= STAYS}:
                place.by, place.left = place.by.intersection(things) | there, None
            elif not place.by.isdisjoint(seen):
                place.by, place.left = set(), now
        kept = [place for place in self._places if not _vacant(place, now)]
        self.changes += len(self._places) - len(kept)
        self._places = kept

    def holds(self, box: Box, now: float) -> bool:
        """Whether a box that is seen is at one of the places."""
        there = [place for place in self._places if overlap(place.box, box) >= STAYS]
        for place in there:
            place.seen = max(place.seen, now)  # in this order: max() keeps its first argument against NaN
        return bool(there)


def _vacant(place: _Place, now: float) -> bool:
    if now - place.seen > _REMEMBERED:
        return True
    return place.left is not None and now - place.left >= _VACANT
