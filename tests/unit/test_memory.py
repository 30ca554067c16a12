"""Memory that was freed goes back to the system."""

import ctypes
from pathlib import Path

import pytest

from tocsin.memory import trim

PIECE, PIECES = 64 << 10, 1024
"""Below the size at which the C library asks the system for each piece alone."""


def _kept() -> int:
    """The bytes of anonymous memory that the process holds."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Anonymous:"))


def test_what_lies_between_pieces_that_are_used_is_given_back() -> None:
    """The C library would keep it: it gives back only what lies at the end of its heap."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("the C library has no malloc_trim")
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    pieces = [libc.malloc(PIECE) for _ in range(PIECES)]
    last = libc.malloc(PIECE)
    for piece in (*pieces, last):
        ctypes.memset(piece, 1, PIECE)
    for piece in pieces:
        libc.free(piece)
    before = _kept()
    trim()
    assert before - _kept() > PIECE * PIECES // 2
    libc.free(last)
