"""Which delivery goes next: the queue of one webhook. Pure: time is an argument."""

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tocsin.deliver.store import Delivery


@dataclass(slots=True)
class Waiting:
    """A delivery in a queue.

    `due` and `born` are monotonic seconds: before `due` it is not tried, and its window began at `born`.
    `strikes` counts the failures that were its own and not those of an unreachable receiver.
    """

    delivery: Delivery
    born: float
    due: float
    attempts: int
    strikes: int = 0
    running: bool = False


@dataclass(slots=True)
class Lanes:
    """The deliveries of one webhook in lanes: within a lane strictly in order, each lane for itself.

    Only the head of a lane is ever tried, so an alarm's end waits for its raise, and for nothing else.
    """

    _lanes: dict[str, deque[Waiting]] = field(default_factory=dict)
    # Heads by (due, number). An entry that no longer agrees with its lane is skipped when it comes up: that is
    # cheaper than finding it when the head changes.
    _heads: list[tuple[float, int, Waiting]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is any delivery."""
        return bool(self._lanes)

    def add(self, waiting: Waiting) -> None:
        """Append a delivery to its lane; deliveries come in the order of their numbers."""
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

    def take_probe(self, now: float = math.inf, but: int | None = None) -> Waiting | None:
        """Return the least tried of those that are due by `now`, other than `but`, and mark it as running.

        Least tried first, lest one body that the receiver cannot stomach be the probe for ever.
        """
        free = [lane[0] for lane in self._lanes.values() if not lane[0].running]
        heads = [head for head in free if head.due <= now and head.delivery.number != but]
        if not heads:
            return None
        waiting = min(heads, key=lambda head: (head.attempts, head.delivery.number))
        waiting.running = True
        return waiting

    def defer(self, waiting: Waiting, due: float) -> None:
        """Put a running delivery back at the head of its lane, to be tried at `due`."""
        waiting.running = False
        waiting.due = due
        self._offer(waiting)

    def settle(self, waiting: Waiting) -> None:
        """Take a delivery out for good; the next of its lane becomes the head."""
        lane = self._lanes[waiting.delivery.lane]
        was_head = lane[0] is waiting
        lane.remove(waiting)
        waiting.running = True  # no entry among the heads is valid any more
        if not lane:
            del self._lanes[waiting.delivery.lane]
        elif was_head:
            self._offer(lane[0])

    def next_due(self) -> float | None:
        """Return when the next head is due, or None when every lane is empty or running."""
        while self._heads:
            due, _, waiting = self._heads[0]
            if not waiting.running and waiting.due == due:
                return due
            heapq.heappop(self._heads)
        return None

    def aged(self, before: float) -> Iterator[Waiting]:
        """Yield the deliveries that were born before that time and are not running."""
        for lane in list(self._lanes.values()):
            yield from [waiting for waiting in lane if waiting.born < before and not waiting.running]

    def _offer(self, waiting: Waiting) -> None:
        heapq.heappush(self._heads, (waiting.due, waiting.delivery.number, waiting))
