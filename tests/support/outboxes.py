"""An outbox on a disk of the test's, for as long as a test needs it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.events import Notes
from support.wait import SCALE
from tocsin.deliver import clerk as clerk_module
from tocsin.deliver.event import Event
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.overflow import Limits
from tocsin.deliver.store import Change, Delivery, Store

EVERYTHING = {"hook": ("alarm.*", "stream.*", "outbox.*", "delivery.*")}
WAIT = 30 * SCALE  # seconds for the disk


@contextmanager
def running(
    path: Path, notes: Notes, webhooks: dict[str, tuple[str, ...]] = EVERYTHING, **kind: Limits
) -> Iterator[Outbox]:
    """Start an outbox, and stop it."""
    outbox = Outbox(path, webhooks, notes, **kind)
    outbox.start()
    try:
        yield outbox
    finally:
        outbox.stop(time.monotonic() + WAIT)


def commit(outbox: Outbox, *events: Event) -> None:
    """Commit events, and wait for the disk."""
    outbox.commit(Change(events=events)).result(WAIT)


def queued(outbox: Outbox, webhook: str = "hook", after: int = 0) -> tuple[Delivery, ...]:
    """Return all that waits for a webhook."""
    return outbox.queued(webhook, after, 100_000).result(WAIT)


@dataclass
class Disk:
    """A disk that refuses changes for a while, as `code`; `refused` counts how often it did."""

    code: int = sqlite3.SQLITE_FULL
    is_well: bool = False
    refused: int = 0


def refusing_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Let the stores of this test refuse changes as the disk that is returned says."""
    disk = Disk()

    def refusing(write: Callable[..., int]) -> Callable[..., int]:
        def refuse(self: Store, *rest: object) -> int:
            is_on_disk = self._database.execute("PRAGMA database_list").fetchone()[2]
            if disk.is_well or not is_on_disk:
                return write(self, *rest)
            disk.refused += 1
            error = sqlite3.OperationalError("the test's disk")
            error.sqlite_errorcode = disk.code
            raise error

        return refuse

    monkeypatch.setattr(Store, "apply", refusing(Store.apply))
    monkeypatch.setattr(Store, "make_up", refusing(Store.make_up))
    monkeypatch.setattr(clerk_module, "RETRY", 0.05)
    return disk
