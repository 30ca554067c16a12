"""Whether the record of a frame makes sense: its sender parses what a stranger sends. Pure."""

import math

from tocsin.capture.wire import FrameRecord
from tocsin.errors import WorkerError
from tocsin.frame import Box, Light

_FAR = 1e6
"""Seconds from now beyond which a time is no time: a recording that is played fast may be hours ahead."""


def check_record(record: FrameRecord, views: int, now: float) -> None:
    """Raise WorkerError for a record that a sound worker never sends: its values reach clocks and arithmetic.

    `views` is the most that the frame may have: there are fewer where a small picture makes some the same.
    """
    timely = abs(record.at - now) < _FAR and 0 < record.period < _FAR and record.silence >= 0
    timely = timely and (record.scene is None or abs(record.scene.at - record.at) < _FAR)
    timely = timely and 0 <= record.decode_seconds < _FAR and 0 <= record.light_seconds < _FAR
    sized = min(record.width, record.height) > 0 and max(record.width, record.height) < _FAR
    lit = all(_is_finite(view.light) for view in record.views)
    placed = all(_is_part(view.region) for view in record.views)
    if not 1 <= len(record.views) <= views or not (timely and sized and lit and placed):
        raise WorkerError("expected the record of a frame, found one that makes no sense")


def _is_finite(light: Light) -> bool:
    return all(math.isfinite(getattr(light, name)) for name in Light.__slots__)


def _is_part(region: Box) -> bool:
    left, top, right, bottom = region
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1
