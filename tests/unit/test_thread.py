"""What a guarded thread says when it dies, and that it is silent when it ends."""

import threading
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

import tocsin.thread
from tocsin.thread import guarded


def run(work: "type[Exception] | None") -> tuple[list[tuple[str, str]], list[dict[str, object]]]:
    """Run a thread to its end; return what `on_failure` was told, by which thread, and what was logged."""
    told: list[tuple[str, str]] = []

    def body() -> None:
        if work is not None:
            raise work("a secret of others")

    thread = guarded("outbox", body, lambda said: told.append((said, threading.current_thread().name)))
    with capture_logs() as logged:
        thread.start()
        thread.join(10.0)
    assert not thread.is_alive()
    return told, [dict(line) for line in logged]


def test_an_unexpected_error_is_told_once_and_logged_with_its_traceback() -> None:
    """An error that the work lets through is logged with its traceback and told once, from that thread."""
    told, logged = run(ValueError)
    assert told == [("the outbox stopped on an unexpected error", "outbox")]
    assert [(line["event"], line["thread"], line["exc_info"], line["log_level"]) for line in logged] == [
        ("a thread stopped on an unexpected error", "outbox", True, "error")
    ]


def test_an_error_that_cannot_be_logged_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory for a line the daemon must end all the same."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(tocsin.thread, "log", SimpleNamespace(exception=fail))
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    assert run(ValueError) == ([("the outbox stopped on an unexpected error", "outbox")], [])


def test_work_that_returns_is_no_failure() -> None:
    """A thread whose work returns tells nobody and logs nothing."""
    assert run(None) == ([], [])


def test_the_thread_waits_to_be_started_and_does_not_hold_the_process() -> None:
    """A guarded thread is returned unstarted, as a daemon thread of the given name."""
    thread = guarded("outbox", lambda: None, lambda said: None)
    assert (thread.ident, thread.daemon, thread.name) == (None, True, "outbox")
