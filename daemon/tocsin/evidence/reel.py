"""The last seconds of a stream as the camera sent them: packets, which take a hundredth of their pictures' memory.

One thread fills a reel, another may read it. It begins with a keyframe, so that all in it can be decoded.
"""

import io
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

_COST = 1_240
"""Bytes that a packet takes beside what is in it, measured on 100,000 of ten bytes: a camera may send such, too."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A packet, its number in the order of decoding, and its arrival in seconds on the stream's clock."""

    packet: "Packet[VideoStream]"
    number: int
    at: float

    @property
    def starts(self) -> bool:
        """Whether decoding may begin here."""
        return bool(self.packet.is_keyframe)


class Leader:
    """What a decoder and a file must know before the first packet: copied while the stream is open.

    The copy outlives the stream, which only the thread that reads it may touch.
    """

    def __init__(self, video: VideoStream) -> None:
        """Copy from an open stream; for the thread that reads it.

        Raises ValueError or FFmpeg's own error for a codec that no file of FFmpeg's can hold.
        """
        context = video.codec_context
        self.codec = str(context.name)
        self.width, self.height = context.width, context.height
        self._pixels = context.pix_fmt  # what is not compressed does not tell by itself
        self._extradata = context.extradata
        # A container that is never written: its stream is the only form in which FFmpeg's parameters can be kept.
        self._holder = av.open(io.BytesIO(), "w", format="matroska")
        self.stream = self._holder.add_stream_from_template(video)

    def decoder(self) -> VideoCodecContext:
        """Return a new decoder that works on one thread and tells which packet a picture was made of."""
        context = av.CodecContext.create(self.codec, "r")
        assert isinstance(context, VideoCodecContext), "the stream is one of video"
        context.extradata = self._extradata
        context.width, context.height = self.width, self.height
        if self._pixels is not None:
            context.pix_fmt = self._pixels
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.copy_opaque
        return context


@dataclass(slots=True)
class _Group:
    """A keyframe and what rests on it."""

    kept: list[Kept] = field(default_factory=list)
    bytes: int = 0


class Reel:
    """Keeps so many seconds of packets, from a keyframe on, and never more bytes than it may.

    Where a camera sends so few keyframes that the bytes do not suffice, the reel is empty until the next one.
    """

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        # Guards everything below; held for as long as some hundred references are copied.
        self._lock = threading.Lock()
        self._groups: deque[_Group] = deque()
        self._bytes = 0
        self._leader: Leader | None = None
        self._overflowed = False

    def opened(self, leader: Leader | None) -> None:
        """Begin anew: what comes now cannot be decoded with what came before. Without a leader nothing is kept."""
        with self._lock:
            self._groups.clear()
            self._bytes = 0
            self._leader = leader

    def keep(self, packet: "Packet[VideoStream]", number: int, at: float) -> None:
        """Keep a packet; drop what is too old and what there is no room for."""
        with self._lock:
            if packet.is_keyframe and self._leader is not None:
                self._groups.append(_Group())
                self._overflowed = False
            if not self._groups:
                return
            self._groups[-1].kept.append(Kept(packet, number, at))
            self._groups[-1].bytes += packet.size + _COST
            self._bytes += packet.size + _COST
            while len(self._groups) > 1 and self._groups[1].kept[0].at <= at - self._seconds:
                self._drop()
            while self._bytes > self._most_bytes:
                self._drop()
                self._overflowed = not self._groups

    def strip(self, since: float) -> tuple[Leader, list[Kept]] | None:
        """Return all packets from the last keyframe by `since` on, or from the first one; None: there are none."""
        with self._lock:
            if self._leader is None or not self._groups:
                return None
            groups = list(self._groups)
            begin = max((n for n, group in enumerate(groups) if group.kept[0].at <= since), default=0)
            kept = [one for group in groups[begin:] for one in group.kept]
            return self._leader, kept

    def room(self, seconds: float) -> int:
        """Return the bytes that a film of so many seconds may have: twice as many as are kept of that time."""
        return round(2 * self._most_bytes * (1 + max(0.0, seconds) / self._seconds))

    @property
    def leader(self) -> Leader | None:
        """That of the opening that is kept now."""
        return self._leader

    @property
    def why_empty(self) -> str:
        """Why there is nothing in it, where there is nothing: what becomes of the end of a sentence."""
        if self._overflowed:
            return f"more than {self._most_bytes / 1e6:g} MB since the last one"
        return "them gone" if self._leader is not None else "a codec that no film can hold"

    @property
    def bytes(self) -> int:
        """The bytes that all packets in it take."""
        return self._bytes

    def _drop(self) -> None:
        self._bytes -= self._groups.popleft().bytes


def ways(kept: Sequence[Kept], number: int) -> Iterator[Sequence[Kept]]:
    """Yield the packets from each keyframe to packet `number`, the nearest keyframe first.

    Mostly the first way leads to its picture. Where a picture rests on what came before the keyframe too (open
    groups, and a refresh in which the picture is built up slice by slice) only a later one does. None where the
    packet is no longer there.
    """
    end = next((place for place, one in enumerate(kept) if one.number == number), None)
    if end is not None:
        yield from (kept[begin : end + 1] for begin in range(end, -1, -1) if kept[begin].starts)
