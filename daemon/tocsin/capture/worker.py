"""The process of one stream: read, decode, shrink, correct, hand over.

Three threads. The main thread alone touches the source. `listen` waits for the daemon's messages and ends the
process when the daemon is gone, whatever the main thread is stuck in. `count` reports once a second.
"""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter, deque
from random import random

import cv2

from tocsin.capture.mailbox import SLOTS, Mailbox
from tocsin.capture.order import Order
from tocsin.capture.pace import Pace, Silence
from tocsin.capture.quarantine import Quarantine
from tocsin.capture.reconnect import Reconnect
from tocsin.capture.shrink import Shrinker
from tocsin.capture.source import Picture, Source
from tocsin.capture.wire import (
    PACKET,
    Broken,
    Connected,
    Counts,
    Crashed,
    DropReason,
    Ended,
    FrameRecord,
    Free,
    Report,
    decode_command,
    encode,
)
from tocsin.errors import SourceError, SourceFault

cv2.setNumThreads(1)  # runs when the fork server preloads this module: every worker inherits it

_COUNT_EVERY = 1.0
_GRACE = 5.0
"""Added to what a wait promises, for a machine under load."""


def main(order: Order, channel: socket.socket) -> None:
    """Serve one stream until told to stop; the entry of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, descriptors, _, _ = socket.recv_fds(channel, PACKET, 1)
    mailbox = Mailbox(descriptors[0], order.slot_bytes)
    os.close(descriptors[0])
    worker = Worker(order, channel, mailbox)
    try:
        worker.run()
    except BrokenPipeError:  # the daemon is gone, and `listen` is about to see it too
        return
    except Exception as error:  # noqa: BLE001 - the last line of the process
        # Reported by type and place only: the text of a foreign error may hold a URL with a password.
        place = traceback.extract_tb(error.__traceback__)[-1]
        worker.post(Crashed(type(error).__name__, f"{place.filename}:{place.lineno}"))
        sys.exit(1)


class Worker:
    """Serves one stream over one channel."""

    def __init__(self, order: Order, channel: socket.socket, mailbox: Mailbox) -> None:
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
        self._reconnect = Reconnect(random)
        self._pace = Pace(order.max_fps)
        self._silence = Silence()
        self._shrinker = Shrinker(order.views, order.light)
        self._slowest = (
            0.0  # seconds between two pictures as the last opening told: a slow stream is not a stall
        )

    def run(self) -> None:
        """Open the stream again and again until told to stop."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        threading.Thread(target=self._count, name="count", daemon=True).start()
        while not self._stop.is_set():
            live = False
            try:
                source = Source(self._order.source, self._stop, self._promise, self._slowest)
                live = True
                self._attend(source)
            except SourceError as error:
                if error.fault is SourceFault.ENDED:
                    self._idle()
                    return
                self._wait(error, live)
        self._report_counts()

    def post(self, report: Report) -> None:
        """Send a report to the daemon; waits while its queue is full."""
        self._channel.send(encode(report))

    def _attend(self, source: Source) -> None:
        width, height = source.size
        self.post(Connected(source.codec, width, height))
        self._slowest = 1.0 / source.rate if source.rate else 0.0
        period = max(self._pace.period, self._slowest)
        quarantine = Quarantine()
        try:
            for picture in source.pictures():
                self._receive(picture, quarantine, period)
        finally:
            source.close()

    def _receive(self, picture: Picture, quarantine: Quarantine, period: float) -> None:
        frame = picture.frame
        if frame is None:
            quarantine.damage()
            self._tally("decode_errors")
            return
        self._tally("received")
        if not quarantine.passes(keyframe=frame.key_frame, corrupt=frame.is_corrupt):
            self._tally("quarantined")
            return
        self._reconnect.frame(picture.at)
        if picture.seam:
            self._silence.seam()
        self._silence.arrived(picture.at)
        if not self._pace.due(picture.at):
            self._tally(DropReason.RATE)
        elif not self._free:
            self._tally(DropReason.BUSY)
        else:
            self._hand_over(self._free.popleft(), picture, period)

    def _hand_over(self, slot: int, picture: Picture, period: float) -> None:
        began = time.perf_counter()
        assert picture.frame is not None, "only decoded pictures are handed over"
        views = self._shrinker.fill(picture.frame, self._mailbox, slot)
        record = FrameRecord(
            slot=slot,
            at=picture.at,
            period=period,
            silence=self._silence.taken(),
            width=picture.frame.width,
            height=picture.frame.height,
            views=views,
            decode_seconds=picture.decode_seconds,
            light_seconds=time.perf_counter() - began,
        )
        if not self._order.source.realtime:
            self._let_it_pass()
        self.post(record)

    def _let_it_pass(self) -> None:
        """Wait until the frame before was taken: a file that is not played in real time loses none."""
        while len(self._free) < SLOTS - 1 and not self._stop.is_set():
            self._promise(60)
            self._freed.clear()
            if len(self._free) < SLOTS - 1:
                self._freed.wait(0.5)

    def _wait(self, error: SourceError, live: bool) -> None:
        gap = self._reconnect.failed(error.fault, time.monotonic())
        self._promise(gap)
        self.post(Broken(error.fault, str(error), live, gap))
        self._stop.wait(gap)

    def _idle(self) -> None:
        self._report_counts()
        self.post(Ended())
        while not self._stop.wait(1.0):
            self._promise(2.0)

    def _promise(self, seconds: float) -> None:
        self._mailbox.alive_until = time.monotonic() + seconds + _GRACE

    def _listen(self) -> None:
        while packet := self._receive_packet():
            command = decode_command(packet)
            if isinstance(command, Free):
                self._free.append(command.slot)
                self._freed.set()
            else:
                self._stop.set()
                self._freed.set()
        os._exit(0)  # the daemon is gone; the main thread may be stuck where nothing else reaches it

    def _receive_packet(self) -> bytes:
        try:
            return self._channel.recv(PACKET)
        except ConnectionError:
            return b""

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
        )
        try:
            self.post(counts)
        except OSError:
            return  # the daemon is gone, and `listen` ends the process

    def _tally(self, what: str) -> None:
        with self._counting:
            self._counter[what] += 1
