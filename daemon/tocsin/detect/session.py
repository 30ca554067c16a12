"""The adapter to ONNX Runtime: opens a model on a device, says where it really runs, and runs it."""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _native

from tocsin.errors import InferenceError, InferenceFault, ModelError, StartError

Device = Literal["auto", "cuda", "cpu"]
Outputs = Mapping[str, NDArray[Any]]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

# The memory of the GPU grows by what is needed and not by doubling; the search for the fastest convolution is
# the quick one, since the exhaustive one runs again for every batch size.
_CUDA_OPTIONS = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}

# Where in its source ONNX Runtime failed, and the file that we name ourselves, fill a line and tell nobody a thing.
_SOURCE = re.compile(r"/\S+\.(?:h|cc|cpp):\d+ \S+(?: [^()]*)?\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)? ")
_FAILED = re.compile(r"Load model from .*? failed:")

# ONNX Runtime's exceptions share no root below Exception; RuntimeError is what its binding raises otherwise.
_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(_native).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
)
_UNREADABLE = (
    _native.InvalidProtobuf,
    _native.InvalidGraph,
    _native.InvalidArgument,
    _native.NoModel,
    _native.NotImplemented,
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; a dimension that the caller may choose is None."""

    name: str
    shape: tuple[int | None, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, and what its exporter wrote into it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model really runs: `provider` is ONNX Runtime's word, `device` ours.

    `degraded` is the reason why a visible accelerator is not in use, and None where there is none.
    """

    provider: str
    device: Literal["cpu", "cuda"]
    degraded: str | None


class Session(Protocol):
    """A model that is ready to run, here or elsewhere."""

    @property
    def signature(self) -> Signature: ...

    def infer(self, batch: NDArray[Any]) -> Outputs:
        """Return each output by name; its first axis is the batch's. Raises InferenceError."""


class LocalSession:
    """A model in this process. `infer` may be called from any one thread."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.signature = Signature(
            inputs=tuple(_tensor(value) for value in session.get_inputs()),
            outputs=tuple(_tensor(value) for value in session.get_outputs()),
            metadata=dict(session.get_modelmeta().custom_metadata_map),
        )
        self._input = self.signature.inputs[0].name
        self._outputs = [tensor.name for tensor in self.signature.outputs]

    def infer(self, batch: NDArray[Any], beside: Mapping[str, NDArray[Any]] | None = None) -> Outputs:
        """`beside` holds the other inputs by name, where there are any."""
        try:
            values = self._session.run(self._outputs, {self._input: batch, **(beside or {})})
        except _ERRORS as error:
            raise InferenceError(
                InferenceFault.RUNTIME, f"the detector failed on a batch: {_line(error)}"
            ) from error
        return dict(zip(self._outputs, values, strict=True))


def open_session(path: Path, device: Device) -> tuple[LocalSession, Placement]:
    """Open a model on the device that is asked for.

    `auto` takes the GPU where one is visible and really loads, else the CPU. Raises StartError where `cuda`
    cannot be had, and ModelError where ONNX Runtime cannot read the file.
    """
    # Everything worth saying comes back as an exception or from get_providers; the native log adds only noise.
    ort.set_default_logger_severity(4)
    visible = gpu_visible()
    if device == "cuda" or (device == "auto" and visible):
        session, reason = _open_cuda(path)
        if session is not None:
            return LocalSession(session), Placement(_CUDA, "cuda", None)
        if device == "cuda":
            seen = "an NVIDIA device is there" if visible else "no NVIDIA device is visible"
            raise StartError(f"detector.device: expected cuda, found that {seen} and {reason}")
        return LocalSession(_open_cpu(path)), Placement(_CPU, "cpu", f"a GPU is visible, but {reason}")
    return LocalSession(_open_cpu(path)), Placement(_CPU, "cpu", None)


def gpu_visible() -> bool:
    """Say whether the machine shows an NVIDIA device: its node, or a device that ONNX Runtime found."""
    if Path("/dev/nvidia0").exists():
        return True
    return any(device.ep_name == _CUDA for device in ort.get_ep_devices())


def _open_cpu(path: Path) -> Any:
    try:
        return _create(path, [_CPU])
    except _ERRORS as error:
        raise _unreadable(path, error) from error


def _open_cuda(path: Path) -> tuple[Any | None, str]:
    """Return a session that really is on CUDA, or None and the reason why there is none."""
    if _CUDA not in ort.get_available_providers():  # what was built in; whether it loads shows below
        return None, "this build of ONNX Runtime has no CUDA provider (onnxruntime-gpu has it)"
    # It prints and warns about each library that it does not find: we say it in one sentence instead.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ort.preload_dlls()
    try:
        session = _create(path, [(_CUDA, _CUDA_OPTIONS), _CPU])
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    except _ERRORS as error:
        return None, f"the CUDA provider failed: {_line(error)}"
    if session.get_providers()[0] != _CUDA:  # asked for CUDA and given the CPU without a word
        return None, "the CUDA provider did not load (pip install 'tocsin[cuda]' brings its libraries)"
    return session, ""


def _create(path: Path, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    # Threads that spin for work take the cores that decode: at about 15 frames a second on two cores, a frame of
    # the bundled model costs 24 ms of CPU time without and 63 to 76 ms with, and is no faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # no silent change of provider when a batch fails: that is for us to decide and to report
    return ort.InferenceSession(path, options, providers=providers, enable_fallback=0)


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: expected an ONNX model that can be run, found: {_line(error)}")


def _tensor(value: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return Tensor(value.name, shape, value.type)


def _line(error: Exception) -> str:
    """The kind and the first line of an error of ONNX Runtime, which holds paths and shapes and no secrets."""
    lines = str(error).strip().splitlines() or [""]
    words = _SOURCE.sub(" ", _FAILED.sub("", lines[0]))
    return f"{type(error).__name__}: {words[:200]}"
