"""One rule on one stream: from the detections of a frame to what they mean for the alarm."""

from dataclasses import dataclass

from tocsin.alarm.candidates import Candidate, Sieve
from tocsin.alarm.episode import Decision, Resumed, State
from tocsin.alarm.judge import Judge
from tocsin.alarm.memory import NOTHING, Memory
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Rule, rule_from
from tocsin.alarm.withheld import Withheld
from tocsin.alarm.zone import Zones
from tocsin.frame import Detections

__all__ = ["Finding", "Rule", "Watch", "rule_from"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one frame means for one rule on one stream.

    A `sighting` holds a detection that qualifies for the rule. `best`, `decision`, `first_seen` and
    `withheld` as in a `Judgement`. `hits` of the last `of` frames are what it takes to raise an alarm.
    """

    stream: str
    rule: str
    decision: Decision
    sighting: bool
    best: Candidate | None
    first_seen: float | None
    hits: int
    of: int
    withheld: tuple[Withheld, ...] = ()


class Watch:
    """Watches one stream for one rule; for one thread.

    Only frames that were analysed may be counted: one whose analysis failed is no frame without a sighting.
    """

    def __init__(
        self,
        stream: str,
        rule: Rule,
        zones: Zones,
        labels: tuple[str, ...],
        resumed: Resumed | None = None,
        memory: Memory = NOTHING,
    ) -> None:
        """Raise ConfigError for a class that is not in `labels`, the model's in order, or an unknown zone."""
        self._stream = stream
        self.rule = rule
        self.zones = zones
        self.sieve = Sieve(stream, rule, zones, labels)
        self._judge = Judge(rule, resumed, memory)

    @property
    def active(self) -> bool:
        """Whether an alarm is open."""
        return self._judge.state is State.ACTIVE

    @property
    def memory(self) -> Memory:
        """What a restart has to know beyond the open alarm."""
        return self._judge.memory

    @property
    def changes(self) -> int:
        """Grows whenever a place is learned or given up at which something stands still."""
        return self._judge.changes

    @property
    def cools_down(self) -> bool:
        """Whether the end of an alarm withholds the next one."""
        return self.rule.cooldown > 0

    def revise(self, by: "Watch", *, anew: bool = False) -> None:
        """Become as another watch, of the same stream and a rule of the same name, but go on where this one is.

        Nothing happens where nothing changed. Else what is open or about to be raised stays so, and sightings count
        on where they are still of the same. `anew` says that the stream shows something else: there neither they
        nor what stands still are known any more.
        """
        rule, before = by.rule, self.rule
        alike = by.zones.alike(self.zones, (*rule.zones, *rule.exclude))
        if rule == before and alike and not anew:
            return
        same = alike and not anew and rule.confirms_as(before)
        self._judge.revise(rule, sightings=same, places=not anew)
        self.rule, self.zones, self.sieve = rule, by.zones, by.sieve

    def judged(self) -> None:
        """Hear that a person has given a verdict on the open alarm: it may end, and needs no more repeats."""
        self._judge.judged()

    def abandon(self) -> None:
        """End what is open without a cooldown: what is still there is raised anew by the next hits."""
        self._judge.abandon()

    def update(self, moment: Moment, detections: Detections) -> Finding:
        """Count one analysed frame."""
        judged = self._judge.update(moment, self.sieve.pick(detections, moment.shape))
        return Finding(
            stream=self._stream,
            rule=self.rule.name,
            decision=judged.decision,
            sighting=judged.sighting,
            best=judged.best,
            first_seen=judged.first_seen,
            hits=self.rule.hits,
            of=self.rule.of,
            withheld=judged.withheld,
        )
