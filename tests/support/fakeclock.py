"""A daemon whose wall clock is wrong, and is set while it runs; no other clock is touched.

`python -m support.fakeclock run --config FILE` is `tocsin run`, and the file that says by how many seconds the
clock is off is named by the environment. The capture workers, which sign and note nothing, keep the right time.

By time-machine, within Python. libfaketime does it below: there it refuses to sleep until a monotonic moment, which
ended a thread of the daemon in each run, and once a start ended in a segmentation fault.
"""

import os
import threading
import time
from pathlib import Path

FILE = "TOCSIN_TEST_CLOCK"
POLL_S = 0.02


class FakeClock:
    """The clock of a daemon that is run by this module with `environment`, off by some seconds until it is set."""

    def __init__(self, folder: Path, off: float = 0.0) -> None:
        self._file = folder / "clock"
        self.set(off)

    def set(self, off: float) -> None:
        """Let the clock be off by so many seconds from now on, or some hundredths of a second later."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{off:+.0f}")
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        tests, others = str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")
        return {FILE: str(self._file), "PYTHONPATH": os.pathsep.join([tests, others])}


def follow(file: Path) -> None:
    """Let this process's clock be as wrong as the file says, for the rest of its life."""
    import time_machine

    off = float(file.read_text())
    clock = time_machine.travel(time.time() + off, tick=True).start()

    def look() -> None:
        nonlocal off
        while True:
            time.sleep(POLL_S)
            before, off = off, float(file.read_text())
            if off != before:
                clock.shift(off - before)

    threading.Thread(target=look, name="fake clock", daemon=True).start()


def main() -> None:
    """Run the daemon with a wrong clock."""
    follow(Path(os.environ[FILE]))

    from tocsin.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
