"""What a capture worker is told at its start; its views may be ordered anew later."""

from dataclasses import dataclass, field
from typing import Literal

from tocsin.capture.decoder import Decode
from tocsin.frame import WHOLE, Box
from tocsin.light.plan import Policy

Transport = Literal["tcp", "udp"]

ROOM = 1280 * 1280 * 3 // 2
"""The bytes that a slot has for each view at least, so that a detector with a larger input needs no new worker.

1280 is the side of the largest input in common use (YOLO's P6 models), and has room for torchvision's 1333x800.
Memory that is never written costs nothing: a worker's proportional set size is the same with and without it."""

MEMORY = 768 * 2**20
"""The bytes that a worker may allocate beyond what it starts with: decoding H.264 in 4K with sixteen reference
pictures took 174 MB, in 8K with six 621."""


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """Where a stream's frames come from.

    `location` is the URL without user name and password, or the path of a device or file. The credentials never
    appear in `repr()`.
    """

    location: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    transport: Transport = "tcp"
    tls_verify: bool = True
    ca_file: str | None = None
    realtime: bool = True
    loop: bool = False
    decode: Decode = "cpu"


@dataclass(frozen=True, slots=True)
class ViewOrder:
    """A part of the frame and the largest picture the detector takes of it, in pixels.

    The frame's size is known only when the camera speaks, so the part is relative. With `grow` it is the least that
    is shown: it grows to the shape of that picture, and to its size at least, as far as the frame goes, so that
    nothing is enlarged and no room is left empty.
    """

    max_width: int
    max_height: int
    keep_aspect: bool
    region: Box = WHOLE
    grow: bool = False

    @property
    def capacity(self) -> int:
        """The bytes that the view's I420 pixels take at most."""
        return self.max_width * self.max_height * 3 // 2


@dataclass(frozen=True, slots=True)
class ReelOrder:
    """How much of a stream is kept for evidence, and what of its picture nobody may see.

    At least so many `seconds` of packets, in no more than `most_bytes`, and with `pictures` the last decoded ones;
    `masks` are polygons relative to the frame.
    """

    seconds: float
    most_bytes: int
    pictures: bool = True
    masks: tuple[tuple[tuple[float, float], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a worker needs to serve one stream; without `reel` there is no evidence of its alarms."""

    stream: str
    source: SourceOrder
    views: tuple[ViewOrder, ...]
    light: Policy
    max_fps: float
    memory: int = MEMORY
    reel: ReelOrder | None = None

    @property
    def slot_bytes(self) -> int:
        """The bytes of a slot: what the pixels of all views of a frame take at most, or more."""
        return sum(max(view.capacity, ROOM) for view in self.views)


def needed(views: tuple[ViewOrder, ...]) -> int:
    """Return the bytes that the pixels of all these views of a frame take at most."""
    return sum(view.capacity for view in views)
