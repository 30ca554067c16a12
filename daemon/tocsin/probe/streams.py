"""`tocsin check --probe`: one clean picture of every stream of a configuration, or why there is none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin import assembly
from tocsin.capture.order import Order
from tocsin.config.load import Config, Secrets, StreamSettings
from tocsin.errors import InputError, SecretError, SourceError
from tocsin.footage.views import Kind
from tocsin.probe import ruler, words
from tocsin.probe.asked import Takes, takes
from tocsin.probe.look import Seen
from tocsin.probe.ruler import Ruler
from tocsin.probe.run import look_through

_FIRST = 0.0
"""Seconds to go on watching after the first clean picture."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One stream: its kinds of views, its lens, and what is opened, or why it cannot be."""

    name: str
    opened: Order | SecretError
    kinds: tuple[Kind, ...]
    ruler: Ruler


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a stream."""

    plan: Plan
    seen: Seen | SourceError | SecretError

    @property
    def ok(self) -> bool:
        """Whether it showed a picture."""
        return isinstance(self.seen, Seen)


def lenses(asked: Sequence[str], config: Config) -> dict[str, float]:
    """Return the angle of each stream's lens, in degrees, from options `NAME=DEGREES` and `DEGREES` for the others.

    Raises InputError.
    """
    names = [stream.name for stream in config.streams]
    angles = dict.fromkeys(names, Ruler().lens)
    for word in sorted(asked, key=lambda word: "=" in word):  # what names a stream goes last
        name, named, degrees = word.rpartition("=")
        if named and name not in names:
            raise InputError(f"--lens: expected one of the streams ({', '.join(names)}), found {name}")
        try:
            angle = float(degrees)
        except ValueError:
            angle = 0.0
        if not 1 <= angle <= 179:
            raise InputError(f"--lens: expected DEGREES or STREAM=DEGREES from 1 to 179, found {word}")
        angles |= dict.fromkeys([name] if named else names, angle)
    return angles


def plans(config: Config, angles: dict[str, float]) -> list[Plan]:
    """Return what is to be tried; reads the passwords and opens nothing but the model."""
    gets = takes(config.detector.model)
    return [_plan(config, stream, gets, angles[stream.name]) for stream in config.streams]


def _plan(config: Config, stream: StreamSettings, gets: Takes, angle: float) -> Plan:
    views = assembly.views(config, stream, gets)
    measure = Ruler(lens=angle)
    try:
        passwords = {} if stream.password is None else {stream.name: stream.password.resolve()}
    except SecretError as error:  # only the service manager has it
        return Plan(stream.name, error, (), measure)
    opened = assembly.order(config, stream, Secrets(passwords, {}), gets)
    kinds = [Kind("full", views[:1])]
    if stream.tiles is not None:
        kinds.append(Kind(f"tiles {stream.tiles.rows}x{stream.tiles.columns}", views[1:]))
    elif stream.views == "zones":
        zones = assembly.zones_seen(config, stream)
        kinds += [Kind(f"zone {zone.name}", (view,)) for zone, view in zip(zones, views[1:], strict=True)]
    return Plan(stream.name, opened, tuple(kinds), measure)


def attempt(planned: Sequence[Plan]) -> list[Tried]:
    """Open every stream for one clean picture, all at the same time."""
    orders = [plan.opened for plan in planned if isinstance(plan.opened, Order)]
    looks = iter(look_through(orders, _FIRST))
    return [
        Tried(plan, next(looks).seen if isinstance(plan.opened, Order) else plan.opened) for plan in planned
    ]


def lines(tried: Sequence[Tried]) -> Iterator[str]:
    """Yield what a person wants to know: whether each stream works, then how large things are in those that do."""
    yield from (f"{one.plan.name}: {_verdict(one)}" for one in tried)
    for one in tried:
        plan, seen = one.plan, one.seen
        if isinstance(seen, Seen):
            yield f"{plan.name}: {words.light(seen)}"
            for line in ruler.lines(plan.ruler, plan.kinds, seen.width, seen.height):
                yield f"  {line}"


def _verdict(one: Tried) -> str:
    seen = one.seen
    if not isinstance(seen, Seen):
        return str(seen)
    assert isinstance(one.plan.opened, Order), "only what was opened was seen"
    source = one.plan.opened.source
    how = f"by {words.carried(source, seen)}{words.instead(source, seen)}"
    what = f"{words.picture(seen)} {how}{words.decoded(seen, source)}{words.lenient(seen)}"
    return f"ok; {what}; first clean frame after {seen.first:.2f} s"


def as_json(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """Return it for a program."""
    return [_as_json(one) for one in tried]


def _as_json(one: Tried) -> dict[str, Any]:
    plan, seen = one.plan, one.seen
    head: dict[str, Any] = {"stream": plan.name, "ok": one.ok}
    if isinstance(seen, Seen):
        assert isinstance(plan.opened, Order), "only what was opened is seen"
        measured = {
            "watched_seconds",
            "frames_a_second",
            "keyframe_every",
            "damaged",
        }  # of one picture nothing
        found = {k: v for k, v in words.as_json(seen, plan.opened.source).items() if k not in measured}
        return head | found | {"object": ruler.as_json(plan.ruler, plan.kinds, seen.width, seen.height)}
    fault = seen.fault.value if isinstance(seen, SourceError) else "password"
    return head | {"fault": fault, "message": str(seen)}
