"""The guard's answer in a running daemon: the way to it that each alarm tells, and what follows from a verdict."""

from collections.abc import Callable, Mapping
from typing import Protocol

from tocsin.deliver.alarmdata import AlarmData
from tocsin.deliver.verdict import Verdict
from tocsin.endpoint.invitations import Invitations


class Observer(Protocol):
    """Hears of verdicts."""

    def verdict_given(self, rule: str, verdict: Verdict) -> None: ...


class Answering:
    """Invites answers as soon as there is a key to sign with. `settled` hears which alarms were right or wrong.

    May be used from any thread.
    """

    def __init__(
        self, base_url: str, seconds: float, observe: Observer, settled: Callable[[str], None]
    ) -> None:
        """Links lead to `base_url`, and are good for so many seconds."""
        self._terms = base_url, seconds
        self._observe = observe
        self._settled = settled
        self._invitations: Invitations | None = None  # set once

    def adopt(self, base_url: str, seconds: float) -> None:
        """Make links to this address, and for so long, from now on."""
        self._terms = base_url, seconds
        if self._invitations is not None:
            self._invitations.adopt(base_url, seconds)

    def open(self, key: bytes) -> Invitations:
        """Return the invitations that are signed by this key: the same ones each time."""
        if self._invitations is None:
            self._invitations = Invitations(key, *self._terms)
        return self._invitations

    def invite(self, alarm_id: str) -> Mapping[str, str] | None:
        """Return what an event tells of the way to answer its alarm; None where there is no key."""
        return None if self._invitations is None else self._invitations.offer(alarm_id)

    def judged(self, alarm: AlarmData, verdict: Verdict) -> None:
        """Hear of a verdict that was taken. One on a test says nothing of the rule."""
        if alarm.test:
            return
        self._observe.verdict_given(alarm.rule, verdict)
        if verdict is not Verdict.ACKNOWLEDGED:
            self._settled(alarm.alarm_id)
