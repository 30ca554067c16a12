"""What ten thousand reconnections leave behind.

    python tests/bench/reconnects.py [--count 10000]

The real loop of a capture worker, without its pauses, in one process with a fake camera that ends the connections
in all its ways in turn: FIN and RST after the first picture and right after PLAY, 404, 401, refused, silent.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.reconnecting import Taken, reconnecting, reconnects

WARM_UP = 80


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--count", type=int, default=10_000)
    count = options.parse_args().count

    def note(number: int, now: Taken) -> None:
        print(
            f"{number:7d}  {now.mb:7.2f} MiB  {now.descriptors} descriptors  {now.threads} threads",
            flush=True,
        )

    with reconnecting() as running:
        ((_, before),) = reconnects(running, WARM_UP, WARM_UP, note)
        begun = time.monotonic()
        samples = reconnects(running, count, max(8, count // 50), note)
        print(
            f"{count} reconnections in {time.monotonic() - begun:.0f} s, {dict(running.ends)}, {running.live} live"
        )
    numbers, after = [number for number, _ in samples], samples[-1][1]
    slope = np.polyfit(numbers, [now.mb for _, now in samples], 1)[0]
    print(f"RSS {after.mb - before.mb:+.2f} MiB, {slope * 1000:+.3f} for each thousand by least squares")
    print(
        f"descriptors {after.descriptors - before.descriptors:+d}, threads {after.threads - before.threads:+d}"
    )


if __name__ == "__main__":
    main()
