"""For how long an answer at the control socket waits for the outbox; nobody else is served meanwhile."""

from concurrent.futures import Future
from typing import TypeVar

from tocsin.errors import ControlError

T = TypeVar("T")

PATIENCE = 1.5
"""Seconds."""


def wait(answer: "Future[T]") -> T:
    """Return an answer of the outbox. Raises ControlError where it keeps a person waiting."""
    try:
        return answer.result(PATIENCE)
    except TimeoutError:
        raise ControlError(
            f"expected an outbox that answers within {PATIENCE:g} s, found it waiting for the disk"
        ) from None
