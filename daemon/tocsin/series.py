"""Metrics that have a series for each declared combination of labels, and for no other.

What reports about a stream may do so for a moment after the stream has left the configuration. The library would
bring its series back; here nobody hears of it.
"""

from collections.abc import Iterable
from typing import Self, cast

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase


class _Declared(MetricWrapperBase):
    """What the three kinds have in common; may be called from any thread, but `declare` from one."""

    # Replaced whole. None: any combination goes.
    _series: "dict[tuple[str, ...], _Declared] | None" = None
    _nobody: "_Declared"

    def declare(self, combinations: Iterable[tuple[str, ...]]) -> None:
        """Have just these series from now on: new ones begin at 0, those that stay go on."""
        before, create = self._series or {}, super().labels
        wanted = dict.fromkeys(tuple(map(str, values)) for values in combinations)
        self._nobody = type(self)("nobody", "What is told of what is gone.", registry=None)
        self._series = {values: before.get(values) or create(*values) for values in wanted}
        for gone in before.keys() - wanted.keys():
            self.remove(*gone)

    def labels(self, *values: str) -> Self:  # type: ignore[override]  # by position alone
        """Return the series of these values; one that counts for nobody where they are not declared."""
        series = self._series
        found = super().labels(*values) if series is None else series.get(values, self._nobody)
        return cast("Self", found)


class DeclaredGauge(_Declared, Gauge):
    """A gauge."""


class DeclaredCounter(_Declared, Counter):
    """A counter."""


class DeclaredHistogram(_Declared, Histogram):
    """A histogram."""
