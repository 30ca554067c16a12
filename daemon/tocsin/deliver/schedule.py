"""When to try again: what an answer means, and how long to wait after it. Pure: time and chance are arguments."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum


class Outcome(StrEnum):
    """How one attempt at a delivery went: the word in metrics, logs and events."""

    DELIVERED = "delivered"
    THROTTLED = "throttled"
    FAILING = "failing"
    DENIED = "denied"
    REFUSED = "refused"
    REDIRECT = "redirect"
    GONE = "gone"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS = "tls"
    FORBIDDEN = "forbidden"
    PROTOCOL = "protocol"


class Settlement(StrEnum):
    """How a delivery ended: accepted, or given up and kept for a person to see."""

    DELIVERED = "delivered"
    DEAD = "dead"


class State(StrEnum):
    """How a delivery stands."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    DEAD = "dead"


class Scope(StrEnum):
    """What has to wait after a failed attempt."""

    DELIVERY = "delivery"
    WEBHOOK = "webhook"


def judge(status: int) -> Outcome:
    """Say what an answer with this status means.

    2xx alone is acceptance. 408, 425 and 429 ask for patience, 5xx is a receiver in trouble. 401, 403 and 404
    say that the receiver does not know us or its place has moved, 410 that it wants no more. 3xx is not
    followed, since it could point anywhere. Any other 4xx refuses this one delivery, and anything else is no
    HTTP answer.

    Nothing is final at once: a wrong clock makes each signature look forged and each alarm a 4xx, so every
    failure is tried again until the window of its schedule closes.
    """
    if status in _MEANINGS:
        return _MEANINGS[status]
    return _CLASSES.get(status // 100, Outcome.PROTOCOL)


_MEANINGS = {
    **dict.fromkeys((408, 425, 429), Outcome.THROTTLED),
    **dict.fromkeys((401, 403, 404), Outcome.DENIED),
    410: Outcome.GONE,
}
_CLASSES = {2: Outcome.DELIVERED, 3: Outcome.REDIRECT, 4: Outcome.REFUSED, 5: Outcome.FAILING}


def scope(outcome: Outcome) -> Scope:
    """Say whether a failure keeps back only its own delivery (and those behind it) or the whole webhook.

    A 4xx other than those `judge` names speaks about one body; all else would meet the next delivery as well.
    """
    return Scope.DELIVERY if outcome is Outcome.REFUSED else Scope.WEBHOOK


_SLOW = frozenset({Outcome.DENIED, Outcome.FORBIDDEN, Outcome.REFUSED, Outcome.REDIRECT})
"""What only a person can mend, unless it passes within seconds: trying often brings nothing."""

PATIENT = frozenset({Outcome.THROTTLED, Outcome.FAILING})
"""What may come with a Retry-After that counts."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between the attempts, in seconds; the last of each row repeats.

    `steps` is for receivers that are away. `slow` is for those that refuse: what only a person can mend, after
    two quick tries, since a reverse proxy answers 404, 403 or 302 for some seconds while it is loaded anew.
    `gone` is for those that want no more.
    `window` is for how long a delivery is tried. `jitter` is the share by which a wait may be shorter or longer.
    """

    steps: tuple[float, ...] = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900)
    slow: tuple[float, ...] = (5, 30, 300, 900, 3600)
    gone: float = 3600
    window: float = 72 * 3600
    jitter: float = 0.2

    def wait(self, failures: int, outcome: Outcome, retry_after: float | None, chance: float) -> float:
        """Return how long to wait after failure number `failures` (from 1) in a row.

        `chance` is uniform from 0 to 1. A receiver that named a time (`retry_after`) is never asked before it.
        """
        assert failures >= 1, "the wait follows a failure"
        if retry_after is not None and outcome in PATIENT:
            return retry_after * (1 + self.jitter * chance)
        row = self.row(outcome)
        return row[min(failures, len(row)) - 1] * (1 + self.jitter * (2 * chance - 1))

    def row(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the waits that failures of this kind go through."""
        if outcome is Outcome.GONE:
            return (self.gone,)
        return self.slow if outcome in _SLOW else self.steps


def remaining(stored: float, planned: float, now: float) -> float:
    """Return how long to wait for an attempt that another life of the daemon planned.

    `stored` is the wall time of the attempt, `planned` the wait that led to it, `now` the wall time, all in
    seconds. Since the clock may have been set in between, the answer lies between 0 and `planned`.
    """
    return max(0.0, min(stored - now, planned))


def retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds, from 1 to 3600, that a Retry-After header asks for, or None if it cannot be read."""
    text = text.strip()
    if re.fullmatch(r"[0-9]+", text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 1.0), 3600.0)
