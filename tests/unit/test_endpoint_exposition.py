"""The pages for Prometheus, held against those of the client library."""

import inspect
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from tocsin.endpoint.exposition import Pages, Writer, wants_openmetrics
from tocsin.metrics import Metrics, Names

NAMES = Names(streams={"yard": ["armed"], "gate": []}, rules={"armed": ["knife"]}, webhooks=["desk"])


class Standing:
    """The metrics of one moment: those of the process change from one page to the next."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = [
            each for each in registry.collect() if not each.name.startswith(("process", "python"))
        ]

    def collect(self) -> list[object]:
        return list(self._metrics)


def strange() -> CollectorRegistry:
    """Whatever a metric of ours could hold: quotes and line ends, numbers of every kind, all types."""
    disable_created_metrics()
    registry = CollectorRegistry()
    gauge = Gauge("some", 'a "help" with \\ and\nan end', ["b", "a"], registry=registry)
    for number, value in enumerate((0.0, -0.0, 1.0, -2.5, 1e-9, 1234567.0, 1e22, float("inf"), float("nan"))):
        gauge.labels(f'q"uo\\te\n{number}', "ä").set(value)
    Counter("things", "counted", registry=registry).inc(3)
    Histogram("seconds", "long", ["stream"], registry=registry).labels("yard").observe(0.2)
    return registry


def ours() -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = Metrics(registry, NAMES)
    metrics.detector_info("nanodet", "cpu", "CPUExecutionProvider")
    metrics.analysed("yard", 0.1)
    return registry


@pytest.mark.parametrize("registry", [strange(), ours()], ids=["strange", "ours"])
@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_page_is_the_library_s(registry: CollectorRegistry, openmetrics: bool) -> None:
    """Byte for byte, the first time and the second, when the labels are known."""
    standing = Standing(registry)
    library = generate_openmetrics if openmetrics else generate_latest
    writer = Writer(standing)
    assert writer.page(openmetrics=openmetrics) == library(standing)
    assert writer.page(openmetrics=openmetrics) == library(standing)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", True),
        ("text/plain;version=0.0.4, application/openmetrics-text", False),
        ("text/html, Application/OpenMetrics-Text ; version=0.0.1", True),
    ],
)
def test_openmetrics_is_for_who_names_it_first(accept: str, wanted: bool) -> None:
    """A browser and curl get plain text."""
    assert wants_openmetrics(accept) is wanted


class Slow:
    """A page of no metric, whose making takes processor time of its own."""

    def __init__(self) -> None:
        self.now = self.worked = 0.0
        self.takes = 0.1
        self.made = 0

    def collect(self) -> list[object]:
        self.made += 1
        self.worked += self.takes
        self.now += self.takes
        return []


def test_who_asks_again_gets_a_page_of_now() -> None:
    """Somebody who asks after each of some alarms sees what each one changed."""
    slow = Slow()
    slow.takes = 0.005
    pages = Pages(slow, lambda: slow.now, lambda: slow.worked)
    for _ in range(20):
        pages.page(openmetrics=False, packed=False)
    assert slow.made == 20


@pytest.mark.parametrize("packed", [False, True])
def test_a_flood_takes_a_share_of_a_core_only(packed: bool) -> None:
    """Who asks without pause gets the page that was made a moment ago; in ten minutes they took a fifth."""
    slow = Slow()
    pages = Pages(slow, lambda: slow.now, lambda: slow.worked)
    while slow.now < 600:
        pages.page(openmetrics=False, packed=packed)
        slow.now += 0.01
    assert slow.worked == pytest.approx(0.2 * 600, rel=0.02)


def test_a_flood_of_one_form_hides_nothing_from_who_asks_for_another() -> None:
    """Prometheus gets a page of its moment, whoever asks without pause for the page as text."""
    slow = Slow()
    pages = Pages(slow, lambda: slow.now, lambda: slow.worked)
    for _ in range(40):
        until = slow.now + 15
        while slow.now < until:
            pages.page(openmetrics=False, packed=False)
            slow.now += 0.01
        made = slow.made
        pages.page(openmetrics=True, packed=True)
        assert slow.made == made + 1
    assert slow.worked == pytest.approx(0.2 * slow.now, rel=0.02)


def test_waiting_is_no_work() -> None:
    """On a machine that is busy with other things a page is as new as on an idle one."""
    slow = Slow()
    slow.takes = 0.0
    pages = Pages(slow, lambda: slow.now, lambda: slow.worked)
    for _ in range(100):
        pages.page(openmetrics=False, packed=False)
        slow.now += 1e-6
    assert slow.made == 100
    assert inspect.signature(Pages).parameters["worked"].default is time.thread_time
