"""Films whose pictures tell their number, and reels that they went through."""

import io
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tocsin.evidence.reel import Kept, Leader, Reel

RATE, GROUP = 25, 50
COUNT = 300


@cache
def film(
    codec: str = "libx264",
    b_frames: int = 0,
    more: tuple[tuple[str, str], ...] = (),
    size: tuple[int, int] = (320, 240),
) -> bytes:
    """A film of 12 s in which each picture's brightness tells its number, with a keyframe every two seconds."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as target:
        options = {"g": str(GROUP), "bf": str(b_frames), "sc_threshold": "0", **dict(more)}
        stream = target.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(COUNT):
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = 16 + number % 200
            frame = VideoFrame.from_ndarray(planes, format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return buffer.getvalue()


def packets(content: bytes) -> Iterator[tuple["Packet[VideoStream]", VideoStream]]:
    """The packets of a film, numbered in their opaque data as capture does it."""
    with av.open(io.BytesIO(content)) as source:
        video = source.streams.video[0]
        for number, packet in enumerate(one for one in source.demux(video) if one.size):
            packet.opaque = (number, None)
            yield packet, video


def filled(content: bytes, *, seconds: float = 5.0, most: int = 1 << 30, until: int = COUNT) -> Reel:
    """A reel through which a film went at its own pace."""
    reel = Reel(seconds, most)
    for number, (packet, video) in enumerate(packets(content)):
        if number == 0:
            reel.opened(Leader(video))
        if number < until:
            reel.keep(packet, number, number / RATE)
    return reel


def kept(reel: Reel, since: float = 0.0) -> tuple[Leader, list[Kept]]:
    """What is in a reel from that time on."""
    strip = reel.strip(since)
    assert strip is not None
    return strip
