"""How a stream is, for all who ask the daemon."""

from dataclasses import dataclass
from enum import StrEnum

from tocsin.capture.decoder import Decoder
from tocsin.errors import SourceFault


class StreamState(StrEnum):
    """What a stream is doing: the word in logs and status."""

    CONNECTING = "connecting"
    LIVE = "live"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream as the daemon knows it. Times are monotonic seconds; `fault` tells why it waits.

    `period`: the time between two frames that are analysed when all is well, as of the last one; 0 before it.
    `codec`, `transport` ("tcp", "udp" or empty) and the size in pixels are those of the last clean picture, and
    `decoder` is what decoded it. `clock_ahead`: the seconds by which the camera's clock is before ours, where it
    tells its time. `retry_at`: when a stream that waits is opened next, None where that is not known.
    """

    stream: str
    state: StreamState
    since: float
    fault: SourceFault | None = None
    message: str = ""
    last_frame_at: float | None = None
    period: float = 0.0
    codec: str = ""
    transport: str = ""
    size: tuple[int, int] = (0, 0)
    fps: float = 0.0
    clock_ahead: float | None = None
    decoder: Decoder | None = None
    retry_at: float | None = None
