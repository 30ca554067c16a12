"""When a detector that only fails is given up."""

from collections.abc import Callable, Sequence

from tocsin.detect.detector import Attempt, Detector, Ticket
from tocsin.errors import InferenceError
from tocsin.frame import Frame

FAILED_IN_A_ROW = 3
"""After so many batches without one result the device is taken for lost: a poisoned one never recovers."""


class Strikes:
    """A detector that is lost when it has failed too often."""

    def __init__(self, detector: Detector) -> None:
        self.lost: str | None = None
        self._detector = detector
        self._failures = 0

    @property
    def max_batch(self) -> int:
        return self._detector.max_batch

    @property
    def overlaps(self) -> bool:
        return self._detector.overlaps

    def begin(self, frames: Sequence[Frame], release: Callable[[Frame], None] | None = None) -> Ticket:
        return self._detector.begin(frames, release)

    def finish(self, ticket: Ticket) -> Attempt:
        """Return what the detector says, and count."""
        attempt = self._detector.finish(ticket)
        failed = all(isinstance(result, InferenceError) for result in attempt.results)
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= FAILED_IN_A_ROW:
            self.lost = f"the detector failed on {self._failures} batches in a row"
        return attempt
