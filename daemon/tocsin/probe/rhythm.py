"""How fast frames come, and how far apart the keyframes are. Pure: times are arguments."""

from statistics import median

_BACKLOG = 0.5
"""Seconds after the first frame in which no rate is measured: what came while FFmpeg opened the stream, or what a
server kept for whoever joins, arrives at once."""


class Rhythm:
    """Notes the clean frames of one opening."""

    def __init__(self) -> None:
        self._arrivals: list[float] = []
        self._keyframes: list[int] = []
        self.damaged = 0
        """Frames after the first clean one that are damaged, or build on one that is."""

    def note(self, at: float, *, keyframe: bool) -> None:
        """Note a clean frame that came at `at`, in seconds."""
        if keyframe:
            self._keyframes.append(len(self._arrivals))
        self._arrivals.append(at)

    @property
    def begun(self) -> bool:
        """Whether there was a frame."""
        return bool(self._arrivals)

    @property
    def seconds(self) -> float:
        """The time over which the rate is measured."""
        counted = self._counted()
        return counted[-1] - counted[0] if counted else 0.0

    @property
    def rate(self) -> float | None:
        """Frames a second; None where too few came."""
        return (len(self._counted()) - 1) / self.seconds if self.seconds > 0 else None

    @property
    def keyframe_every(self) -> float | None:
        """The median number of frames from a keyframe to the next; None where fewer than two came."""
        gaps = [after - before for before, after in zip(self._keyframes, self._keyframes[1:], strict=False)]
        return median(gaps) if gaps else None

    def _counted(self) -> list[float]:
        settled = [at for at in self._arrivals if at >= self._arrivals[0] + _BACKLOG]
        return settled if len(settled) > 1 else self._arrivals
