"""Which delivery goes next: the queue of one webhook. Pure: time is an argument."""

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tocsin.deliver.schedule import Outcome
from tocsin.deliver.store import Delivery


@dataclass(slots=True)
class Waiting:
    """A delivery in a queue.

    `due`, `born` and `releasable` are monotonic seconds: before `due` it is not tried, its window began at
    `born`, and before `releasable` no success of another brings its `due` forward. `outcome` is how its latest
    attempt went. `strikes` counts, for failures that go through the waits of `row`, those which were its own and
    not those of a receiver that was known to be away.
    """

    delivery: Delivery
    born: float
    due: float
    attempts: int
    outcome: Outcome | None = None
    strikes: int = 0
    row: tuple[float, ...] = ()
    releasable: float = -math.inf
    running: bool = False
    refused: bool = False  # whether the receiver ever refused it
    choked: bool = False  # whether the receiver failed on its latest attempt, which had pictures

    def strike(self, row: tuple[float, ...]) -> None:
        """Count a failure as its own; failures of another kind start from the first wait of their row."""
        self.strikes = self.strikes + 1 if row == self.row else 1
        self.row = row


@dataclass(slots=True)
class Lanes:
    """The deliveries of one webhook in lanes: within a lane strictly in order, each lane for itself.

    Only the head of a lane is ever tried, so an alarm's end waits for its raise, and for nothing else.
    """

    _lanes: dict[str, deque[Waiting]] = field(default_factory=dict)
    # Heads by (due, number). An entry that no longer agrees with its lane is skipped when it comes up: that is
    # cheaper than finding it when the head changes.
    _heads: list[tuple[float, int, Waiting]] = field(default_factory=list)
    # Those that `release` may let go, by their numbers, and the round after which they began to wait.
    _held: dict[int, tuple[Waiting, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any delivery."""
        return bool(self._lanes)

    def add(self, waiting: Waiting, outage: int | None = None) -> None:
        """Append a delivery to its lane; deliveries come in the order of their numbers. `outage` as in `defer`."""
        self._hold(waiting, outage)
        lane = self._lanes.setdefault(waiting.delivery.lane, deque())
        lane.append(waiting)
        if len(lane) == 1:
            self._offer(waiting)

    def take(self, now: float) -> Waiting | None:
        """Return a delivery that is due, the longest due first, and mark it as running."""
        due = self.next_due()
        if due is None or due > now:
            return None
        waiting = heapq.heappop(self._heads)[2]
        waiting.running = True
        return waiting

    def take_probe(self, now: float, but: int | None = None) -> Waiting | None:
        """Return the least tried of those that are due, other than `but`, and mark it as running.

        Least tried first, lest one body that the receiver cannot stomach be the probe for ever.
        """
        heads = [head for head in self._free(but) if head.due <= now]
        if not heads:
            return None
        waiting = min(heads, key=lambda head: (head.attempts, head.delivery.number))
        waiting.running = True
        return waiting

    def defer(self, waiting: Waiting, due: float, outage: int | None = None) -> None:
        """Put a running delivery back at the head of its lane, to be tried at `due`.

        `outage` is the circuit's round after a failure that may be the receiver's: see `release`. None when the
        delivery has to wait whatever becomes of the others.
        """
        waiting.running = False
        waiting.due = due
        self._hold(waiting, outage)
        self._offer(waiting)

    def release(self, began: int, now: float, rest: float) -> None:
        """Make due what waits because of an outage, since an attempt that began in round `began` was accepted.

        An attempt that began before the failure proves nothing. A delivery is released again after `rest`
        seconds at the earliest: one that fails by itself keeps its own waits.
        """
        for number, (waiting, outage) in list(self._held.items()):
            if waiting.running or outage > began or (waiting.due > now and now < waiting.releasable):
                continue
            del self._held[number]
            if waiting.due > now:
                waiting.due = now
                waiting.releasable = now + rest
                if self._lanes[waiting.delivery.lane][0] is waiting:
                    self._offer(waiting)

    def settle(self, waiting: Waiting) -> None:
        """Take a delivery out for good; the next of its lane becomes the head."""
        self._hold(waiting, None)
        lane = self._lanes[waiting.delivery.lane]
        was_head = lane[0] is waiting
        lane.remove(waiting)
        waiting.running = True  # no entry among the heads is valid any more
        if not lane:
            del self._lanes[waiting.delivery.lane]
        elif was_head:
            self._offer(lane[0])

    def hurry(self, now: float) -> None:
        """Make due what waits for its next attempt."""
        for lane in self._lanes.values():
            for waiting in lane:
                if not waiting.running and waiting.due > now:
                    waiting.due = now
            if not lane[0].running:
                self._offer(lane[0])

    def drop(self, numbers: Collection[int]) -> None:
        """Take those of these numbers out that are not running."""
        going = [one for lane in self._lanes.values() for one in lane if one.delivery.number in numbers]
        for waiting in going:
            if not waiting.running:
                self.settle(waiting)

    def next_due(self) -> float | None:
        """Return when the next head is due, or None when every lane is empty or running."""
        while self._heads:
            due, _, waiting = self._heads[0]
            if not waiting.running and waiting.due == due:
                return due
            heapq.heappop(self._heads)
        return None

    def next_due_but(self, number: int) -> float | None:
        """Return when the next head other than that of this number is due, as `next_due` does."""
        return min((head.due for head in self._free(number)), default=None)

    def aged(self, before: float) -> Iterator[Waiting]:
        """Yield the deliveries that were born before that time and are not running."""
        for lane in list(self._lanes.values()):
            yield from [waiting for waiting in lane if waiting.born < before and not waiting.running]

    def _free(self, but: int | None) -> Iterator[Waiting]:
        heads = (lane[0] for lane in self._lanes.values())
        return (head for head in heads if not head.running and head.delivery.number != but)

    def _hold(self, waiting: Waiting, outage: int | None) -> None:
        self._held.pop(waiting.delivery.number, None)
        if outage is not None:
            self._held[waiting.delivery.number] = (waiting, outage)

    def _offer(self, waiting: Waiting) -> None:
        heapq.heappush(self._heads, (waiting.due, waiting.delivery.number, waiting))
