"""A clip of an alarm, as an MP4 that can be played while it is written, and if it breaks off."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import BinaryIO, Protocol

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tocsin.errors import EvidenceError
from tocsin.evidence.picture import Polygon, corners
from tocsin.evidence.reel import Kept, Leader

HELD = frozenset({"h264", "hevc", "av1"})
"""What an MP4 holds so that a browser plays it; the last two where the browser and the machine can."""

_MOVFLAGS = "frag_keyframe+empty_moov+default_base_moof"
_TICKS = 90_000
"""Of a second: the clock of RTP's video, so that what a camera counts comes out even."""

_RATE = 25
_ENCODING = {"preset": "veryfast", "crf": "26", "tune": "zerolatency"}

_ASTRAY = 1.0
"""Seconds by which a timestamp may differ from the packet's arrival: the camera's clock has jumped otherwise."""


class Clip(Protocol):
    """One clip while it is written; for one thread."""

    @property
    def seconds(self) -> float:
        """What is written so far."""

    def add(self, kept: Kept) -> None:
        """Write one packet; the first is a keyframe, and none is left out. Raises EvidenceError."""

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
        self._container = av.open(target, "w", format="mp4", options={"movflags": _MOVFLAGS})
        self._stream = self._container.add_stream_from_template(leader.stream)
        self._clock = _Clock()

    @property
    def seconds(self) -> float:
        """What is written so far."""
        return self._clock.last / _TICKS

    def add(self, kept: Kept) -> None:
        """Write one packet; the first is a keyframe, and none is left out. Raises EvidenceError."""
        source = kept.packet
        packet = Packet(bytes(source))
        packet.time_base = Fraction(1, _TICKS)
        packet.dts, packet.pts = self._clock.times(kept)
        packet.is_keyframe = source.is_keyframe
        packet.stream = self._stream
        try:
            self._container.mux_one(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise EvidenceError(f"expected to write the clip, found {_why(error)}") from error

    def close(self) -> None:
        """Finish the file."""
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise EvidenceError(f"expected to finish the clip, found {_why(error)}") from error


class Recoded:
    """A clip of pictures that are decoded, blacked out where they must be, and encoded anew as H.264."""

    def __init__(self, target: BinaryIO, leader: Leader, masks: Sequence[Polygon], planes: Planes) -> None:
        self._masks = masks
        self._planes = planes
        self._decoder = leader.decoder()
        self._container = av.open(target, "w", format="mp4", options={"movflags": _MOVFLAGS})
        self._stream: VideoStream | None = None
        self._clock = _Clock()
        self._times: dict[int, int] = {}

    @property
    def seconds(self) -> float:
        return self._clock.last / _TICKS

    def add(self, kept: Kept) -> None:
        self._times[kept.number] = self._clock.times(kept)[1]
        self._decode(kept.packet)

    def close(self) -> None:
        self._decode(None)
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise EvidenceError(f"expected to finish the clip, found {_why(error)}") from error

    def _decode(self, packet: "Packet[VideoStream] | None") -> None:
        try:
            for frame in self._decoder.decode(packet):
                number = frame.opaque[0] if isinstance(frame.opaque, tuple) else None
                at = self._times.pop(number, None) if number is not None else None
                if at is not None:
                    self._encode(frame, at)
        except (av.error.FFmpegError, OSError) as error:
            raise EvidenceError(f"expected to encode the clip anew, found {_why(error)}") from error

    def _encode(self, frame: VideoFrame, at: int) -> None:
        planes = self._planes(frame)
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=_RATE, options=_ENCODING)
            self._stream.width, self._stream.height = planes.shape[1], planes.shape[0] * 2 // 3
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, _TICKS)
            self._stream.codec_context.colorspace = Colorspace.SMPTE170M
        black_out(planes, self._masks)
        covered = VideoFrame.from_ndarray(planes, format="yuv420p")
        covered.pts, covered.time_base = at, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(covered))


def black_out(planes: NDArray[np.uint8], masks: Sequence[Polygon]) -> None:
    """Black out polygons in I420, uint8 [height * 3 / 2, width], in place."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat, luma = planes.reshape(-1), height * width
    parts = (
        (planes[:height], 16),
        (flat[luma : luma * 5 // 4].reshape(height // 2, width // 2), 128),
        (flat[luma * 5 // 4 :].reshape(height // 2, width // 2), 128),
    )
    for plane, value in parts:
        for mask in masks:
            cv2.fillPoly(plane, [corners(mask, plane.shape[1], plane.shape[0])], (value,))


class _Clock:
    """The times of packets in a clip, from 0 on, in ticks: they never fall, whatever the camera's do."""

    def __init__(self) -> None:
        self.last = -1
        self._shift: float | None = None  # from the camera's seconds to the clip's
        self._began: float | None = None

    def times(self, kept: Kept) -> tuple[int, int]:
        """Return when a packet is decoded and shown."""
        packet = kept.packet
        base = float(packet.time_base) if packet.time_base else 0.0
        began = self._began = kept.at if self._began is None else self._began
        arrived = kept.at - began
        told = packet.dts if packet.dts is not None else packet.pts
        decoded = arrived
        if told is not None and base:
            if self._shift is None or abs(told * base + self._shift - arrived) > _ASTRAY:
                self._shift = arrived - told * base
            decoded = told * base + self._shift
        held = 0.0 if packet.pts is None or packet.dts is None else max(0, packet.pts - packet.dts) * base
        self.last = max(self.last + 1, round(decoded * _TICKS))
        return self.last, self.last + round(held * _TICKS)


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
