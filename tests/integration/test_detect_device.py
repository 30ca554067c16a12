"""Devices on this machine, with the ONNX Runtime that is installed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state

from support import graphs
from tocsin.detect import device
from tocsin.detect.device import CPU
from tocsin.detect.session import Device, LocalSession, Placement, open_session
from tocsin.errors import InferenceError, InferenceFault, StartError

without_gpu = pytest.mark.skipif(device.visible(), reason="this machine has a GPU")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny detector."""
    return graphs.save(tmp_path / "own.onnx")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine on which nothing of NVIDIA's is seen."""
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    monkeypatch.setattr(device, "ROOT", root)
    return root


@pytest.fixture
def shown(bare: Path) -> Path:
    """The same, but it shows a device that works for nobody."""
    (bare / "dev/nvidia0").touch()
    return bare


@without_gpu
@pytest.mark.parametrize("wanted", ["cuda", "tensorrt"])
def test_a_device_asked_for_by_name_must_be_had(model: Path, bare: Path, wanted: Device) -> None:
    """On a machine without it there is one sentence, and no session on the CPU."""
    with pytest.raises(StartError) as caught:
        open_session(model, wanted)
    assert str(caught.value).startswith(
        f"detector.device: expected {wanted}, found that no NVIDIA device is visible: there is no /dev/nvidia0"
    )
    assert "\n" not in str(caught.value)


@without_gpu
def test_a_device_that_does_not_load_is_said(model: Path, shown: Path) -> None:
    """`auto` falls back to the CPU and carries the reason; the provider is the one that the session has."""
    _, placement = open_session(model, "auto")
    assert (placement.provider, placement.device, placement.accelerated) == (CPU, "cpu", 0)
    assert placement.degraded == (
        "a GPU is visible, but the NVIDIA driver is not loaded: there is no /proc/driver/nvidia/version"
    )


@without_gpu
def test_a_provider_that_is_dropped_without_a_word_is_noticed(
    model: Path, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is known to be missing and the session has another provider, the loader's words are told."""
    whole = replace(device.survey("cuda"), seen=True, driver="590.1", absent=())
    monkeypatch.setattr(device, "survey", lambda kind: whole)
    assert device.missing(whole, "cuda") is None
    with pytest.raises(
        StartError, match=r"the CUDAExecutionProvider did not load: lib\w+\.so\S*: cannot open"
    ):
        open_session(model, "cuda")
    _, placement = open_session(model, "auto")
    assert placement.degraded is not None
    assert placement.degraded.startswith("a GPU is visible, but the CUDAExecutionProvider did not load: lib")


@without_gpu
def test_the_next_thing_that_is_missing_is_said_then(model: Path, shown: Path) -> None:
    """With a driver in the kernel, it is the driver's library."""
    (shown / "proc/driver/nvidia").mkdir(parents=True)
    (shown / "proc/driver/nvidia/version").write_text("NVIDIA UNIX x86_64 Kernel Module  590.1  Release\n")
    with pytest.raises(StartError, match=r"expected cuda, found that libcuda\.so\.1 cannot be loaded"):
        open_session(model, "cuda")


def test_a_machine_without_one_is_not_degraded(model: Path, bare: Path) -> None:
    """Where no GPU is visible, `auto` is the CPU, knows its nodes, and nothing is missing."""
    _, placement = open_session(model, "auto")
    assert placement == Placement(CPU, "cpu", None, placement.nodes, 0)
    assert placement.nodes > 0


def test_the_cpu_is_the_cpu_wherever_a_gpu_is(model: Path, shown: Path) -> None:
    """Who asks for the CPU by name is not told about the GPU."""
    _, placement = open_session(model, "cpu")
    assert (placement.device, placement.degraded) == ("cpu", None)


def test_the_runtime_changes_no_provider_by_itself(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its own fall-back to the CPU in the middle of a run, which it only prints, is off: the error comes to us."""

    class Lost:
        """The runtime's own session, but for its runs."""

        fired = 0

        def run(self, *_: object) -> None:
            self.fired += 1
            raise onnxruntime_pybind11_state.EPFail("CUDA failure 700: an illegal memory access")

        def __getattr__(self, name: str) -> object:
            return getattr(whole, name)

    session, _ = open_session(model, "cpu")
    assert isinstance(session, LocalSession)
    inner, lost = session._session, Lost()
    whole, inner._sess = inner._sess, lost
    with pytest.raises(InferenceError, match="CUDA failure 700") as caught:
        session.infer(np.zeros((1, 3, 32, 32), np.float32))
    assert caught.value.fault is InferenceFault.RUNTIME
    assert lost.fired == 1, "the fault fired"
    assert inner._sess is lost, "no other session was put in its place"
    assert capfd.readouterr() == ("", "")


@without_gpu
def test_nothing_is_printed(model: Path, shown: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A device that does not load leaves stdout and stderr alone."""
    open_session(model, "auto")
    assert capfd.readouterr() == ("", "")
