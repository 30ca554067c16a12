"""How fresh frames are, and how soon an alarm arrives, in the demo.

    python tests/bench/demo.py [--seconds 55]

Runs the demo as it is: real time, the bundled detector, real HTTP on loopback, a signature verified at the end.
"""

import argparse
import logging
import statistics
import tempfile
import threading
import time
from pathlib import Path

import structlog

from tocsin import demo
from tocsin.app import App
from tocsin.config.load import resolve_secrets
from tocsin.lookout import Lookout


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=55.0)
    seconds = options.parse_args().seconds
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    delays: list[float] = []
    receiver = demo.Receiver(lambda _, delay: delays.append(delay))
    with tempfile.TemporaryDirectory() as state:
        config = demo.load(Path(state), receiver)
        app = App(config, resolve_secrets(config), test=True)
        ages: list[float] = []
        pass_on = Lookout.seen

        def seen(self, frame, detections):  # type: ignore[no-untyped-def]
            ages.append(time.monotonic() - frame.at)
            pass_on(self, frame, detections)

        Lookout.seen = seen  # type: ignore[method-assign]
        receiver.start()
        app.start()
        stop = threading.Event()
        threading.Timer(seconds, stop.set).start()
        app.run(stop)
        app.stop()
        receiver.stop()
    ages.sort()
    print(
        f"demo, {seconds:g} s: {len(ages)} frames analysed, {len(delays)} webhooks verified,"
        f" {receiver.counts['refused']} refused"
    )
    for name, taken in (("frame age at its result", ages), ("frame -> verified webhook", sorted(delays))):
        median, p99 = statistics.median(taken) * 1e3, taken[int(len(taken) * 0.99)] * 1e3
        print(f"  {name:<26} median {median:6.1f} ms   p99 {p99:6.1f} ms")


if __name__ == "__main__":
    main()
