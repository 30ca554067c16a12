"""What a scrape of many streams takes, from the connection to the last byte.

    python tests/bench/scrape.py [--streams 50] [--turns 30]

The page of 50 streams with two rules each, by HTTP from an endpoint in this process, as Prometheus asks for it
(OpenMetrics, gzip), as a person does (text), and the client library's own writers beside them. The goal is 100 ms.
"""

import argparse
import http.client
import statistics
import sys
import time
from pathlib import Path

from measure import side_by_side
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

sys.path.append(str(Path(__file__).parents[1]))

from tocsin.endpoint.exposition import OPENMETRICS
from tocsin.http import Endpoint, Health
from tocsin.metrics import Metrics, Names

PROMETHEUS = {"Accept": f"{OPENMETRICS};q=0.5,text/plain;version=0.0.4;q=0.2", "Accept-Encoding": "gzip"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--turns", type=int, default=30)
    asked = parser.parse_args()
    names = Names(
        streams={f"camera-{number}": ["armed", "intruder"] for number in range(asked.streams)},
        rules={"armed": ["knife"], "intruder": ["person"]},
        webhooks=["control-room", "phone"],
    )
    registry = CollectorRegistry()
    metrics = Metrics(registry, names)
    for stream in names.streams:
        metrics.analysed(stream, 0.0437)
        metrics.fps(stream, 24.97)
    endpoint = Endpoint(("127.0.0.1", 0), registry, lambda: Health(()), lambda: Health(()), metrics)
    endpoint.start()

    def scrape(headers: dict[str, str]) -> int:
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", endpoint.port)
        connection.request("GET", "/metrics", headers=headers)
        size = len(connection.getresponse().read())
        connection.close()
        taken.append(time.perf_counter() - begun)
        return size

    try:
        for name, headers in (("as Prometheus asks", PROMETHEUS), ("as text", {})):
            taken: list[float] = []
            size = [scrape(headers) for _ in range(asked.turns)][-1]
            middle, worst = statistics.median(taken) * 1000, max(taken) * 1000
            spread = f"slowest of {asked.turns}: {worst:.0f}"
            print(f"{asked.streams} streams, {name}: {middle:.0f} ms ({spread}), {size} bytes")
    finally:
        endpoint.stop(time.monotonic() + 5)
    library = {
        "text": lambda: generate_latest(registry),
        "openmetrics": lambda: generate_openmetrics(registry),
    }
    for name, seconds in side_by_side(library, asked.turns, 1).items():
        print(f"the client library's writer alone, {name}: {statistics.median(seconds) * 1000:.0f} ms")


main()
