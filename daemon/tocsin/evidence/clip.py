"""A clip of an alarm, as an MP4 that can be played if it breaks off, and is a plain one when it is whole."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import BinaryIO, Protocol

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tocsin.errors import EvidenceError, reason
from tocsin.evidence.picture import Curtain, Polygon
from tocsin.evidence.reel import Kept, Leader

HELD = frozenset({"h264", "hevc", "av1"})
"""What an MP4 holds so that a browser plays it; the last two where the browser and the machine can."""

_WRITING = {"movflags": "hybrid_fragmented+frag_keyframe+default_base_moof", "frag_duration": "1000000"}
"""Every second (microseconds) what there is becomes playable. The end makes one plain film of it: then players know
how long it is, and find every place in it."""

_TAGS = {"hevc": "hvc1"}
"""What the film calls its codec, where Apple's players do not know FFmpeg's own word."""

_TICKS = 90_000
"""Of a second: the clock of RTP's video, so that what a camera counts comes out even."""

_RATE = 25
_ENCODING = {"preset": "veryfast", "crf": "26", "tune": "zerolatency"}

_ASTRAY = 5.0
"""Seconds by which a timestamp may differ from the packet's arrival, as in `capture.timestamps`: a network may hold
packets back for three, and what is further off is a clock that was set."""


class Clip(Protocol):
    """One clip while it is written; for one thread."""

    @property
    def seconds(self) -> float:
        """What is written so far; less than 0 where that is nothing."""

    def add(self, kept: Kept) -> None:
        """Write one packet; the first is a keyframe, and none is left out.

        Raises EvidenceError, after which there is no clip, and ValueError, after which it may be closed as it is.
        """

    def close(self) -> None:
        """Finish the file. Raises EvidenceError."""


Planes = Callable[[VideoFrame], NDArray[np.uint8]]
"""Returns a picture of any format as I420 (BT.601, 16 to 235), uint8 [height * 3 / 2, width], both even."""


def begin(target: BinaryIO, leader: Leader, masks: Sequence[Polygon], planes: Planes) -> Clip:
    """Begin a clip in a file that is open for writing.

    What has to be blacked out, and what no browser plays in an MP4, is decoded and encoded again.
    """
    return (
        Recoded(target, leader, masks, planes)
        if masks or leader.codec not in HELD
        else Copied(target, leader)
    )


class Copied:
    """A clip of the camera's own packets.

    Pictures keep the camera's distances, so that a burst of packets does not stutter; where the camera's clock
    jumps they go on by their arrival.
    """

    def __init__(self, target: BinaryIO, leader: Leader) -> None:
        self._container = av.open(target, "w", format="mp4", options=_WRITING)
        self._stream = self._container.add_stream_from_template(leader.stream)
        self._stream.codec_context.codec_tag = _TAGS.get(leader.codec, "\0\0\0\0")
        self._clock = _Clock()

    @property
    def seconds(self) -> float:
        """What is written so far."""
        return self._clock.last / _TICKS

    def add(self, kept: Kept) -> None:
        """Write one packet; the first is a keyframe, and none is left out."""
        source = kept.packet
        packet = Packet(bytes(source))
        packet.time_base = Fraction(1, _TICKS)
        packet.dts, packet.pts = self._clock.times(kept)
        packet.is_keyframe = source.is_keyframe
        packet.stream = self._stream
        with _translated("write"):
            self._container.mux_one(packet)

    def close(self) -> None:
        """Finish the file."""
        with _translated("finish"):
            self._container.close()


class Recoded:
    """A clip of pictures that are decoded, blacked out where they must be, and encoded anew as H.264."""

    def __init__(self, target: BinaryIO, leader: Leader, masks: Sequence[Polygon], planes: Planes) -> None:
        self._masks = masks
        self._planes = planes
        self._decoder = leader.decoder()
        self._shape = leader.stream.sample_aspect_ratio
        self._container = av.open(target, "w", format="mp4", options=_WRITING)
        self._stream: VideoStream | None = None
        self._curtain: Curtain | None = None
        self._size = (0, 0)
        self._clock = _Clock()
        self._times: dict[int, int] = {}
        self._last = -1

    @property
    def seconds(self) -> float:
        return self._last / _TICKS

    def add(self, kept: Kept) -> None:
        self._times[kept.number] = self._clock.times(kept)[1]
        self._decode(kept.packet)

    def close(self) -> None:
        self._decode(None)
        with _translated("finish"):
            if self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()

    def _decode(self, packet: "Packet[VideoStream] | None") -> None:
        try:
            frames = self._decoder.decode(packet)
        except (av.error.FFmpegError, OSError):  # of damage there is no picture
            return
        for frame in frames:
            number = frame.opaque[0] if isinstance(frame.opaque, tuple) else None
            at = self._times.pop(number, None) if number is not None else None
            if at is not None:
                with _translated("write"):
                    self._encode(frame, at)

    def _encode(self, frame: VideoFrame, at: int) -> None:
        planes = self._planes(frame)
        size = planes.shape[1], planes.shape[0] * 2 // 3
        if self._stream is None:
            self._stream = self._begin(*size)
        if self._masks:
            if self._curtain is None or size != self._size:  # the camera may change the size of its pictures
                self._curtain, self._size = Curtain(self._masks, *size), size
            self._curtain.draw(planes)
        covered = VideoFrame.from_ndarray(planes, format="yuv420p")
        self._last = max(self._last + 1, at)
        covered.pts, covered.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(covered))

    def _begin(self, width: int, height: int) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=_RATE, options=_ENCODING)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.colorspace = Colorspace.SMPTE170M
        context.thread_count = 1  # cores are for the cameras
        if self._shape:
            context.sample_aspect_ratio = self._shape
        return stream


class _Clock:
    """The times of packets in a clip, from 0 on, in ticks: they never fall, whatever the camera's do."""

    def __init__(self) -> None:
        self.last = -1
        self._shift: float | None = None  # from the camera's seconds to the clip's
        self._began: float | None = None
        self._before: float | None = None

    def times(self, kept: Kept) -> tuple[int, int]:
        """Return when a packet is decoded and shown."""
        packet = kept.packet
        base = float(packet.time_base) if packet.time_base else 0.0
        began = self._began = kept.at if self._began is None else self._began
        arrived = decoded = kept.at - began
        if base and (packet.dts is not None or packet.pts is not None):
            decoded = self._told(packet, base, arrived)
        held = 0 if packet.pts is None or packet.dts is None else (packet.pts - packet.dts) * base
        self.last = max(self.last + 1, round(decoded * _TICKS))
        return self.last, self.last + round(held * _TICKS if 0 <= held < _ASTRAY else 0)

    def _told(self, packet: "Packet[VideoStream]", base: float, arrived: float) -> float:
        """Return when the camera says that a packet is decoded; when it arrived where its clock was set."""
        told = float((packet.pts if packet.dts is None else packet.dts) or 0) * base
        back = packet.dts is not None and self._before is not None and told < self._before
        self._before = None if packet.dts is None else told
        if self._shift is None or back or abs(told + self._shift - arrived) > _ASTRAY:
            self._shift = arrived - told
        return told + self._shift


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvidenceError(f"expected to {doing} the clip, found {reason(error)}") from error
    except av.error.FFmpegError as error:
        raise ValueError(f"expected what a film can hold, found {type(error).__name__}") from error
