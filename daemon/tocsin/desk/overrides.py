"""What `tocsin silence` and `tocsin test` ask of the running daemon: to begin, to end, to show what came of it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from tocsin.capture.status import StreamState
from tocsin.control import Caller, Handler
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.event import EventType
from tocsin.deliver.history import Which
from tocsin.deliver.letters import Choice, Letter
from tocsin.deliver.notation import stamp
from tocsin.deliver.outbox import Outbox
from tocsin.deliver.override import Override, OverrideKind
from tocsin.deliver.schedule import State
from tocsin.deliver.verdict import MOST_BY, MOST_WHY, words_of
from tocsin.desk.patience import PATIENCE, wait
from tocsin.errors import InputError
from tocsin.overrides import InForce, Now, Overrides, Person, target_of
from tocsin.report import Report

MOST = 200  # alarms of one test that are shown
_YEAR = 366 * 86400

_FATE = {State.DELIVERED: "accepted", State.QUEUED: "waiting", State.DEAD: "given_up"}
"""How a delivery of each state is called where alarms are shown with what became of them."""


class OverridesDesk:
    """The handlers of the control socket's commands `silence.*` and `test.*`.

    A request that names what is not there is refused by InputError.
    """

    def __init__(self, overrides: Overrides, outbox: Outbox, report: Callable[[], Report]) -> None:
        self._overrides = overrides
        self._outbox = outbox
        self._report = report

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by their commands."""
        return {
            "silence.begin": self._silence,
            "silence.end": self._speak,
            "silence.list": self._list,
            "test.begin": self._test,
            "test.end": self._finish,
            "test.look": self._look,
        }

    def _silence(self, asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        now, why = Now.read(), _text(asked, "reason", MOST_WHY)
        if not why:
            raise InputError("--reason: expected why, for who reads the audit, found nothing")
        name, stream, rule = (_text(asked, word) or None for word in ("name", "stream", "rule"))
        target = target_of(name, stream, rule, self._overrides.rules)
        person = _person(asked, caller)
        begun = self._overrides.begin(OverrideKind.SILENCE, target, _seconds(asked), person, why, now)
        self._overrides.wait(PATIENCE)
        return {"silence": self._shown(begun, now)}

    def _speak(self, asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        name, now = _text(asked, "name"), Now.read()
        ended = self._overrides.end(OverrideKind.SILENCE, name, _person(asked, caller), now)
        durable = self._overrides.wait(PATIENCE)
        return {"ended": [self._shown(one, now) for one in ended], "durable": durable}

    def _list(self, _: Mapping[str, Any], __: Caller) -> Mapping[str, Any]:
        now = Now.read()
        return {"silences": [one.as_json(now) for one in self._of(OverrideKind.SILENCE)]}

    def _test(self, asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        """Open a walk test, and say what may keep it from showing anything."""
        now, stream = Now.read(), _text(asked, "stream")
        target = target_of(None, stream or None, None, self._overrides.rules)
        if not self._overrides.rules[stream]:
            raise InputError(f"expected a stream with rules, found none on {stream}")
        if known := [one for one in self._of(OverrideKind.TEST) if one.override.stream == stream]:
            until = known[0].override.until.astimezone()
            raise InputError(
                f"expected a stream without a walk test, found one on {stream} until {until:%H:%M:%S}: "
                f"tocsin test {stream} --end ends it"
            )
        notes = self._hindrances(stream)
        person = _person(asked, caller)
        begun = self._overrides.begin(OverrideKind.TEST, target, _seconds(asked), person, "", now)
        self._overrides.wait(PATIENCE)
        return {"test": self._shown(begun, now), "notes": notes, **self._seen(stream)}

    def _finish(self, asked: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        stream, now = _text(asked, "stream"), Now.read()
        ended = self._overrides.end(OverrideKind.TEST, stream, _person(asked, caller), now)
        durable = self._overrides.wait(PATIENCE)
        return {"ended": [self._shown(one, now) for one in ended], "durable": durable}

    def _look(self, asked: Mapping[str, Any], _: Caller) -> Mapping[str, Any]:
        """Say how long a test goes on, what its stream sees, and what became of its alarms, the oldest first."""
        identity, stream, now = _text(asked, "id"), _text(asked, "stream"), Now.read()
        found = next((one for one in self._overrides.standing() if one.override.id == identity), None)
        since = _time(asked, "since") if found is None else found.override.since
        alarms = wait(self._outbox.alarms(Which(stream=stream, test=True, since=since, limit=MOST)))[::-1]
        return {
            "left_seconds": 0.0 if found is None else round(max(0.0, found.left(now)), 1),
            "alarms": self._with_fates(alarms),
            **self._seen(stream),
        }

    def _with_fates(self, alarms: Iterable[AlarmRecord]) -> list[dict[str, Any]]:
        """Return alarms with the webhooks at which their raise was accepted, waits, or was given up."""
        told = [
            {
                **one.alarm.facts(),
                "opened": stamp(one.opened),
                "ended": None if one.ended is None else stamp(one.ended),
                "after_seconds": round((one.opened - one.alarm.first_seen).total_seconds(), 2),
                **{word: list[str]() for word in _FATE.values()},
            }
            for one in alarms
        ]
        if not told:
            return []
        chosen = Choice(alarms=tuple(one["alarm_id"] for one in told))
        asked = {state: self._outbox.letters(state, chosen, 20 * MOST) for state in _FATE}
        letters: list[Letter] = [letter for letters in asked.values() for letter in wait(letters)]
        by_id = {one["alarm_id"]: one for one in told}
        for letter in letters:
            if letter.type == EventType.ALARM_RAISED and letter.alarm_id in by_id:
                by_id[letter.alarm_id][_FATE[letter.state]].append(letter.webhook)
        return told

    def _seen(self, stream: str) -> dict[str, Any]:
        """Return how a stream is, and what was made of its frames since the daemon started."""
        report = self._report()
        state = next((one.state.value for one in report.streams if one.stream == stream), None)
        rules = self._overrides.rules.get(stream, ())
        withheld = [
            {"rule": rule, "reason": reason.value, "count": count}
            for (where, rule, reason), count in sorted(report.withheld.items())
            if where == stream
        ]
        return {
            "state": state,
            "analysed": report.analysed.get(stream, 0),
            "sightings": {rule: report.sighted.get((stream, rule), 0) for rule in rules},
            "withheld": withheld,
        }

    def _hindrances(self, stream: str) -> list[str]:
        """Return in sentences why a walk test may show less than it should."""
        report = self._report()
        notes = [
            f"the rule {rule} is silenced: its alarms are kept, and told to nobody"
            for rule in self._overrides.rules[stream]
            if self._overrides.of(stream, rule).silenced
        ]
        notes += [
            f"an alarm of the rule {one.alarm.rule} is open: it raises no other before that has ended"
            for one in report.alarms
            if one.alarm.stream == stream
        ]
        state = next((one.state for one in report.streams if one.stream == stream), None)
        if state is not StreamState.LIVE:
            notes.append(f"the stream brings no pictures now, it is {state or 'gone'}")
        return notes

    def _of(self, kind: OverrideKind) -> list[InForce]:
        return [one for one in self._overrides.standing() if one.override.kind is kind]

    def _shown(self, one: Override, now: Now) -> dict[str, Any]:
        return InForce(one, now.at + (one.until - now.wall).total_seconds()).as_json(now)


def _text(asked: Mapping[str, Any], word: str, most: int = MOST_BY) -> str:
    return words_of(asked.get(word) or "", f"--{word}", most)


def _person(asked: Mapping[str, Any], caller: Caller) -> Person:
    return Person(caller.named(_text(asked, "by")))


def _seconds(asked: Mapping[str, Any]) -> float:
    seconds = asked.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _YEAR:
        raise InputError("--for: expected a number of seconds within a year, found none")
    return float(seconds)


def _time(asked: Mapping[str, Any], word: str) -> datetime:
    try:
        at = datetime.fromisoformat(str(asked.get(word)))
    except ValueError:
        raise InputError(f"{word}: expected a time, found something else") from None
    if at.tzinfo is None:
        raise InputError(f"{word}: expected a time with its zone, found none")
    return at
