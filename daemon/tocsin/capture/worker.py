"""The process of one stream: read, decode, shrink, correct, hand over.

Three threads. The main thread alone touches the source. `listen` waits for the daemon's messages and ends the
process when the daemon is gone, whatever the main thread is stuck in. `count` reports once a second.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter, deque
from contextlib import closing
from random import random

import cv2
from av.video.frame import VideoFrame

from tocsin.capture import allowance
from tocsin.capture.darkroom import Darkroom
from tocsin.capture.intake import Intake, Verdict
from tocsin.capture.mailbox import SLOTS, Mailbox
from tocsin.capture.names import Resolver
from tocsin.capture.order import Order
from tocsin.capture.reconnect import Outage, Reconnect
from tocsin.capture.source import Picture, Source
from tocsin.capture.views import Views
from tocsin.capture.why import kind_of
from tocsin.capture.wire import (
    MOST_FILES,
    PACKET,
    Broken,
    Connected,
    Counts,
    Crashed,
    Develop,
    DropReason,
    Ended,
    Film,
    FrameRecord,
    Free,
    Made,
    Report,
    Show,
    Stop,
    decode_command,
    encode,
)
from tocsin.errors import SourceError, SourceFault
from tocsin.evidence.reel import Reel

cv2.setNumThreads(1)  # runs when the fork server preloads this module: every worker inherits it

_COUNT_EVERY = 1.0
_GRACE = 4.0
"""Added to what a wait promises, for a machine under load. With it a worker that hangs while its camera plays is
killed within ten seconds."""

_SLICE = 1.0
"""The longest wait under one promise, so that a worker that hangs while it waits is noticed soon, too."""

_FINISH = 0.3
"""Seconds in which clips are ended before the process is: the daemon kills it half a second after it was told."""

_KEPT = frozenset({"PATH", "HOME", "LANG", "TZ", "RES_OPTIONS"})
_KEPT_TOO = ("LC_", "OMP_", "OPENBLAS_", "MKL_")


def main(order: Order, channel: socket.socket, outage: Outage | None = None) -> None:
    """Serve one stream, which may have an outage already, until told to stop; the entry of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    forget_environment()
    allowance.bound(order)
    _, descriptors, _, _ = socket.recv_fds(channel, PACKET, 1)
    if not descriptors:
        return  # the daemon died, or gave up this start
    mailbox = Mailbox(descriptors[0], order.slot_bytes)
    os.close(descriptors[0])
    worker = Worker(order, channel, mailbox, outage)
    try:
        worker.run()
    except BrokenPipeError:  # the daemon is gone, and `listen` is about to see it too
        return
    except Exception as error:  # noqa: BLE001 - the last line of the process
        worker.post(_crashed(error))
        sys.exit(1)


def _crashed(error: Exception) -> Crashed:
    """Return an error by type and place only: the text of a foreign one may hold a URL with a password."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return Crashed(type(error).__name__, f"{place.filename}:{place.lineno}")


def forget_environment() -> None:
    """Drop every variable that a worker does not need: it parses what strangers send, and others hold secrets.

    What the process was started with stays readable in its /proc/PID/environ.
    """
    for name in [name for name in os.environ if name not in _KEPT and not name.startswith(_KEPT_TOO)]:
        del os.environ[name]


class Worker:
    """Serves one stream over one channel."""

    def __init__(
        self, order: Order, channel: socket.socket, mailbox: Mailbox, outage: Outage | None = None
    ) -> None:
        self._order = order
        self._channel = channel
        self._mailbox = mailbox
        self._stop = threading.Event()
        # Filled by `listen`, emptied by the main thread; both ends of a deque are safe without a lock.
        self._free: deque[int] = deque(range(SLOTS))
        self._freed = threading.Event()
        # Guards `_counter`, which the main thread fills and `count` empties; held for microseconds.
        self._counting = threading.Lock()
        self._counter: Counter[str] = Counter()
        self._reconnect = Reconnect(random, outage)
        self._intake = Intake(order.max_fps, live=kind_of(order.source.location) != "file")
        self._views = Views(order.views, order.light)
        self._reel = Reel(order.reel.seconds, order.reel.most_bytes) if order.reel else None
        self._darkroom: Darkroom | None = None
        self._keeps_pictures = order.reel is not None and order.reel.pictures
        if order.reel and self._reel:
            masks = order.reel.masks
            self._darkroom = Darkroom(self._reel, order.views[0], order.light, masks, self.post, self._broke)
        # Replaced whole by `listen`; taken by the main thread between two frames.
        self._ordered = order.views
        self._ahead: float | None = None  # written by the main thread, read by `count`
        self._live = False
        self._began = 0.0
        self._names = Resolver()
        self._software = False

    def run(self) -> None:
        """Open the stream again and again until told to stop."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        threading.Thread(target=self._count, name="count", daemon=True).start()
        if self._darkroom is not None:
            self._darkroom.start()
        while not self._stop.is_set():
            try:
                self._serve()
            except SourceError as error:
                if error.fault is SourceFault.ENDED:
                    self._idle()
                else:
                    self._wait(error)
        if self._darkroom is not None:
            self._darkroom.finish(_FINISH)
        self._report_counts()

    def post(self, report: Report) -> None:
        """Send a report to the daemon; waits while its queue is full."""
        self._channel.send(encode(report))

    def _serve(self) -> None:
        """Open the stream and receive until it breaks (raises SourceError) or the worker is told to stop."""
        self._live = False
        self._began = time.monotonic()
        source = Source(
            self._order.source,
            self._stop,
            self._promise,
            read_timeout=self._intake.read_timeout,
            names=self._names,
            strict=self._intake.strict,
            software=self._software,
            wanted=self._intake.wants,
            reel=self._reel,
        )
        self._intake.opened(source.rate)
        try:
            # Closed here: what hears FFmpeg's log must be gone before the next opening.
            with closing(source.pictures()) as pictures:
                for picture in pictures:
                    self._take(picture, source)
        finally:
            self._ahead = None
            source.close()

    def _take(self, picture: Picture, source: Source) -> None:
        """Judge a picture and do what the judgement says. Raises SourceError when there is no hope."""
        with self._counting:
            taken = self._intake.take(picture, self._counter)
        if not taken.is_clean:
            return
        frame = picture.frame
        assert frame is not None, "only a picture is clean"
        self._ahead = picture.ahead
        if taken.first:
            self._live = True
            size = frame.width, frame.height
            memory = self._names.from_memory
            self.post(Connected(source.codec, *size, source.transport, memory, source.decoder))
        self._views.arrived(frame)
        self._reconnect.frame(picture.at)
        if taken.verdict is not Verdict.DUE:
            return
        if self._free:
            self._hand_over(self._free.popleft(), frame, picture)
        else:
            self._tally(DropReason.BUSY)

    def _hand_over(self, slot: int, frame: VideoFrame, picture: Picture) -> None:
        began = time.perf_counter()
        if (ordered := self._ordered) is not self._views.orders:
            self._views.show(ordered)
        views = self._views.fill(frame, picture.at, self._mailbox, slot)
        record = FrameRecord(
            slot=slot,
            at=picture.at,
            period=self._intake.period,
            silence=self._intake.silence(),
            width=frame.width,
            height=frame.height,
            views=views,
            scene=self._views.scene,
            decode_seconds=picture.decode_seconds,
            light_seconds=time.perf_counter() - began,
        )
        if not self._order.source.realtime:
            self._let_it_pass()
        if self._darkroom is not None:
            self._darkroom.handed_over(picture.at, picture.packet, frame if self._keeps_pictures else None)
        self.post(record)

    def _let_it_pass(self) -> None:
        """Wait until the frame before was taken: a file that is not played in real time loses none."""
        while len(self._free) < SLOTS - 1 and not self._stop.is_set():
            self._promise(60)
            self._freed.clear()
            if len(self._free) < SLOTS - 1:
                self._freed.wait(0.5)

    def _wait(self, error: SourceError) -> None:
        if error.fault is SourceFault.STALL:
            self._intake.stalled()
        if error.fault is SourceFault.DECODE:  # perhaps a graphics card's: from now on the CPU decodes
            self._software = True
        if not self._live:
            self._names.failed()  # the host may have another address that works
        gap = self._reconnect.failed(error.fault, time.monotonic(), self._began)
        self.post(Broken(error.fault, str(error), self._live, gap))
        while gap > 0 and not self._stop.is_set():
            self._promise(2 * _SLICE)
            self._stop.wait(min(gap, _SLICE))
            gap -= _SLICE

    def _idle(self) -> None:
        self._report_counts()
        self.post(Ended())
        while not self._stop.wait(1.0):
            self._promise(2.0)

    def _promise(self, seconds: float) -> None:
        self._mailbox.alive_until = time.monotonic() + seconds + _GRACE

    def _listen(self) -> None:
        while received := self._receive():
            packet, descriptors = received
            command = decode_command(packet)
            match command:
                case Develop() | Film():
                    self._ask_for_evidence(command, descriptors)
                case Free():
                    self._free.append(command.slot)
                case Show():
                    self._ordered = command.views
                case Stop():
                    self._stop.set()
            self._freed.set()
        os._exit(0)  # the daemon is gone; the main thread may be stuck where nothing else reaches it

    def _receive(self) -> tuple[bytes, list[int]] | None:
        """Return the next message and the files that came with it; None when the daemon is gone."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, PACKET, MOST_FILES)
        except ConnectionError:
            return None
        return (packet, descriptors) if packet else None

    def _ask_for_evidence(self, command: Develop | Film, descriptors: list[int]) -> None:
        if self._darkroom is not None:
            self._darkroom.ask(command, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        self.post(Made(command.request, "expected a stream that keeps evidence, found one that does not"))

    def _broke(self, error: Exception) -> None:
        """End the process after an error in the darkroom, as after one elsewhere: the next makes pictures again."""
        with contextlib.suppress(OSError):
            self.post(_crashed(error))
        os._exit(1)

    def _count(self) -> None:
        while not self._stop.wait(_COUNT_EVERY):
            self._report_counts()

    def _report_counts(self) -> None:
        with self._counting:
            counter, self._counter = self._counter, Counter()
        if not counter:
            return
        counts = Counts(
            received=counter["received"],
            decode_errors=counter["decode_errors"],
            quarantined=counter["quarantined"],
            dropped={reason: counter[reason] for reason in DropReason if counter[reason]},
            lost=counter["lost"],
            jumps=counter["jumps"],
            ahead=self._ahead,
        )
        try:
            self.post(counts)
        except OSError:
            return  # the daemon is gone, and `listen` ends the process

    def _tally(self, what: str) -> None:
        with self._counting:
            self._counter[what] += 1
