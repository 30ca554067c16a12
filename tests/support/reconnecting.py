"""The real loop of a capture worker, without its pauses, against a camera that ends each connection differently."""

import itertools
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from support.access import Login
from support.capturing import order
from support.footprint import descriptors, rss, threads
from support.remotecamera import RemoteCamera
from tocsin.capture import mailbox, opening, reconnect
from tocsin.capture.mailbox import Mailbox
from tocsin.capture.wire import PACKET, Broken, Connected, FrameRecord, decode_report
from tocsin.capture.worker import Worker
from tocsin.errors import SourceError

CUT = {"FIN": "hang_up", "RST": "reset"}
WAYS: dict[str, dict[str, Any]] = {
    "FIN": {},
    "RST": {},
    "FIN after PLAY": {"cut_after_play": "fin"},
    "RST after PLAY": {"cut_after_play": "reset"},
    "404": {"status": {"DESCRIBE": 404}},
    "401": {"status": {"DESCRIBE": 401}},
    "refused": {"refusing": True},
    "silent": {"silent": True},
}
"""How a connection ends, and the knobs of the camera for that; FIN and RST come with the first picture."""

_OPEN_TIMEOUT_S = 0.1
"""For the camera that says nothing, instead of the four seconds."""
_GAPS = {"_FIRST_GAP": 0.0, "_GAPS": (), "_LAST_GAP": 0.0, "_LOGIN_GAP": 0.0}


@dataclass(frozen=True, slots=True)
class Taken:
    """What this process takes: MiB resident, open descriptors, threads."""

    mb: float
    descriptors: int
    threads: int


def taken() -> Taken:
    """Return what this process takes now."""
    return Taken(rss(), descriptors(), threads())


class Reconnecting:
    """A worker in this process; `again` lets it open and lose its stream once."""

    def __init__(self, camera: RemoteCamera, worker: Worker, daemon: socket.socket) -> None:
        self._camera, self._worker, self._daemon = camera, worker, daemon
        self._way = ""
        self.ends: Counter[str] = Counter()
        self.live = 0
        self.errors: list[BaseException] = []
        # Hears the worker's reports until the channel ends, and cuts the connection at the first picture.
        self._listener = threading.Thread(target=self._listen, name="daemon", daemon=True)
        self._listener.start()

    def again(self, way: str) -> None:
        """Open the stream, let it end in one of the ways, and note the fault that the worker sees."""
        self._way = way
        impatient = (
            patch.object(opening, "OPEN_TIMEOUT", _OPEN_TIMEOUT_S) if way == "silent" else nullcontext()
        )
        with impatient, self._camera.faults(**WAYS[way]) if WAYS[way] else nullcontext():
            try:
                self._worker._serve()
            except SourceError as error:
                self.ends[error.fault] += 1
                self._worker._wait(error)
        assert not self.errors, self.errors

    def close(self) -> None:
        self._daemon.shutdown(socket.SHUT_RDWR)
        self._listener.join(5)

    def _listen(self) -> None:
        try:
            while packet := self._daemon.recv(PACKET):
                self._hear(decode_report(packet))
        except BaseException as error:  # noqa: BLE001 - told by the next `again`
            self.errors.append(error)

    def _hear(self, report: object) -> None:
        match report:
            case Connected():
                self.live += 1
                self._camera.cut(CUT[self._way])
            case FrameRecord():
                self._worker._free.append(report.slot)
            case Broken():
                pass


@contextmanager
def reconnecting() -> Iterator[Reconnecting]:
    """A worker whose camera is there, with no pause between two tries."""
    login = Login("viewer", "reconnecting-canary p4ss/w@rd")
    with ExitStack() as stack:
        camera = stack.enter_context(RemoteCamera(login))
        for name, value in _GAPS.items():
            stack.enter_context(patch.object(reconnect, name, value))
        asked = order(camera.url, username=login.username, password=login.password)
        daemon, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(daemon)
        stack.enter_context(theirs)
        descriptor = mailbox.create(asked.slot_bytes)
        worker = Worker(asked, theirs, Mailbox(descriptor, asked.slot_bytes))
        os.close(descriptor)
        running = Reconnecting(camera, worker, daemon)
        stack.callback(running.close)
        yield running


def reconnects(
    running: Reconnecting, count: int, every: int, note: Callable[[int, Taken], None]
) -> list[tuple[int, Taken]]:
    """Reconnect so often, in all ways in turn; return what is taken after each `every` of them."""
    samples = []
    for number, way in zip(range(1, count + 1), itertools.cycle(WAYS), strict=False):
        running.again(way)
        if number % every == 0:
            samples.append((number, taken()))
            note(*samples[-1])
    return samples
