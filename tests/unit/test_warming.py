"""What becomes of a detector that opens and cannot run; the detectors are stand-ins."""

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin import reference, warming
from tocsin.config.load import Config, loads
from tocsin.detect.session import Placement
from tocsin.errors import ModelError


class Stub:
    """A detector that says why it cannot run."""

    model_name, labels = "blades", ("person",)

    def __init__(self, device: str, fault: str | None) -> None:
        self.device, self.provider = device, device.upper()
        self.placement = Placement(self.provider, "cpu", None)
        self.degraded: str | None = None
        self.max_batch = 1
        self._fault = fault

    def warm(self) -> float:
        if self._fault:
            raise ModelError(self._fault)
        return 0.0


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Why a detector cannot run, by its device; `auto` finds a GPU."""
    faults: dict[str, str] = {}

    def open_detector(_model: str, device: str, *_: object) -> Stub:
        device = "cuda" if device == "auto" else device
        return Stub(device, faults.get(device))

    monkeypatch.setattr(warming, "open_detector", open_detector)
    monkeypatch.setattr(reference, "canary", lambda *_: None)
    return faults


def _config(device: str) -> Config:
    site: dict[str, Any] = {
        "detector": {"device": device},
        "streams": [{"name": "yard", "source": "rtsp://yard/1", "rules": ["visit"]}],
        "rules": [{"name": "visit", "classes": ["person"]}],
    }
    return loads(json.dumps(site).encode(), name="tocsin.yaml", folder=Path("/"))


def test_auto_takes_the_cpu_where_the_accelerator_cannot_run_the_model(faults: dict[str, str]) -> None:
    """A device that is full or broken at the start ends nothing, and is said."""
    faults["cuda"] = "its first run failed: out of memory"
    detector = warming.warm_detector(_config("auto")).detector
    assert detector.device == "cpu"
    assert detector.degraded == "CUDA cannot run the model: its first run failed: out of memory"


@pytest.mark.parametrize(
    ("device", "broken"), [("cuda", ["cuda"]), ("cpu", ["cpu"]), ("auto", ["cuda", "cpu"])]
)
def test_a_model_that_cannot_run_where_it_is_told_to_is_refused(
    faults: dict[str, str], device: str, broken: list[str]
) -> None:
    """A device asked for by name is that one, and a model that runs nowhere is the model's fault."""
    faults.update(dict.fromkeys(broken, "its first run failed"))
    with pytest.raises(ModelError, match="its first run failed"):
        warming.warm_detector(_config(device))


def test_an_accelerator_that_runs_the_model_is_taken(faults: dict[str, str]) -> None:
    """Nothing is wrong with it."""
    detector = warming.warm_detector(_config("auto")).detector
    assert (faults, detector.device, detector.degraded) == ({}, "cuda", None)
