"""Tells a machine that has run out of something, which may pass, from a fault that stays."""

import errno

_ERRNOS = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC}

_WORDS = (
    "can't start new thread",
    "can't allocate",
    "insufficient memory",
    "cannot allocate memory",
    "failed to allocate",
    "failed to map segment",
    "bad_alloc",
    "too many open files",
)
"""What libraries say that have no other way to tell, in lower case."""


def scarcity(error: BaseException | None) -> str | None:
    """Return what an error, or one that it came from, says of memory, threads or files that ran out; else None."""
    looked_at: set[int] = set()  # two errors may each be the other's context
    while error is not None and id(error) not in looked_at:
        looked_at.add(id(error))
        said = str(error)
        if isinstance(error, MemoryError):
            return said or "no memory"
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return error.strerror or said
        if any(words in said.lower() for words in _WORDS):
            return said.splitlines()[0]
        error = error.__cause__ or error.__context__
    return None
