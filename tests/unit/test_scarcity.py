"""What counts as too little of something, and what as a fault."""

import errno
import os

import pytest

from tocsin.errors import ModelError
from tocsin.scarcity import scarcity


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "no memory"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "Cannot allocate memory"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (RuntimeError("can't allocate lock"), "can't allocate lock"),
        (ImportError("cv2.so: failed to map segment from shared object"), "cv2.so: failed to map segment"),
        (
            ModelError("m.onnx: found one that OpenCV refuses: Failed to allocate 1 bytes"),
            "m.onnx: found one",
        ),
    ],
)
def test_what_ran_out_is_told(error: BaseException, said: str) -> None:
    """In the words of whoever noticed."""
    found = scarcity(error)
    assert found is not None
    assert found.startswith(said)


def test_what_an_error_came_from_counts() -> None:
    """A translated error keeps its cause."""
    wrapped = ModelError("m.onnx: expected a model, found none")
    wrapped.__cause__ = MemoryError("std::bad_alloc")
    assert scarcity(wrapped) == "std::bad_alloc"


def test_errors_that_came_from_each_other_end_the_search() -> None:
    """Python lets them."""
    one, other = ModelError("one"), ModelError("other")
    one.__cause__, other.__context__ = other, one
    assert scarcity(one) is None


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(errno.ENOENT, "No such file"), ModelError("no model"), RuntimeError("no"), None],
)
def test_other_faults_are_none_of_it(error: BaseException | None) -> None:
    """A restart would not mend them."""
    assert scarcity(error) is None
