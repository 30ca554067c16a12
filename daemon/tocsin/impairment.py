"""Notices when a stream cannot be seen reliably: too dark, too bright, or without contrast.

Pure: one vigil hears the light of one stream's analysed frames, each with its time, and says when that begins and
when it is over. A correction of the light brings much back, so what counts here lies far beyond what is corrected.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from tocsin.alarm.confirm import interrupted, patience
from tocsin.frame import Light

_ROUNDING = 1e-6
"""Seconds: what adding up times as floats may cost."""


class Impairment(StrEnum):
    """Why a stream cannot be seen reliably: the word in events, logs and status."""

    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    NO_CONTRAST = "no_contrast"


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a picture ceases to be seen; on the scale of `Light`."""

    dark: float
    """The least p99: below it all but the brightest hundredth of the picture is next to black."""

    white: float
    """The largest p50: above it half of the picture is white, and nothing brings that back. A count of the pixels
    that are clipped would miss many: noise and compression move them off the end of the scale."""

    contrast: float
    """The least contrast: below it a correction raises the noise as far as the picture."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a stream is reported, and when its return is; times in seconds of pictures.

    To begin it takes a picture beyond `enter`, to be over one within `leave`, which asks for more: a picture at
    the edge does not change its state with its noise. Measured on 20 pictures of a surveillance clip (105 persons,
    machine labels) with simulated light and noise, through x264 at crf 26, with `guided` and the bundled detector:
    of 100 persons it finds 82 at a contrast of 22, 69 at 15, 50 at 11, 32 at 7; 67 to 85 (more or less noise) at a
    p99 of 31, 41 to 71 at 20, 36 at 11; 71 at a p50 of 252, 51 at 254. Of other scenes it says nothing.
    """

    enter: Edge = field(default_factory=lambda: Edge(dark=16.0, white=253.0, contrast=12.0))
    leave: Edge = field(default_factory=lambda: Edge(dark=22.0, white=250.0, contrast=17.0))

    enter_after: float = 10.0
    """So long without one better picture: a hand before the lens or a passing lorry is nothing to report."""

    leave_after: float = 5.0
    """So long without one worse picture: a headlight that sweeps a black yard does not make it seen."""

    relapse: float = 60.0
    """A return that lasted less than this was none: the next one takes twice as long to be believed."""

    leave_at_most: float = 60.0
    """What doubling ends at: two events in about as many minutes, when a light goes on and off all night."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A stream became impaired, or (`over`) can be seen again.

    `reason` is why it could not be seen when that was reported; `light` that of the picture with which the notice
    comes; `lasted` how many seconds ago the bad pictures began, outages included.
    """

    over: bool
    reason: Impairment
    light: Light
    lasted: float


def judge(light: Light, edge: Edge) -> Impairment | None:
    """Return why a picture of this light cannot be seen, or None.

    A light that is not a number says nothing.
    """
    if light.p99 < edge.dark:
        return Impairment.TOO_DARK
    if light.p50 > edge.white:
        return Impairment.TOO_BRIGHT
    if light.contrast < edge.contrast:
        return Impairment.NO_CONTRAST
    return None


class ImpairmentVigil:
    """Says once that a stream is impaired, and once that it is no longer; for one stream and one thread.

    An outage begins nothing and ends nothing: time without pictures proves neither.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._reported: Impairment | None = None
        self._last: float | None = None
        self._contrary: float | None = None  # for how long all pictures have spoken against what was reported
        self._lasted = 0.0
        self._clear = (
            self._limits.relapse
        )  # for how long nothing has been reported; one at the start is no relapse
        self._leave_after = self._limits.leave_after

    @property
    def impaired(self) -> Impairment | None:
        """Why the stream was reported; None while it is seen."""
        return self._reported

    def update(self, light: Light, at: float, period: float, silence: float) -> Notice | None:
        """Count one analysed frame; `at`, `period` and `silence` are the frame's."""
        elapsed = 0.0 if self._last is None else max(0.0, at - self._last)
        watched = 0.0 if interrupted(silence, period) else min(elapsed, patience(period))
        self._last = at
        self._lasted += elapsed
        edge = self._limits.enter if self._reported is None else self._limits.leave
        found = judge(light, edge)
        if self._reported is None:
            self._clear += watched
        if (found is None) is (self._reported is None):
            self._contrary = None
            return None
        if self._contrary is None:  # the time before this picture belongs to the others
            self._contrary = 0.0
            if found is not None:
                self._lasted = 0.0
        else:
            self._contrary += watched
        return self._turn(found, light)

    def _turn(self, found: Impairment | None, light: Light) -> Notice | None:
        """Change the state when it has been contradicted for long enough."""
        assert self._contrary is not None, "a picture that contradicts the state was just counted"
        needed = self._limits.enter_after if self._reported is None else self._leave_after
        if self._contrary < needed - _ROUNDING:
            return None
        reason = found or self._reported
        assert reason is not None, "one of the two states is an impairment"
        self._reported, self._contrary = found, None
        if found is not None:
            self._leave_after = self._patience_after(self._clear)
            self._clear = 0.0
        return Notice(found is None, reason, light, self._lasted)

    def _patience_after(self, clear: float) -> float:
        """Return how long the next return must last, after the stream was seen for so long."""
        if clear >= self._limits.relapse:
            return self._limits.leave_after
        return min(2 * self._leave_after, self._limits.leave_at_most)
