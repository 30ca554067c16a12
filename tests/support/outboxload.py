"""An outbox at work, to be watched by strace: `python -m support.outboxload FOLDER EVENTS`.

Commits events and writes the id of each to FOLDER/acknowledged as soon as it counts as committed; every fourth is
instead marked as delivered some time later, and not written down. Ends without closing anything.
"""

import os
import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from support.events import Notes, alarm_event, ended_alarm, open_alarm
from tocsin.deliver.event import EventType
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change

OUTBOX, BOOK = "outbox.sqlite", "acknowledged"
WEBHOOKS = {"hook": ("alarm.*",)}


def main(folder: Path, events: int) -> None:
    """Commit so many events."""
    book = os.open(folder / BOOK, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    outbox = Outbox(folder / OUTBOX, WEBHOOKS, Notes())
    outbox.start()
    spent: set[str] = set()
    last: Future[None] = Future()
    for number in range(events):
        kind = EventType.ALARM_ENDED if number % 2 else EventType.ALARM_RAISED
        event = alarm_event(kind, f"alarm_{number // 2}")
        alarm = (open_alarm if kind is EventType.ALARM_RAISED else ended_alarm)(f"alarm_{number // 2}")
        last = outbox.commit(Change((event,), alarms=(alarm,)))
        if number % 4 == 0:
            spent.add(event.id)
        else:
            # In the outbox's thread: the trace of that thread holds the promise where it was given.
            last.add_done_callback(partial(_promise, book, event.id))
        if number % 10 == 9:
            last.result()
            for delivery in outbox.queued("hook", 0, events).result():
                if delivery.event_id in spent:
                    outbox.delivered(delivery.number, 1)
                else:
                    outbox.failed(delivery.number, 1, "failing", 2.0)  # type: ignore[arg-type]  # its word
                    break
    last.result()
    outbox.queued("hook", 0, 1).result()  # behind what the last commit calls when it is done
    os._exit(0)  # power cuts do not close databases


def _promise(book: int, event_id: str, _: "Future[None]") -> None:
    os.write(book, f"{event_id}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
