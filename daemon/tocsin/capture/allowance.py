"""Bounds what a worker allocates and writes: how large a picture claims to be is up to the camera.

Where an allocation fails, FFmpeg reports damage or a broken stream, and Python and OpenCV end the worker, which is
replaced: one stream suffers, and none beside it.
"""

import resource
from pathlib import Path

from tocsin.capture.decoder import Decoder, asked
from tocsin.capture.order import Order

LARGEST_FILE = 1_000_000_000
"""Bytes: more than the largest clip may have, one of two minutes with 864 MB."""


def bound(order: Order) -> None:
    """Let this process allocate no more than `order.memory` bytes beyond what it has now.

    Nor may it write a file of more than LARGEST_FILE bytes. Not where a graphics card decodes: how much address
    space its driver reserves is its own affair.
    """
    if asked(order.source.decode) is not Decoder.CPU:
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_allocated() + order.memory, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def _allocated() -> int:
    """Return the bytes that the kernel counts against that limit."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:")) * 1024
