"""Where things stand that never move: a poster, a garden gnome, a parked car."""

from collections.abc import Iterable
from dataclasses import dataclass

from tocsin.alarm.things import STAYS, Thing, overlap
from tocsin.frame import Box

_REMEMBERED = 86400.0
"""Seconds for which a place is remembered at which nothing is seen: a car that the night hides is there at dawn.
What drives away and comes again is seen on its way."""

MOST = 100
"""Places that are remembered; of more, those at which something was seen last."""


@dataclass(slots=True)
class _Place:
    box: Box
    seen: float


class Places:
    """The places of one rule on one stream at which something stands still; for one thread.

    A place does not move with what stands there: who creeps along leaves it.
    """

    def __init__(self, after: float) -> None:
        """A thing stands still that has been in one place for `after` seconds."""
        self._after = after
        self._places: list[_Place] = []

    def learn(self, things: Iterable[Thing], now: float) -> None:
        """Remember where a thing has stood for long enough among those that are seen in a frame."""
        for thing in things:
            stands = thing.candidate is not None and now - thing.since >= self._after
            if stands and not self.holds(thing.box, now):
                self._places.append(_Place(thing.place, now))
        self._places = sorted(self._places, key=lambda place: -place.seen)[:MOST]

    def holds(self, box: Box, now: float) -> bool:
        """Whether a box that is seen is at one of the places."""
        there = [place for place in self._places if overlap(place.box, box) >= STAYS]
        there = [place for place in there if not now - place.seen > _REMEMBERED]
        for place in there:
            place.seen = max(place.seen, now)  # in this order: max() keeps its first argument against NaN
        return bool(there)
