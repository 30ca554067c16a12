"""What the candidates of one frame after the other mean for the alarm of one rule on one stream."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.confirm import Confirmation
from tocsin.alarm.episode import Decision, Episode, Resumed, State
from tocsin.alarm.memory import NOTHING, Memory
from tocsin.alarm.moment import Moment
from tocsin.alarm.places import Places
from tocsin.alarm.rule import Per, Rule
from tocsin.alarm.things import Things
from tocsin.alarm.withheld import BY_SIGNAL, Unraised, Withheld


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one frame means for one rule.

    `best` is the candidate that speaks for the frame: the highest score of a sighting, and while an alarm is open
    of whatever keeps it alive; None otherwise, as in every frame that ends an alarm. In the frame that raises an
    alarm it is what was confirmed last: an object where that is asked for, and not always of this frame.
    `first_seen` is the time of the first of the sightings that raised the alarm; None where there is no alarm. What
    a rule off duty sees keeps its alarm alive, and is no sighting. `withheld` says why an alarm is not raised that
    would be raised in this frame; once for each.
    """

    decision: Decision
    sighting: bool
    best: Candidate | None
    first_seen: float | None
    withheld: tuple[Withheld, ...] = ()


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """What a frame confirms, and the time of the first sighting of it."""

    by: Candidate
    since: float


class Judge:
    """Judges the frames of one stream by one rule; for one thread."""

    def __init__(self, rule: Rule, resumed: Resumed | None = None, memory: Memory = NOTHING) -> None:
        self._ask(rule, memory)
        self._confirmed: _Confirmed | None = None  # what was confirmed last: it may be raised frames later
        self._episode = Episode(
            *(rule.end_after, rule.repeat_every, rule.cooldown, resumed), latch=rule.latch, ended=memory.ended
        )

    def _ask(self, rule: Rule, memory: Memory) -> None:
        """Look for what a rule asks for, from the first sighting on."""
        self._schedule = rule.schedule
        self._enough = float(np.float32(rule.min_score))  # as float32, which a score is
        self._per = rule.per
        self._window = Confirmation(rule.hits, rule.of, rule.within)
        self._things = Things(rule)
        self._places = None if rule.still_after is None else Places(rule.still_after, memory.spots)
        self._unraised = Unraised(rule)

    @property
    def state(self) -> State:
        return self._episode.state

    @property
    def memory(self) -> Memory:
        """What a restart has to know beyond the open alarm."""
        return Memory(self._episode.ended, () if self._places is None else self._places.spots)

    @property
    def changes(self) -> int:
        """Grows whenever a place is learned or given up at which something stands still."""
        return 0 if self._places is None else self._places.changes

    def revise(self, rule: Rule, *, sightings: bool, places: bool) -> None:
        """Go on by another rule: what is open, about to be raised or cooling down stays so.

        Without `sightings` those that were on their way to an alarm are forgotten, and without `places` those of
        what stands still.
        """
        window, things, known, unraised = self._window, self._things, self._places, self._unraised
        self._ask(rule, NOTHING)
        if sightings:
            self._window, self._things, self._unraised = window, things, unraised
        if known is not None and rule.still_after is not None:
            known.revise(rule.still_after)
            self._places = known
            if not places:
                known.forget()
        self._episode.revise(rule.end_after, rule.repeat_every, rule.cooldown, latch=rule.latch)

    def judged(self) -> None:
        """Hear that a person has given a verdict on the open alarm: it may end, and needs no more repeats."""
        self._episode.judged()

    def abandon(self) -> None:
        """End what is open between two frames, with no cooldown: what is still there is raised anew by its hits."""
        if self._episode.abandon() is Decision.ENDED:
            self._forget()

    def update(self, moment: Moment, candidates: Sequence[Candidate]) -> Judgement:
        """Count one analysed frame; the candidates are those that score enough to keep an alarm, best first."""
        if math.isfinite(moment.at) and (self._places is not None or self._per is Per.OBJECT):
            self._things.follow(moment, candidates)
        candidates, still = self._parted(moment, candidates)
        enough = self._sighted(candidates)
        seen = enough if self._on_duty(moment) else []
        count = self._of_things if self._per is Per.OBJECT else self._of_frame
        confirmed = count(moment, seen)
        since = None if confirmed is None else confirmed.since
        decision = self._episode.update(moment, bool(candidates), since)
        self._confirmed = confirmed or self._confirmed
        if decision is Decision.ENDED:
            self._forget()
        speaking = candidates if self.state is State.ACTIVE else seen
        best = speaking[0] if speaking else None
        if decision is Decision.RAISED:
            assert self._confirmed is not None, "an alarm is raised by what was confirmed"
            best = self._confirmed.by
        reasons = self._reasons(off_duty=bool(enough) and not seen, still=bool(self._sighted(still)))
        withheld = self._unraised.update(moment, reasons)
        return Judgement(decision, bool(seen), best, self._episode.first_seen, withheld)

    def _sighted(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return [one for one in candidates if one.score >= self._enough]

    def _parted(
        self, moment: Moment, candidates: Sequence[Candidate]
    ) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
        """Return the candidates that are of nothing that stands still, and the others.

        What stands still is learned only while an alarm is open, and not muted: nothing keeps still that was not
        reported.
        """
        if self._places is None:
            return candidates, ()
        if math.isfinite(moment.at):
            self._places.follow(self._things.known, moment.at)
            if self.state is State.ACTIVE and not moment.muted:
                self._places.learn(self._things.known, moment.at)
        held = [self._places.holds(one.box, moment.at) for one in candidates]
        return (
            [one for one, still in zip(candidates, held, strict=True) if not still],
            [one for one, still in zip(candidates, held, strict=True) if still],
        )

    def _reasons(self, *, off_duty: bool, still: bool) -> tuple[Withheld, ...]:
        """Return why this frame raises no alarm, where none is open."""
        if self.state is State.ACTIVE:
            return ()
        reasons = [Withheld.SCHEDULE] * off_duty + [Withheld.STATIONARY] * still
        if self._episode.hindered is not None:
            reasons.append(BY_SIGNAL[self._episode.hindered])
        return tuple(reasons)

    def _on_duty(self, moment: Moment) -> bool:
        return self._schedule is None or moment.wall is None or self._schedule.on_duty(moment.wall)

    def _of_frame(self, moment: Moment, seen: Sequence[Candidate]) -> _Confirmed | None:
        """Count the sightings of whatever there is."""
        confirmed = self._window.update(bool(seen), moment.at, moment.period, moment.silence)
        return _Confirmed(seen[0], _first(self._window)) if confirmed else None

    def _of_things(self, moment: Moment, seen: Sequence[Candidate]) -> _Confirmed | None:
        """Count the sightings of each thing by itself; of those that are confirmed the best score speaks."""
        found: _Confirmed | None = None
        for thing in self._things.known:
            one = thing.candidate
            hit = one is not None and one in seen
            confirmed = thing.window.update(hit, moment.at, moment.period, moment.silence)
            if one is not None and confirmed and (found is None or one.score > found.by.score):
                found = _Confirmed(one, _first(thing.window))
        return found

    def _forget(self) -> None:
        """Let the next alarm be confirmed anew: a sighting counts for one alarm only."""
        self._window.clear()
        for thing in self._things.known:
            thing.window.clear()


def _first(window: Confirmation) -> float:
    assert window.first_seen is not None, "what is confirmed was seen"
    return window.first_seen
