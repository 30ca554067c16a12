"""Which accelerator the machine shows, and what one that is asked for by name lacks.

`survey` gathers the facts, `missing` judges them: what it says was read before anything is tried again.
"""

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import io
import platform
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime as ort

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

ROOT = Path("/")
"""Where the machine shows its devices; tests point it elsewhere."""

Nvidia = Literal["cuda", "tensorrt"]
_PROVIDERS: dict[Nvidia, tuple[str, str]] = {"cuda": (CUDA, "CUDA"), "tensorrt": (TENSORRT, "TensorRT")}

# What the providers are linked to, by `readelf -d`, and cuDNN, which the first convolution loads.
_CUDA_LIBRARIES = {
    12: ("libcudart.so.12", "libcublasLt.so.12", "libcublas.so.12", "libcurand.so.10", "libcudnn.so.9"),
    13: ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudnn.so.9"),
}
_TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10")
_DRIVER_LIBRARY = "libcuda.so.1"

# The first branch of the driver that runs programs of each CUDA:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
_OLDEST_DRIVER = {12: 525, 13: 580}
_CUDA_12_LINE = "pip install 'tocsin[cuda]' onnxruntime-gpu==1.26.0"

_DRIVER = re.compile(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s")


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is: `seen` says whether a device is visible.

    `cuda` is the CUDA that ONNX Runtime was built for, 0 where it was built for none; `absent` are the libraries
    that were looked for and cannot be loaded; `runtimes` are the installed distributions of ONNX Runtime.
    """

    platform: str
    seen: bool
    driver: str | None
    cuda: int
    providers: frozenset[str]
    absent: tuple[str, ...]
    runtimes: tuple[str, ...]


def visible() -> bool:
    """Say whether the machine shows an NVIDIA device: its node, or a device that ONNX Runtime found."""
    if any((ROOT / "dev").glob("nvidia[0-9]*")):
        return True
    return any(device.ep_name == CUDA for device in ort.get_ep_devices())


def preload(device: Nvidia) -> None:
    """Load the libraries of the extra where pip put them: the search for libraries does not look there."""
    # It prints and warns about each library that it does not find: `missing` says it in one sentence instead.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ort.preload_dlls()
    if device == "tensorrt":
        folder = importlib.util.find_spec("tensorrt_libs")
        for place in (folder.submodule_search_locations or ()) if folder else ():
            for name in _TENSORRT_LIBRARIES:
                _loads(str(Path(place) / name))


def survey(device: Nvidia) -> Machine:
    """Return what the machine has for a device; loads the libraries that it needs, after `preload`."""
    cuda = int((ort.cuda_version or "0").split(".")[0])
    wanted = (_DRIVER_LIBRARY, *_CUDA_LIBRARIES.get(cuda, ()))
    if device == "tensorrt":
        wanted += _TENSORRT_LIBRARIES
    return Machine(
        platform=f"{sys.platform} {platform.machine()}",
        seen=visible(),
        driver=_driver(),
        cuda=cuda,
        providers=frozenset(ort.get_available_providers()),  # what was built in, whether it loads or not
        absent=tuple(name for name in wanted if not _loads(name)),
        runtimes=runtimes(importlib.metadata.distributions()),
    )


def missing(machine: Machine, device: Nvidia) -> str | None:
    """Return in a sentence what stands between the machine and the device, or None where nothing is known to.

    The hardware is judged first, then what belongs to the system, then what pip brings.
    """
    return (
        _no_device(machine)
        or _old_driver(machine)
        or _wrong_runtime(machine, device)
        or _absent(machine, device)
    )


def refusal(device: Nvidia) -> str:
    """Return why the system's loader refuses the provider's library, in its words, or nothing where it does not.

    ONNX Runtime itself gives another provider without a word.
    """
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{device}.so"))
    except OSError as error:
        return str(error).removeprefix(f"{folder}/")
    return ""


def _no_device(machine: Machine) -> str | None:
    if machine.seen:
        return None
    if machine.driver is None:
        return "no NVIDIA device is visible: there is no /dev/nvidia0, and no driver in /proc/driver/nvidia"
    return (
        f"no NVIDIA device is visible: the driver {machine.driver} is loaded, but this process has no "
        "/dev/nvidia0, which a container or a service with PrivateDevices has to be given"
    )


def _old_driver(machine: Machine) -> str | None:
    if machine.driver is None:
        return "the NVIDIA driver is not loaded: there is no /proc/driver/nvidia/version"
    oldest = _OLDEST_DRIVER.get(machine.cuda)
    if oldest is None or int(machine.driver.split(".")[0]) >= oldest:
        return None
    other = f"; for this driver: {_CUDA_12_LINE}" if machine.cuda > 12 else ""
    return (
        f"the NVIDIA driver is too old: ONNX Runtime was built for CUDA {machine.cuda}, which needs driver "
        f"{oldest} or newer, found {machine.driver}{other}"
    )


def _wrong_runtime(machine: Machine, device: Nvidia) -> str | None:
    provider, name = _PROVIDERS[device]
    if len(machine.runtimes) > 1:
        names = " ".join(runtime.split()[0] for runtime in machine.runtimes)
        return (
            f"{' and '.join(machine.runtimes)} are installed over each other, which breaks both: "
            f"pip uninstall {names}, then {_install(device)}"
        )
    if provider in machine.providers:
        return None
    if machine.platform != "linux x86_64":
        return f"ONNX Runtime has {name} on linux x86_64 only, and this is {machine.platform}"
    found = machine.runtimes[0] if machine.runtimes else "the ONNX Runtime that is there"
    away = f"pip uninstall {found.split()[0]}, then " if machine.runtimes else ""
    return f"{found} was built without {name}: {away}{_install(device)}"


def _absent(machine: Machine, device: Nvidia) -> str | None:
    if _DRIVER_LIBRARY in machine.absent:
        return (
            f"{_DRIVER_LIBRARY} cannot be loaded: it comes with the NVIDIA driver and not with pip, and into a "
            "container with NVIDIA's container toolkit"
        )
    if machine.absent:
        return f"{', '.join(machine.absent)} cannot be loaded: {_install(device)}"
    return None


def _install(device: Nvidia) -> str:
    return f"pip install 'tocsin[{device}]'"


def _driver() -> str | None:
    """Return the version of the driver, from `... Kernel Module for x86_64  580.65.06  Release ...`."""
    try:
        text = (ROOT / "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = _DRIVER.search(text)
    return found[1] if found else None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def runtimes(distributions: Iterable[importlib.metadata.Distribution]) -> tuple[str, ...]:
    """The distributions that put a package `onnxruntime` into the same folder."""
    known = {
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "onnxruntime-directml",
        "onnxruntime-training",
    }
    found = {(one.metadata["Name"] or "").lower().replace("_", "-"): one.version for one in distributions}
    return tuple(f"{name} {found[name]}" for name in sorted(known & found.keys()))
