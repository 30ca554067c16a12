"""One look through a camera: the process that opens it as a capture worker does, and says what it saw.

It runs apart, since neither name resolution nor decoding can be bounded from inside a process: an alarm clock of
the kernel's ends it, whatever it is stuck in. It talks JSON, for it parses what a stranger sends.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from threading import Event
from typing import Any

import cv2
from av.video.frame import VideoFrame

from tocsin.capture import mailbox
from tocsin.capture.decoder import Decoder
from tocsin.capture.intake import Intake, Verdict
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.names import Resolver
from tocsin.capture.order import Order, SourceOrder
from tocsin.capture.source import Picture, Source
from tocsin.capture.views import Views
from tocsin.capture.why import kind_of
from tocsin.capture.wire import ViewRecord
from tocsin.capture.worker import forget_environment
from tocsin.errors import SourceError, SourceFault
from tocsin.footage.pictures import to_rgb
from tocsin.frame import Correction, Light, Reason
from tocsin.probe.rhythm import Rhythm

_LATE = 2
"""Seconds after the time limit at which the kernel ends the process."""

_ELSEWHERE = frozenset({SourceFault.REFUSED, SourceFault.CONNECT_TIMEOUT, SourceFault.OTHER})
"""Faults that another address of the same host may not have."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be looked at: for `seconds` after the first clean frame, and no longer than until `until`.

    That is a monotonic time. `picture`: the last clean frame is wanted as PNG.
    """

    order: Order
    seconds: float
    until: float
    picture: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a look. Times in seconds; `opened` and `first` (the first clean frame) from its beginning.

    `rate` is in frames a second, measured over `watched`; each `keyframe_every` frames one is a keyframe; both are
    None where too little came. `declared` is what the stream says of its rate. `damaged` counts frames after the
    first clean one that cannot be believed. `light` is that of the whole frame, shrunk to the detector's input.
    `transport` is what really carried RTP, empty where nothing did. `lenient`: strictly decoded it showed nothing.
    """

    codec: str
    width: int
    height: int
    opened: float
    first: float
    watched: float
    rate: float | None
    declared: float | None
    keyframe_every: float | None
    damaged: int
    light: Light
    correction: Correction
    reason: Reason
    transport: str = ""
    decoder: Decoder = Decoder.CPU
    lenient: bool = False


def main(task: Task, connection: Connection) -> None:
    """Look, and send what is seen: `opened`, then `picture` and its PNG if asked for, then `seen` or `fault`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(max(1, round(task.until - time.monotonic()) + _LATE))
    forget_environment()
    # the trace of an error that nobody foresaw may hold a URL with a password
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        seen, png = look(task, lambda: _send(connection, {"kind": "opened"}))
        if png is not None:
            _send(connection, {"kind": "picture"})
            connection.send_bytes(png)
        _send(connection, {"kind": "seen", **asdict(seen)})
    except SourceError as error:
        _send(connection, {"kind": "fault", "fault": error.fault, "message": str(error)})


def _send(connection: Connection, message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode())


def seen_from(message: dict[str, Any]) -> Seen:
    """Return what a process says it saw, each field made what it must be; raises what conversions raise."""

    def number(name: str) -> float | None:
        return None if message[name] is None else float(message[name])

    return Seen(
        codec=str(message["codec"]),
        decoder=Decoder(message["decoder"]),
        width=int(message["width"]),
        height=int(message["height"]),
        opened=float(message["opened"]),
        first=float(message["first"]),
        watched=float(message["watched"]),
        rate=number("rate"),
        declared=number("declared"),
        keyframe_every=number("keyframe_every"),
        damaged=int(message["damaged"]),
        light=Light(**{name: float(value) for name, value in dict(message["light"]).items()}),
        correction=Correction(message["correction"]),
        reason=Reason(message["reason"]),
        transport=str(message["transport"]),
        lenient=bool(message["lenient"]),
    )


def look(task: Task, opened: Callable[[], None]) -> tuple[Seen, bytes | None]:
    """Open the source, call `opened`, watch, and return what was seen, and the last clean frame as PNG if wanted.

    Raises SourceError where it does not open, breaks, or shows nothing clean for as long as a worker would wait.
    """
    began = time.monotonic()
    intake = Intake(task.order.max_fps, live=kind_of(task.order.source.location) != "file")
    while True:
        strict = intake.strict
        try:
            return _watched(task, intake, opened, began)
        except SourceError:
            if intake.strict is strict:
                raise  # and else it may show something when it is decoded less strictly


def _watched(
    task: Task, intake: Intake, opened: Callable[[], None], began: float
) -> tuple[Seen, bytes | None]:
    """Open the source once, and as `look`."""
    source = _open(task.order.source, intake)
    opened_after = time.monotonic() - began
    opened()
    intake.opened(source.rate)
    watch = _Watch(task, intake)
    with closing(source):
        try:
            for picture in source.pictures():
                watch.note(picture)
                if watch.over():
                    break
        except SourceError as error:
            if error.fault is not SourceFault.ENDED or not watch.rhythm.begun:
                raise
        return watch.result(source, opened_after, began)


class _Watch:
    """What is seen of one opening, picture by picture."""

    def __init__(self, task: Task, intake: Intake) -> None:
        self._task = task
        self._intake = intake
        self._views = Views(task.order.views, task.order.light)
        descriptor = mailbox.create(task.order.slot_bytes)
        self._mailbox = Mailbox(descriptor, task.order.slot_bytes)
        os.close(descriptor)
        self._first = 0.0
        self._whole: ViewRecord | None = None
        self._clean: VideoFrame | None = None
        self.rhythm = Rhythm()

    def note(self, picture: Picture) -> None:
        """Take what came of a packet. Raises SourceError as `Intake.take`."""
        taken, frame = self._intake.take(picture, Counter()), picture.frame
        if taken.is_clean:
            assert frame is not None, "only a picture is clean"
            self._note_clean(frame, picture.at, due=taken.verdict is Verdict.DUE)
        elif self.rhythm.begun and (frame is not None or picture.damaged):
            self.rhythm.damaged += 1

    def _note_clean(self, frame: VideoFrame, at: float, *, due: bool) -> None:
        if not self.rhythm.begun:
            self._first = time.monotonic()
        self.rhythm.note(at, keyframe=frame.key_frame)
        self._clean = frame
        if due or self._whole is None:
            self._whole = self._views.fill(frame, at, self._mailbox, 0)[0]

    def over(self) -> bool:
        """Whether enough was seen."""
        now = time.monotonic()
        return self.rhythm.begun and (now >= self._first + self._task.seconds or now >= self._task.until - 1)

    def result(self, source: Source, opened: float, began: float) -> tuple[Seen, bytes | None]:
        """Return what was seen; raises SourceError(EOF) where that was nothing."""
        frame, whole = self._clean, self._whole
        if frame is None or whole is None:
            raise SourceError(SourceFault.EOF, "it ended before it showed a clean picture")
        seen = Seen(
            codec=source.codec,
            decoder=source.decoder,
            width=frame.width,
            height=frame.height,
            opened=opened,
            first=self._first - began,
            watched=self.rhythm.seconds,
            rate=self.rhythm.rate,
            declared=source.rate,
            keyframe_every=self.rhythm.keyframe_every,
            damaged=self.rhythm.damaged,
            light=whole.light,
            correction=whole.correction,
            reason=whole.reason,
            transport=source.transport,
            lenient=not self._intake.strict,
        )
        return seen, _png(frame) if self._task.picture else None


def _open(source: SourceOrder, intake: Intake) -> Source:
    """Open a source: of several addresses of its host the first that works, which a worker finds in turn."""
    names = Resolver()
    tries = 0
    while True:
        try:
            return Source(
                source,
                Event(),
                lambda _: None,
                read_timeout=intake.read_timeout,
                names=names,
                strict=intake.strict,
            )
        except SourceError as error:
            tries += 1
            if error.fault not in _ELSEWHERE or tries >= names.count:
                raise
            names.failed()


def _png(frame: VideoFrame) -> bytes:
    _, png = cv2.imencode(".png", cv2.cvtColor(to_rgb(frame), cv2.COLOR_RGB2BGR))
    return png.tobytes()
