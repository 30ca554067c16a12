"""The store, and what stands in for it, against a list in memory: whatever happens, both hold the same."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.events import NOON, alarm_event, ended_alarm, open_alarm
from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry, Period
from tocsin.deliver.database import Marks
from tocsin.deliver.event import EventType
from tocsin.deliver.history import Which
from tocsin.deliver.overflow import Limits
from tocsin.deliver.override import Override, OverrideKind
from tocsin.deliver.recall import Recall
from tocsin.deliver.standby import Ledger, Standby
from tocsin.deliver.store import Change, Store, open_store

HOOKS = {"all": ("alarm.*",), "raises": ("alarm.raised",)}
KINDS = st.sampled_from([EventType.ALARM_RAISED, EventType.ALARM_REPEATED, EventType.ALARM_ENDED])
ALARMS = st.sampled_from(["a", "b", "c"])


@dataclass
class Expected:
    event_id: str
    webhook: str
    attempts: int = 0


class StoreMachine(RuleBasedStateMachine):
    """Commits, settles, postpones, sweeps and reopens; loses the disk for a while, or finds it empty after that."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.queue: list[Expected] = []
        self.alarms: set[str] = set()
        self.history: set[str] = set()
        self.audit: list[str] = []
        self.overrides: dict[str, Override] = {}
        self.recalls: dict[tuple[str, str], Recall] = {}
        self.bodies: dict[str, bytes] = {}
        self.store = self.open()
        self.standby: Standby | None = None

    @property
    def ledger(self) -> Ledger:
        return self.standby or self.store

    def open(self) -> Store:
        return open_store(self.directory / "outbox.db", HOOKS, Limits(), Marks(), wall=0).store

    def teardown(self) -> None:
        if self.standby is not None:
            self.standby.close()
        self.store.close()
        shutil.rmtree(self.directory)

    @rule(told=st.lists(st.tuples(KINDS, ALARMS), max_size=4), opened=st.sets(ALARMS), closed=st.sets(ALARMS))
    def commit(self, told: list[tuple[EventType, str]], opened: set[str], closed: set[str]) -> None:
        events = tuple(alarm_event(kind, alarm_id) for kind, alarm_id in told)
        alarms = tuple(open_alarm(alarm_id) for alarm_id in sorted(opened))
        alarms += tuple(ended_alarm(alarm_id) for alarm_id in sorted(closed))
        acts = tuple(Entry(NOON, Act.VERDICT, "anna", Via.COMMAND, alarm_id) for alarm_id in sorted(closed))
        self.ledger.apply(Change(events=events, alarms=alarms, audited=acts), wall=0)
        for event in events:
            wanting = ["all", "raises"] if event.type is EventType.ALARM_RAISED else ["all"]
            self.queue += [Expected(event.id, webhook) for webhook in wanting]
        self.alarms = (self.alarms | opened) - closed
        self.history |= opened | closed
        self.audit += [entry.id for entry in acts]

    @rule(rule=st.sampled_from(["visit", "car"]), seconds=st.integers(0, 9), still=st.integers(0, 2))
    def recall(self, rule: str, seconds: int, still: int) -> None:
        at = NOON + timedelta(seconds=seconds)
        recall = Recall("yard", rule, at, at if seconds else None, (((0.0, 0.25, 0.5, 1.0), at),) * still)
        self.ledger.apply(Change(recalled=(recall,)), wall=0)
        self.recalls["yard", rule] = recall

    @rule(name=st.sampled_from(["one", "other"]), over=st.none() | st.just(NOON))
    def override(self, name: str, over: datetime | None) -> None:
        asked = Override(name, OverrideKind.SILENCE, "yard", None, NOON, NOON, "anna", "painters", over)
        self.ledger.apply(Change(overrides=(asked,)), wall=0)
        self.overrides[name] = asked

    @precondition(lambda self: self.queue)
    @rule(data=st.data(), state=st.sampled_from(["delivered", "dead"]))
    def settle(self, data: st.DataObject, state: str) -> None:
        chosen = data.draw(st.sampled_from(self.queue))
        self.ledger.settle(self.number_of(chosen), state, chosen.attempts + 1, state, wall=0)
        self.queue.remove(chosen)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def postpone(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.queue))
        chosen.attempts += 1
        self.ledger.postpone(self.number_of(chosen), chosen.attempts, "timeout", next_attempt=60, wait=60)

    @precondition(lambda self: self.standby is None)
    @rule(is_full=st.booleans())
    def lose_the_disk(self, is_full: bool) -> None:
        """A full disk is read on by the same connection, one that failed is opened anew."""
        self.standby = Standby(self.store, HOOKS)
        if not is_full:
            self.store.close()
            self.store = self.standby.disk = self.open()

    @precondition(lambda self: self.standby is not None)
    @rule(twice=st.booleans())
    def find_the_disk(self, twice: bool) -> None:
        """All is made up, a second time when nobody knows whether the first took effect."""
        assert self.standby is not None
        for _ in range(1 + twice):
            self.standby.bring_up(self.store)
        self.standby.close()
        self.standby = None

    @precondition(lambda self: self.standby is None)
    @rule()
    def sweep_after_a_month(self) -> None:
        self.store.sweep(wall=30 * 86_400)

    @precondition(lambda self: self.standby is None)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @invariant()
    def both_hold_the_same(self) -> None:
        for webhook in HOOKS:
            found = [(each.event_id, each.attempts) for each in self.ledger.queued(webhook, 0, 1000)]
            assert found == [(each.event_id, each.attempts) for each in self.queue if each.webhook == webhook]
        for each in self.queue:
            body = self.ledger.body(each.event_id)
            assert body
            assert self.bodies.setdefault(each.event_id, body) == body, "a body is frozen"
        assert {(one.stream, one.rule): one for one in self.ledger.recalls()} == self.recalls
        assert {known.alarm.alarm_id for known in self.ledger.open_alarms()} == self.alarms
        assert {known.alarm.alarm_id for known in self.ledger.alarms(Which())} == self.history
        assert {known.alarm.alarm_id for known in self.ledger.alarms(Which(open=True))} == self.alarms
        assert [entry.id for entry in reversed(self.ledger.audit(Period()))] == self.audit
        assert {one.id: one for one in self.ledger.overrides()} == self.overrides

    def number_of(self, wanted: Expected) -> int:
        (number,) = (
            each.number
            for each in self.ledger.queued(wanted.webhook, 0, 1000)
            if each.event_id == wanted.event_id
        )
        return number


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStore = StoreMachine.TestCase
