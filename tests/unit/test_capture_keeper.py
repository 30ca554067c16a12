"""How often a camera is connected to while its workers die: an injected clock, and workers that are scripts."""

import math
import random
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from support.capturing import Tally, order
from tocsin.capture import keeper as module
from tocsin.capture.keeper import Keeper
from tocsin.capture.newest import Newest
from tocsin.capture.order import Order
from tocsin.capture.reconnect import Outage, Reconnect
from tocsin.capture.status import StreamState
from tocsin.capture.wire import Broken, Connected, encode
from tocsin.errors import SourceFault, WorkerError

STEP = 0.05


class _Mailbox:
    """Where the worker says all the time that it lives."""

    slot_bytes = 1 << 30

    @property
    def alive_until(self) -> float:
        return module.time.monotonic() + 30.0


class _Worker:
    """Stands for a worker's process: it tries its camera, which has one fault, and dies when the script says so."""

    pid = 1
    mailbox: Any = _Mailbox()

    def __init__(self, outage: Outage | None) -> None:
        self.channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.setblocking(False)
        self.pidfd = self.theirs.fileno()
        self.reconnect = Reconnect(lambda: 0.0, outage)
        self.try_at = 0.0
        self.is_dead = False

    def die(self) -> None:
        self.is_dead = True
        self.theirs.close()

    def kill(self) -> None:
        if not self.is_dead:
            self.die()

    def dead(self, timeout: float = 0.0) -> bool:
        return self.is_dead

    def ending(self) -> str | None:
        return "SIGSEGV" if self.is_dead else None

    def send(self, command: object) -> None:
        pass

    def close(self) -> None:
        self.channel.close()


class _World:
    """One camera, one keeper, time, and the tries that were made; `fault` is what each try meets."""

    def __init__(self, fault: SourceFault, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.fault = 1000.0, fault
        self.tries: list[float] = []
        self.workers: list[_Worker] = []
        self.tally = Tally()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(module, "random", lambda: 0.0)
        deaf: Any = SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
        starter: Any = SimpleNamespace(ask=self._start)
        self.keeper = Keeper(order("rtsp://camera/"), Newest(), self.tally, deaf, starter)
        self.refuses_to_start = False

    def _start(self, _: Order, outage: Outage | None) -> "Future[Any]":
        started: Future[Any] = Future()
        if self.refuses_to_start:
            started.set_exception(WorkerError("no more processes"))
            return started
        worker = _Worker(outage)
        worker.try_at = self.now
        self.workers.append(worker)
        started.set_result(worker)
        return started

    def turn(self, *, dies: bool) -> None:
        """Let a moment pass in which the worker does what is due, and then maybe dies."""
        self.now += STEP
        worker = self.workers[-1] if self.workers and not self.workers[-1].is_dead else None
        if worker and self.keeper._worker is not None:
            if self.now >= worker.try_at:
                self.tries.append(self.now)
                if not dies:  # otherwise it dies of this try
                    gap = worker.reconnect.failed(self.fault, self.now)
                    worker.try_at = self.now + gap
                    worker.theirs.send(encode(Broken(self.fault, "no", False, gap)))
            if dies:
                worker.die()
        if self.keeper._worker is not None:
            self.keeper._read()
        self.keeper.tend(self.now)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    worlds: list[_World] = []

    def build(fault: SourceFault) -> _World:
        worlds.append(_World(fault, monkeypatch))
        return worlds[-1]

    yield build
    for one in worlds:
        one.close()


def _assert_the_pace(tries: list[float]) -> None:
    """At most 15 in the first minute, and two a minute after."""
    first = tries[0]
    assert sum(at < first + 60 for at in tries) <= 15
    later = [at for at in tries if at >= first + 60]
    assert len(later) >= 2
    assert all(after - before >= 30.0 - STEP for before, after in pairwise(later))


@pytest.mark.parametrize("seed", range(5))
def test_workers_that_die_at_any_time_connect_no_more_often(seed: int, world: Any) -> None:
    """During a try, right after it and while they wait."""
    one, chance = world(SourceFault.REFUSED), random.Random(seed)
    for _ in range(round(400 / STEP)):
        one.turn(dies=chance.random() < 0.02)
    assert one.tally["worker_restarted"] > 5
    assert len(one.workers) > 5
    _assert_the_pace(one.tries)


def test_a_camera_that_kills_each_worker_is_tried_no_more_often(world: Any) -> None:
    """What it sends crashes the decoder: every connection costs a process."""
    one = world(SourceFault.REFUSED)
    for _ in range(round(400 / STEP)):
        one.turn(dies=True)
    assert one.tally["worker_restarted"] == len(one.tries) == len(one.workers)
    _assert_the_pace(one.tries)


@pytest.mark.parametrize("seed", range(5))
def test_a_refused_password_is_tried_every_five_minutes_whatever_dies(seed: int, world: Any) -> None:
    """A worker that starts afresh would lock the account."""
    one, chance = world(SourceFault.AUTH), random.Random(seed)
    one.turn(dies=False)
    while not one.tries:
        one.turn(dies=False)
    for _ in range(round(2000 / STEP)):
        one.turn(dies=chance.random() < 0.002)
    assert one.tally["worker_restarted"] > 5
    assert all(after - before >= 300.0 - STEP for before, after in pairwise(one.tries))
    assert len(one.tries) >= 4


def test_a_worker_that_dies_while_it_waits_changes_neither_the_time_nor_the_reason(world: Any) -> None:
    """The status says what the stream waits for, and the next try comes when it would have come."""
    one = world(SourceFault.AUTH)
    while not one.tries:
        one.turn(dies=False)
    one.turn(dies=False)
    for _ in range(round(100 / STEP)):
        one.turn(dies=False)
    one.turn(dies=True)
    assert one.tally["worker_restarted"] == 1
    status = one.keeper.status
    assert (status.state, status.fault) == (StreamState.WAITING, SourceFault.AUTH)
    while len(one.tries) < 2:
        one.turn(dies=False)
    assert one.tries[1] - one.tries[0] == pytest.approx(300.0, abs=1.0)


@pytest.mark.parametrize("promised", [math.nan, math.inf, -math.inf, 1e9])
def test_a_promise_that_no_worker_makes_protects_nobody(world: Any, promised: float) -> None:
    """A decoder that went astray in its memory may write anything where the promise stands, and then hang."""
    one = world(SourceFault.REFUSED)
    while one.keeper._worker is None:
        one.turn(dies=False)
    one.turn(dies=False)
    assert one.tally["worker_restarted"] == 0
    one.workers[-1].mailbox = SimpleNamespace(alive_until=promised, slot_bytes=1 << 30)
    one.turn(dies=False)
    assert one.tally["worker_restarted"] == 1
    assert one.workers[-1].is_dead


def test_a_machine_that_starts_no_worker_is_asked_as_seldom(world: Any) -> None:
    """Neither the fork server nor the log is flooded."""
    one = world(SourceFault.REFUSED)
    one.refuses_to_start = True
    asked: list[float] = []
    start = one.keeper._starter.ask
    one.keeper._starter.ask = lambda *order: asked.append(one.now) or start(*order)
    for _ in range(round(300 / STEP)):
        one.turn(dies=False)
    _assert_the_pace(asked)


def test_a_worker_that_says_more_than_anyone_reads_leaves_a_turn_to_the_others(world: Any) -> None:
    """It is read in portions: a supervisor that listens to one worker alone starves all other streams."""
    one = world(SourceFault.REFUSED)
    while not one.workers:
        one.turn(dies=False)
    one.turn(dies=False)
    packet = encode(Connected("h264", 2, 2))
    heard: list[object] = []
    worker = one.workers[-1]
    worker.channel.close()
    # one that never runs dry
    worker.channel = SimpleNamespace(recv=lambda _: packet, close=lambda: None)
    one.keeper._heard = lambda report, _: heard.append(report)
    one.keeper._read()
    assert 0 < len(heard) <= 64


def test_last_words_are_heard_though_the_end_is_noticed_first(world: Any) -> None:
    """Where a worker says why it fails and ends, the log has both, whichever the supervisor sees first."""
    one = world(SourceFault.REFUSED)
    while one.keeper._worker is None:
        one.turn(dies=False)
    heard: list[object] = []
    one.keeper._heard = lambda report, _: heard.append(report)
    worker = one.workers[-1]
    worker.theirs.send(encode(Connected("h264", 2, 2)))
    worker.die()
    one.keeper._died()
    assert heard == [Connected("h264", 2, 2)]
    assert one.keeper._worker is None
