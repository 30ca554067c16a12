"""The memory that carries pixels from a capture worker to the detector: three slots, no locks.

The daemon makes the memory and sends its descriptor to the worker. A slot always has one owner: the worker while
it is free or being written, the daemon from the record that names it until the message that frees it. Ownership
passes with those messages over a socket pair, so neither side ever waits for a lock that the other could die
with. The memory has no name, so a killed process leaves nothing behind.
"""

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from tocsin.capture.wire import ViewRecord
from tocsin.frame import View

SLOTS = 3
"""One being written, one waiting, one being read."""

_HEADER = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create(slot_bytes: int) -> int:
    """Return the descriptor of new memory for `SLOTS` slots.

    Its size is sealed: a worker gone wrong cannot shrink it and crash the daemon that reads it.
    """
    descriptor = os.memfd_create("tocsin-mailbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _HEADER + SLOTS * slot_bytes)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


class Mailbox:
    """One side's mapping of the memory; the descriptor may be closed afterwards."""

    def __init__(self, descriptor: int, slot_bytes: int) -> None:
        memory = mmap.mmap(descriptor, _HEADER + SLOTS * slot_bytes)
        # The arrays below keep the mapping alive: it goes when the last frame that lies in it goes.
        self._header = np.frombuffer(memory, dtype=np.float64, count=1)
        self._slots = [
            np.frombuffer(memory, dtype=np.uint8, count=slot_bytes, offset=_HEADER + index * slot_bytes)
            for index in range(SLOTS)
        ]
        self.slot_bytes = slot_bytes

    @property
    def alive_until(self) -> float:
        """The monotonic time up to which the worker promised to be busy; 0 before its first promise.

        One aligned eight-byte number with one writer: a reader sees the old or the new value, never a mix.
        """
        return float(self._header[0])

    @alive_until.setter
    def alive_until(self, moment: float) -> None:
        self._header[0] = moment

    def pixels(self, slot: int, offset: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return the I420 picture of that size in a slot, as uint8 [height * 3 / 2, width].

        Raises ValueError when it does not lie within the slot.
        """
        size = width * height * 3 // 2
        if not 0 <= slot < SLOTS or width < 2 or height < 2 or width % 2 or height % 2 or offset < 0:
            raise ValueError(f"slot {slot}: no picture of {width}x{height} at {offset}")
        if offset + size > self.slot_bytes:
            raise ValueError(
                f"slot {slot}: {width}x{height} at {offset} reaches past {self.slot_bytes} bytes"
            )
        return self._slots[slot][offset : offset + size].reshape(height * 3 // 2, width)

    def view(self, slot: int, record: ViewRecord) -> View:
        """Return the view that a record tells of, its pixels where they lie. Raises ValueError as `pixels` does."""
        pixels = self.pixels(slot, record.offset, record.width, record.height)
        return View(
            record.region, record.width, record.height, record.light, record.correction, record.reason, pixels
        )
