"""`tocsin test`: somebody walks through the picture, and each alarm is shown with who accepted it."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.asking import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    local,
    seconds_of,
    state_folder,
    warn_unless_durable,
)
from tocsin.errors import ControlError, InputError
from tocsin.exits import TEMPORARY_FAILURE
from tocsin.footage.shown import shown

EVERY = 1.0  # seconds between two looks at the daemon
LINGER = 10.0  # seconds after the end in which receivers may still accept what came last
MISSING = 60.0  # seconds without an answer after which nobody waits for the daemon any more

Ask = Callable[..., dict[str, Any]]
"""Sends a command with its arguments to the daemon, and returns the answer."""


def walk_test(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="The stream that somebody walks through.")],
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 1m to 1h.")] = "10m",
    by: ByOption = "",
    end: Annotated[bool, typer.Option("--end", help="End the one that is open.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Open a walk test: alarms of the stream go their whole way, and are marked as tests. Ctrl-C ends it.

    Shows each alarm as it comes, and who accepted it. Returns 0 where at least one was raised and every webhook has
    accepted every one that it wants, and 75 otherwise.

    Example: tocsin test entrance --for 5m
    """
    asking = _asking(config)
    if end:
        answer = asking("test.end", stream=stream, by=by)
        print(json.dumps({"ended": stream}) if as_json else f"the walk test of {stream} has ended")
        warn_unless_durable(answer)
        return
    begun = asking("test.begin", stream=stream, seconds=seconds_of("--for", for_), by=by)
    say = _mute if as_json else _say
    one = begun["test"]
    say(
        f"walk test of {stream} until {local(one['until'])}: alarms are real, and marked as tests; Ctrl-C ends it"
    )
    for note in begun["notes"]:
        say(f"mind: {note}")
    course = Course(stream, begun, begun["notes"])
    try:
        _follow(asking, course, one, say)
    except KeyboardInterrupt:
        with suppress(InputError):  # it has just ended by itself
            asking("test.end", stream=stream, by=by)
        say("ended")
        for line in course.see(asking("test.look", id=one["id"], stream=stream, since=one["since"])):
            say(line)
    if as_json:
        print(json.dumps(course.as_json(one), indent=2))
    for line in course.summary():
        say(line)
    if not course.passed:
        raise typer.Exit(TEMPORARY_FAILURE)


@dataclass
class Course:
    """How a walk test goes, by one answer of the daemon after the other. Pure."""

    stream: str
    last: Mapping[str, Any]  # the answer before, from which counts go on
    notes: Sequence[str] = ()  # what may keep alarms from being raised or told
    alarms: list[dict[str, Any]] = field(default_factory=list)
    analysed: int = 0
    sightings: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    _told: set[str] = field(default_factory=set)

    def see(self, answer: Mapping[str, Any]) -> list[str]:
        """Take an answer and return what is new in it, a line each."""
        self.analysed += _grown(self.last["analysed"], answer["analysed"])
        for rule, count in answer["sightings"].items():
            self.sightings[rule] += _grown(self.last["sightings"].get(rule, 0), count)
        before = {(one["rule"], one["reason"]): one["count"] for one in self.last["withheld"]}
        for one in answer["withheld"]:
            grown = _grown(before.get((one["rule"], one["reason"]), 0), one["count"])
            self.withheld[one["reason"]] += grown
        self.last, self.alarms = answer, answer["alarms"]
        return list(self._news())

    def _news(self) -> Iterator[str]:
        for one in self.alarms:
            known = one["alarm_id"]
            told = self._told
            if known not in told:
                told.add(known)
                what = f"{one['rule']}: {shown(str(one['class']), 40)} {one['score']:.2f}"
                after = f"{one['after_seconds']:.1f} s after it was first seen"
                silenced = ", silenced: told to nobody" if one["silenced"] else ""
                yield f"{local(one['opened'])}  {what}, {after}{silenced}"
            for word, sentence in (("accepted", "accepted by"), ("given_up", "given up for")):
                for webhook in one[word]:
                    if f"{known} {word} {webhook}" not in told:
                        told.add(f"{known} {word} {webhook}")
                        yield f"{'':19}  {sentence} {webhook}"

    @property
    def settled(self) -> bool:
        """Whether nothing waits for a webhook."""
        return not any(one["waiting"] for one in self.alarms)

    @property
    def passed(self) -> bool:
        """Whether an alarm was raised, and each was accepted by whoever wants it."""
        return bool(self.alarms) and all(
            one["accepted"] and not (one["waiting"] or one["given_up"]) for one in self.alarms
        )

    def summary(self) -> list[str]:
        """Return what came of it in some lines."""
        seen = ", ".join(f"{rule} {count}" for rule, count in sorted(self.sightings.items()))
        looked = f"{self.analysed} frames of {self.stream} were analysed; sightings: {seen or 'none'}"
        kept = ", ".join(f"{reason} {count}" for reason, count in sorted(self.withheld.items()) if count)
        lines = [looked] + ([f"alarms that were withheld: {kept}"] if kept else [])
        return [*(self._deliveries() if self.alarms else [f"no alarm was raised: {self._lack()}"]), *lines]

    def _lack(self) -> str:
        """Return why there was no alarm, as far as can be told."""
        if not self.analysed:
            return f"nothing of {self.stream} was looked at"
        if not self.sightings.total():
            return "is somebody walking through the zone?"
        return "something was seen, but " + (" and ".join(self.notes) or "not for long enough")

    def _deliveries(self) -> list[str]:
        count = len(self.alarms)
        raised = f"{count} alarm{'s' if count > 1 else ''} raised"
        hooks = {word: Counter(hook for one in self.alarms for hook in one[word]) for word in _FATES}
        names = sorted(set().union(*hooks.values()))
        if not names:
            silenced = all(one["silenced"] for one in self.alarms)
            return [
                f"{raised}, {'silenced and so told to nobody' if silenced else 'and no webhook wants them'}"
            ]
        if self.passed and all(hooks["accepted"][name] == count for name in names):
            return [f"{raised}, all accepted by {' and '.join(names)}"]
        return [f"{raised}; {'; '.join(f'{name}: {_fate(hooks, name)}' for name in names)}"]

    def as_json(self, one: Mapping[str, Any]) -> dict[str, Any]:
        """Return all of it, for programs; `one` is the test."""
        return {
            "test": dict(one),
            "passed": self.passed,
            "notes": list(self.notes),
            "alarms": self.alarms,
            "analysed": self.analysed,
            "sightings": dict(self.sightings),
            "withheld": {reason: count for reason, count in self.withheld.items() if count},
        }


_FATES = {"accepted": "accepted", "waiting": "waits for", "given_up": "given up"}


def _fate(hooks: Mapping[str, Counter[str]], name: str) -> str:
    return ", ".join(f"{text} {hooks[word][name]}" for word, text in _FATES.items() if hooks[word][name])


def _grown(before: int, now: int) -> int:
    """Return by how much a count has grown; one that is less began anew, with the daemon."""
    return now - before if now >= before else now


def _follow(asking: Ask, course: Course, one: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Look at the test until it is over, and a little longer for receivers that are slow."""
    answered = time.monotonic()
    over: float | None = None
    while over is None or not (course.settled or time.monotonic() - over > LINGER):
        time.sleep(EVERY)
        try:
            answer = asking("test.look", id=one["id"], stream=course.stream, since=one["since"])
        except ControlError:
            if time.monotonic() - answered > MISSING:
                raise
            continue
        answered = time.monotonic()
        for line in course.see(answer):
            say(line)
        if over is None and not answer["left_seconds"]:
            over = answered


def _asking(config: Path) -> Ask:
    """Return how the daemon of a configuration is asked; the file is read once."""
    from tocsin.control import CONTROL_SOCKET, request

    socket = state_folder(config) / CONTROL_SOCKET
    return lambda command, **arguments: request(socket, command, **arguments)


def _say(line: str) -> None:
    print(line, flush=True)


def _mute(_: str) -> None:
    pass
