"""What is said of a machine that cannot give the device that is asked for."""

from dataclasses import replace
from importlib.metadata import PathDistribution, distributions
from pathlib import Path
from typing import cast

import pytest

from tocsin.detect import cores, device
from tocsin.detect.device import CPU, CUDA, TENSORRT, Machine, Nvidia, missing
from tocsin.detect.session import Placement, place

WHOLE = Machine(
    platform="linux x86_64",
    seen=True,
    driver="580.65.06",
    cuda=13,
    providers=frozenset({TENSORRT, CUDA, CPU}),
    absent=(),
    runtimes=("onnxruntime-gpu 1.31.1",),
)
"""A machine that lacks nothing."""


class Written:
    """The folder of a distribution that says this of itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def joinpath(self, name: str) -> "Written":
        return self

    def read_text(self, encoding: str) -> str:
        return self._text


LACKS: list[tuple[str, Machine, Nvidia, str]] = [
    (
        "no card",
        replace(WHOLE, seen=False, driver=None),
        "cuda",
        "no NVIDIA device is visible: there is no /dev/nvidia0, and no driver in /proc/driver/nvidia",
    ),
    (
        "a card that is hidden",
        replace(WHOLE, seen=False),
        "cuda",
        (
            "no NVIDIA device is visible: the driver 580.65.06 is loaded, but this process has no /dev/nvidia0, "
            "which a container or a service with PrivateDevices has to be given"
        ),
    ),
    (
        "no driver",
        replace(WHOLE, driver=None),
        "cuda",
        "the NVIDIA driver is not loaded: there is no /proc/driver/nvidia/version",
    ),
    (
        "an old driver",
        replace(WHOLE, driver="535.183.01"),
        "cuda",
        (
            "the NVIDIA driver is too old: ONNX Runtime was built for CUDA 13, which needs driver 580 or newer, "
            "found 535.183.01; for this driver: pip install 'tocsin[cuda]' onnxruntime-gpu==1.26.0"
        ),
    ),
    (
        "a driver that is too old for the older line too",
        replace(WHOLE, driver="470.57", cuda=12),
        "cuda",
        (
            "the NVIDIA driver is too old: ONNX Runtime was built for CUDA 12, which needs driver 525 or newer, "
            "found 470.57"
        ),
    ),
    (
        "two builds",
        replace(WHOLE, runtimes=("onnxruntime 1.31.1", "onnxruntime-gpu 1.31.1")),
        "cuda",
        (
            "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1 are installed over each other, which breaks both: "
            "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'tocsin[cuda]'"
        ),
    ),
    (
        "a build for the CPU",
        replace(WHOLE, cuda=0, providers=frozenset({CPU}), runtimes=("onnxruntime 1.31.1",)),
        "cuda",
        "onnxruntime 1.31.1 was built without CUDA: pip uninstall onnxruntime, then pip install 'tocsin[cuda]'",
    ),
    (
        "a build for the CPU, and no other for the machine",
        replace(WHOLE, platform="linux aarch64", cuda=0, providers=frozenset({CPU})),
        "cuda",
        "ONNX Runtime has CUDA on linux x86_64 only, and this is linux aarch64",
    ),
    (
        "a build without TensorRT",
        replace(WHOLE, providers=frozenset({CUDA, CPU})),
        "tensorrt",
        (
            "onnxruntime-gpu 1.31.1 was built without TensorRT: pip uninstall onnxruntime-gpu, then "
            "pip install 'tocsin[tensorrt]'"
        ),
    ),
    (
        "a container without the driver's library",
        replace(WHOLE, absent=("libcuda.so.1", "libcudnn.so.9")),
        "cuda",
        (
            "libcuda.so.1 cannot be loaded: it comes with the NVIDIA driver and not with pip, and into a container "
            "with NVIDIA's container toolkit"
        ),
    ),
    (
        "no libraries",
        replace(WHOLE, absent=("libcublas.so.13", "libcudnn.so.9")),
        "cuda",
        "libcublas.so.13, libcudnn.so.9 cannot be loaded: pip install 'tocsin[cuda]'",
    ),
    (
        "no libraries of TensorRT",
        replace(WHOLE, absent=("libnvinfer.so.10",)),
        "tensorrt",
        "libnvinfer.so.10 cannot be loaded: pip install 'tocsin[tensorrt]'",
    ),
]


@pytest.mark.parametrize(
    ("machine", "wanted", "sentence"), [pytest.param(*rest, id=name) for name, *rest in LACKS]
)
def test_what_is_missing_is_one_sentence(machine: Machine, wanted: Nvidia, sentence: str) -> None:
    """It says what was looked for, what was found, and what to do."""
    assert missing(machine, wanted) == sentence


@pytest.mark.parametrize("wanted", ["cuda", "tensorrt"])
def test_a_whole_machine_lacks_nothing(wanted: Nvidia) -> None:
    """Where everything is there, nothing is said to be missing; a newer CUDA is not known to be too new."""
    assert missing(WHOLE, wanted) is None
    assert missing(replace(WHOLE, cuda=14), wanted) is None


def test_the_hardware_is_judged_before_what_pip_brings() -> None:
    """On a machine that lacks everything, the first thing to do is told, not the last."""
    nothing = Machine(
        "linux x86_64", False, None, 0, frozenset({CPU}), ("libcuda.so.1",), ("onnxruntime 1.31.1",)
    )
    assert "no NVIDIA device" in (missing(nothing, "cuda") or "")


def test_every_build_of_the_runtime_counts() -> None:
    """Whatever is installed under its names is found, however they are written, and nothing else."""
    named = [
        PathDistribution(cast("Path", Written(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.31.1\n")))
        for name in ("onnxruntime_gpu", "ONNXRuntime", "onnxruntime-extensions", "onnx")
    ]
    assert device.runtimes(named) == ("onnxruntime 1.31.1", "onnxruntime-gpu 1.31.1")
    assert device.runtimes(distributions()), "one is installed here"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
            "535.183.01",
            id="the closed module",
        ),
        pytest.param(
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (builder@host)\n",
            "580.65.06",
            id="the open module",
        ),
        pytest.param("something else", None, id="no version"),
        pytest.param(None, None, id="no file"),
    ],
)
def test_the_driver_is_read_from_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, version: str | None
) -> None:
    """The version of the kernel module, in the words of both of its kinds."""
    if text is not None:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
        (tmp_path / "proc/driver/nvidia/version").write_text(text)
    monkeypatch.setattr(device, "ROOT", tmp_path)
    assert device.survey("cuda").driver == version


def test_a_device_is_a_numbered_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes for control are there without a card too; a second card alone is one."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    monkeypatch.setattr(device, "ROOT", tmp_path)
    assert not device.visible()
    (tmp_path / "dev/nvidia1").touch()
    assert device.visible()


LEFT = (
    "2 of the 3 nodes that take the time run on the CPU, since the CUDAExecutionProvider took only the rest: "
    "expected a model in float32 or float16"
)
ON_CPU, ON_GPU = (CPU, "Conv"), (CUDA, "Conv")


@pytest.mark.parametrize(
    ("assigned", "degraded"),
    [
        pytest.param([ON_GPU] * 3, None, id="everything"),
        pytest.param(
            [ON_GPU] * 2 + [(CPU, "Shape"), (CPU, "Gather")] * 9, None, id="the work, not the shapes"
        ),
        pytest.param([ON_GPU, ON_CPU], None, id="half of the work"),
        pytest.param(
            [ON_GPU, ON_CPU, ON_CPU, (CUDA, "Add")],
            LEFT,
            id="less than half of the work",
        ),
        pytest.param(
            [ON_CPU, (CPU, "Add")], "the CUDAExecutionProvider took none of the model's 2 nodes", id="nothing"
        ),
        pytest.param([(CUDA, "Add"), (CPU, "Mul")], None, id="a graph without such work, half of it"),
        pytest.param(
            [(CUDA, "Add"), (CPU, "Mul"), (CPU, "Mul")],
            LEFT,
            id="a graph without such work, less than half of it",
        ),
    ],
)
def test_a_session_that_leaves_the_work_to_the_cpu_is_degraded(
    assigned: list[tuple[str, str]], degraded: str | None
) -> None:
    """What counts are the operators that take the time; all nodes are told."""
    placed = place(assigned, "cuda")
    assert placed.degraded == degraded
    assert (placed.provider, placed.device, placed.nodes) == (CUDA, "cuda", len(assigned))
    assert placed.accelerated == sum(where == CUDA for where, _ in assigned)


def test_what_tensorrt_leaves_to_cuda_is_accelerated() -> None:
    """Both run on the GPU; where TensorRT took nothing, that is said."""
    both = place([(TENSORRT, "Conv"), (CUDA, "TopK"), (CPU, "Shape")], "tensorrt")
    assert (both.provider, both.device, both.degraded) == (TENSORRT, "tensorrt", None)
    assert str(both) == "TensorrtExecutionProvider (tensorrt, 2 of 3 nodes on it)"
    assert both.ratio == pytest.approx(2 / 3)
    assert (
        place([ON_GPU], "tensorrt").degraded
        == "the TensorrtExecutionProvider took none of the model's 1 nodes"
    )


def test_a_cpu_accelerates_nothing() -> None:
    """The ratio is 0 there, and where no node is known."""
    assert Placement(CPU, "cpu", None, 106).ratio == 0
    assert Placement(CPU, "cpu", None).ratio == 0
    assert str(Placement(CPU, "cpu", None, 106)) == "CPUExecutionProvider (cpu)"


@pytest.mark.parametrize(
    ("available", "quotas", "threads"),
    [
        pytest.param(16, [], 16, id="no quota"),
        pytest.param(16, ["max 100000\n"], 16, id="a quota of everything"),
        pytest.param(16, ["100000 100000\n"], 1, id="one core of sixteen"),
        pytest.param(16, ["250000 100000"], 2, id="two and a half"),
        pytest.param(16, ["50000 100000"], 1, id="half a core"),
        pytest.param(2, ["800000 100000"], 2, id="more than there are"),
        pytest.param(16, ["max 100000", "400000 100000", "600000 100000"], 4, id="the narrowest of several"),
        pytest.param(16, ["", "what", "1 0"], 16, id="what cannot be read bounds nothing"),
    ],
)
def test_threads_fit_the_quota(available: int, quotas: list[str], threads: int) -> None:
    """As many as may run at once, and at least one."""
    assert cores.busy(available, quotas) == threads


def test_the_quota_is_that_of_every_group_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service has its own control group, and what bounds its slice bounds it too."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("3:cpuset:/x\n0::/system.slice/tocsin.service\n")
    own = tmp_path / "sys/fs/cgroup/system.slice/tocsin.service"
    own.mkdir(parents=True)
    monkeypatch.setattr(cores, "ROOT", tmp_path)
    assert cores.threads() >= 1
    (own / "cpu.max").write_text("max 100000\n")
    (own.parent / "cpu.max").write_text("100000 100000\n")
    assert cores.threads() == 1
