"""What a capture worker is told once, at its start."""

from dataclasses import dataclass, field
from typing import Literal

from tocsin.frame import WHOLE, Box
from tocsin.light.plan import Policy

Transport = Literal["tcp", "udp"]


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
class Order:
    """Everything a worker needs to serve one stream."""

    stream: str
    source: SourceOrder
    views: tuple[ViewOrder, ...]
    light: Policy
    max_fps: float

    @property
    def slot_bytes(self) -> int:
        """The bytes that the pixels of all views of a frame take at most."""
        return sum(view.capacity for view in self.views)
