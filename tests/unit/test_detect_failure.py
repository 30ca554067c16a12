"""What ONNX Runtime says when a batch fails, and what we take it for."""

import pytest

from tocsin.detect import failure
from tocsin.errors import InferenceFault

CPU_ARENA = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running ConstantOfShape node. Name:'' "
    "Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for "
    "requested buffer of size 13194139533568\n"
)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError(CPU_ARENA), id="the arena of the CPU"),
        pytest.param(
            RuntimeError("Available memory of 1024 is smaller than requested bytes of 4096"),
            id="gpu_mem_limit",
        ),
        pytest.param(RuntimeError("CUDA failure 2: out of memory ; GPU=0"), id="CUDA"),
        pytest.param(RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"), id="cuBLAS"),
        pytest.param(RuntimeError("CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED"), id="cuDNN"),
        pytest.param(RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), id="cuDNN 9"),
        pytest.param(RuntimeError("std::bad_alloc"), id="C++"),
        pytest.param(MemoryError(), id="Python's own, without a word"),
    ],
)
def test_a_want_of_memory_is_told_apart(error: Exception) -> None:
    """Every part that allocates has words of its own for it."""
    assert failure.fault(error) is InferenceFault.OOM


@pytest.mark.parametrize(
    "words",
    [
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
        "CUDNN_STATUS_EXECUTION_FAILED",
        "Got invalid dimensions for input: images for the following indices index: 2 Got: 16 Expected: 32",
        "",
    ],
)
def test_other_failures_are_no_want_of_memory(words: str) -> None:
    """A smaller batch would not mend them."""
    assert failure.fault(RuntimeError(words)) is InferenceFault.RUNTIME


def test_a_failure_is_one_line_without_where_it_happened() -> None:
    """The path and the function in ONNX Runtime's own source are left out."""
    line = failure.line(RuntimeError(CPU_ARENA))
    assert line.startswith("RuntimeError: [ONNXRuntimeError] : 1 : FAIL : Non-zero status code")
    assert line.endswith("Failed to allocate memory for requested buffer of size 13194139533568")
    assert "bfc_arena" not in line
