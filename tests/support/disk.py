"""A disk that is small enough to be filled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.counterpart import need


class SmallDisk:
    """A file system of its own at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filling = path / "filling"

    def fill(self) -> None:
        """Leave no byte free."""
        file = os.open(self._filling, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with suppress(OSError):
            while True:
                os.write(file, b"\xff" * 4096)
        os.close(file)
        assert os.statvfs(self.path).f_bavail == 0

    def clear(self) -> None:
        """Free what was filled."""
        self._filling.unlink()


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a file system of that size in memory; skips the test where that is not allowed."""
    need(lambda: os.geteuid() == 0 and shutil.which("mount") is not None, "run as root to mount a small disk")
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tocsin-test", str(path)]
    need(lambda: subprocess.run(command, capture_output=True).returncode == 0, "be allowed to mount a tmpfs")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=30)
