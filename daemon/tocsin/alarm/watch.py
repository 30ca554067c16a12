"""One rule on one stream: from the detections of a frame to what they mean for the alarm."""

from dataclasses import dataclass

from tocsin.alarm.candidates import Candidate, Sieve
from tocsin.alarm.episode import Decision, Resumed, State
from tocsin.alarm.judge import Judge
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Rule, rule_from
from tocsin.alarm.zone import Zones
from tocsin.frame import Detections

__all__ = ["Finding", "Rule", "Watch", "rule_from"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one frame means for one rule on one stream.

    A `sighting` holds a detection that qualifies for the rule. `best`, `decision` and `first_seen` as in a
    `Judgement`. `hits` of the last `of` frames are what it takes to raise an alarm.
    """

    stream: str
    rule: str
    decision: Decision
    sighting: bool
    best: Candidate | None
    first_seen: float | None
    hits: int
    of: int


class Watch:
    """Watches one stream for one rule; for one thread.

    Only frames that were analysed may be counted: one whose analysis failed is no frame without a sighting.
    """

    def __init__(
        self, stream: str, rule: Rule, zones: Zones, labels: tuple[str, ...], resumed: Resumed | None = None
    ) -> None:
        """Raise ConfigError for a class that is not in `labels`, the model's in order, or an unknown zone."""
        self._stream = stream
        self._rule = rule
        self._sieve = Sieve(stream, rule, zones, labels)
        self._judge = Judge(rule, resumed)

    @property
    def active(self) -> bool:
        """Whether an alarm is open."""
        return self._judge.state is State.ACTIVE

    def judged(self) -> None:
        """Hear that a person has given a verdict on the open alarm: it may end, and needs no more repeats."""
        self._judge.judged()

    def update(self, moment: Moment, detections: Detections) -> Finding:
        """Count one analysed frame."""
        judged = self._judge.update(moment, self._sieve.pick(detections, moment.shape))
        return Finding(
            stream=self._stream,
            rule=self._rule.name,
            decision=judged.decision,
            sighting=judged.sighting,
            best=judged.best,
            first_seen=judged.first_seen,
            hits=self._rule.hits,
            of=self._rule.of,
        )
