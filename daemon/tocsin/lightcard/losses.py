"""What of a recording is lost: frames that cannot be decoded or are damaged, and time without any."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tocsin.alarm.confirm import interrupted
from tocsin.capture.rate import Rate
from tocsin.footage.pictures import Picture

_SLACK = 0.5
"""Seconds that a recording may end before what its header says: encoders round, and cut at the ends."""

_SLOWEST = 0.01
"""Frames a second until three gaps have told how many there are: a time-lapse is no recording full of gaps."""


@dataclass(frozen=True, slots=True)
class Lost:
    """How much: `skipped` frames could not be decoded, `damaged` ones were, with faults the decoder knows of.

    `gaps` counts the times without a frame (a second or more, and longer than five frames), `silent` are the
    seconds of them all; `missing` those by which the recording ends before what its header says.
    """

    skipped: int = 0
    damaged: int = 0
    gaps: int = 0
    silent: float = 0.0
    missing: float = 0.0

    def words(self) -> list[str]:
        """Say each kind that there is."""
        frames = ((self.skipped, "could not be read"), (self.damaged, "damaged"))
        said = [f"{count} {'frame' if count == 1 else 'frames'} {what}" for count, what in frames if count]
        if self.gaps:
            said.append(f"{self.silent:.1f} s without frames in {_times(self.gaps, 'gap')}")
        if self.missing:
            said.append(f"{self.missing:.1f} s fewer than the file's header says")
        return said


class Losses:
    """Counts what is lost of one recording, and says the first of each kind on stderr as it is found."""

    def __init__(self, path: Path, refuse: Callable[[str], None] | None) -> None:
        """With `refuse` each loss is told to that instead; it raises."""
        self._path = path
        self._refuse = refuse
        self._rate = Rate(_SLOWEST)
        self._last: float | None = None
        self._skipped = self._damaged = self._gaps = 0
        self._silent = self._missing = 0.0

    def skip(self, sentence: str) -> None:
        """Count a frame that cannot be decoded."""
        self._skipped += 1
        self._say(sentence, first=self._skipped == 1)

    def arrived(self, picture: Picture) -> None:
        """Look at a frame, and at the time before it."""
        if picture.frame.is_corrupt:
            self._damaged += 1
            found = f"{self._path}: frame {picture.index}: expected a whole picture, found a damaged one"
            self._say(found, first=self._damaged == 1)
        silence = 0.0 if self._last is None else picture.at - self._last
        if interrupted(silence, self._rate.period):
            self._gaps += 1
            self._silent += silence
            found = (
                f"{self._path}: {picture.at - silence:.1f} s: expected frames, found none for {silence:.1f} s"
            )
            self._say(found, first=self._gaps == 1)
        self._last = picture.at
        self._rate.arrived(picture.at)

    def ended(self, seconds: float | None) -> Lost:
        """Return what was lost, of a recording that is `seconds` long by its header, where that tells."""
        seen = (self._last or 0.0) + self._rate.period
        if seconds is not None and seconds - seen > _SLACK:
            self._missing = seconds - seen
            expected = f"{seconds:.1f} s of frames, as the file's header says"
            self._say(f"{self._path}: expected {expected}, found {seen:.1f} s", first=True)
        return Lost(self._skipped, self._damaged, self._gaps, self._silent, self._missing)

    def _say(self, sentence: str, *, first: bool) -> None:
        if self._refuse is not None:
            self._refuse(sentence)
        if first:
            print(f"tocsin: warning: {sentence}", file=sys.stderr)


def _times(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"
