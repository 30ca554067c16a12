"""The last pictures that were handed over, as they were decoded: an alarm is mostly of one of them.

From the packets the same picture takes the decoding of all since the last keyframe, of some cameras ten seconds.
"""

from dataclasses import dataclass

from av.video.frame import VideoFrame

MOST_BYTES = 10_000_000
"""Three pictures of 1080p: 0.3 s of ten analysed pictures a second. The newest is kept, even if it is larger."""

MOST_SECONDS = 2.0
"""None is kept that is older than the newest by more, however small they are; an alarm that comes later has its
picture decoded again."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Negative:
    """A picture that nobody may change, and its time."""

    at: float
    frame: VideoFrame

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(plane.buffer_size for plane in self.frame.planes)


class Negatives:
    """Filled by the thread that reads the stream; any other may look something up."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: tuple[Negative, ...] = ()  # the newest first; replaced whole

    def keep(self, at: float, frame: VideoFrame) -> None:
        """Keep a picture, and of those before it what is not too old and what there is room for."""
        kept = [Negative(at, frame)]
        left = self._most_bytes - kept[0].bytes
        for one in self._kept:
            left -= one.bytes
            if left < 0 or one.at < at - MOST_SECONDS:
                break
            kept.append(one)
        self._kept = tuple(kept)

    def of(self, at: float) -> Negative | None:
        """Return the picture of that time; None: it is there no longer."""
        return next((one for one in self._kept if one.at == at), None)
