"""The demo as its users start it, with Prometheus beside it."""

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from support.counterpart import free_port, need_prometheus
from support.prometheus import Prometheus
from support.wait import until


@contextlib.contextmanager
def watched_demo(rules: Path) -> Iterator[Prometheus]:
    """Run `tocsin demo` until the block is left, with Prometheus looking on from its first results."""
    need_prometheus()
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "tocsin", "demo", "--listen", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as demo:
        try:
            until(lambda: _has_analysed(address), 60, "the demo to look at pictures")
            with Prometheus(address, rules=rules) as prometheus:
                yield prometheus
            assert demo.poll() is None, f"the demo ended with {demo.returncode}"
        finally:
            demo.terminate()


def _has_analysed(address: str) -> bool:
    name = 'tocsin_frames_analysed_total{stream="street"}'
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return False
    return any(line.startswith(name) and not line.endswith(" 0.0") for line in lines)
