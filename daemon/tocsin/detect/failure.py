"""What ONNX Runtime raises, in our words."""

import re

from onnxruntime.capi import onnxruntime_pybind11_state as _native

from tocsin.errors import InferenceFault

# Its exceptions share no root below Exception; RuntimeError is what its binding raises otherwise, and MemoryError
# for a std::bad_alloc.
RAISED: tuple[type[Exception], ...] = (
    *(kind for kind in vars(_native).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    MemoryError,
)
UNREADABLE = (
    _native.InvalidProtobuf,
    _native.InvalidGraph,
    _native.InvalidArgument,
    _native.NoModel,
    _native.NotImplemented,
)
"""What it raises for a file, on whatever device."""

# Where in its source ONNX Runtime failed, and the file that we name ourselves, fill a line and tell nobody a thing.
_SOURCE = re.compile(r"/\S+\.(?:h|cc|cpp):\d+ \S+(?: [^()]*)?\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)? ")
_FAILED = re.compile(r"Load model from .*? failed:")

# The words of its arenas ("Failed to allocate memory for requested buffer", "Available memory of N is smaller than
# requested bytes of M"), of CUDA ("out of memory"), of cuBLAS, cuDNN and cuFFT (..._ALLOC_FAILED), and of TensorRT
# (OutOfMemory).
_MEMORY = re.compile(
    r"failed to allocate|bad_alloc|out ?of ?memory|smaller than requested bytes"
    r"|_ALLOC(?:ATION)?_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)


def fault(error: Exception) -> InferenceFault:
    """Return whether a batch failed for want of memory or for another reason."""
    short = isinstance(error, MemoryError) or _MEMORY.search(str(error)) is not None
    return InferenceFault.OOM if short else InferenceFault.RUNTIME


def line(error: Exception) -> str:
    """The kind and the first line of an error, which holds paths and shapes and no secrets."""
    lines = str(error).strip().splitlines() or [""]
    words = _SOURCE.sub(" ", _FAILED.sub("", lines[0]))
    return f"{type(error).__name__}: {words[:200]}"
