"""What the candidates of one frame after the other mean for the alarm of one rule on one stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.alarm.candidates import Candidate
from tocsin.alarm.confirm import Confirmation
from tocsin.alarm.episode import Decision, Episode, Resumed, State
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Rule


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one frame means for one rule.

    `best` is the candidate that speaks for the frame: the highest score of a sighting, and while an alarm is open
    of whatever keeps it alive; None otherwise, as in every frame that ends an alarm. `first_seen` is the time of
    the first of the sightings that raised the alarm; None where there is no alarm. What a rule off duty sees keeps
    its alarm alive, and is no sighting.
    """

    decision: Decision
    sighting: bool
    best: Candidate | None
    first_seen: float | None


class Judge:
    """Judges the frames of one stream by one rule; for one thread."""

    def __init__(self, rule: Rule, resumed: Resumed | None = None) -> None:
        self._schedule = rule.schedule
        self._enough = float(np.float32(rule.min_score))  # as float32, which a score is
        self._window = Confirmation(rule.hits, rule.of, rule.within)
        self._episode = Episode(rule.end_after, rule.repeat_every, rule.cooldown, resumed)

    @property
    def state(self) -> State:
        return self._episode.state

    def update(self, moment: Moment, candidates: Sequence[Candidate]) -> Judgement:
        """Count one analysed frame; the candidates are those that score enough to keep an alarm, best first."""
        at, period, silence = moment.at, moment.period, moment.silence
        sighting = bool(candidates) and candidates[0].score >= self._enough and self._on_duty(moment)
        confirmed = self._window.update(sighting, at, period, silence)
        since = self._window.first_seen if confirmed else None
        decision = self._episode.update(bool(candidates), since, at, period, silence)
        if decision is Decision.ENDED:
            self._window.clear()
        speaks = sighting or (bool(candidates) and self.state is State.ACTIVE)
        return Judgement(decision, sighting, candidates[0] if speaks else None, self._episode.first_seen)

    def _on_duty(self, moment: Moment) -> bool:
        return self._schedule is None or moment.wall is None or self._schedule.on_duty(moment.wall)
