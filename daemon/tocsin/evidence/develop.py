"""From packets back to the one picture that is wanted."""

from collections.abc import Sequence

import av
from av.video.frame import VideoFrame

from tocsin.errors import EvidenceError
from tocsin.evidence.reel import Kept, Leader


def developed(leader: Leader, kept: Sequence[Kept]) -> VideoFrame:
    """Return the picture of the last of these packets, of which the first is a keyframe.

    Raises EvidenceError where they give none, or a damaged one.
    """
    if not kept:
        raise EvidenceError("expected the packets of the picture, found them gone")
    decoder = leader.decoder()
    wanted = kept[-1].number
    found: VideoFrame | None = None
    try:
        for one in [*(one.packet for one in kept), None]:
            for frame in decoder.decode(one):
                if isinstance(frame.opaque, tuple) and frame.opaque[0] == wanted:
                    found = frame
    except (av.error.FFmpegError, OSError) as error:
        raise EvidenceError("expected packets that can be decoded, found damage in them") from error
    if found is None or found.is_corrupt:
        what = "none" if found is None else "a damaged one"
        raise EvidenceError(f"expected a picture of {len(kept)} packets, found {what}")
    return found
