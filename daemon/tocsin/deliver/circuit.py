"""Whether a webhook may be tried: a circuit that opens on failure. Pure: time is an argument."""

from dataclasses import dataclass


@dataclass(slots=True)
class Circuit:
    """While open, one attempt at a time goes out, at each step of the schedule: the probe.

    So a receiver that is away costs one request a step however many deliveries wait for it. Attempts carry the
    `round` in which they began: those of an earlier round say nothing about the present one when they fail, so
    that four attempts which fail together count as one failure. Times are monotonic seconds.

    `suspect` is the only delivery that has failed since the circuit opened: it may be its body that the receiver
    chokes on, so another one may go at once. It is None when others have failed too, and it is the receiver.
    """

    failures: int = 0
    round: int = 0
    due: float = 0.0
    suspect: int | None = None
    _row: tuple[float, ...] = ()

    @property
    def closed(self) -> bool:
        return self.failures == 0

    def admits(self, running: int, limit: int, now: float) -> bool:
        """Say whether one more attempt may begin while `running` are under way."""
        if self.closed:
            return running < limit
        return running == 0 and now >= self.due

    def fail(self, number: int, began: int, row: tuple[float, ...]) -> bool:
        """Count the failure of a delivery's attempt of round `began`; say whether the circuit opened or stays open.

        When it did, `postpone` must follow. `row` names the waits for failures of this kind: another row starts
        from its first wait, so that a receiver which was away for a day and now answers 404 while it starts is
        not left alone for an hour.
        """
        if self.closed:
            self.suspect = number
        elif number != self.suspect:
            self.suspect = None
        if began != self.round:
            return False
        self.failures = self.failures + 1 if row == self._row else 1
        self._row = row
        self.round += 1
        return True

    def postpone(self, due: float) -> None:
        """Let the next probe go out at `due`."""
        self.due = due

    def succeed(self) -> bool:
        """Close the circuit, since the receiver answers; say whether it was open."""
        was_open = not self.closed
        self.failures = 0
        self.suspect = None
        self.round += was_open
        return was_open
