"""Whether the wall clock can be believed: receivers refuse signatures from a wrong time."""

import ctypes

_TIMEX_BYTES = 256
"""More than `struct timex` takes on any Linux; all zero, it asks and changes nothing."""

_UNSYNCHRONIZED = 5
"""TIME_ERROR of adjtimex(2)."""


def synchronized() -> bool | None:
    """Return whether the kernel's clock is kept in step with a time server; None where it does not tell."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "adjtimex"):
        return None
    state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else bool(state != _UNSYNCHRONIZED)
