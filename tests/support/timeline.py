"""A strict script of what must come to a receiver, and when."""

import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, NoReturn, Self

from support.inbox import Inbox, Message
from support.wait import SCALE


class Timeline:
    """Expectations about an inbox, in seconds after `zero`; whatever nobody expected fails the block's end.

    A message is what its id says: requests that were refused and sent again are one message, whose time is that
    of the first request. A further request after the message was accepted is a duplicate, which fails unless
    `duplicates` allows it; two bodies with one id always fail. Types that match a pattern of `ignore` are left
    aside. On a machine that is known to be slow, SCALE moves the upper end of each window.

    >>> with receiver.timeline(zero=camera.zero, ignore=("stream.*",)) as timeline:
    ...     raised = timeline.expect("alarm.raised", between=(2.5, 3.5), stream="entrance")
    ...     timeline.expect("alarm.ended", between=(6, 8), alarm_id=raised.data["alarm_id"])
    ...     timeline.expect_nothing(until=10)
    """

    def __init__(
        self,
        inbox: Inbox,
        zero: float,
        *,
        ignore: tuple[str, ...] = (),
        duplicates: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox, self._zero, self._ignore, self._now = inbox, zero, ignore, now
        self._duplicates_allowed = duplicates
        self._claimed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.check()

    @property
    def duplicates(self) -> list[Message]:
        """The requests that came although the message had been accepted."""
        accepted: set[str] = set()
        again = []
        for message in self._relevant():
            if message.id in accepted:
                again.append(message)
            elif message.is_accepted:
                accepted.add(message.id)
        return again

    def expect(self, type: str, *, between: tuple[float, float], **data: Any) -> Message:  # noqa: A002 - the event's word
        """Wait for the first unclaimed message of a type whose data hold these values; return it.

        Fails when it came before or after the window, or when the window ends without it.
        """
        low, high = between
        high = low + (high - low) * SCALE
        what = f"{type} {data or ''}".strip() + f" between {low:g} and {high:g} s"
        self._inbox.wait(lambda: self._find(type, data) is not None, self._zero + high, self._now)
        found = self._find(type, data)
        if found is None:
            self._fail(f"expected {what}, but it had not come by then")
        if not low <= found.at - self._zero <= high:
            self._fail(f"expected {what}, but it came at {found.at - self._zero:.2f} s", marked=[found])
        self._claimed.add(found.id)
        return found

    def expect_nothing(self, *, until: float) -> None:
        """Wait until a time of the timeline; fail as soon as an unclaimed message is there."""
        self._inbox.wait(lambda: bool(self._extra()), self._zero + until, self._now)
        if extra := self._extra():
            self._fail(f"expected nothing more until {until:g} s, but something came", marked=extra)

    def check(self) -> None:
        """Fail when something came that nobody expected, came twice, or came with two bodies."""
        if extra := self._extra():
            self._fail(f"nobody expected {len(extra)} of the messages that came", marked=extra)
        bodies: dict[str, bytes] = {}
        for message in self._relevant():
            if bodies.setdefault(message.id, message.raw) != message.raw:
                self._fail(f"the id {message.id} came with two bodies", marked=[message])
        if not self._duplicates_allowed and (again := self.duplicates):
            self._fail(f"{len(again)} messages came again after they had been accepted", marked=again)

    def _relevant(self) -> list[Message]:
        return [m for m in self._inbox.all() if not any(fnmatchcase(m.type, p) for p in self._ignore)]

    def _extra(self) -> list[Message]:
        first = {message.id: message for message in reversed(self._relevant())}
        return sorted((m for id_, m in first.items() if id_ not in self._claimed), key=lambda m: m.at)

    def _find(self, type_: str, data: dict[str, Any]) -> Message | None:
        fits = (m for m in self._extra() if m.type == type_ and data.items() <= dict(m.data).items())
        return next(fits, None)

    def _fail(self, why: str, marked: list[Message] | None = None) -> NoReturn:
        raise AssertionError("\n".join([why, *self._listing(marked or [])]))

    def _listing(self, marked: list[Message]) -> list[str]:
        messages = self._relevant()
        if not messages:
            return ["nothing came"]
        return ["what came (> is what this is about, ok was expected):"] + [
            f"{'>' if any(m is it for it in marked) else ' '} {'ok' if m.id in self._claimed else '  '}"
            f" {m.at - self._zero:8.2f} s  {m.type:<18} {_place(m):<24} answered {m.answer}  {m.id}"
            for m in messages
        ]


def _place(message: Message) -> str:
    return "/".join(str(message.data[key]) for key in ("stream", "rule", "webhook") if key in message.data)
