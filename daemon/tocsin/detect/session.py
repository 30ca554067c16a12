"""The adapter to ONNX Runtime: opens a model on a device, says where it really runs, and runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import onnxruntime as ort
from numpy.typing import NDArray

from tocsin.detect import cores, device, failure
from tocsin.detect.bound import CUDA_GRAPHS, Bound
from tocsin.detect.deadline import Deadline
from tocsin.detect.device import CPU, CUDA, TENSORRT, Nvidia
from tocsin.errors import InferenceError, InferenceFault, ModelError, StartError

Device = Literal["auto", "cuda", "tensorrt", "openvino", "cpu"]
Outputs = Mapping[str, NDArray[Any]]

DEADLINE = 4.0
"""Seconds that a run may take; half a second more at most, and it is told to end: it has ended within five."""

# The first run of each shape on an accelerator: CUDA chooses its kernels, TensorRT compiles the graph.
_FIRST_RUN: Mapping[str, float] = {"cuda": 120.0, "tensorrt": 900.0}

# The memory of the GPU grows by what is needed and not by doubling; the search for the fastest convolution is
# the quick one, since the exhaustive one runs again for every batch size.
_CUDA_OPTIONS = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}

# Named one by one: what ONNX Runtime would take by itself depends on what is installed.
# With each kind what is tried in turn: a graph that cannot be recorded, with nodes left on the CPU say, is refused.
_PROVIDERS: Mapping[Nvidia, tuple[str, list[list[Any]]]] = {
    "cuda": (CUDA, [[(CUDA, {**_CUDA_OPTIONS, **CUDA_GRAPHS}), CPU], [(CUDA, _CUDA_OPTIONS), CPU]]),
    "tensorrt": (TENSORRT, [[TENSORRT, (CUDA, _CUDA_OPTIONS), CPU]]),
}

# The operators that take the time in a detector. A share of all nodes would accuse the innocent: what computes
# shapes belongs on the CPU wherever the rest runs, and its kinds can be two thirds of the nodes (810 of 1189 in an
# RT-DETR).
_WORK = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "FusedConv", "NhwcConv", "DeformConv"),
        *("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul", "Gemm", "QGemm", "Einsum"),
        *("Attention", "MultiHeadAttention", "LSTM", "GRU"),
    }
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
    """Where a model really runs: `provider` is the runtime's word, `device` ours.

    `degraded` is the reason why a visible accelerator is not in use or does little of the work, and None where
    there is none. Of the graph's `nodes`, constants folded and before they are fused, `accelerated` run on the
    accelerator.
    """

    provider: str
    device: Literal["cpu", "cuda", "tensorrt", "openvino"]
    degraded: str | None
    nodes: int = 0
    accelerated: int = 0

    @property
    def ratio(self) -> float:
        """The share of the nodes that runs on the accelerator; 0 on a CPU."""
        return self.accelerated / self.nodes if self.nodes else 0.0

    def __str__(self) -> str:
        share = f", {self.accelerated} of {self.nodes} nodes on it" if self.accelerated else ""
        return f"{self.provider} ({self.device}{share})"


class Session(Protocol):
    """A model that is ready to run, here or elsewhere."""

    @property
    def signature(self) -> Signature: ...

    def infer(self, batch: NDArray[Any]) -> Outputs:
        """Return each output by name; its first axis is the batch's. Raises InferenceError.

        The arrays may be written again by the third run after.
        """


class FlexibleSession(Session, Protocol):
    """A session as it is opened: its graph may take more than a batch of pictures."""

    def infer(self, batch: NDArray[Any], beside: Mapping[str, NDArray[Any]] | None = None) -> Outputs:
        """`beside` holds the other inputs by name, where there are any."""


class LocalSession:
    """A model in this process. `infer` may be called from any one thread.

    A run is told to end after DEADLINE, the first of each shape after `first_run` seconds.
    """

    def __init__(self, session: Any, first_run: float = DEADLINE) -> None:
        self._session = session
        self.signature = Signature(
            inputs=tuple(_tensor(value) for value in session.get_inputs()),
            outputs=tuple(_tensor(value) for value in session.get_outputs()),
            metadata=dict(session.get_modelmeta().custom_metadata_map),
        )
        self._input = self.signature.inputs[0].name
        self._outputs = [tensor.name for tensor in self.signature.outputs]
        self._first_run = first_run
        self._shapes: set[tuple[int, ...]] = set()  # that ran, one for each size of a detector's batches
        self._deadline = Deadline()

    def infer(self, batch: NDArray[Any], beside: Mapping[str, NDArray[Any]] | None = None) -> Outputs:
        """Return each output by name. Raises InferenceError: RUNTIME, OOM or DEADLINE.

        `beside` holds the other inputs by name, where there are any.
        """
        seconds = DEADLINE if batch.shape in self._shapes else self._first_run
        try:
            with self._deadline.within(seconds) as options:
                values = self._session.run(self._outputs, {self._input: batch, **(beside or {})}, options)
        except failure.RAISED as error:
            if self._deadline.passed:
                raise InferenceError(InferenceFault.DEADLINE, _too_long(batch, seconds)) from error
            raise InferenceError(
                failure.fault(error), f"the detector failed on a batch: {failure.line(error)}"
            ) from error
        self._shapes.add(batch.shape)
        return dict(zip(self._outputs, values, strict=True))


def open_session(path: Path, wanted: Device) -> tuple[FlexibleSession, Placement]:
    """Open a model on the device that is asked for.

    `auto` takes the GPU where one is visible and really loads, else the CPU. Raises StartError where a device
    asked for by name cannot be had, and ModelError where the runtime cannot read the file.
    """
    # Everything worth saying comes back as an exception or from get_providers; the native log adds only noise.
    ort.set_default_logger_severity(4)
    if wanted == "openvino":
        from tocsin.detect.openvino import open_openvino  # which builds on this module

        return open_openvino(path)
    if wanted == "cpu" or (wanted == "auto" and not device.visible()):
        return _open_cpu(path, None)
    kind: Nvidia = "cuda" if wanted == "auto" else wanted
    session, reason = _open_nvidia(path, kind)
    if session is not None:
        return LocalSession(Bound(session, "cuda"), _FIRST_RUN[kind]), place(_assigned(session), kind)
    if wanted == "auto":
        return _open_cpu(path, f"a GPU is visible, but {reason}")
    raise StartError(f"detector.device: expected {wanted}, found that {reason}")


def place(assigned: Sequence[tuple[str, str]], kind: Nvidia) -> Placement:
    """Return where a session runs whose nodes are assigned so, each a provider and an operator."""
    provider, _ = _PROVIDERS[kind]
    providers = [where for where, _ in assigned]
    work = [where for where, operator in assigned if operator in _WORK] or providers
    left = work.count(CPU)
    degraded = None
    if provider not in providers:
        degraded = f"the {provider} took none of the model's {len(assigned)} nodes"
    elif 2 * left > len(work):
        degraded = (
            f"{left} of the {len(work)} nodes that take the time run on the CPU, since the {provider} took only "
            "the rest: expected a model in float32 or float16"
        )
    return Placement(provider, kind, degraded, len(assigned), len(assigned) - providers.count(CPU))


def _open_cpu(path: Path, degraded: str | None) -> tuple[LocalSession, Placement]:
    try:
        session = _create(path, [CPU])
    except failure.RAISED as error:
        raise _unreadable(path, error) from error
    return LocalSession(session), Placement(CPU, "cpu", degraded, len(_assigned(session)))


def _open_nvidia(path: Path, kind: Nvidia) -> tuple[Any | None, str]:
    """Return a session that has the provider of the device, or None and what is missing."""
    provider, choices = _PROVIDERS[kind]
    device.preload(kind)
    machine = device.survey(kind)
    reason = ""
    # cuDNN is not missed before the first convolution runs: so what is absent is refused here.
    if provider in machine.providers and not machine.absent:
        for choice in choices:
            try:
                session = _create(path, choice)
            except failure.RAISED as error:
                if choice is choices[-1] and isinstance(error, failure.UNREADABLE):
                    raise _unreadable(path, error) from error
                reason = f"the {provider} failed: {failure.line(error)}"
            else:
                if session.get_providers()[0] == provider:  # else it was given another one without a word
                    return session, ""
    if lack := device.missing(machine, kind) or reason:
        return None, lack
    return None, f"the {provider} did not load: {device.refusal(kind) or 'ONNX Runtime does not tell why'}"


def _create(path: Path, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = cores.threads()
    options.inter_op_num_threads = 1
    # Threads that spin for work take the cores that decode: at about 15 frames a second on two cores, a frame of
    # the bundled model costs 24 ms of CPU time without and 63 to 76 ms with, and is no faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Opening takes as long with it as without, and takes as much memory; a run takes 1 % longer at most.
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # no silent change of provider when a batch fails: that is for us to decide and to report
    return ort.InferenceSession(path, options, providers=providers, enable_fallback=0)


def _assigned(session: Any) -> list[tuple[str, str]]:
    """The provider and the operator of each node, those inside loops and branches too."""
    parts = session.get_provider_graph_assignment_info()
    return [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]


def _too_long(batch: NDArray[Any], seconds: float) -> str:
    return (
        f"the detector took more than {seconds:.0f} s for a batch of {len(batch)} and was ended: "
        "its graph loops, or this machine is too slow for it"
    )


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: expected an ONNX model that can be run, found: {failure.line(error)}")


def _tensor(value: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return Tensor(value.name, shape, value.type)
