"""Whether anything is lost: the daemon killed a hundred times, and the power cut after every write.

    python tests/bench/crash.py [--kills 100] [--events 10000] [--cuts-of 200] [--seed 0]

Raises at least so many events with a real daemon, which is killed at random moments while its receiver comes and
goes; then replays the traced writes of an outbox that commits `--cuts-of` events.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.blockmodel import build
from support.crash import Storm
from support.powercut import replay, trace
from support.receiver import Receiver


def main() -> None:
    """Break everything, print what was left of it, and fail if something was lost."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--events", type=int, default=10_000)
    options.add_argument("--cuts-of", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as name, Receiver() as receiver:
        folder = Path(name).resolve()
        began = time.monotonic()
        storm = Storm(folder, build(folder / "blocks.onnx"), receiver, chosen.seed, rules=150)
        verdict = storm.run(chosen.kills, chosen.events)
        print(f"{verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        began = time.monotonic()
        outcome = replay(trace(folder, chosen.cuts_of), folder / "image", seed=chosen.seed)
        print(f"{outcome} ({time.monotonic() - began:.0f} s)")
    if not verdict.is_sound or outcome.lost or outcome.damaged:
        sys.exit(1)


if __name__ == "__main__":
    main()
