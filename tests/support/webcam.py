"""A webcam without a kernel that knows one: a stand-in for what FFmpeg's V4L2 reader does in a capture worker."""

import errno
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from tocsin.capture.order import Order
from tocsin.capture.reconnect import Outage

RATE = 20.0


@contextmanager
def plugged() -> Iterator[Path]:
    """The path of a device; it is unplugged while there is no file."""
    path = Path(f"/dev/shm/webcam-{uuid.uuid4().hex}")  # a device must lie under /dev
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def serve(order: Order, channel: socket.socket, outage: Outage | None = None) -> None:
    """Run a capture worker for which such a path is a device; stands for `tocsin.capture.process._serve`."""
    from tocsin.capture import opening
    from tocsin.capture.worker import main

    opening.av = _Av()  # type: ignore[attr-defined]  # this process serves one stream and ends with it
    main(order, channel, outage)


class _Av:
    """FFmpeg, but for V4L2."""

    def __getattr__(self, name: str) -> Any:
        return getattr(av, name)

    def open(self, file: str, **options: Any) -> Any:
        assert options["format"] == "v4l2", "only webcams are stood for"
        return _Device(Path(file))


class _Device:
    """A container of pictures that come at a rate, until the device is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pictures = av.open(f"testsrc2=size=320x240:rate={RATE:g}", format="lavfi")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pictures, name)

    def demux(self, video: Any) -> Iterator[Any]:
        for packet in self._pictures.demux(video):
            time.sleep(1 / RATE)
            if not self._path.exists():
                raise av.error.OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            yield packet
