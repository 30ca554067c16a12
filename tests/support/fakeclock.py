"""A wall clock that is wrong for one process and its children, by Debian's faketime; no other clock is touched."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from support.counterpart import need


class FakeClock:
    """The clock of whoever is started with `environment`, off by so many seconds until it is set anew."""

    def __init__(self, folder: Path, off: float = 0.0) -> None:
        need("faketime", "install faketime: apt-get install faketime")
        self._file = folder / "clock"
        self.set(off)

    def set(self, off: float) -> None:
        """Let the clock be off by so many seconds from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{off:+.0f}")
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def read(self) -> float:
        """Return by how many seconds the clock is off in a process that is started now."""
        done = subprocess.run(
            ["date", "+%s"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout) - time.time()


def _library() -> Path:
    faketime = shutil.which("faketime")
    assert faketime is not None, "it was needed before"
    return next(Path(faketime).parents[1].glob("lib/*/faketime/libfaketime.so.1"))
