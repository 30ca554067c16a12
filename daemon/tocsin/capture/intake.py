"""What is made of the pictures of a stream: which are believed, which are analysed, and when there is no hope.

Pure: times are arguments.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from tocsin.capture.pace import Pace, Silence
from tocsin.capture.quarantine import Drought, Leniency, Quarantine
from tocsin.capture.rate import Ceiling, Rate
from tocsin.capture.source import Picture
from tocsin.capture.timestamps import Timestamps
from tocsin.capture.wire import DropReason
from tocsin.errors import SourceError, SourceFault


class Verdict(StrEnum):
    """What is to be done with a picture."""

    NOTHING = "nothing"
    QUARANTINED = "quarantined"
    LEFT_OUT = "left_out"
    RATE = "rate"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Taken:
    """The verdict on a picture, and whether it is the first clean one of this opening."""

    verdict: Verdict
    first: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether the picture can be believed."""
        return self.verdict in (Verdict.RATE, Verdict.DUE)


class Intake:
    """Judges the pictures of one stream, over all its openings.

    `live`: the pictures come from a camera and not from a file, which may have any rate and any timestamps.
    """

    def __init__(self, max_fps: float, *, live: bool = True) -> None:
        self._live = live
        self._pace = Pace(max_fps)
        self._silence = Silence()
        self._rate = Rate(max_fps)
        self._drought = Drought()
        self._leniency = Leniency()
        self.opened(None)

    def opened(self, declared: float | None) -> None:
        """Note that the stream was opened, and the frames a second that it declares."""
        self._rate.opened(declared)
        self._drought.opened()
        self._leniency.opened()
        self._quarantine = Quarantine()
        self._ceiling = Ceiling()
        self._timestamps = Timestamps()
        self._came: float | None = None
        self._seen = False
        self._passing = False
        self._left_out = 0

    @property
    def read_timeout(self) -> float:
        """The seconds that the next opening may wait for data."""
        return self._rate.read_timeout

    @property
    def strict(self) -> bool:
        """Whether what may be harmless is to count as damage at the next opening."""
        return self._leniency.strict

    @property
    def period(self) -> float:
        """The seconds between two analysed pictures when all is well."""
        return max(self._pace.period, self._rate.period)

    def wants(self, expected: float, apart: float) -> bool:
        """Return whether to decode a picture, as `Pace.may_be_due`; in quarantine each one may end it."""
        return not self._passing or self._pace.may_be_due(expected, apart)

    def silence(self) -> float:
        """Return the longest silence since the last analysed picture and begin anew; see `Silence`."""
        return self._silence.taken()

    def stalled(self) -> None:
        """Note that the stream broke by a stall."""
        self._rate.stalled()

    def take(self, picture: Picture, tally: Counter[str]) -> Taken:
        """Judge what came and count it in `tally`.

        Raises SourceError: DECODE when nothing clean came for too long, STALL when there were data but no picture
        for too long, OVERRATE when there were more pictures than any camera sends.
        """
        if picture.damaged or picture.gap or picture.lost:
            self._note_damage(picture, tally)
        if picture.left_out:
            self._came = picture.at
            self._check_rate(picture.at)
            self._left_out += 1
            tally["received"] += 1
            tally[DropReason.RATE] += 1
            return Taken(Verdict.LEFT_OUT)
        if picture.frame is None:
            self._check_starved(picture)
        elif (taken := self._judge(picture, corrupt=picture.frame.is_corrupt, tally=tally)).is_clean:
            return taken
        if limit := self._drought.exceeded(picture.at, self._rate.period):
            hint = "; from now on it is decoded less strictly" if self._leniency.dried_up() else ""
            raise SourceError(SourceFault.DECODE, f"no clean picture for {limit:g} s{hint}")
        return Taken(Verdict.NOTHING if picture.frame is None else Verdict.QUARANTINED)

    def _note_damage(self, picture: Picture, tally: Counter[str]) -> None:
        tally["decode_errors"] += picture.damaged
        tally["lost"] += picture.lost
        if picture.damaged and not picture.hollow:
            self._came = picture.at
        self._passing = False
        missing = picture.gap or picture.lost > 0
        self._leniency.damaged(keyframe=picture.at_keyframe, missing=missing)
        # A loss is told with the packet before it or with the one that it was in.
        self._quarantine.damage(picture.packet, reach=1 if picture.lost else 0)

    def _judge(self, picture: Picture, *, corrupt: bool, tally: Counter[str]) -> Taken:
        tally["received"] += 1
        self._came = picture.at
        self._check_rate(picture.at)
        if self._live:
            tally["jumps"] += self._timestamps.jumped(picture.shown, picture.at)
        self._passing = self._quarantine.passes(picture.packet, since=picture.since, corrupt=corrupt)
        if not self._passing:
            tally["quarantined"] += 1
            return Taken(Verdict.QUARANTINED)
        self._drought.clean(picture.at)
        if picture.seam:
            self._silence.seam()
            self._rate.seam()
        self._silence.arrived(picture.at)
        self._rate.arrived(picture.at, self._left_out)
        self._left_out = 0
        first, self._seen = not self._seen, True
        if self._pace.due(picture.at):
            return Taken(Verdict.DUE, first)
        tally[DropReason.RATE] += 1
        return Taken(Verdict.RATE, first)

    def _check_rate(self, at: float) -> None:
        if self._live and (rate := self._ceiling.exceeded(at)):
            message = f"expected {Ceiling.LIMIT:g} pictures a second at most, found {rate:.1f}"
            raise SourceError(SourceFault.OVERRATE, message)

    def _check_starved(self, picture: Picture) -> None:
        if not self._live or self._came is None or not self._rate.is_measured:
            return  # the first picture may be a keyframe's interval away
        if picture.at - self._came >= self._rate.starved_after:
            raise SourceError(SourceFault.STALL, f"data but no picture for {picture.at - self._came:.1f} s")
