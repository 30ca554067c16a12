"""The silences and walk tests that are in force: for how long, and what becomes of alarms meanwhile.

A silence never lasts longer than asked. Within one life of the daemon the monotonic clock ends it, whatever happens
to the clock on the wall; that one ends it where it comes first, as it does when the machine has slept. After a
restart there is the clock on the wall alone, and it ends what is left at `until`. Where that clock is set back,
`until` goes back with it.
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

import structlog

from tocsin.deliver.act import Act, Via
from tocsin.deliver.audit import Entry
from tocsin.deliver.event import Event, EventType, OverrideData
from tocsin.deliver.notation import SHORTEST, new_id, stamp
from tocsin.deliver.override import Override, OverrideKind
from tocsin.deliver.store import Change
from tocsin.errors import ControlError, InputError, OutboxError
from tocsin.fields import duration_text

BOUNDS = {OverrideKind.SILENCE: (60.0, 7 * 86400.0), OverrideKind.TEST: (60.0, 3600.0)}
"""Seconds that one may last, at least and at most: what nobody ends must end by itself."""

MOST = 100
"""That are in force at once: far more than anybody overlooks."""

SET_BACK = 1.0
"""Seconds by which the clock on the wall has to be set back for `until` to follow: less is what keeps it right."""

_BEGUN = {
    OverrideKind.SILENCE: (EventType.SILENCE_BEGUN, Act.SILENCE_BEGUN, "alarms are silenced"),
    OverrideKind.TEST: (EventType.TEST_BEGUN, Act.TEST_BEGUN, "a walk test begins"),
}
_ENDED = {
    OverrideKind.SILENCE: (EventType.SILENCE_ENDED, Act.SILENCE_ENDED, "alarms are silenced no more"),
    OverrideKind.TEST: (EventType.TEST_ENDED, Act.TEST_ENDED, "a walk test ends"),
}

log = structlog.get_logger(__name__)


class Over(StrEnum):
    """Why one is over: the word in events and in the audit."""

    EXPIRED = "expired"  # its time has come
    LIFTED = "lifted"  # somebody ended it
    GONE = "gone"  # its stream or rule left the configuration


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of an alarm that is raised: `silenced` it is kept and told to nobody, `test` told as a test."""

    silenced: bool = False
    test: bool = False


PLAIN = Treatment()


@dataclass(frozen=True, slots=True)
class Now:
    """A moment on the monotonic clock, in seconds, and on the wall."""

    at: float
    wall: datetime

    @classmethod
    def read(cls) -> "Now":
        return cls(time.monotonic(), datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Person:
    """Who does something, and what stands behind the name."""

    name: str
    via: Via = Via.COMMAND


_ITSELF = Person("tocsin", Via.DAEMON)


@dataclass(frozen=True, slots=True)
class InForce:
    """An override that is not over; it `ends` on the monotonic clock, if not before by the one on the wall."""

    override: Override
    ends: float

    def left(self, now: Now) -> float:
        """Return for how many seconds it goes on."""
        return min(self.ends - now.at, (self.override.until - now.wall).total_seconds())

    def as_json(self, now: Now) -> dict[str, Any]:
        one = self.override
        return {
            "id": one.id,
            "kind": one.kind.value,
            "stream": one.stream,
            "rule": one.rule,
            "since": stamp(one.since),
            "until": stamp(one.until),
            "left_seconds": round(max(0.0, self.left(now)), 1),
            "by": one.by,
            "why": one.why,
        }


class Observer(Protocol):
    """Hears what is in force."""

    def silenced(self, stream: str, rule: str, is_silenced: bool) -> None: ...
    def walk_test(self, stream: str, is_open: bool) -> None: ...


class Overrides:
    """What is in force. May be used from any thread; `of` never waits.

    `commit` hands a change to the outbox and returns at once. `changed` is called after each end, and may ask `of`.
    """

    def __init__(self, commit: "Callable[[Change], Future[None]]", observe: Observer) -> None:
        self._commit = commit
        self._observe = observe
        self.changed: Callable[[], None] = lambda: None
        # Guards what is in force. Held for moments, by whoever begins or ends something.
        self._changing = threading.Lock()
        self._standing: tuple[InForce, ...] = ()
        self._rules: Mapping[str, Collection[str]] = {}
        self._treatments: dict[tuple[str, str], Treatment] = {}  # replaced whole
        self._last: Future[None] | None = None  # the last change that was committed

    def of(self, stream: str, rule: str) -> Treatment:
        """Return what becomes of an alarm of this rule on this stream that is raised now."""
        return self._treatments.get((stream, rule), PLAIN)

    @property
    def rules(self) -> Mapping[str, Collection[str]]:
        """The rules of each stream."""
        return self._rules

    def wait(self, seconds: float) -> bool:
        """Wait for all of it to be on the disk, and return whether it is: while a disk refuses it is in memory."""
        last = self._last
        if last is None:
            return True
        wait([last], seconds)
        return last.done() and last.exception() is None

    def standing(self) -> tuple[InForce, ...]:
        """Return what is in force, the oldest first."""
        return self._standing

    def resume(self, known: Iterable[Override], rules: Mapping[str, Collection[str]], now: Now) -> None:
        """Go on from an earlier life; `rules` are those of each stream. What is over by now ends."""
        with self._changing:
            self._standing = tuple(InForce(one, now.at + _left(one, now.wall)) for one in known)
        self.adopt(rules, now)

    def adopt(self, rules: Mapping[str, Collection[str]], now: Now) -> None:
        """Go on with these streams and their rules; what concerned one that is gone ends."""
        with self._changing:
            self._rules = {stream: tuple(names) for stream, names in rules.items()}
            self._settle(now)
            self._rule()
        self.changed()

    def turn(self, now: Now) -> None:
        """End what has lasted for long enough."""
        with self._changing:
            self._follow_clock(now)
            ended = self._settle(now)
        if ended:
            self.changed()

    def begin(
        self, kind: OverrideKind, target: "Target", seconds: float, person: Person, why: str, now: Now
    ) -> Override:
        """Begin one, tell it and return it. Raises InputError, and ControlError where it cannot be recorded."""
        least, most = BOUNDS[kind]
        if not least <= seconds <= most:
            bounds = f"{duration_text(least)} to {duration_text(most)}"
            found = duration_text(seconds) if math.isfinite(seconds) else f"{seconds:g}"
            raise InputError(f"--for: expected {bounds} for a {kind.value}, found {found}")
        until = now.wall + timedelta(seconds=seconds)
        identity = new_id(now.wall, kind.value)
        one = Override(identity, kind, target.stream, target.rule, now.wall, until, person.name, why)
        with self._changing:
            if len(self._standing) >= MOST:
                raise InputError(f"expected at most {MOST} silences and tests at once, found as many")
            if self._is_gone(one):  # by a reload, a moment ago
                raise InputError(f"expected a stream or rule of the configuration, found {target}")
            type_, act, sentence = _BEGUN[kind]
            data, facts = OverrideData(one), {"id": one.id, "until": stamp(until), "why": why}
            entry = Entry(now.wall, act, person.name, person.via, str(target), facts)
            self._keep(Change((_event(type_, data, now),), (), (), (one,), (entry,)))
            _refuse_unless_taken(self._last)
            self._standing = (*self._standing, InForce(one, now.at + seconds))
            self._rule()
        _log(sentence, one, person)
        return one

    def end(self, kind: OverrideKind, name: str, person: Person, now: Now) -> tuple[Override, ...]:
        """End those of that id, stream or rule before their time. Raises InputError where there is none.

        The end of an id will do where nothing is called so.
        """
        with self._changing:
            known = [one for one in self._standing if one.override.kind is kind]
            meant = [
                one for one in known if name in (one.override.id, one.override.stream, one.override.rule)
            ] or [one for one in known if len(name) >= SHORTEST and one.override.id.endswith(name)]
            if not meant:
                raise InputError(f"expected a {kind.value} that is in force, found none of {name[:64]!r}")
            self._end(meant, Over.LIFTED, person, now)
        self.changed()
        return tuple(one.override for one in meant)

    def _settle(self, now: Now) -> bool:
        """End what is over by itself; return whether something was."""
        gone = [one for one in self._standing if self._is_gone(one.override)]
        expired = [one for one in self._standing if one not in gone and one.left(now) <= 0]
        self._end(gone, Over.GONE, _ITSELF, now)
        self._end(expired, Over.EXPIRED, _ITSELF, now)
        return bool(gone or expired)

    def _end(self, ended: Sequence[InForce], reason: Over, person: Person, now: Now) -> None:
        """End some. Whatever the disk says: nobody stays silenced for its sake."""
        if not ended:
            return
        self._standing = tuple(one for one in self._standing if one not in ended)
        self._rule()
        for each in ended:
            one = replace(each.override, over=now.wall)
            type_, act, sentence = _ENDED[one.kind]
            by = None if person is _ITSELF else person.name
            entry = Entry(
                *(now.wall, act, person.name, person.via),
                *(str(Target(one.stream, one.rule)), {"id": one.id, "reason": reason.value}),
            )
            event = _event(type_, OverrideData(one, reason.value, by), now)
            self._keep(Change((event,), (), (), (one,), (entry,)))
            _log(sentence, one, person, reason)

    def _follow_clock(self, now: Now) -> None:
        """Move what is in force with a clock on the wall that was set back, so that a restart ends it in time."""
        moved = {}
        for one in self._standing:
            ahead = (one.override.until - now.wall).total_seconds() - (one.ends - now.at)
            if ahead > SET_BACK:
                back, override = timedelta(seconds=ahead), one.override
                override = replace(override, since=override.since - back, until=override.until - back)
                moved[one] = replace(one, override=override)
        if moved:
            self._standing = tuple(moved.get(one, one) for one in self._standing)
            self._keep(Change(overrides=tuple(one.override for one in moved.values())))

    def _keep(self, change: Change) -> None:
        self._last = self._commit(change)

    def _rule(self) -> None:
        """Say what becomes of the alarms of each stream and rule from now on."""
        treatments = {}
        for stream, rules in self._rules.items():
            for rule in rules:
                kinds = {one.override.kind for one in self._standing if _covers(one.override, stream, rule)}
                treatment = Treatment(OverrideKind.SILENCE in kinds, OverrideKind.TEST in kinds)
                treatments[stream, rule] = treatment
                self._observe.silenced(stream, rule, treatment.silenced)
            self._observe.walk_test(stream, any(treatments[stream, rule].test for rule in rules))
        self._treatments = treatments

    def _is_gone(self, one: Override) -> bool:
        if one.stream is None:
            return all(one.rule not in rules for rules in self._rules.values())
        return one.stream not in self._rules or (
            one.rule is not None and one.rule not in self._rules[one.stream]
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Whose alarms are meant: those of a stream, of a rule, or of a rule on a stream; None is any."""

    stream: str | None
    rule: str | None

    def __str__(self) -> str:
        return "/".join(one for one in (self.stream, self.rule) if one)


def target_of(
    name: str | None, stream: str | None, rule: str | None, rules: Mapping[str, Collection[str]]
) -> Target:
    """Return whose alarms are meant by the name of a stream or of a rule, or by one of each.

    Raises InputError where nothing has such a name, or more than one thing.
    """
    if name is not None:
        if stream is not None and rule is not None:
            raise InputError("expected NAME or --stream and --rule, found all three")
        is_stream, is_rule = name in rules, any(name in names for names in rules.values())
        if stream is None and rule is None and is_stream and is_rule:
            raise InputError(
                f"expected --stream {name} or --rule {name}, found a stream and a rule of that name"
            )
        if stream is not None or (rule is None and is_rule):
            rule = name
        else:
            stream = name
    if stream is None and rule is None:
        raise InputError("expected the name of a stream or a rule, found none")
    found = Target(stream, rule)
    if stream is not None and stream not in rules:
        what = "streams or rules" if name is not None else "streams"
        raise InputError(
            f"expected one of the {what} ({_names(rules, both=name is not None)}), found {stream[:64]!r}"
        )
    known = rules[stream] if stream is not None else {one for names in rules.values() for one in names}
    if rule is not None and rule not in known:
        where = f" on {stream}" if stream is not None else ""
        raise InputError(
            f"expected one of the rules{where} ({', '.join(sorted(known))}), found {rule[:64]!r}"
        )
    return found


def _names(rules: Mapping[str, Collection[str]], *, both: bool) -> str:
    return ", ".join(sorted({*rules, *(one for each in rules.values() for one in each if both)}))


def _left(one: Override, wall: datetime) -> float:
    """Return the seconds that are left of one after a restart: never more than it was asked for."""
    return min((one.until - wall).total_seconds(), (one.until - one.since).total_seconds())


def _covers(one: Override, stream: str, rule: str) -> bool:
    return one.stream in (None, stream) and one.rule in (None, rule)


def _event(kind: EventType, data: OverrideData, now: Now) -> Event:
    return Event(new_id(now.wall), kind, now.wall, data)


def _refuse_unless_taken(change: "Future[None] | None") -> None:
    """Raise ControlError where the outbox has refused a change at once: what nobody can account for must not be."""
    if change is not None and change.done() and isinstance(error := change.exception(), OutboxError):
        raise ControlError(str(error)) from error


def _log(sentence: str, one: Override, person: Person, reason: Over | None = None) -> None:
    log.warning(
        sentence,
        stream=one.stream,
        rule=one.rule,
        until=stamp(one.until),
        by=person.name,
        why=one.why,
        id=one.id,
        **({} if reason is None else {"reason": reason}),
    )
