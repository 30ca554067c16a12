"""What one more 1080p stream takes of the memory.

    python tests/bench/memory.py [--streams 1 2 4 8]

So many capture workers play a 1080p clip into a 416 input. What is added up is the proportional set size (Pss in
/proc/PID/smaps_rollup) of the workers and of the fork server: a page that several processes share counts for each
by its part. The goal is 50 MB at most for each further stream.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog
from capture import make_clip
from measure import spare_workers

sys.path.append(str(Path(__file__).parents[1]))

from support.process import descendants
from tocsin.capture.order import Order, ReelOrder, SourceOrder, ViewOrder
from tocsin.capture.supervisor import Supervisor
from tocsin.light.plan import Policy

_ENOUGH = 200
"""Frames after which a worker has touched all that it will."""


class _Deaf:
    """An observer that hears nothing."""

    def __getattr__(self, verb: str) -> object:
        return lambda *_: None


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8])
    counts = options.parse_args().streams
    spare_workers()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sizes: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, _ = make_clip(Path(folder))
        print("memory of the capture workers and their fork server, 1080p25 into 416: proportional set size")
        for streams in counts:
            sizes[streams] = _measured(path, streams)
            print(f"  {streams} streams  {sizes[streams]:6.1f} MB", flush=True)
    first, *_, last = sorted(sizes)
    if last > first:
        print(f"  each further stream  {(sizes[last] - sizes[first]) / (last - first):.1f} MB")


def _measured(path: Path, streams: int) -> float:
    """Return the megabytes that so many streams take together."""
    views = (ViewOrder(416, 416, keep_aspect=True),)
    source = SourceOrder(str(path), loop=True)
    reel = ReelOrder(5.0, 12_000_000)  # as the daemon keeps by default
    orders = [Order(f"bench{number}", source, views, Policy(), 10.0, reel=reel) for number in range(streams)]
    supervisor = Supervisor(orders, _Deaf())  # type: ignore[arg-type]
    supervisor.start()
    seen: Counter[str] = Counter()
    while len(seen) < streams or min(seen.values()) < _ENOUGH:
        for frame in supervisor.take(streams, 0.05):
            seen[frame.stream] += 1
            supervisor.release(frame)
    size = sum(_pss(pid) for pid in descendants(os.getpid())) / 1024
    supervisor.stop(time.monotonic() + 2)
    return size


def _pss(pid: int) -> int:
    """Return the proportional set size of a process in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
