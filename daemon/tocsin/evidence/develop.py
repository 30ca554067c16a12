"""From packets back to the one picture that is wanted."""

from collections.abc import Sequence
from itertools import islice

import av
from av.video.frame import VideoFrame

from tocsin.errors import EvidenceError
from tocsin.evidence.reel import Kept, Leader, ways

_WAYS = 3
"""Keyframes from which a picture is tried: who needs more of them has damage in the packets."""


def developed(leader: Leader, kept: Sequence[Kept], number: int) -> VideoFrame:
    """Return the picture of packet `number` of a strip.

    Raises EvidenceError where it is there no longer, or where its packets give no picture or a damaged one.
    """
    why = "expected the packets of the picture, found them gone"
    for way in islice(ways(kept, number), _WAYS):
        try:
            found = _last(leader, way)
        except (av.error.FFmpegError, OSError):
            why = "expected packets that can be decoded, found damage in them"
            continue
        if found is not None and not found.is_corrupt:
            return found
        what = "none" if found is None else "a damaged one"
        why = f"expected a picture of {len(way)} packets, found {what}"
    raise EvidenceError(why)


def _last(leader: Leader, way: Sequence[Kept]) -> VideoFrame | None:
    """Return the picture of the last of these packets, of which the first is a keyframe."""
    decoder = leader.decoder()
    decoder.skip_frame = "NONREF"  # what nothing is built on is not decoded on the way
    found: VideoFrame | None = None
    for one in [*way, None]:
        if one is way[-1]:
            decoder.skip_frame = "DEFAULT"
        for frame in decoder.decode(None if one is None else one.packet):
            if isinstance(frame.opaque, tuple) and frame.opaque[0] == way[-1].number:
                found = frame
    return found
