"""What is kept of the light over the whole time of a recording, however long it is; pure."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tocsin.frame import Correction, Light

CHANGES_LISTED = 1000
"""Changes of correction that are kept one by one; beyond that they are only counted."""

SPANS = 1200
"""The timeline has at most so many spans: about what a picture shows side by side."""

_WINDOW = 10.0
"""Seconds in which changes of correction are counted to tell how steady the decision is."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One treated picture: when it is in the recording (seconds), its light, and what was done and why."""

    at: float
    light: Light
    correction: Correction
    reason: str


def by_correction(reasons: Mapping[tuple[Correction, str], int]) -> dict[Correction, int]:
    """Return the number of pictures by correction, in the order of the vocabulary, whatever the reasons."""
    counts: Counter[Correction] = Counter()
    for (correction, _), pictures in reasons.items():
        counts[correction] += pictures
    return {correction: counts[correction] for correction in Correction if counts[correction]}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the timeline: from when to when (seconds), and the average light of its pictures.

    `reasons` counts the pictures by what was done about them and why.
    """

    begins: float
    ends: float
    mean: float
    p1: float
    p99: float
    reasons: Mapping[tuple[Correction, str], int]

    @property
    def pictures(self) -> int:
        """How many treated pictures the averages are of."""
        return sum(self.reasons.values())

    @property
    def corrections(self) -> Mapping[Correction, int]:
        """The pictures by what was done about them alone."""
        return by_correction(self.reasons)

    @property
    def contrast(self) -> float:
        """The average range that holds the middle 98 % of the pixels."""
        return self.p99 - self.p1


@dataclass(frozen=True, slots=True)
class Change:
    """The first picture (its time in seconds) with another correction than the one before, and why."""

    at: float
    before: Correction
    after: Correction
    reason: str


Kept = TypeVar("Kept")


class Thinned(Generic[Kept]):
    """Keeps things from all over a sequence whose length nobody knows: at most twice `wanted` and the last."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._step = 1
        self._seen = 0
        self._kept: list[Kept] = []
        self._last: Kept | None = None

    def add(self, thing: Kept) -> None:
        """Take the next one; every other of the old ones goes when there are too many."""
        if self._seen % self._step == 0:
            self._kept.append(thing)
            if len(self._kept) > 2 * self._wanted:
                self._kept = self._kept[::2]
                self._step *= 2
        self._seen += 1
        self._last = thing

    def kept(self) -> list[Kept]:
        """Return them in order, with the first and the last."""
        kept = list(self._kept)
        if self._last is not None and kept[-1] is not self._last:
            kept.append(self._last)
        return kept


def spread(things: list[Kept], wanted: int) -> list[Kept]:
    """Return at most `wanted` (1 or more) of them, evenly spread, with the first and the last."""
    if len(things) <= wanted:
        return things
    if wanted == 1:
        return things[:1]
    return [things[round(place * (len(things) - 1) / (wanted - 1))] for place in range(wanted)]


class Steadiness:
    """Counts how often the correction changes."""

    def __init__(self) -> None:
        self.count = 0
        self.busiest = 0
        """The largest number of changes within ten seconds."""
        self.changes: list[Change] = []
        self._correction: Correction | None = None
        self._recent: deque[float] = deque(maxlen=CHANGES_LISTED)

    def changes_with(self, moment: Moment) -> bool:
        """Take the next moment and return whether its correction is another than the one before."""
        before, self._correction = self._correction, moment.correction
        if before is None or before is moment.correction:
            return False
        self.count += 1
        if len(self.changes) < CHANGES_LISTED:
            self.changes.append(Change(moment.at, before, moment.correction, moment.reason))
        self._recent.append(moment.at)
        while moment.at - self._recent[0] >= _WINDOW:
            self._recent.popleft()
        self.busiest = max(self.busiest, len(self._recent))
        return True


@dataclass(slots=True)
class _Sum:
    """The sums of one span that is still growing, over its pictures."""

    begins: float
    mean: float = 0.0
    p1: float = 0.0
    p99: float = 0.0
    reasons: Counter[tuple[Correction, str]] = field(default_factory=Counter)

    def take(self, other: "_Sum") -> None:
        """Add a later one."""
        self.mean += other.mean
        self.p1 += other.p1
        self.p99 += other.p99
        self.reasons += other.reasons

    def span(self, ends: float) -> Span:
        """Return the averages."""
        pictures = self.reasons.total()
        return Span(
            self.begins,
            ends,
            self.mean / pictures,
            self.p1 / pictures,
            self.p99 / pictures,
            dict(self.reasons),
        )


class Timeline:
    """Averages over spans of equally many pictures, which double whenever there are too many spans."""

    def __init__(self, limit: int = SPANS) -> None:
        assert limit % 2 == 0, "spans are joined two by two"
        self._limit = limit
        self._pictures = 1
        self._sums: list[_Sum] = []
        self._last = 0.0
        self._step = 0.0

    def add(self, moment: Moment) -> None:
        """Take the next moment."""
        if self._sums:
            self._step = max(moment.at - self._last, 0.0)
        self._last = moment.at
        light = moment.light
        one = _Sum(
            moment.at, light.mean, light.p1, light.p99, Counter({(moment.correction, moment.reason): 1})
        )
        if self._sums and self._sums[-1].reasons.total() < self._pictures:
            self._sums[-1].take(one)
            return
        if len(self._sums) == self._limit:
            self._join()
        self._sums.append(one)

    def spans(self) -> tuple[Span, ...]:
        """Return the spans; each lasts to the next, the last one as long as its last picture is shown."""
        ends = [*(later.begins for later in self._sums[1:]), self._last + self._step]
        return tuple(one.span(end) for one, end in zip(self._sums, ends, strict=True) if one.reasons)

    def _join(self) -> None:
        joined = self._sums[::2]
        for earlier, later in zip(joined, self._sums[1::2], strict=True):
            earlier.take(later)
        self._sums = joined
        self._pictures *= 2
