"""The shared memory: who sees what, and what a worker gone wrong cannot do."""

import os

import numpy as np
import pytest

from tocsin.capture import mailbox
from tocsin.capture.mailbox import SLOTS, Mailbox


def test_what_one_side_writes_the_other_sees() -> None:
    """Two mappings of one descriptor share pixels and the promise."""
    descriptor = mailbox.create(6 * 4)
    worker, daemon = Mailbox(descriptor, 6 * 4), Mailbox(descriptor, 6 * 4)
    os.close(descriptor)
    for slot in range(SLOTS):
        worker.pixels(slot, 0, 4, 4)[:] = slot + 1
    worker.alive_until = 12.5
    assert [int(daemon.pixels(slot, 0, 4, 4).mean()) for slot in range(SLOTS)] == [1, 2, 3]
    assert daemon.alive_until == 12.5


def test_pixels_outlive_the_mailbox() -> None:
    """A frame that was handed on stays valid after its worker was replaced."""
    descriptor = mailbox.create(24)
    box = Mailbox(descriptor, 24)
    os.close(descriptor)
    pixels = box.pixels(0, 0, 4, 4)
    del box
    pixels[:] = 7
    assert np.all(pixels == 7)


@pytest.mark.parametrize(
    ("slot", "offset", "width", "height"),
    [
        pytest.param(3, 0, 4, 4, id="no such slot"),
        pytest.param(-1, 0, 4, 4, id="a slot before the first"),
        pytest.param(0, 1, 4, 4, id="past the end"),
        pytest.param(0, -1, 4, 4, id="before the start"),
        pytest.param(0, 0, 5, 4, id="an odd width"),
        pytest.param(0, 0, 0, 4, id="no width"),
    ],
)
def test_a_picture_outside_its_slot_is_refused(slot: int, offset: int, width: int, height: int) -> None:
    """What a record claims is checked before it is used."""
    descriptor = mailbox.create(24)
    box = Mailbox(descriptor, 24)
    os.close(descriptor)
    with pytest.raises(ValueError, match="slot"):
        box.pixels(slot, offset, width, height)


def test_a_worker_cannot_shrink_the_memory() -> None:
    """Shrinking it would crash the daemon at its next read."""
    descriptor = mailbox.create(24)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)
