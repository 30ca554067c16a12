"""How soon an event is on the disk and at its receivers, and how fast a long queue drains.

    python tests/bench/delivery.py [--seconds 60] [--queued 10000]

A real outbox and dispatcher, receivers in a process of their own over HTTP on loopback. First 1,000 events a minute
to three webhooks, of which one hangs; then a queue that waited for a receiver that was away.
"""

import argparse
import logging
import multiprocessing
import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.events import Notes, alarm_event
from support.receiver import SECRET
from tocsin.deliver.dispatch import Dispatcher
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.schedule import Schedule
from tocsin.deliver.store import Change
from tocsin.deliver.webhook import Webhook

PER_MINUTE = 1000
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def receive(port: int, ready: Connection) -> None:
    """Answer 204 to every request on that port; send the times of their first bytes, by their ids, when asked."""
    seen: list[tuple[str, float]] = []

    def serve(connection: socket.socket) -> None:
        while True:
            request = connection.recv(65536)
            at = time.monotonic()
            if not request:
                return
            head = request.partition(b"\r\n\r\n")[0].decode().lower()
            wanted = int(head.partition("content-length: ")[2].split("\r\n")[0])
            rest = len(request) - len(head) - 4
            while rest < wanted:
                rest += len(connection.recv(65536))
            seen.append((head.partition("webhook-id: ")[2].split("\r\n")[0], at))
            connection.sendall(ANSWER)

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    server = socket.create_server(("127.0.0.1", port))
    threading.Thread(target=accept, daemon=True).start()
    ready.send(server.getsockname()[1])
    while True:
        ready.send(len(seen) if ready.recv() == "count" else list(seen))


@contextmanager
def receiver(port: int = 0):  # type: ignore[no-untyped-def]
    """Yield a receiver's port and the pipe to its process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=receive, args=(port, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.kill()
        process.join()


def told(pipe: Connection) -> dict[str, float]:
    """The time at which each event's first byte came."""
    pipe.send("tell")
    seen: list[tuple[str, float]] = pipe.recv()
    return dict(reversed(seen))


def counted(pipe: Connection) -> int:
    """How many requests came."""
    pipe.send("count")
    count: int = pipe.recv()
    return count


def line(name: str, seconds: Sequence[float]) -> str:
    """Median, p99 and the slowest, in milliseconds."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 for share in (0.5, 0.99))
    slowest = ordered[-1] * 1e3
    return f"  {name:<30} median {p50:6.1f} ms   p99 {p99:6.1f}   slowest {slowest:6.1f}   of {len(ordered)}"


def steady(folder: Path, seconds: float) -> None:
    """1,000 events a minute to two receivers that live and one that takes connections and never answers."""
    dead = socket.create_server(("127.0.0.1", 0))
    with receiver() as (first, first_pipe), receiver() as (second, second_pipe):
        ports = {"first": first, "second": second, "dead": dead.getsockname()[1]}
        webhooks = [Webhook(name, f"http://127.0.0.1:{port}/", SECRET) for name, port in ports.items()]
        outbox = Outbox(folder / "steady.sqlite", dict.fromkeys(ports, ("alarm.*",)), Notes())
        dispatcher = Dispatcher(outbox, webhooks, Notes())
        outbox.start()
        dispatcher.start()
        raised: dict[str, float] = {}
        committed: dict[str, float] = {}
        begin = time.monotonic()
        for number in range(round(seconds * PER_MINUTE / 60)):
            time.sleep(max(0.0, begin + number * 60 / PER_MINUTE - time.monotonic()))
            event = alarm_event(alarm_id=f"alarm_{number}")
            raised[event.id] = time.monotonic()
            done = outbox.commit(Change(events=(event,)))
            done.add_done_callback(lambda _, name=event.id: committed.update({name: time.monotonic()}))
        time.sleep(2)
        print(f"{len(raised)} events, {PER_MINUTE} a minute, three webhooks of which one hangs:")
        print(line("raised -> committed", [committed[name] - at for name, at in raised.items()]))
        for name, pipe in (("first", first_pipe), ("second", second_pipe)):
            came = told(pipe)
            assert came.keys() == raised.keys(), "every event at every living receiver"
            print(line(f"raised -> first byte, {name}", [came[one] - at for one, at in raised.items()]))
        dispatcher.stop(time.monotonic())
        outbox.stop(time.monotonic() + 10)
    dead.close()


def drain(folder: Path, count: int) -> None:
    """A queue of that many events that waited for its receiver."""
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    outbox = Outbox(folder / "drain.sqlite", {"hook": ("alarm.*",)}, Notes())
    webhook = Webhook("hook", f"http://127.0.0.1:{port}/", SECRET)
    dispatcher = Dispatcher(outbox, [webhook], Notes(), Schedule(steps=(1,)))
    outbox.start()
    futures = [outbox.commit(Change((alarm_event(alarm_id=f"a{n}"),))) for n in range(min(900, count))]
    for number in range(len(futures), count):
        futures[number - 900].result()  # the outbox holds no more than a thousand in memory
        futures.append(outbox.commit(Change((alarm_event(alarm_id=f"a{number}"),))))
    futures[-1].result()
    dispatcher.start()
    threads = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with receiver(port) as (_, pipe):
        while counted(pipe) < count:
            threads = max(threads, threading.active_count())
            time.sleep(0.2)
        came = told(pipe)
    first, last = min(came.values()), max(came.values())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{count} queued events drained in {last - first:.1f} s, {count / (last - first):.0f} a second,"
        f" with {threads} threads at most, {grown:.0f} MB more memory"
    )
    dispatcher.stop(time.monotonic() + 5)
    outbox.stop(time.monotonic() + 60)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--queued", type=int, default=10_000)
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as folder:
        steady(Path(folder), chosen.seconds)
        drain(Path(folder), chosen.queued)


if __name__ == "__main__":
    main()
