"""Brings what the outbox holds to its receivers: one thread with an event loop, one courier for each webhook."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import httpx2

from tocsin.deliver import courier
from tocsin.deliver.attach import Read
from tocsin.deliver.courier import Courier, Observer, Route
from tocsin.deliver.resolve import ResolvingLoop
from tocsin.deliver.schedule import Schedule
from tocsin.deliver.webhook import Webhook, new_client
from tocsin.errors import OutboxError
from tocsin.thread import guarded

TURN = 1.0  # seconds between two pulses


class Source(courier.Source, Protocol):
    """The outbox as the dispatcher sees it."""

    def listen(self, wake: Callable[[], None], forget: Callable[[frozenset[int]], None]) -> None: ...


@dataclass(slots=True)
class _Post:
    """A courier at work: its task, and the client that it has now."""

    courier: Courier
    task: asyncio.Task[None]
    client: httpx2.AsyncClient


class Dispatcher:
    """Delivers each queued event to its webhook, at least once, until its schedule's window closes.

    Events about one alarm reach a webhook strictly in order, all others overtake; webhooks do not wait for each
    other. `start` resumes what is queued. The outbox is to be started before it and stopped after it.

    `paused` are the webhooks of which an earlier life of the daemon told that they want no more. `read` is asked
    for the pictures that go along, by threads of their own.

    `on_failure` is called once, from the dispatcher's thread, with a sentence, when that thread ends by an
    unexpected error; it must not call `stop`, which waits for the thread.
    """

    def __init__(
        self,
        outbox: Source,
        webhooks: Sequence[Webhook],
        observe: Observer,
        schedule: Schedule | None = None,
        chance: Callable[[], float] = random.random,
        *,
        paused: Collection[str] = (),
        read: Read | None = None,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._outbox = outbox
        self._webhooks = tuple(webhooks)
        self._paused = frozenset(paused)
        self._route = Route(outbox, observe, schedule or Schedule(), chance, read)
        self._thread = guarded("dispatcher", self._work, on_failure)
        self._ready = threading.Event()  # set when the loop can be called; only `start` waits for it
        # Both are set by the thread before `_ready`. The loop stays as it is, the couriers are replaced whole.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._couriers: tuple[Courier, ...] = ()
        self._posts: dict[str, _Post] = {}  # by webhook, with those that are leaving; the loop's own
        self._group = asyncio.TaskGroup()
        self._closing: set[asyncio.Task[None]] = set()  # of clients that were exchanged
        self._stopping = asyncio.Event()  # wakes the thread's main task; set in the loop alone
        self._deadline = float("inf")  # written before `_stopping` is set
        self._pulse = time.monotonic()

    def start(self) -> None:
        """Start to deliver; returns when the event loop runs."""
        for webhook in self._paused:
            self._route.observe.paused(webhook, True)
        self._outbox.listen(self._look, self._forget)  # before the first look: nothing comes between
        self._thread.start()
        self._ready.wait()

    def stop(self, deadline: float) -> None:
        """Deliver what is due and under way until `deadline` on the monotonic clock, and give up the rest.

        What is given up stays queued. Does nothing if it does not run. Raises OutboxError if it does not end.
        """
        if not self._thread.is_alive():
            return
        self._deadline = deadline
        self._call(self._stopping.set)
        self._thread.join(max(0.0, deadline - time.monotonic()) + 0.5)
        if self._thread.is_alive():
            raise OutboxError(
                "dispatcher: expected the deliveries to end in time, found them still under way"
            )

    def pulse(self) -> float:
        """Return the monotonic time at which the loop last came around; it does so every second."""
        return self._pulse

    def hurry(self, webhook: str) -> None:
        """Try now what waits for a webhook, whatever its failures said; from any thread."""
        for each in self._couriers:
            if each.webhook == webhook:
                self._call(each.hurry)

    def adopt(self, webhooks: Sequence[Webhook], changed: Collection[str]) -> None:
        """Deliver to these webhooks from now on; from any thread, and never waits.

        One that is new is begun with what is queued for it. What waits for one of the `changed` is tried at once,
        with its new settings. For one that is gone nothing is begun any more; what is queued for it stays.
        """
        self._call(partial(self._take_over, tuple(webhooks), frozenset(changed)))

    def _look(self) -> None:
        """Let each courier look for what is new; called from the outbox's thread."""
        for each in self._couriers:
            self._call(each.look)

    def _forget(self, numbers: frozenset[int]) -> None:
        """Let each courier forget what was dropped; called from the outbox's thread."""
        for each in self._couriers:
            self._call(partial(each.forget, numbers))

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None, "nothing calls before start has returned"
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)

    # From here on: the dispatcher's thread.

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
                self._loop = runner.get_loop()
                runner.run(self._run())
        finally:
            self._ready.set()

    async def _run(self) -> None:
        async with self._group:
            for webhook in self._webhooks:
                self._begin(webhook, webhook.name in self._paused)
            self._couriers = tuple(post.courier for post in self._posts.values())
            self._ready.set()
            await self._beat()
            posts = tuple(self._posts.values())
            for post in posts:
                post.courier.finish()
            left = {post.task for post in posts}
            while left and (seconds := self._deadline - time.monotonic()) > 0:
                self._pulse = time.monotonic()
                _, left = await asyncio.wait(left, timeout=min(seconds, TURN))
            for task in (*left, *self._closing):
                task.cancel()

    def _begin(self, webhook: Webhook, is_paused: bool = False) -> None:
        client = new_client(webhook)
        courier = Courier(webhook, client, self._route, is_paused)
        task = self._group.create_task(self._serve(courier))
        self._posts[webhook.name] = _Post(courier, task, client)

    async def _serve(self, courier: Courier) -> None:
        """Let a courier work until its end, and close its client."""
        try:
            await courier.run()
            while not courier.is_over:  # it was told to stay while it left
                await courier.run()
        finally:
            await self._posts.pop(courier.webhook).client.aclose()

    def _take_over(self, webhooks: Sequence[Webhook], changed: Collection[str]) -> None:
        if self._stopping.is_set():
            return
        for name in self._posts.keys() - {webhook.name for webhook in webhooks}:
            self._posts[name].courier.leave()
        for webhook in webhooks:
            post = self._posts.get(webhook.name)
            if post is None:
                self._begin(webhook)
            elif webhook.name in changed or post.courier.is_over:
                before, post.client = post.client, new_client(webhook)
                attempts = post.courier.exchange(webhook, post.client)
                closing = self._group.create_task(_close(before, attempts))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._couriers = tuple(self._posts[webhook.name].courier for webhook in webhooks)

    async def _beat(self) -> None:
        """Show every second that the loop comes around, until `stop`."""
        while not self._stopping.is_set():
            self._pulse = time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN):
                    await self._stopping.wait()


async def _close(client: httpx2.AsyncClient, attempts: Collection[asyncio.Task[None]]) -> None:
    """Close a client when the last of the attempts that need it is over."""
    try:
        if attempts:
            await asyncio.wait(attempts)
    finally:
        await client.aclose()
