"""Opens a source: at the right address, by the right way, and says why when it does not open."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from tocsin.capture.address import Target, target
from tocsin.capture.challenge import DEADLINE as ASKING
from tocsin.capture.challenge import insecure, refused
from tocsin.capture.complaints import Complaints
from tocsin.capture.decoder import Decoder
from tocsin.capture.hardware import acceleration
from tocsin.capture.names import DEADLINE as RESOLVING
from tocsin.capture.names import Resolver
from tocsin.capture.order import SourceOrder
from tocsin.capture.why import OPEN_TIMEOUT, unopened
from tocsin.errors import SourceError, SourceFault


@dataclass(frozen=True, slots=True)
class Opened:
    """An open source: `transport` is what really carries RTP, "tcp" or "udp", and empty where it is none of RTSP's.

    `lost`: packets of the network that were lost while it was opened.
    """

    container: InputContainer
    video: VideoStream
    transport: str
    lost: int


@dataclass(frozen=True, slots=True)
class Opening:
    """How one source is opened.

    `promise` is called with the seconds after which the caller may be believed dead, before everything that can
    take long. `read_timeout`: the seconds without data that count as a stall when they pass twice. `names` is kept
    over all openings. `strict`: a packet that breaks the standard of its codec is an error, also where that may be
    harmless. `device` decodes where it can be had, else the CPU.
    """

    order: SourceOrder
    promise: Callable[[float], None]
    read_timeout: float
    names: Resolver
    strict: bool
    device: Decoder

    def open(self) -> Opened:
        """Open the source. Raises SourceError."""
        with Complaints(opening=True) as heard:
            self.promise(RESOLVING + 2)
            found = target(self.order, self.names, read_timeout=self.read_timeout)
            container = self._called(found, heard)
            said = heard.take()
        if not container.streams.video:
            container.close()
            raise SourceError(SourceFault.UNSUPPORTED, "expected a video track, found none")
        video = container.streams.video[0]
        # One thread: more of them decode no faster per stream when there are many streams, and each frame thread
        # delays the picture by one frame. A damaged packet is an error and not a guess.
        video.codec_context.thread_count = 1
        video.codec_context.copy_opaque = True  # of the packet, to the picture that is made of it
        if self.strict:
            video.codec_context.options = {"err_detect": "explode"}
        transport = "" if found.format != "rtsp" else "udp" if found.silence and not said.by_tcp else "tcp"
        return Opened(container, video, transport, said.lost)

    def _called(self, found: Target, heard: Complaints) -> InputContainer:
        self.promise(2 * OPEN_TIMEOUT + 5)
        device = acceleration(self.device)  # the first of a process takes time that is none of the camera's
        began = time.monotonic()
        try:
            return av.open(
                found.url,
                timeout=(OPEN_TIMEOUT, self.read_timeout),
                format=found.format,
                options=found.options,
                hwaccel=device,
            )
        except (av.error.FFmpegError, OSError) as error:
            fault = self._why(error, found, time.monotonic() - began, heard.take().connected)
            if self.names.from_memory:
                where = f"{fault} (where it was when the name server last answered, for now that fails)"
                fault = SourceError(fault.fault, where)
            raise fault from error
        except (RuntimeError, ValueError) as error:
            if device is None:
                raise
            # PyAV's own, when the device is not what it was on trial
            message = f"expected {self.device} to decode, found {type(error).__name__}"
            raise SourceError(SourceFault.DECODE, message) from error

    def _why(self, error: Exception, found: Target, seconds: float, connects: bool) -> SourceError:
        """Say why it did not open; a camera that refuses a login or a certificate is asked for more."""
        door = found.door
        if door is not None and isinstance(error, av.error.HTTPUnauthorizedError):
            self.promise(ASKING + 2)
            return refused(door, self.order.username)
        limit = min(OPEN_TIMEOUT, found.silence or OPEN_TIMEOUT)
        late = seconds >= limit - 0.1
        if door is not None and door.is_secure and getattr(error, "errno", None) == errno.EIO and not late:
            self.promise(ASKING + 2)
            if (fault := insecure(door)) is not None:
                return fault
        return unopened(error, self.order.location, late=late, connects=connects, limit=limit)
