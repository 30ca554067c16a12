"""A thread whose death is noticed."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


def guarded(name: str, work: Callable[[], None], on_failure: Callable[[str], None]) -> threading.Thread:
    """Return a thread, not yet started, that runs `work` and tells of an error that `work` lets through.

    `on_failure` is then called once, from that thread, with a sentence that names the thread; it must not wait
    for the thread. When `work` returns, nothing is said. A daemon thread: a call that hangs in it must not keep
    the process from ending.
    """

    def run() -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - the last line of the thread
            # Whatever ended it must end the daemon too: a part that died unseen would look like a quiet night.
            try:
                log.exception("a thread stopped on an unexpected error", thread=name)
            finally:  # also where there is no memory left to say it
                on_failure(f"the {name} stopped on an unexpected error")

    return threading.Thread(target=run, name=name, daemon=True)
