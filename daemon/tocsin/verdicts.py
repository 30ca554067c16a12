"""Takes what people say about alarms, by command or by link, and tells what was said before."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from tocsin.alarms import Alarms
from tocsin.control import Caller, Handler
from tocsin.deliver.act import Act, Via
from tocsin.deliver.alarmdata import AlarmData, AlarmRecord
from tocsin.deliver.audit import Entry, Period
from tocsin.deliver.history import Which
from tocsin.deliver.judging import Case, Given, Statement, Taken, case_of, proof, take
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.store import Change
from tocsin.deliver.verdict import MOST_BY, MOST_WHY, Verdict, verdict_of, words_of
from tocsin.desk.history import Running, meant
from tocsin.desk.patience import wait
from tocsin.errors import ControlError, InputError, OutboxError

PATIENCE = 0.5
"""Seconds for which an answer waits for the disk; the control socket serves nobody else meanwhile."""

SHOWN = 20
"""Verdicts on one alarm that are shown, the latest."""

_MOST = 1_000
"""Changes that are not on the disk and of which that is known, the latest."""


class Verdicts:
    """The one place where verdicts are taken, whichever way they come. Every method may be called by any thread.

    Methods wait for the disk, for a moment, and raise ControlError where it does not answer. `heard` is told each
    verdict that says something new, and must not block.
    """

    def __init__(
        self,
        alarms: Alarms,
        outbox: Outbox,
        heard: Callable[[AlarmData, Verdict], None] = lambda *_: None,
    ) -> None:
        self._alarms = alarms
        self._outbox = outbox
        self._heard = heard
        # From looking up an alarm that has ended until what becomes of it is committed; held for as long as the
        # outbox's thread lets wait.
        self._turn = threading.Lock()
        # The last change of each alarm that is not on the disk, be it on its way or refused.
        self._undone: dict[str, Future[None]] = {}

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of the control socket's commands."""
        return {"alarm.verdict": self._asked}

    def case(self, alarm_id: str) -> Case | None:
        """Return an alarm with what was said about it; None where nobody knows it any more."""
        record = self._open(alarm_id)
        if record is None:
            known = wait(self._outbox.alarms(Which(ids=(alarm_id,))))
            record = known[0] if known else None
        if record is None:
            return None
        return case_of(record, self._entries(alarm_id))

    def give(self, alarm_id: str, said: Statement) -> Given | None:
        """Take what a person says about an alarm that is open or has ended; None where nobody knows it.

        Raises OutboxError where it could not be taken, and may be said again.
        """
        anew = self._was_lost(alarm_id)
        found = self._alarms.judge(alarm_id, said, self._commit, anew=anew) or self._on_ended(
            alarm_id, said, anew=anew
        )
        if found is None:
            return None
        durable = self._is_durable(alarm_id)
        if found.change is not None:
            self._heard(found.record.alarm, said.verdict)
        elif said.via is not Via.LINK:
            self._prove(found.record, said)
        return Given(found.record, found.before, found.change is None, durable)

    def _on_ended(self, alarm_id: str, said: Statement, *, anew: bool) -> Taken | None:
        with self._turn:
            record = wait(self._outbox.alarm(alarm_id))
            if record is None:
                return None
            taken = take(record, said, datetime.now(UTC), anew=anew)
            if taken.change is not None:
                self._commit(alarm_id, taken.change)
            return taken

    def _prove(self, record: AlarmRecord, said: Statement) -> None:
        """Put on record that a name behind what stands is proved by now; nobody is told anything."""
        entry = proof(record, said, self._entries(record.alarm.alarm_id), datetime.now(UTC))
        if entry is not None:
            self._outbox.commit(Change(audited=(entry,)))

    def _entries(self, alarm_id: str) -> tuple[Entry, ...]:
        """Return the latest verdicts on an alarm; none where no disk tells them: what stands is known anyway."""
        try:
            return wait(self._outbox.audit(Period(acts=(Act.VERDICT,), subject=alarm_id, limit=SHOWN)))
        except (OutboxError, ControlError):
            return ()

    def _commit(self, alarm_id: str, change: Change) -> None:
        """Hand a change to the outbox; raises OutboxError where it is refused at once."""
        done = self._outbox.commit(change)
        if done.done() and (error := done.exception()) is not None:
            raise error
        self._undone.pop(alarm_id, None)
        self._undone[alarm_id] = done
        for oldest in list(self._undone)[:-_MOST]:
            self._undone.pop(oldest, None)
        done.add_done_callback(lambda ended: self._forget(alarm_id, ended))

    def _forget(self, alarm_id: str, ended: "Future[None]") -> None:
        """Be done with a change that is on the disk; called by the outbox's thread."""
        if ended.exception() is None and self._undone.get(alarm_id) is ended:
            self._undone.pop(alarm_id, None)

    def _was_lost(self, alarm_id: str) -> bool:
        """Whether the last verdict on an alarm was refused after it was handed over: nobody was told of it."""
        undone = self._undone.get(alarm_id)
        return undone is not None and undone.done() and undone.exception() is not None

    def _is_durable(self, alarm_id: str) -> bool:
        """Wait a moment for what was said to be on the disk; raises OutboxError where it was refused."""
        undone = self._undone.get(alarm_id)
        try:
            if undone is not None:
                undone.result(PATIENCE)
        except TimeoutError:
            return False
        return True

    def _open(self, alarm_id: str) -> AlarmRecord | None:
        return next((one for one in self._alarms.open() if one.alarm.alarm_id == alarm_id), None)

    def _asked(self, request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Take a verdict from the control socket. Raises InputError."""
        verdict = verdict_of(request.get("verdict"))
        by = caller.named(words_of(request.get("by") or "", "--by", MOST_BY))
        said = Statement(verdict, by, Via.COMMAND, words_of(request.get("why") or "", "--reason", MOST_WHY))
        named = str(request.get("alarm"))
        found = self.give(named, said)
        if found is None:
            found = self.give(meant(Running(self._outbox), named).alarm.alarm_id, said)
        if found is None:  # it has left the history in this moment
            raise InputError(f"expected an alarm that is remembered, found {named[:64]!r}")
        return found.as_json()
