"""Capture with the daemon's own metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, generate_latest

from support.capturing import Capture, Tally
from support.wait import until
from tocsin.capture.order import Order
from tocsin.capture.supervisor import Supervisor
from tocsin.metrics import Metrics, Names


class Metered(Capture):
    """A running supervisor that counts into the metrics which Prometheus reads."""

    def __init__(self, supervisor: Supervisor, registry: CollectorRegistry) -> None:
        super().__init__(supervisor, Tally())
        self._registry = registry

    def metric(self, name: str, stream: str = "yard", **labels: str) -> float:
        """The value of a sample of a stream; fails where there is none."""
        value = self._registry.get_sample_value(f"tocsin_{name}", {"stream": stream, **labels})
        assert value is not None, f"there is no tocsin_{name} of stream {stream} with {labels}"
        return value

    def wait_metric(
        self, name: str, at_least: float = 1, timeout: float = 15.0, stream: str = "yard", **labels: str
    ) -> float:
        """Wait until a sample of a stream has reached a value; return the monotonic time at which that was seen."""
        what = f"{name} {labels or ''} of {stream} to be {at_least:g} or more"
        until(lambda: self.metric(name, stream, **labels) >= at_least, timeout, what)
        return time.monotonic()

    def text(self) -> str:
        """What Prometheus reads."""
        return generate_latest(self._registry).decode()


@contextmanager
def metered(*orders: Order) -> Iterator[Metered]:
    """Capture while the block lasts; afterwards no worker is left."""
    registry = CollectorRegistry()
    streams = {order.stream: ("visit",) for order in orders}
    supervisor = Supervisor(orders, Metrics(registry, Names(streams, {"visit": ("block",)}, ())))
    supervisor.start()
    try:
        yield Metered(supervisor, registry)
    finally:
        supervisor.stop(time.monotonic() + 5.0)
