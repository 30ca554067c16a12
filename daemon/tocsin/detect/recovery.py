"""What to do about a detector that fails: the policy, and when to say that it does.

1. **Out of memory**: the batch is halved, from 8 over 4 and 2 to 1, and stays so; no more is done about it. A batch
   of one view that does not fit is a failure like any other.
2. **Three batches in a row without one result**: the session is opened anew on the same device. That is done once:
   it may be done again only after results have come for `LASTING` seconds since.
3. **The same again, or it cannot be opened**: with `device: auto` an accelerator is left for the CPU.
4. **The same again** on the CPU, or on an accelerator that was asked for by name: the detector is given up and the
   process ends with 75, so that the service manager starts it anew. A poisoned device answers nothing but errors,
   and only a new process gets rid of it.
5. **Garbage on a CPU** never comes that far. A model that gives NaN for a dark picture gives it after every start,
   and a daemon that restarts for it all night sees nothing on its other cameras either. It goes on, and says so.

A session that ran over its deadline has failed as one that raised an error.
"""

from collections.abc import Collection
from enum import Enum, StrEnum, auto

from tocsin.errors import InferenceFault

IN_A_ROW = 3
"""Failures in a row that are no accident: one is the picture's, two may be."""

LASTING = 60.0
"""Seconds of results after which a session counts as healed by having been opened anew."""

OVER_AFTER = 30.0
"""Seconds without a failure after which it is said to be over."""

GARBAGE = frozenset({InferenceFault.NONFINITE, InferenceFault.SHAPE, InferenceFault.IMPLAUSIBLE})
"""The model ran and gave numbers that are no result."""


class Remedy(StrEnum):
    """What is to be done: the word in the log."""

    NONE = "none"
    HALVE = "halve"
    REOPEN = "reopen"
    FALL_BACK = "fall_back"
    GIVE_UP = "give_up"


class Trouble(Enum):
    """What is the matter with a detector that gives no result."""

    GARBAGE = auto()
    BROKEN = auto()


class Seat(Enum):
    """Where the model runs, and whether it may leave."""

    CPU = auto()
    ACCELERATOR = auto()
    LEAVABLE = auto()


# Where opening anew is of no use any more.
LAST_RESORT: dict[tuple[Trouble, Seat], Remedy] = {
    (Trouble.GARBAGE, Seat.CPU): Remedy.NONE,
    (Trouble.BROKEN, Seat.CPU): Remedy.GIVE_UP,
    (Trouble.GARBAGE, Seat.ACCELERATOR): Remedy.GIVE_UP,
    (Trouble.BROKEN, Seat.ACCELERATOR): Remedy.GIVE_UP,
    (Trouble.GARBAGE, Seat.LEAVABLE): Remedy.FALL_BACK,
    (Trouble.BROKEN, Seat.LEAVABLE): Remedy.FALL_BACK,
}


class Recovery:
    """Counts what fails and says what to do. Times are on the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._failed = 0  # batches in a row without a result
        self._broken = 0  # those at the end of them that were no garbage
        self._trouble = Trouble.BROKEN  # for which it was last opened anew
        self._opened: float | None = None
        self._result: float | None = None

    def finished(
        self, faults: Collection[InferenceFault], *, results: bool, now: float, seat: Seat, rows: int
    ) -> Remedy:
        """Take in a batch and return what to do before the next.

        `faults` are those of its frames that failed, and `results` says whether any did not. `rows` is the number
        of views that a smaller batch would have fewer than: 1 where none can be smaller.
        """
        assert faults or results, "a frame without a result has a fault"
        if InferenceFault.OOM in faults and rows > 1:
            return Remedy.HALVE
        if results:
            self._failed = self._broken = 0
            self._result = now
            return Remedy.NONE
        self._failed += 1
        self._broken = 0 if GARBAGE.issuperset(faults) else self._broken + 1
        if self._failed < IN_A_ROW:
            return Remedy.NONE
        self._trouble = Trouble.BROKEN if self._broken >= IN_A_ROW else Trouble.GARBAGE
        return self._next(Remedy.REOPEN if self._healed() else LAST_RESORT[self._trouble, seat], now)

    def cannot_open(self, now: float, seat: Seat) -> Remedy:
        """Take in that the session could not be opened anew in its seat, and return what to do instead."""
        return self._next(LAST_RESORT[self._trouble, seat], now)

    def _healed(self) -> bool:
        """Say whether results came for long enough since the session was last opened."""
        if self._opened is None:
            return True
        return self._result is not None and self._result - self._opened >= LASTING

    def _next(self, remedy: Remedy, now: float) -> Remedy:
        if remedy in (Remedy.REOPEN, Remedy.FALL_BACK):
            self._failed = self._broken = 0
            self._opened = now
        return remedy


class Spell:
    """A bad time of something: begins with the third failure in a row, ends after 30 s without any."""

    def __init__(self) -> None:
        self.lasts = False
        self._failed = 0
        self._good_since: float | None = None

    def failed(self) -> bool:
        """Take in a failure, and return whether a bad time begins with it."""
        self._failed += 1
        self._good_since = None
        begins = not self.lasts and self._failed >= IN_A_ROW
        self.lasts = self.lasts or begins
        return begins

    def succeeded(self, now: float) -> bool:
        """Take in a result, and return whether a bad time ends with it."""
        self._failed = 0
        if self._good_since is None:
            self._good_since = now
        ends = self.lasts and now - self._good_since >= OVER_AFTER
        self.lasts = self.lasts and not ends
        return ends
