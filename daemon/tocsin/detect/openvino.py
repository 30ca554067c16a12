"""The adapter to OpenVINO's own runtime: opens a model on Intel's GPU or on the CPU, and runs it."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tocsin.detect import cores, failure
from tocsin.detect.session import DEADLINE, Outputs, Placement, Signature, Tensor
from tocsin.errors import InferenceError, InferenceFault, ModelError, StartError

_GRACE = 0.5
"""Seconds for a run to end in that was told to: OpenVINO looks between two nodes of the graph."""

_WORDS = {"f32": "float", "f64": "double", "f16": "float16", "bf16": "bfloat16", "boolean": "bool"} | {
    f"{sign}{bits}": f"{word}{bits}"
    for sign, word in (("i", "int"), ("u", "uint"))
    for bits in (8, 16, 32, 64)
}
"""OpenVINO's words for kinds of numbers, and those of ONNX Runtime, which the rest of Tocsin reads."""

_PLACES = (
    "Exception from ",
    "Check '",
    "FrontEnd API failed",
    "Caught exception: Check '",
    "While validating",
)
"""How lines of its errors begin that only say where in its source it failed."""


class OpenvinoSession:
    """A model in this process. `infer` may be called from any one thread.

    A run is told to end after DEADLINE.
    """

    def __init__(self, model: Any, compiled: Any, errors: tuple[type[Exception], ...]) -> None:
        self.signature = _signature(model)
        self._request = compiled.create_infer_request()
        self._errors = errors
        self._input = self.signature.inputs[0].name
        self._outputs = [tensor.name for tensor in self.signature.outputs]

    def infer(self, batch: NDArray[Any], beside: Mapping[str, NDArray[Any]] | None = None) -> Outputs:
        """Return each output by name, in arrays of its own. Raises InferenceError: RUNTIME, OOM or DEADLINE.

        `beside` holds the other inputs by name, where there are any.
        """
        try:
            self._request.start_async({self._input: batch, **(beside or {})}, share_inputs=True)
            ended = self._request.wait_for(round(DEADLINE * 1000))
        except self._errors as error:
            raise InferenceError(
                failure.fault(error), f"the detector failed on a batch: {_line(error)}"
            ) from error
        if not ended:
            self._cancel()
            raise InferenceError(
                InferenceFault.DEADLINE,
                f"the detector took more than {DEADLINE:.0f} s for a batch of {len(batch)} and was ended: "
                "this machine is too slow for it",
            )
        return {
            name: self._request.get_output_tensor(
                index
            ).data.copy()  # the next run writes into the same memory
            for index, name in enumerate(self._outputs)
        }

    def _cancel(self) -> None:
        self._request.cancel()
        with suppress(*self._errors):  # which say that it was cancelled
            self._request.wait_for(round(_GRACE * 1000))


def open_openvino(path: Path) -> tuple[OpenvinoSession, Placement]:
    """Open a model, which `modelfile.check_file` has passed, on the GPU where OpenVINO has one, else on the CPU.

    Raises StartError where OpenVINO is not installed, and ModelError where it cannot read or run the file.
    """
    openvino = _runtime()
    errors = _errors(openvino)
    model = _read(openvino, path, errors)
    core, degraded = openvino.Core(), None
    if any(name.split(".")[0] == "GPU" for name in core.available_devices):
        try:
            return _open(core, model, "GPU", {}, errors, None)
        except errors as error:
            degraded = f"OpenVINO has a GPU, but {_line(error)}"
    # Unasked it computes in bfloat16 where the CPU can: other numbers than those that a model was tested with.
    # Threads bound to cores would take turns with the workers that decode on them.
    properties = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": cores.threads(),
        "ENABLE_CPU_PINNING": False,
    }
    try:
        return _open(core, model, "CPU", properties, errors, degraded)
    except errors as error:
        raise _unreadable(path, error) from error


def _runtime() -> Any:
    # When it is imported, OpenVINO tells its maker so over the network, through this package. A daemon that watches
    # people tells nobody: without the package OpenVINO puts an empty function in its place.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: import finds no such package
    try:
        return import_module("openvino")
    except ImportError as error:
        raise StartError(
            "detector.device: expected openvino, found that its runtime is not installed: "
            "pip install 'tocsin[openvino]'"
        ) from error


def _errors(openvino: Any) -> tuple[type[Exception], ...]:
    """What its binding raises: RuntimeError, MemoryError, and for what it reads a kind for each stage; no root."""
    failures = [value for name, value in vars(openvino.frontend).items() if name.endswith("Failure")]
    return (RuntimeError, MemoryError, *failures)


def _read(openvino: Any, path: Path, errors: tuple[type[Exception], ...]) -> Any:
    """Read the file as ONNX and as nothing else: left to choose, OpenVINO tries it with six parsers."""
    try:
        reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
        model = reader.convert(reader.load(str(path)))
    except errors as error:
        raise _unreadable(path, error) from error
    if "Loop" in _operators(model.get_ops()):
        raise ModelError(
            f"{path}: expected a graph that OpenVINO can end, found a Loop in it, which runs to its own end "
            "whatever it is told: set detector.device to another"
        )
    return model


def _operators(nodes: Iterable[Any]) -> set[str]:
    """The kinds of the nodes, of those in branches too."""
    kinds = set()
    for node in nodes:
        kinds.add(node.get_type_name())
        if node.get_type_name() == "If":
            for branch in (node.get_function(0), node.get_function(1)):
                kinds |= _operators(branch.get_ops())
        elif node.get_type_name() == "TensorIterator":
            kinds |= _operators(node.get_function().get_ops())
    return kinds


def _open(
    core: Any,
    model: Any,
    device: str,
    properties: Mapping[str, Any],
    errors: tuple[type[Exception], ...],
    degraded: str | None,
) -> tuple[OpenvinoSession, Placement]:
    compiled = core.compile_model(model, device, {"PERFORMANCE_HINT": "LATENCY", **properties})
    nodes = sum(node.get_type_name() not in ("Constant", "Parameter", "Result") for node in model.get_ops())
    placement = Placement(
        provider=f"OpenVINO {device}",
        device="openvino",
        degraded=degraded,
        nodes=nodes,
        accelerated=nodes if device == "GPU" else 0,  # one that it cannot take whole it does not take
    )
    return OpenvinoSession(model, compiled, errors), placement


def _signature(model: Any) -> Signature:
    """What the file says: a compiled model no longer holds the exporter's words."""
    told = model.rt_info["framework"] if "framework" in model.rt_info else {}  # noqa: SIM401 - its map has no get
    return Signature(
        inputs=tuple(_tensor(port) for port in model.inputs),
        outputs=tuple(_tensor(port) for port in model.outputs),
        metadata={key: value.astype(str) for key, value in told.items()},
    )


def _tensor(port: Any) -> Tensor:
    shape = port.get_partial_shape()
    sizes = () if shape.rank.is_dynamic else (None if one.is_dynamic else one.get_length() for one in shape)
    kind = port.get_element_type().get_type_name()
    return Tensor(port.get_any_name(), tuple(sizes), f"tensor({_WORDS.get(kind, kind)})")


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: expected an ONNX model that OpenVINO can run, found: {_line(error)}")


def _line(error: Exception) -> str:
    """The kind and the first line of an error that says what is wrong, and not where in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_PLACES)] or lines[-1:]
    return f"{type(error).__name__}: {''.join(telling[:1])[:200]}"
