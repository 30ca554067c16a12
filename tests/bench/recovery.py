"""How soon a stream is live again when its camera is back.

    python tests/bench/recovery.py [--cameras 4] [--each 5] [--longest 9.5] [--seed 1]

Cameras at 10 frames a second are away for random times, their ports closed, each time from health. Measured is from
the moment at which a camera can be reached again to the arrival of the first frame that is handed over.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.outages import outages


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cameras", type=int, default=4)
    options.add_argument("--each", type=int, default=5)
    options.add_argument("--longest", type=float, default=9.5)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = outages(asked.cameras, asked.each, asked.longest, asked.seed)
    for lasted, took in sorted(found):
        print(f"away for {lasted:5.1f} s, live {took:5.2f} s after its return")
    took = [took for _, took in found]
    print(f"median {np.median(took):.2f} s, worst {max(took):.2f} s of {len(took)}")


if __name__ == "__main__":
    main()
