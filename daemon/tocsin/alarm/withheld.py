"""Why an alarm was not raised that would have been, and how often."""

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

from tocsin.alarm.confirm import Confirmation
from tocsin.alarm.episode import Decision, Episode, Signal, State
from tocsin.alarm.moment import Moment
from tocsin.alarm.rule import Rule


class Withheld(StrEnum):
    """What an alarm was withheld for: the word in the metric and in `tocsin status`."""

    SCHEDULE = "schedule"  # the rule is off duty
    STATIONARY = "stationary"  # it has stood still since it was reported
    COOLDOWN = "cooldown"  # the last alarm has just ended
    OUTRANKED = "outranked"  # a graver alarm tells of the same
    LIGHT = "light"  # the light of the scene has just changed; it is raised within two seconds


BY_SIGNAL = {
    Signal.EARLY: Withheld.COOLDOWN,
    Signal.OUTRANKED: Withheld.OUTRANKED,
    Signal.UNSETTLED: Withheld.LIGHT,
}
"""What keeps back an alarm that is confirmed."""


class Unraised:
    """Counts the alarms of one rule on one stream that were withheld, about as often as they were due.

    What is seen off duty, or stands still, is confirmed as all else would be, and one that lasts counts once.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._going: dict[Withheld, _Shadow] = {}

    def update(self, moment: Moment, reasons: Collection[Withheld]) -> tuple[Withheld, ...]:
        """Count one analysed frame, whose sightings were withheld for these reasons; return those of an alarm."""
        for reason in reasons:
            if reason not in self._going:
                self._going[reason] = _Shadow(self._rule, confirmed=reason in BY_SIGNAL.values())
        if not self._going:
            return ()
        plain = replace(moment, outranked=False, unsettled=False)
        counted = [
            reason for reason, shadow in self._going.items() if shadow.update(plain, reason in reasons)
        ]
        self._going = {reason: shadow for reason, shadow in self._going.items() if shadow.goes_on}
        return tuple(counted)


class _Shadow:
    """The alarm that would be open but for one reason; `confirmed` where only what is confirmed is shown to it."""

    def __init__(self, rule: Rule, *, confirmed: bool) -> None:
        self._window = Confirmation(1, 1, 0.0) if confirmed else Confirmation(rule.hits, rule.of, rule.within)
        self._episode = Episode(rule.end_after, repeat_every=0.0)

    @property
    def goes_on(self) -> bool:
        return self._window.first_seen is not None or self._episode.state is not State.QUIET

    def update(self, moment: Moment, seen: bool) -> bool:
        confirmed = self._window.update(seen, moment.at, moment.period, moment.silence)
        since = self._window.first_seen if confirmed else None
        decision = self._episode.update(moment, seen, since)
        if decision is Decision.ENDED:
            self._window.clear()
        return decision is Decision.RAISED
