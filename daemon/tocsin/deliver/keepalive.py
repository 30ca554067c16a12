"""Tells Alertmanagers every minute which alarms are open: what they do not hear of again they take for resolved."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.formats import ALIVE, as_open_alerts
from tocsin.deliver.resolve import ResolvingLoop
from tocsin.deliver.schedule import Outcome
from tocsin.deliver.verdict import Verdict
from tocsin.deliver.webhook import Webhook, open_client
from tocsin.thread import guarded

EVERY = 60.0  # seconds between two turns: four may fail before an alarm counts as resolved
GRACE = 0.5  # seconds that a stop waits for a turn: nothing is lost with it

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Who wants to know how requests go; called from the thread of the keep-alives."""

    def attempted(self, webhook: str, outcome: Outcome) -> None: ...


class KeepAlive:
    """Sends the open alarms to each of the webhooks, which are Alertmanagers, in a thread of its own.

    Nothing of it is stored: a turn that fails is followed by the next one, and a stop leaves one behind that does
    not end. The raise and the end of an alarm are deliveries like all others. `alarms` returns the open ones, from
    any thread; `on_failure` is as with `guarded`.
    """

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        alarms: Callable[[], Sequence[AlarmRecord]],
        observe: Observer,
        on_failure: Callable[[str], None],
        every: float = EVERY,
    ) -> None:
        self._webhooks = tuple(webhooks)  # replaced whole
        self._alarms = alarms
        self._observe = observe
        self._every = every
        self._thread = guarded("keepalive", self._work, on_failure)
        self._stopping = threading.Event()  # wakes the thread between two turns
        self._failing: dict[str, Outcome] = {}  # what the log knows of each webhook; the thread's own

    def start(self) -> None:
        """Start, with a first turn at once; does nothing where there is nobody to tell."""
        if self._webhooks:
            self._thread.start()

    def adopt(self, webhooks: Sequence[Webhook]) -> None:
        """Tell these from the next turn on; by the thread that started it."""
        self._webhooks = tuple(webhooks)
        if self._thread.ident is None:
            self.start()

    def stop(self, deadline: float) -> None:
        """Let the thread end, and wait for it a moment, though not beyond `deadline` on the monotonic clock."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(min(GRACE, max(0.0, deadline - time.monotonic())))

    def _work(self) -> None:
        while True:
            if self._webhooks and self._alarms():
                with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
                    runner.run(self._turn())
            if self._stopping.wait(self._every):
                return

    async def _turn(self) -> None:
        await asyncio.gather(*(self._tell(webhook) for webhook in self._webhooks))

    def _concerning(self, webhook: Webhook) -> list[AlarmRecord]:
        return [
            one for one in self._alarms() if one.alarm.severity in webhook.severities and _rings(one.alarm)
        ]

    async def _tell(self, webhook: Webhook) -> None:
        """Tell one webhook what is open, and at once what was not any more when it heard.

        An alarm that ended meanwhile may have been resolved just before, and would else be active again.
        """
        async with open_client(webhook) as client:
            told = self._concerning(webhook)
            if not told:
                return
            attempt = await webhook.post(client, as_open_alerts(told, datetime.now(UTC) + ALIVE))
            still = {one.alarm.alarm_id for one in self._concerning(webhook)}
            if over := [one for one in told if one.alarm.alarm_id not in still]:
                await webhook.post(client, as_open_alerts(over, datetime.now(UTC)))
        self._observe.attempted(webhook.name, attempt.outcome)
        known = self._failing.get(webhook.name, Outcome.DELIVERED)
        if attempt.outcome is not known:
            self._failing[webhook.name] = attempt.outcome
            tell = log.info if attempt.outcome is Outcome.DELIVERED else log.warning
            tell("open alarms were told", webhook=webhook.name, outcome=attempt.outcome, why=attempt.why)


def _rings(alarm: AlarmData) -> bool:
    """Say whether an open alarm concerns anybody: it does no more when somebody rejected it, or had it silenced."""
    is_rejected = alarm.judged is not None and alarm.judged.verdict is Verdict.REJECTED
    return not (is_rejected or alarm.silenced)
