"""From sightings to the life of an alarm: raised, repeated, ended."""

import math
from dataclasses import dataclass
from enum import StrEnum

from tocsin.alarm.confirm import interrupted, patience
from tocsin.alarm.moment import Moment


class State(StrEnum):
    """Whether an alarm is open."""

    QUIET = "quiet"
    PENDING = "pending"  # confirmed, and to be raised when the light has settled
    ACTIVE = "active"


class Decision(StrEnum):
    """What one frame means for the alarm: the word in logs and events."""

    QUIET = "quiet"  # there is no alarm
    WITHHELD = "withheld"  # confirmed, and not raised yet
    RAISED = "raised"
    HELD = "held"  # the alarm lasts, and there is nothing new to say
    REPEATED = "repeated"
    ENDED = "ended"  # no longer seen, which is not "safe"


class Signal(StrEnum):
    """What one frame brings."""

    CONFIRMED = "confirmed"
    EARLY = "early"  # confirmed, less than `cooldown` after the last alarm
    OUTRANKED = "outranked"  # confirmed, while a graver alarm tells of the same
    UNSETTLED = "unsettled"  # confirmed, while the light of the scene changes
    EXPIRED = "expired"  # looked for `end_after` without seeing it
    DUE = "due"  # last told `repeat_every` ago
    ABANDONED = "abandoned"  # what is open shall end, seen or not
    NOTHING = "nothing"


TRANSITIONS: dict[tuple[State, Signal], tuple[State, Decision]] = {
    (State.QUIET, Signal.CONFIRMED): (State.ACTIVE, Decision.RAISED),
    (State.QUIET, Signal.EARLY): (State.QUIET, Decision.WITHHELD),
    (State.QUIET, Signal.OUTRANKED): (State.QUIET, Decision.WITHHELD),
    (State.QUIET, Signal.UNSETTLED): (State.PENDING, Decision.WITHHELD),
    (State.QUIET, Signal.EXPIRED): (State.QUIET, Decision.QUIET),
    (State.QUIET, Signal.DUE): (State.QUIET, Decision.QUIET),
    (State.QUIET, Signal.NOTHING): (State.QUIET, Decision.QUIET),
    (State.QUIET, Signal.ABANDONED): (State.QUIET, Decision.QUIET),
    # what is pending is never discarded: whatever the next frame brings, it is raised
    (State.PENDING, Signal.CONFIRMED): (State.ACTIVE, Decision.RAISED),
    (State.PENDING, Signal.EARLY): (State.ACTIVE, Decision.RAISED),
    (State.PENDING, Signal.OUTRANKED): (State.QUIET, Decision.WITHHELD),
    (State.PENDING, Signal.UNSETTLED): (State.PENDING, Decision.WITHHELD),
    (State.PENDING, Signal.EXPIRED): (State.ACTIVE, Decision.RAISED),
    (State.PENDING, Signal.DUE): (State.ACTIVE, Decision.RAISED),
    (State.PENDING, Signal.NOTHING): (State.ACTIVE, Decision.RAISED),
    (State.PENDING, Signal.ABANDONED): (State.PENDING, Decision.QUIET),
    (State.ACTIVE, Signal.CONFIRMED): (State.ACTIVE, Decision.HELD),
    (State.ACTIVE, Signal.EARLY): (State.ACTIVE, Decision.HELD),
    (State.ACTIVE, Signal.OUTRANKED): (State.ACTIVE, Decision.HELD),
    (State.ACTIVE, Signal.UNSETTLED): (State.ACTIVE, Decision.HELD),
    (State.ACTIVE, Signal.EXPIRED): (State.QUIET, Decision.ENDED),
    (State.ACTIVE, Signal.DUE): (State.ACTIVE, Decision.REPEATED),
    (State.ACTIVE, Signal.NOTHING): (State.ACTIVE, Decision.HELD),
    (State.ACTIVE, Signal.ABANDONED): (State.QUIET, Decision.ENDED),
}


@dataclass(frozen=True, slots=True)
class Resumed:
    """An alarm that was open when the daemon last stopped.

    `first_seen` and `told`, when it was last raised or repeated, are on the clock of the frames to come, and
    so may be negative. A `told` in the future or NaN starts the time to the next repeat afresh. `judged` says
    whether a person has given a verdict on it.
    """

    first_seen: float
    told: float
    judged: bool = False


class Episode:
    """The alarm of one rule on one stream, over and over: for one thread.

    A stream that is down brings no frames and so changes nothing: the alarm stays active.
    """

    def __init__(
        self,
        end_after: float,
        repeat_every: float,
        cooldown: float = 0.0,
        resumed: Resumed | None = None,
        *,
        latch: bool = False,
        ended: float = -math.inf,
    ) -> None:
        """Times in seconds; a `repeat_every` of 0 never repeats, a `cooldown` of 0 withholds nothing.

        With `latch` an alarm does not end before a person has given a verdict on it. `ended` is when the last alarm
        did, before a restart; a time in the future counts as that of the first frame.
        """
        self._cooldown = cooldown
        self._latch = latch
        self._judged = resumed is not None and resumed.judged
        self._end_after = end_after
        self._repeat_every = repeat_every
        self._state = State.QUIET if resumed is None else State.ACTIVE
        self._first_seen = None if resumed is None else resumed.first_seen
        self._told = math.nan if resumed is None else resumed.told
        self._since: float | None = None  # the first sighting of what is pending or raised in this frame
        self._ended = ended
        self._hindered: Signal | None = None  # what withholds an alarm in this frame
        self._last: float | None = None
        self._unseen = 0.0

    @property
    def state(self) -> State:
        return self._state

    @property
    def first_seen(self) -> float | None:
        """The time of the first sighting that led to the alarm that is open or has ended in this frame."""
        return self._first_seen

    @property
    def ended(self) -> float:
        """When the last alarm ended; minus infinity where none did."""
        return self._ended

    @property
    def hindered(self) -> Signal | None:
        """What withholds an alarm in this frame, if anything does."""
        return self._hindered

    def revise(self, end_after: float, repeat_every: float, cooldown: float, *, latch: bool) -> None:
        """Go on by other times, which count for an alarm that is open, too."""
        self._end_after, self._repeat_every, self._cooldown = end_after, repeat_every, cooldown
        self._latch = latch

    def judged(self) -> None:
        """Hear that a person has given a verdict on the open alarm: it may end, and needs no more repeats."""
        self._judged = True

    def abandon(self) -> Decision:
        """End what is open, latched or not, between two frames: what is still there may be raised anew at once."""
        return self._enter(Signal.ABANDONED, None, math.nan, muted=True)

    def update(self, moment: Moment, seen: bool, since: float | None) -> Decision:
        """Count one analysed frame and return what it means.

        `seen` says whether it holds what keeps an alarm alive, and `since`, where the frame confirms an alarm, the
        time of the first sighting that did. A frame without a finite time changes nothing. Where time jumps back
        the age of the alarm, or of its end, stands still; where it jumps forward at most one repeat is due. No
        cooldown follows an alarm that was muted: what nobody heard of keeps back nothing.
        """
        if not math.isfinite(moment.at):
            waits = self._state is State.PENDING
            return self._enter(Signal.UNSETTLED if waits else Signal.NOTHING, None, moment.at)
        self._look(moment, seen)
        signal = self._signal(moment, seen, since is not None)
        return self._enter(signal, since, moment.at, muted=moment.muted)

    def _look(self, moment: Moment, seen: bool) -> None:
        """Add the time observed since the last frame: none over a silence, never more than the patience."""
        at = moment.at
        elapsed = 0.0 if self._last is None else at - self._last
        if elapsed < 0:
            self._told += elapsed
            self._ended += elapsed
        if self._last is None and not self._told <= at:
            self._told = at
        if self._last is None:
            self._ended = min(self._ended, at)
        self._last = at
        if seen:
            self._unseen = 0.0
        elif not interrupted(moment.silence, moment.period):
            self._unseen += min(max(elapsed, 0.0), patience(moment.period))

    def _signal(self, moment: Moment, seen: bool, confirmed: bool) -> Signal:
        at = moment.at
        if self._state is State.PENDING:
            return self._hindrance(moment) or Signal.CONFIRMED
        if not seen and self._unseen >= self._end_after and (self._judged or not self._latch):
            return Signal.EXPIRED
        if self._state is State.ACTIVE and not self._judged and 0 < self._repeat_every <= at - self._told:
            return Signal.DUE
        if not confirmed:
            return Signal.NOTHING
        if at - self._ended < self._cooldown:
            return Signal.EARLY
        return self._hindrance(moment) or Signal.CONFIRMED

    def _hindrance(self, moment: Moment) -> Signal | None:
        """Return why what is confirmed cannot be raised in this frame."""
        if moment.outranked:
            return Signal.OUTRANKED
        return Signal.UNSETTLED if moment.unsettled else None

    def _enter(self, signal: Signal, since: float | None, at: float, *, muted: bool = False) -> Decision:
        """The one place where the state changes."""
        before = self._state
        self._state, decision = TRANSITIONS[before, signal]
        self._hindered = signal if decision is Decision.WITHHELD else None
        if before is not State.PENDING:
            self._since = since
        match decision:
            case Decision.RAISED:
                self._first_seen = self._since
                self._judged = False
                self._told = at
            case Decision.REPEATED:
                self._told = at
            case Decision.ENDED:
                self._ended = self._ended if muted else at
            case Decision.QUIET | Decision.WITHHELD:
                self._first_seen = None
            case Decision.HELD:
                pass
        return decision
