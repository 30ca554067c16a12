"""The page that Prometheus reads, in its own text format or as OpenMetrics.

The client library's writers escape every label anew for each page; with fifty cameras that is most of their time.
Here what does not change is made once a series. A test holds the pages against the library's, byte by byte.
"""

import gzip
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_KEPT = 200_000
"""Series whose labels are kept, far more than a page has: those of a detector that was replaced stay."""


_SHARE = 0.2
"""Of a core, that making pages may take in the long run."""

_AT_ONCE = 0.1
"""Seconds of work that may be asked for at once: some twenty pages of ten cameras."""


_OLDEST = 5.0
"""Seconds after which a page is made anew, whatever that takes: a flood of one form hides nothing from who asks for
another."""


class Source(Protocol):
    """Whatever has metrics, such as the client library's registry."""

    def collect(self) -> Iterable[Metric]: ...


def wants_openmetrics(accept: str) -> bool:
    """Whether a request with this Accept header takes OpenMetrics, and prefers it by naming it first."""
    for choice in accept.split(","):
        kind = choice.partition(";")[0].strip().lower()
        if kind in ("application/openmetrics-text", "text/plain"):
            return kind != "text/plain"
    return False


def takes_gzip(accepted: str) -> bool:
    """Whether a request with this Accept-Encoding header takes gzip."""
    choices = (choice.replace(" ", "").lower().partition(";") for choice in accepted.split(","))
    return any(name == "gzip" and not re.fullmatch(r"q=0(\.0*)?", weight) for name, _, weight in choices)


class Pages:
    """The page of metrics as it is now; where that would take more work than it may, as it was a moment ago.

    Used by one thread, whose processor time `worked` tells: on a busy machine a page waits more than it works, and
    whoever asks after an alarm is to see it. `now` is a monotonic clock.
    """

    def __init__(
        self,
        source: Source,
        now: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        self._writer = Writer(source)
        self._now, self._worked = now, worked
        self._made: dict[tuple[bool, bool], tuple[bytes, float]] = {}
        self._even = -math.inf  # when all work that was done is within the share

    def page(self, openmetrics: bool, packed: bool) -> bytes:
        """Return the page, in OpenMetrics or as text, packed by gzip or not."""
        now = self._now()
        page, at = self._made.get((openmetrics, packed), (b"", -math.inf))
        if now - at < _OLDEST and self._even > now + _AT_ONCE / _SHARE:
            return page
        began = self._worked()
        page = self._writer.page(openmetrics=openmetrics)
        if packed:
            page = gzip.compress(page, 1)
        self._made[openmetrics, packed] = page, now
        self._even = max(self._even, now) + (self._worked() - began) / _SHARE
        return page


class Writer:
    """Writes pages of one source. Used by one thread at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._labels: dict[tuple[tuple[str, str], ...], str] = {}

    def page(self, *, openmetrics: bool) -> bytes:
        """Return all metrics as they are now."""
        lines: list[str] = []
        for metric in self._source.collect():
            assert metric.type in ("counter", "gauge", "histogram"), "nothing else is declared"
            counter = metric.type == "counter" and not openmetrics
            name = f"{metric.name}_total" if counter else metric.name
            lines.append(f"# HELP {name} {_help(metric.documentation, quotes=openmetrics)}\n")
            lines.append(f"# TYPE {name} {metric.type}\n")
            lines += [self._line(sample) for sample in metric.samples]
        if openmetrics:
            lines.append("# EOF\n")
        return "".join(lines).encode()

    def _line(self, sample: Sample) -> str:
        assert sample.timestamp is None, "nothing here is told of another time than now"
        assert not isinstance(sample.exemplar, Exemplar), "no exemplar is ever observed"
        return f"{sample.name}{self._labelled(sample)} {_number(sample.value)}\n"

    def _labelled(self, sample: Sample) -> str:
        if not sample.labels:
            return ""
        key = tuple(sample.labels.items())
        known = self._labels.get(key)
        if known is None:
            if len(self._labels) >= _KEPT:
                self._labels.clear()
            pairs = (f'{label}="{_escaped(value)}"' for label, value in sorted(key))
            known = self._labels[key] = f"{{{','.join(pairs)}}}"
        return known


def _help(text: str, *, quotes: bool) -> str:
    return _escaped(text) if quotes else text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    # nearly all of a page
    if value == 0.0 and math.copysign(1.0, value) > 0:
        return "0.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # the library has no annotation there
