"""The pages for Prometheus, held against those of the client library."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from tocsin.endpoint.exposition import Writer, wants_openmetrics
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
