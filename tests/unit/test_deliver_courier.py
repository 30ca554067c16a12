"""What one courier does, with a queue in memory and a receiver that is a function."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import httpx2
from structlog.testing import capture_logs

from support.events import Notes
from support.receiver import SECRET
from tocsin.deliver.courier import CONCURRENCY, Courier, Route
from tocsin.deliver.event import Event, EventType
from tocsin.deliver.schedule import Outcome, Schedule
from tocsin.deliver.store import Change, Delivery
from tocsin.deliver.webhook import Webhook

T = TypeVar("T")
LONG = 10.0  # seconds in which everything here happens on a busy machine, too
Answer = Callable[[int, int], int | tuple[int, dict[str, str]]]
"""From a delivery's number and the number of the request to the status, and headers if there are any."""


def done(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future


def delivery(number: int, attempts: int = 0, wait: float = 0.0, outcome: Outcome | None = None) -> Delivery:
    """Return a delivery of an alarm of its own whose next attempt, if `wait` is given, is that far away."""
    next_attempt = 4e9 if wait else 0.0
    return Delivery(
        number,
        "hook",
        f"lane {number}",
        f"msg_{number}",
        EventType.ALARM_RAISED,
        0.0,
        f"alarm_{number}",
        attempts,
        0.0,
        next_attempt,
        wait,
        outcome,
    )


@dataclass
class Queue:
    """An outbox that holds what it was given; `waits` are those that failures were recorded with."""

    deliveries: tuple[Delivery, ...]
    waits: list[float] = field(default_factory=list)

    def queued(self, webhook: str, after: int, limit: int) -> "Future[tuple[Delivery, ...]]":
        found = [each for each in self.deliveries if each.webhook == webhook and each.number > after]
        return done(tuple(found[:limit]))

    def body(self, event_id: str) -> "Future[bytes | None]":
        return done(event_id.encode())

    def is_durable(self, number: int) -> bool:
        return number > 0

    def commit(self, change: Change, exclude: str | None = None) -> "Future[None]":
        raise AssertionError(f"nothing is told here: {change} {exclude}")

    def delivered(self, number: int, attempts: int) -> "Future[None]":
        assert attempts > 0, number
        return done(None)

    def failed(self, number: int, attempts: int, outcome: Outcome, wait: float) -> "Future[None]":
        assert attempts > 0, (number, outcome)
        self.waits.append(wait)
        return done(None)

    def bury(
        self, delivery: Delivery, attempts: int, outcome: Outcome, notice: Event | None
    ) -> "Future[None]":
        raise AssertionError(f"nothing dies here: {delivery} {attempts} {outcome} {notice}")


async def nothing() -> AsyncIterator[bytes]:
    """An empty body that, as from a real connection, has not been read yet."""
    yield b""


def serve(queue: Queue, schedule: Schedule, answer: Answer, requests: int) -> list[int]:
    """Run a courier until its receiver has got so many requests and answered them; return their deliveries."""
    seen: list[int] = []
    counter = itertools.count(1)

    async def run() -> None:
        enough = asyncio.Event()

        def handle(request: httpx2.Request) -> httpx2.Response:
            number = int(request.headers["webhook-id"].removeprefix("msg_"))
            seen.append(number)
            if len(seen) == requests:
                enough.set()
            got = answer(number, next(counter))
            status, headers = got if isinstance(got, tuple) else (got, {})
            return httpx2.Response(status, headers=headers, content=nothing())

        async with httpx2.AsyncClient(transport=httpx2.MockTransport(handle)) as client:
            route = Route(queue, Notes(), schedule, chance=lambda: 0.5)
            courier = Courier(Webhook("hook", "https://receiver.example/", SECRET), client, route)
            task = asyncio.ensure_future(courier.run())
            async with asyncio.timeout(LONG):
                await enough.wait()
            courier.finish()
            async with asyncio.timeout(LONG):
                await task

    asyncio.run(run())
    return seen


def test_the_probe_of_an_open_circuit_is_what_was_tried_least():
    """When the first four have failed, the next one out is one never tried, though another is first in line."""
    tried = [delivery(number, attempts=9) for number in range(1, 8)]
    queue = Queue((*tried, delivery(8)))
    seen = serve(queue, Schedule(steps=(0.01, 600)), lambda *_: 503, requests=5)
    assert seen == [1, 2, 3, 4, 8]


def test_a_success_lets_go_what_an_earlier_run_left_waiting():
    """What waits since before a restart goes with the first success, but for what was refused by itself."""
    queue = Queue(
        (
            delivery(1, 9, 600, Outcome.UNREACHABLE),
            delivery(2, 9, 600, Outcome.REFUSED),
            delivery(3, 9, 600, Outcome.DENIED),
            delivery(4),
        )
    )
    assert serve(queue, Schedule(), lambda *_: 204, requests=3) == [4, 1, 3]


def test_a_time_that_the_receiver_named_stands():
    """A delivery that was asked to wait ten minutes does so, though others are accepted in the meantime."""

    queue = Queue(tuple(delivery(number) for number in range(1, 8)))
    asked = (429, {"retry-after": "600"})
    seen = serve(queue, Schedule(), lambda number, _: asked if number == 1 else (204, {}), requests=7)
    assert sorted(seen) == [1, 2, 3, 4, 5, 6, 7]


def test_a_quick_second_try_follows_an_answer_of_a_proxy():
    """A delivery that meets 404 is planned anew in five seconds, and one that meets 422 as well."""
    for status in (404, 422):
        queue = Queue((delivery(1),))
        serve(queue, Schedule(), lambda *_, status=status: status, requests=1)
        assert queue.waits == [5]


def test_each_kind_of_failure_is_said_once_until_it_is_over():
    """Kinds that alternate are one line each; then comes one line of recovery."""
    statuses = {1: 503, 2: 404, 3: 503, 4: 404, 5: 204}
    with capture_logs() as logs:
        schedule = Schedule(steps=(0.01,), slow=(0.01,))
        serve(Queue((delivery(1),)), schedule, lambda _, n: statuses[n], requests=5)
    assert [(line["event"], line.get("outcome")) for line in logs] == [
        ("webhook does not take a delivery", Outcome.FAILING),
        ("webhook does not take a delivery", Outcome.DENIED),
        ("webhook answers again", None),
    ]
    assert logs[0]["why"] == "the receiver answered"


def test_a_refused_delivery_that_is_accepted_later_is_said():
    """What one delivery was refused for is said once, and that it was accepted in the end."""
    statuses = {1: 422, 2: 422, 3: 204}
    with capture_logs() as logs:
        serve(Queue((delivery(1),)), Schedule(slow=(0.01,)), lambda _, n: statuses[n], requests=3)
    assert [line["event"] for line in logs] == ["webhook does not take a delivery", "webhook answers again"]


def test_the_log_knows_of_an_earlier_run():
    """A webhook that failed before the restart is named at once, and so is its first acceptance."""
    waiting = [delivery(number, 9, 600, Outcome.TIMEOUT) for number in (1, 2)]
    with capture_logs() as logs:
        serve(Queue((*waiting, delivery(3))), Schedule(), lambda *_: 204, requests=3)
    assert [(line["event"], line.get("outcome")) for line in logs] == [
        ("webhook did not take a delivery when it was last tried", Outcome.TIMEOUT),
        ("webhook answers again", None),
    ]


@dataclass
class SlowQueue(Queue):
    """An outbox that takes its time to note an acceptance."""

    noted: "list[Future[None]]" = field(default_factory=list)

    def delivered(self, number: int, attempts: int) -> "Future[None]":
        future: Future[None] = Future()
        self.noted.append(future)
        asyncio.get_running_loop().call_later(0.02, future.set_result, None)
        return future

    def open(self) -> int:
        """How many acceptances are not on the disk."""
        return sum(not future.done() for future in self.noted)


def test_what_a_crash_would_repeat_is_no_more_than_is_under_way():
    """However fast the receiver and slow the disk, a request goes out only while few acceptances are not noted."""
    queue = SlowQueue(tuple(delivery(number) for number in range(1, 21)))
    open_at: list[int] = []
    serve(queue, Schedule(), lambda *_: (open_at.append(queue.open()), 204)[1], requests=20)
    assert len(queue.noted) == 20
    assert 0 < max(open_at) < CONCURRENCY
