"""Space on the disk that is held back for the outbox: a full disk gives it up, and its queue goes on."""

import os
from contextlib import suppress
from pathlib import Path

SIZE = 1024 * 1024
"""Bytes. Three quarters of it kept 574 more alarms and their deliveries durable on a full tmpfs: 256 KiB are the
database's log between two checkpoints, the rest is room for its pages."""

ROOM = 4
"""A ballast is laid only where the disk has so often its size: what is given up must not be taken back at once."""


def free_bytes(directory: Path) -> int | None:
    """Return the space that this user has left on the disk of a directory; None where it does not tell."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


class Ballast:
    """A file of zeros beside the database. A database on a full disk cannot even delete: deleting needs a log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lay(self) -> bool:
        """Lay the file where there is room and none lies; say whether it lies now."""
        with suppress(OSError):
            if self._path.exists():
                return True
        free = free_bytes(self._path.parent)
        if free is None or free < ROOM * SIZE:
            return False
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, SIZE)
            finally:
                os.close(file)
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> bool:
        """Remove the file; say whether there was one."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
