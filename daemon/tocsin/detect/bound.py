"""Runs a session through buffers that stay where they are, and on CUDA as a recorded graph where that works.

ONNX Runtime's IO binding: https://onnxruntime.ai/docs/api/python/api_summary.html; its CUDA graphs:
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-preview.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import onnxruntime as ort
import structlog
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _native

from tocsin.detect import failure
from tocsin.detect.device import CUDA
from tocsin.errors import InferenceFault

LENT = 3
"""The outputs of a run stay as they are until so many runs later: one set is read, one waits, one is written."""

CUDA_GRAPHS = {"enable_cuda_graph": "1"}
"""What the options of the CUDA provider must hold for graphs; a model that cannot have one then fails to open."""

_GRAPH = "gpu_graph_id"  # the run's option; each batch size has a graph of its own, and -1 is none
_NO_GRAPH = -1

_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
# What ONNX Runtime raises where it cannot record a graph, or where an output has not the shape that is declared.
_REFUSED = (
    *(
        _native.Fail,
        _native.EPFail,
        _native.RuntimeException,
        _native.NotImplemented,
        _native.InvalidArgument,
    ),
    RuntimeError,
)

Outputs = list[NDArray[Any]]
_Run = Callable[[NDArray[Any], ort.RunOptions], Outputs]

_log = structlog.get_logger(__name__)


class Way(StrEnum):
    """How a session is run: the word in the log."""

    GRAPH = "graph"
    BOUND = "bound"
    PLAIN = "plain"


class Bound:
    """Stands where an `InferenceSession` stands, and gives what its `run` gives. For one thread at a time.

    Input and outputs are bound to a device, by ONNX Runtime's name for it; where the session was opened with
    CUDA_GRAPHS, graphs are recorded.

    The outputs lie in memory that is used again (LENT). A model with several inputs, or with shapes that are known
    only after a run, is run in the plain way; so is one that fails on its first run in the other ways, but not for
    want of memory or time.
    """

    def __init__(self, session: ort.InferenceSession, device_type: str, device_id: int = 0) -> None:
        self._session = session
        self._device = device_type, device_id
        inputs, self._outputs = session.get_inputs(), session.get_outputs()
        self._input = inputs[0]
        options: Mapping[str, Mapping[str, str]] = session.get_provider_options()
        self._may_record = options.get(CUDA, {}).get("enable_cuda_graph") == "1"
        self._name_graph = _name_graph if self._may_record else _name_nothing
        self.way = Way.PLAIN
        if len(inputs) == 1 and all(_foreseen(value, self._input) for value in self._outputs):
            self.way = Way.GRAPH if self._may_record else Way.BOUND
        # Those that have run, by the shape of the input. None of them holds this object, which would then outlive
        # its last user, and with it the memory that the next session needs on the device.
        self._runs: dict[tuple[int, ...], _Run] = {}

    def __getattr__(self, name: str) -> Any:
        """All but `run` is the session's own."""
        return getattr(self._session, name)

    def run(
        self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]], options: ort.RunOptions | None = None
    ) -> Outputs:
        """Return the outputs of these names. Raises what the session raises."""
        options = options or ort.RunOptions()
        batch = feeds[self._input.name]
        found = self._ready(batch, options) if self.way is not Way.PLAIN else None
        if found is None:
            self._name_graph(options, _NO_GRAPH)
            plain: Outputs = self._session.run(names, feeds, options)
            return plain
        by_name = dict(zip((value.name for value in self._outputs), found, strict=True))
        return [by_name[name] for name in names]

    def _ready(self, batch: NDArray[Any], options: ort.RunOptions) -> Outputs | None:
        """Run the batch in the way of this session; None where there is no other way left than the plain one."""
        known = self._runs.get(batch.shape)
        if known is not None:
            return known(batch, options)
        while self.way is not Way.PLAIN:
            run = self._recorded(batch) if self.way is Way.GRAPH else self._bound(batch)
            try:
                outputs = run(batch, options)
            except _REFUSED as error:
                if options.terminate or failure.fault(error) is InferenceFault.OOM:
                    raise  # a deadline that passed, or memory that is short, is so in every way
                slower = Way.BOUND if self.way is Way.GRAPH else Way.PLAIN
                _log.warning(
                    "a way to run the model faster fails", way=self.way, instead=slower, error=str(error)
                )
                self.way = slower
                self._runs.clear()
            else:
                self._runs[batch.shape] = run
                return outputs
        return None

    def _bound(self, batch: NDArray[Any]) -> _Run:
        """The input on the device, and sets of outputs here, which take turns: ONNX Runtime writes into them.

        On a CPU the input is read where it lies, and nothing is copied at all.
        """
        source = None if self._device[0] == "cpu" else self._source(batch)
        sets = []
        for _ in range(LENT):
            arrays = [np.empty(self._shape(value, batch), _TYPES[value.type]) for value in self._outputs]
            held = [ort.OrtValue.ortvalue_from_numpy(array, "cpu") for array in arrays]
            sets.append((self._binding(source, held), arrays))

        session, given, name_graph = self._session, self._input.name, self._name_graph

        def run(values: NDArray[Any], options: ort.RunOptions) -> Outputs:
            binding, arrays = sets[0]
            sets.append(sets.pop(0))
            if source is None:
                binding.bind_cpu_input(given, values)
            else:
                source.update_inplace(values)
            name_graph(options, _NO_GRAPH)
            session.run_with_iobinding(binding, options)
            return list(arrays)

        return run

    def _recorded(self, batch: NDArray[Any]) -> _Run:
        """All on the device, since a graph knows its memory by address; the first run records it."""
        source = self._source(batch)
        held = [
            ort.OrtValue.ortvalue_from_shape_and_type(
                self._shape(value, batch), _TYPES[value.type], *self._device
            )
            for value in self._outputs
        ]
        binding = self._binding(source, held)
        session, name_graph = self._session, self._name_graph

        def run(values: NDArray[Any], options: ort.RunOptions) -> Outputs:
            source.update_inplace(values)
            name_graph(options, len(values))
            session.run_with_iobinding(binding, options)
            copied: Outputs = binding.copy_outputs_to_cpu()
            return copied

        return run

    def _source(self, batch: NDArray[Any]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type(batch.shape, batch.dtype.type, *self._device)

    def _binding(self, source: ort.OrtValue | None, held: Sequence[ort.OrtValue]) -> ort.IOBinding:
        binding = self._session.io_binding()
        if source is not None:
            binding.bind_ortvalue_input(self._input.name, source)
        for value, where in zip(self._outputs, held, strict=True):
            binding.bind_ortvalue_output(value.name, where)
        return binding

    @staticmethod
    def _shape(value: ort.NodeArg, batch: NDArray[Any]) -> list[int]:
        return [len(batch), *value.shape[1:]]


def _name_graph(options: ort.RunOptions, number: int) -> None:
    options.add_run_config_entry(_GRAPH, str(number))


def _name_nothing(options: ort.RunOptions, number: int) -> None:
    """Stand where a session without graphs has no name to give."""


def _foreseen(output: ort.NodeArg, given: ort.NodeArg) -> bool:
    """Say whether the output's shape is known before a run: its first axis is the batch's, and the rest numbers."""
    first, *rest = output.shape or [None]
    return (
        output.type in _TYPES
        and first is not None
        and first == given.shape[0]
        and all(isinstance(size, int) and size > 0 for size in rest)
    )
