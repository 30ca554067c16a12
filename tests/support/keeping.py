"""A keeper around a detector that is not the daemon's: what it tells goes nowhere."""

from typing import Any

from tocsin.detect.detector import Detector
from tocsin.detect.keeper import Keeper, Kept


class _Deaf:
    """Hears everything that an observer or a herald hears, and finds nothing wrong with a reference picture."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def keep(detector: Detector) -> Keeper:
    """Return a keeper that cannot open another detector."""
    deaf = _Deaf()

    def refuse(device: str) -> Detector:
        raise AssertionError(f"the detector is opened anew, on {device}")

    return Keeper(Kept(detector, "cpu", refuse, deaf), deaf, deaf)
