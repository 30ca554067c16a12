"""What a rule asks for; pure, and without the library that reads the configuration."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tocsin.alarm.hours import Hours

if TYPE_CHECKING:
    from tocsin.alarm.settings import RuleSettings


class Per(StrEnum):
    """What the sightings that confirm an alarm must have in common."""

    FRAME = "frame"  # nothing: whatever is seen in a frame counts
    OBJECT = "object"  # they are of the same thing


class Tier(StrEnum):
    """Who is meant to look at an alarm."""

    ALARM = "alarm"  # whoever must act
    REVIEW = "review"  # whoever looks through what may have been something


_GOING_ON = ("end_after", "repeat_every", "cooldown", "latch", "keep_score")
"""What says how an alarm goes on once it is confirmed, and not what confirms it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which detections matter and how they are confirmed; times in seconds.

    No `zones` means anywhere. A `repeat_every` of 0 raises once only. A `keep_score` of None is `min_score`. Areas
    are shares of the frame's, and the aspect is a box's width as a multiple of its height. Without a `schedule` a
    rule is always on duty. With a `still_after` of None nothing is ever taken to stand still. `near`
    is a further class of which something must be close by. With `latch` an alarm stays open until a verdict.
    """

    name: str
    classes: tuple[str, ...]
    min_score: float
    hits: int
    of: int
    within: float
    end_after: float
    repeat_every: float
    zones: tuple[str, ...] = ()
    keep_score: float | None = None
    cooldown: float = 0.0
    exclude: tuple[str, ...] = ()
    min_area: float = 0.0
    max_area: float = 1.0
    min_aspect: float = 0.0
    max_aspect: float = 100.0
    schedule: Hours | None = None
    per: Per = Per.FRAME
    still_after: float | None = None
    near: str | None = None
    latch: bool = False

    @property
    def keeps(self) -> float:
        """The score that keeps an open alarm alive; never above `min_score`."""
        return self.min_score if self.keep_score is None else min(self.keep_score, self.min_score)

    def confirms_as(self, other: "Rule") -> bool:
        """Whether what confirms an alarm by the other rule does so by this one; how alarms go on may differ."""
        going_on = {name: getattr(self, name) for name in _GOING_ON}
        return replace(other, **going_on) == self


def rule_from(settings: "RuleSettings") -> Rule:
    """Return the rule that the configuration describes."""
    return Rule(
        name=settings.name,
        classes=settings.classes,
        min_score=settings.min_score,
        hits=settings.confirm.hits,
        of=settings.confirm.of,
        within=settings.confirm.within,
        per=Per(settings.confirm.per),
        still_after=None if settings.stationary is None else settings.stationary.after,
        near=settings.near,
        latch=settings.latch,
        end_after=settings.end_after,
        repeat_every=settings.repeat_every,
        zones=settings.zones,
        keep_score=settings.keep_score,
        cooldown=settings.cooldown,
        exclude=settings.exclude,
        min_area=settings.min_area,
        max_area=settings.max_area,
        min_aspect=settings.min_aspect,
        max_aspect=settings.max_aspect,
        schedule=None if settings.schedule is None else settings.schedule.hours(),
    )
