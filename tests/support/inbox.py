"""What a webhook receiver got, in the order in which it came."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One request with a good signature. `at` is monotonic, `wall` is Unix time, both in seconds.

    Header names are in lower case. `answer` is the status it got; None when the connection was cut instead.
    """

    id: str
    type: str
    body: Mapping[str, Any]
    raw: bytes
    headers: Mapping[str, str]
    at: float
    wall: float
    answer: int | None

    @property
    def data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self.body.get("data", {})
        return data

    @property
    def is_accepted(self) -> bool:
        return self.answer is not None and 200 <= self.answer < 300


class Inbox:
    """An append-only list that one side fills while the other waits for something to be in it."""

    def __init__(self) -> None:
        # Guards the list; readers block on it until a message comes or their deadline passes.
        self._changed = threading.Condition()
        self._messages: list[Message] = []

    def put(self, message: Message) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def all(self) -> list[Message]:
        with self._changed:
            return list(self._messages)

    def wait(
        self, is_over: Callable[[], bool], deadline: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Return when the condition holds, which is asked after each message, or when `now()` passes `deadline`."""
        with self._changed:
            while not is_over() and (left := deadline - now()) > 0:
                self._changed.wait(left)
