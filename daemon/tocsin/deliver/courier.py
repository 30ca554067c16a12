"""Carries the deliveries of one webhook: a task in the dispatcher's event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import httpx2
import structlog

from tocsin.deliver.attach import BRINGING, CHOKED, Attached, Read, goes_bare, kinds_of, nothing
from tocsin.deliver.circuit import Circuit
from tocsin.deliver.event import DeliveryData, Event, EventType, PauseData
from tocsin.deliver.lanes import Lanes, Waiting
from tocsin.deliver.notation import new_id
from tocsin.deliver.porter import Porter
from tocsin.deliver.schedule import PATIENT, Outcome, Schedule, Scope, Settlement, remaining, scope
from tocsin.deliver.store import Change, Delivery
from tocsin.deliver.webhook import Attempt, Message, Webhook
from tocsin.errors import OutboxError

CONCURRENCY = 4  # attempts at one webhook at a time, and so what a crash makes again of them at most
BATCH = 500  # deliveries that are read from the outbox at a time
PAUSE = 1.0  # seconds after which an outbox that could not be read is read again

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Who wants to know how deliveries go; called from the dispatcher's thread."""

    def attempted(self, webhook: str, outcome: Outcome) -> None: ...

    def settled(self, webhook: str, settlement: Settlement) -> None: ...

    def delivered_after(self, webhook: str, seconds: float) -> None: ...

    def paused(self, webhook: str, is_paused: bool) -> None: ...


class Source(Protocol):
    """The outbox as a courier sees it; each answer may fail with OutboxError."""

    def queued(self, webhook: str, after: int, limit: int) -> "Future[tuple[Delivery, ...]]": ...

    def body(self, event_id: str) -> "Future[bytes | None]": ...

    def is_durable(self, number: int) -> bool: ...

    def commit(self, change: Change, exclude: str | None = None) -> "Future[None]": ...

    def delivered(self, number: int, attempts: int) -> "Future[None]": ...

    def failed(self, number: int, attempts: int, outcome: Outcome, wait: float) -> "Future[None]": ...

    def bury(
        self, delivery: Delivery, attempts: int, outcome: Outcome, notice: Event | None
    ) -> "Future[None]": ...


@dataclass(frozen=True, slots=True)
class Route:
    """What all couriers of a dispatcher share. `chance` draws from 0 to 1; `read` finds what is kept of alarms."""

    outbox: Source
    observe: Observer
    schedule: Schedule
    chance: Callable[[], float]
    read: Read | None = None


class Courier:
    """Delivers what is queued for one webhook. All methods belong to the event loop's thread."""

    def __init__(
        self, webhook: Webhook, client: httpx2.AsyncClient, route: Route, is_paused: bool = False
    ) -> None:
        """Prepare a courier; `is_paused` when an earlier life of the daemon told that its webhook is."""
        self._webhook = webhook
        self._client = client
        self._route = route
        self._lanes = Lanes()
        self._circuit = Circuit()
        self._running = 0
        self._read_to = 0  # the number of the last delivery that was read from the outbox
        self._has_unread = True
        self._is_finishing = False
        self._is_leaving = False
        self._under_way: set[asyncio.Task[None]] = set()  # attempts with the client of now
        self._said: set[Outcome] = set()  # the kinds of failure that the log knows of; emptied by recovery
        self._is_paused = is_paused  # whether the others know that the receiver wants no more
        self._has_past = False  # whether deliveries had failed before there was this courier
        # One delivery with pictures is under way at a time, so that they hold no other event up; these wait for it.
        self._laden: Waiting | None = None
        self._aside: deque[Waiting] = deque()
        self._porter = Porter(route.read)
        # Wakes `run`: new deliveries, the end of an attempt, or `finish`.
        self._news = asyncio.Event()

    def look(self) -> None:
        """Take notice that the outbox may hold more."""
        self._has_unread = True
        self._news.set()

    @property
    def webhook(self) -> str:
        """The name of its webhook."""
        return self._webhook.name

    def hurry(self) -> None:
        """Try everything now, as if nothing had failed but for the order; one probe where the receiver is away."""
        now = time.monotonic()
        self._lanes.hurry(now)
        self._circuit.postpone(now)
        self._news.set()

    def forget(self, numbers: frozenset[int]) -> None:
        """Give up deliveries that the outbox has dropped; one that is under way comes to its end."""
        self._lanes.drop(numbers)
        self._news.set()

    def finish(self) -> None:
        """Let `run` return as soon as nothing is under way and nothing is due."""
        self._is_finishing = True
        self._news.set()

    @property
    def is_over(self) -> bool:
        """Whether `run` may return."""
        return self._is_leaving or self._is_finishing

    def leave(self) -> None:
        """Begin nothing more, and let `run` return when nothing is under way; what is queued stays queued."""
        self._is_leaving = True
        self._news.set()

    def exchange(self, webhook: Webhook, client: httpx2.AsyncClient) -> set[asyncio.Task[None]]:
        """Go on with other settings and another client, at once; return the attempts that still need the old one.

        Whoever was to leave stays, as one that comes anew: while it left nobody told it of news, and the others
        were told that its pause is over.
        """
        self._webhook, self._client = webhook, client
        if self._is_leaving:
            self._is_leaving = self._is_paused = False
            self._has_unread = True
        self.hurry()
        before, self._under_way = self._under_way, set()
        return before

    async def run(self) -> None:
        """Deliver until `finish`; cancelling it gives up the attempts under way, which stay queued."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                self._news.clear()
                await self._read()
                now = time.monotonic()
                while waiting := self._next(now):
                    self._running += 1
                    began, was_closed = self._circuit.round, self._circuit.closed
                    attempt = attempts.create_task(self._attempt(waiting, began, was_closed))
                    self._under_way.add(attempt)
                    attempt.add_done_callback(self._under_way.discard)
                is_over = self._is_leaving or (self._is_finishing and not self._has_unread)
                if is_over and not self._running:
                    return
                await self._sleep(now)

    async def _read(self) -> None:
        """Take over what the outbox holds beyond what was read before."""
        while self._has_unread:
            self._has_unread = False  # before the question: what is committed after the answer sets it again
            try:
                asked = self._route.outbox.queued(self._webhook.name, self._read_to, BATCH)
                found = await asyncio.wrap_future(asked)
            except OutboxError:  # said by the outbox itself; `_sleep` comes back for it
                self._has_unread = True
                return
            if len(found) == BATCH:
                self._has_unread = True
            now, wall = time.monotonic(), time.time()
            for delivery in found:
                self._add(delivery, now, wall)

    def _add(self, delivery: Delivery, now: float, wall: float) -> None:
        """Queue a delivery as the outbox knows it, with what was learnt of it before there was this courier."""
        due = now + remaining(delivery.next_attempt, delivery.wait, wall)
        outcome = delivery.outcome
        is_outage = outcome is not None and scope(outcome) is Scope.WEBHOOK
        waiting = Waiting(delivery, now - delivery.age, due, delivery.attempts, outcome)
        waiting.refused = outcome is Outcome.REFUSED
        self._lanes.add(waiting, 0 if is_outage else None)
        self._read_to = delivery.number
        if is_outage and not self._has_past:
            self._has_past = True
            log.warning(
                "webhook did not take a delivery when it was last tried",
                webhook=self._webhook.name,
                outcome=outcome,
            )

    def _next(self, now: float) -> Waiting | None:
        """Return the delivery to attempt now, if any."""
        if self._is_leaving:
            return None
        if self._aside and self._laden is None:
            self._lanes.defer(self._aside.popleft(), now)
        waiting = self._pick(now)
        if waiting is not None and self._is_laden(waiting):
            self._laden = waiting
        return waiting

    def _pick(self, now: float) -> Waiting | None:
        if self._circuit.admits(self._running, CONCURRENCY, now):
            return self._take(now) if self._circuit.closed else self._lanes.take_probe(now)
        if self._circuit.suspect is not None and not self._running:
            return self._lanes.take_probe(now, but=self._circuit.suspect)
        return None

    def _take(self, now: float) -> Waiting | None:
        """Return a delivery that is due; those with pictures are put aside while one of them is under way."""
        while (waiting := self._lanes.take(now)) and self._laden is not None and self._is_laden(waiting):
            self._aside.append(waiting)
        return waiting

    def _is_laden(self, waiting: Waiting) -> bool:
        """Say whether a delivery goes with pictures now."""
        if self._webhook.attach is None or waiting.delivery.type not in BRINGING:
            return False
        return not goes_bare(waiting.attempts, refused=waiting.refused, choked=waiting.choked)

    async def _sleep(self, now: float) -> None:
        """Wait until something happens or is due."""
        due = None if self._is_leaving else now + PAUSE if self._has_unread else self._due()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._news.wait()

    def _due(self) -> float | None:
        """Return when `_next` will have something; None when the end of an attempt must come first."""
        if self._circuit.closed:
            return self._lanes.next_due() if self._running < CONCURRENCY else None
        first = None if self._running else self._lanes.next_due()
        if first is None:
            return None
        probe = max(first, self._circuit.due)
        if self._circuit.suspect is None:
            return probe
        other = self._lanes.next_due_but(self._circuit.suspect)
        return probe if other is None else min(probe, other)

    async def _attempt(self, waiting: Waiting, began: int, was_closed: bool) -> None:
        """Try a delivery once and draw the conclusion; the circuit was in round `began` when it was taken."""
        delivery = waiting.delivery
        try:
            body = await asyncio.wrap_future(self._route.outbox.body(delivery.event_id))
            if body is None:  # the outbox was full and let go of it
                self._lanes.settle(waiting)
                return
            is_durable = self._route.outbox.is_durable(delivery.number)
            webhook, client = self._webhook, self._client
            attached = await self._attached(waiting, webhook, body)
            number = waiting.attempts + 1
            message = Message(delivery.event_id, body, delivery.at, number, is_durable, attached)
            attempt = await webhook.send(client, message)
        except OutboxError:
            await asyncio.sleep(PAUSE)
            self._lanes.defer(waiting, time.monotonic())
        else:
            waiting.attempts += 1
            had_pictures = attached is not None and bool(attached.pictures)
            waiting.refused |= attempt.outcome is Outcome.REFUSED
            waiting.choked = had_pictures and attempt.got_through and attempt.outcome in CHOKED
            self._route.observe.attempted(self._webhook.name, attempt.outcome)
            if attempt.outcome is Outcome.DELIVERED:
                # A crash makes again what was accepted and not noted: no more than are under way at a time. Whoever
                # waits for a slow disk here would wait for it with the next body all the same.
                with suppress(OutboxError):
                    await asyncio.wrap_future(self._accept(waiting, began))
            elif self._is_leaving or webhook is not self._webhook:
                self._put_back(waiting, attempt.outcome)
            else:
                self._fail(waiting, attempt, began, was_closed)
        finally:
            self._running -= 1
            self._laden = None if self._laden is waiting else self._laden
            self._news.set()

    async def _attached(self, waiting: Waiting, webhook: Webhook, body: bytes) -> Attached | None:
        """Return what goes along with a delivery; None where nothing ever does."""
        attach, alarm_id = webhook.attach, waiting.delivery.alarm_id
        if attach is None or waiting.delivery.type not in BRINGING or alarm_id is None:
            return None
        kinds = kinds_of(body)
        if not self._is_laden(waiting):
            return nothing(attach, kinds)
        return await self._porter.bring(attach, alarm_id, kinds)

    def _accept(self, waiting: Waiting, began: int) -> "Future[None]":
        """Conclude that a delivery was accepted; done when that is on the disk."""
        self._lanes.settle(waiting)
        self._lanes.release(began, time.monotonic(), rest=self._route.schedule.steps[-1])
        self._circuit.succeed()
        self._say_recovery(Outcome.REFUSED if waiting.outcome is Outcome.REFUSED else None)
        if self._is_paused:
            self._pause(False)
        noted = self._route.outbox.delivered(waiting.delivery.number, waiting.attempts)
        self._route.observe.settled(self._webhook.name, Settlement.DELIVERED)
        self._route.observe.delivered_after(self._webhook.name, max(0.0, time.time() - waiting.delivery.at))
        return noted

    def _fail(self, waiting: Waiting, attempt: Attempt, began: int, was_closed: bool) -> None:
        """Plan the next attempt at this delivery and, where the fault is not its own, at any.

        A failure while the circuit was open says nothing about this delivery, and adds nothing to its own wait.
        One while it was closed may be the delivery's own, whatever the answer claims: it waits longer each time,
        lest one body that a receiver chokes on stop all others. Once the receiver accepts another one, it is
        given the benefit of the doubt, now and then, unless the receiver named the time itself.
        """
        now, outcome = time.monotonic(), attempt.outcome
        waiting.outcome = outcome
        row = self._route.schedule.row(outcome)
        shared = 0.0
        if scope(outcome) is Scope.DELIVERY:
            self._circuit.succeed()
            self._say_recovery()
        elif self._circuit.fail(waiting.delivery.number, began, row):
            shared = self._wait(self._circuit.failures, attempt)
            self._circuit.postpone(now + shared)
        if was_closed or scope(outcome) is Scope.DELIVERY:
            waiting.strike(row)
        own = self._wait(waiting.strikes, attempt) if waiting.row == row else 0.0
        self._say(attempt)
        if outcome is Outcome.GONE and not self._is_paused:
            self._pause(True)
        is_named = attempt.retry_after is not None and outcome in PATIENT
        is_outage = scope(outcome) is Scope.WEBHOOK and not is_named
        self._lanes.defer(waiting, now + own, self._circuit.round if is_outage else None)
        self._route.outbox.failed(waiting.delivery.number, waiting.attempts, outcome, max(own, shared))
        self._bury_aged(waiting, outcome, now)

    def _put_back(self, waiting: Waiting, outcome: Outcome) -> None:
        """Let a delivery be tried again at once: it failed with settings that say nothing about those of now."""
        waiting.outcome = outcome
        self._lanes.defer(waiting, time.monotonic())
        self._route.outbox.failed(waiting.delivery.number, waiting.attempts, outcome, 0.0)

    def _pause(self, is_paused: bool) -> None:
        """Say to all but this webhook that it wants no more, or that it accepts again.

        Nothing is given up for it: what is queued waits, and one attempt an hour finds out whether it was meant.
        """
        self._is_paused = is_paused
        name = self._webhook.name
        if is_paused:
            log.error("webhook wants no more deliveries and is tried hourly", webhook=name)
        else:
            log.warning("webhook wants deliveries again", webhook=name)
        self._route.observe.paused(name, is_paused)
        now = datetime.now(UTC)
        kind = EventType.DELIVERY_PAUSED if is_paused else EventType.DELIVERY_RESUMED
        event = Event(new_id(now), kind, now, PauseData(name, Outcome.GONE))
        self._route.outbox.commit(Change(events=(event,)), exclude=name)

    def _wait(self, failures: int, attempt: Attempt) -> float:
        return self._route.schedule.wait(failures, attempt.outcome, attempt.retry_after, self._route.chance())

    def _say(self, attempt: Attempt) -> None:
        """Log the first failure of each kind since all was well."""
        if attempt.outcome not in self._said:
            self._said.add(attempt.outcome)
            log.warning(
                "webhook does not take a delivery",
                webhook=self._webhook.name,
                outcome=attempt.outcome,
                status=attempt.status,
                why=attempt.why,
            )

    def _say_recovery(self, accepted: Outcome | None = None) -> None:
        """Log that the receiver is there again, or that it accepted what it had refused, if the log knew."""
        over = {kind for kind in self._said if scope(kind) is Scope.WEBHOOK or kind is accepted}
        if over or self._has_past:
            self._said -= over
            self._has_past = False
            log.info("webhook answers again", webhook=self._webhook.name)

    def _bury_aged(self, failed: Waiting, outcome: Outcome, now: float) -> None:
        """Give up what was tried for as long as the schedule's window, after one more failure."""
        aged = self._lanes.aged(before=now - self._route.schedule.window)
        for waiting in aged:
            if waiting is failed or not self._circuit.closed:
                self._lanes.settle(waiting)
                self._bury(waiting, outcome)

    def _bury(self, waiting: Waiting, outcome: Outcome) -> None:
        delivery, name = waiting.delivery, self._webhook.name
        log.error(
            "delivery given up", webhook=name, event_id=delivery.event_id, type=delivery.type, outcome=outcome
        )
        self._route.outbox.bury(delivery, waiting.attempts, outcome, _notice(waiting, outcome))
        self._route.observe.settled(name, Settlement.DEAD)


def _notice(waiting: Waiting, outcome: Outcome) -> Event | None:
    """Return what the other webhooks are told of a lost delivery; nothing of a lost notice, or it never ends."""
    delivery = waiting.delivery
    if delivery.type is EventType.DELIVERY_EXHAUSTED:
        return None
    data = DeliveryData(
        webhook=delivery.webhook,
        event_id=delivery.event_id,
        event_type=delivery.type,
        of_alarm=delivery.alarm_id,
        attempts=waiting.attempts,
        outcome=outcome,
    )
    now = datetime.now(UTC)
    return Event(new_id(now), EventType.DELIVERY_EXHAUSTED, now, data)
