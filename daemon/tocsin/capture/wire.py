"""The messages between a capture worker and the daemon: JSON in the packets of a socket pair.

JSON and not pickle, because the worker is the process that parses what a camera sends: were it taken over, its
messages must not run code in the daemon.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np

from tocsin.capture.decoder import Decoder
from tocsin.capture.order import ViewOrder
from tocsin.errors import SourceFault, WorkerError
from tocsin.frame import SCENE_CELLS, Box, Correction, Light, Reason, Scene

PACKET = 65536
"""The largest message, in bytes."""


MOST_FILES = 8
"""Descriptors that come with a message at most."""

_TOO_MANY = 2**32
"""Pictures of a second and pixels of a side are fewer; what no float holds would end the thread of all streams."""

_LONGEST_WAIT = 3600.0
"""Seconds: more than a worker ever waits, and a wait without end would outlive it."""


class DropReason(StrEnum):
    """Why a frame was not analysed: the word in metrics."""

    RATE = "rate"
    SUPERSEDED = "superseded"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """Where a view lies in the frame and in the slot, and what its light is."""

    region: Box
    width: int
    height: int
    offset: int
    light: Light
    correction: Correction
    reason: Reason


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """A scene on its way: `cells` is base64 of the values of `Scene.cells` as little-endian float32, in their
    order.

    So 144 numbers take 768 bytes and next to no time, as often as they are sent.
    """

    at: float
    keyframes: int
    cells: str

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Return the record of a scene."""
        return cls(scene.at, scene.keyframes, base64.b64encode(scene.cells.astype("<f4").tobytes()).decode())

    def scene(self) -> Scene:
        """Return the scene. Raises ValueError unless its cells are as many as there are, each a luma value."""
        values = np.frombuffer(base64.b64decode(self.cells, validate=True), "<f4").reshape(SCENE_CELLS)
        if not ((values >= 0) & (values <= 512)).all():  # so says NaN too; coarse counts two directions
            raise ValueError("a scene holds values that no picture has")
        return Scene(self.at, self.keyframes, values.astype(np.float32))


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A slot was filled and now belongs to the daemon. Times are in seconds; see `tocsin.frame.Frame`."""

    slot: int
    at: float
    period: float
    silence: float
    width: int
    height: int
    views: tuple[ViewRecord, ...]
    decode_seconds: float
    light_seconds: float
    scene: SceneRecord | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """The source is open and gave its first clean picture, which has this size in pixels; once per opening.

    `transport` is "tcp" or "udp" for RTSP and empty for everything else. `from_memory`: at the last known address
    of its host, since the name server fails.
    """

    codec: str
    width: int
    height: int
    transport: str = ""
    from_memory: bool = False
    decoder: Decoder = Decoder.CPU


@dataclass(frozen=True, slots=True)
class Broken:
    """The source broke (`live`: after `Connected`) or did not get that far; the next try is in `retry_in`."""

    fault: SourceFault
    message: str
    live: bool
    retry_in: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A file came to its end and is not looped; the worker idles."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened since the last `Counts`.

    `lost` are packets of the network and `jumps` those of the camera's timestamps. `ahead`: the seconds by which
    the camera's clock is before ours, None where it does not tell.
    """

    received: int = 0
    decode_errors: int = 0
    quarantined: int = 0
    dropped: dict[DropReason, int] = field(default_factory=dict)
    lost: int = 0
    jumps: int = 0
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker met an error that it does not know and ends."""

    error: str
    place: str


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a request for evidence: why it failed, or nothing."""

    request: int
    fault: str


Report = FrameRecord | Made | Connected | Broken | Ended | Counts | Crashed
"""What a worker says."""


@dataclass(frozen=True, slots=True)
class Free:
    """The slot belongs to the worker again."""

    slot: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker shall end."""


@dataclass(frozen=True, slots=True)
class Show:
    """From its next frame on the worker shall show these views; they fit into a slot."""

    views: tuple[ViewOrder, ...]


@dataclass(frozen=True, slots=True)
class Develop:
    """Make pictures of the frame of that time, one into each descriptor that comes with this message.

    `box` is that of the object, `kinds` are the words of `tocsin.evidence.shelf.Kind`, and `note` is a text for the
    plain picture.
    """

    request: int
    at: float
    box: Box
    kinds: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Film:
    """Make a clip of the time from `since` to `until` into the descriptor that comes with this message."""

    request: int
    since: float
    until: float


Command = Free | Show | Stop | Develop | Film
"""What the daemon says."""


def encode(message: Report | Command) -> bytes:
    """Return the packet for a message."""
    return _JSON.encode({"kind": type(message).__name__, **_fields(message)}).encode()


def _fields(of: Any) -> dict[str, Any]:
    """Return the fields of a message or of a part of it; not as `asdict`, which copies what lies in them first."""
    return {name: getattr(of, name) for name in of.__slots__}


_JSON = json.JSONEncoder(default=_fields, check_circular=False)


def decode_command(packet: bytes) -> Command:
    """Return the daemon's message, which is trusted."""
    body = json.loads(packet)
    match body["kind"]:
        case "Free":
            return Free(body["slot"])
        case "Show":
            return Show(tuple(_view_order(view) for view in body["views"]))
        case "Develop":
            return Develop(body["request"], body["at"], _box(body["box"]), tuple(body["kinds"]), body["note"])
        case "Film":
            return Film(body["request"], body["since"], body["until"])
        case _:
            return Stop()


def _box(body: list[float]) -> Box:
    left, top, right, bottom = body
    return left, top, right, bottom


def decode_report(packet: bytes) -> Report:
    """Return a worker's message.

    Raises WorkerError when it is none: every field is converted to its type, since the sender is not trusted.
    """
    try:
        body = json.loads(packet)
        return _READERS[body["kind"]](body)
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        found = f"{len(packet)} bytes of something else"
        raise WorkerError(f"expected a report from the capture worker, found {found}") from error


def _view_order(body: dict[str, Any]) -> ViewOrder:
    left, top, right, bottom = body["region"]
    return ViewOrder(**{**body, "region": (left, top, right, bottom)})


def _frame_record(body: dict[str, Any]) -> FrameRecord:
    return FrameRecord(
        slot=int(body["slot"]),
        at=float(body["at"]),
        period=float(body["period"]),
        silence=float(body["silence"]),
        width=_count(body["width"]),
        height=_count(body["height"]),
        views=tuple(_view_record(view) for view in body["views"]),
        decode_seconds=float(body["decode_seconds"]),
        light_seconds=float(body["light_seconds"]),
        scene=_scene_record(body["scene"]),
    )


def _scene_record(body: dict[str, Any] | None) -> SceneRecord | None:
    if body is None:
        return None
    return SceneRecord(float(body["at"]), int(body["keyframes"]), str(body["cells"]))


def _view_record(body: dict[str, Any]) -> ViewRecord:
    left, top, right, bottom = (float(edge) for edge in body["region"])
    return ViewRecord(
        region=(left, top, right, bottom),
        width=int(body["width"]),
        height=int(body["height"]),
        offset=int(body["offset"]),
        light=Light(**{name: float(value) for name, value in dict(body["light"]).items()}),
        correction=Correction(body["correction"]),
        reason=Reason(body["reason"]),
    )


def _connected(body: dict[str, Any]) -> Connected:
    return Connected(
        str(body["codec"]),
        _count(body["width"]),
        _count(body["height"]),
        str(body["transport"]),
        bool(body["from_memory"]),
        Decoder(body["decoder"]),
    )


def _broken(body: dict[str, Any]) -> Broken:
    retry_in = float(body["retry_in"])
    if not 0 <= retry_in <= _LONGEST_WAIT:
        raise ValueError("the next try is at no time")
    return Broken(SourceFault(body["fault"]), str(body["message"]), bool(body["live"]), retry_in)


def _counts(body: dict[str, Any]) -> Counts:
    return Counts(
        received=_count(body["received"]),
        decode_errors=_count(body["decode_errors"]),
        quarantined=_count(body["quarantined"]),
        dropped={DropReason(reason): _count(n) for reason, n in dict(body["dropped"]).items()},
        lost=_count(body["lost"]),
        jumps=_count(body["jumps"]),
        ahead=None if body["ahead"] is None else float(body["ahead"]),
    )


def _count(value: Any) -> int:
    number = int(value)
    if not 0 <= number < _TOO_MANY:
        raise ValueError("a number counts nothing that there is")
    return number


def _crashed(body: dict[str, Any]) -> Crashed:
    return Crashed(str(body["error"]), str(body["place"]))


_READERS: dict[str, Callable[[dict[str, Any]], Report]] = {
    "FrameRecord": _frame_record,
    "Made": lambda body: Made(_count(body["request"]), str(body["fault"])),
    "Connected": _connected,
    "Broken": _broken,
    "Ended": lambda _: Ended(),
    "Counts": _counts,
    "Crashed": _crashed,
}
