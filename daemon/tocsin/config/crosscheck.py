"""What must hold between the sections of a configuration, and which of them can be judged.

Works on whatever sections are sound by themselves, so that a fault in one place hides none in another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from tocsin.alarm.settings import RuleSettings
from tocsin.alarm.zone import area_left
from tocsin.config.faults import meant
from tocsin.config.settings import Config, HttpSettings, StreamSettings
from tocsin.deliver.settings import WebhookSettings
from tocsin.detect.settings import DetectorSettings
from tocsin.fields import Section
from tocsin.yamlfile import Document, Fault, KeyPath

S = TypeVar("S", bound=Section)

MOST_ZONES = 64
"""Views of zones in a frame; as many as there may be tiles."""

_NOTHING = 1e-6
"""The share of a frame that is none: what rounding leaves between two polygons."""

_STAND_INS = {
    "name": "-",
    "source": "/dev/video0",
    "classes": ["-"],
    "url": "https://-",
    "secret": {"env": "-"},
}


@dataclass(frozen=True, slots=True)
class Entry(Generic[S]):
    """A section that is sound but for the keys in `broken`, which hold their defaults or a stand-in."""

    path: KeyPath
    settings: S
    broken: frozenset[str] = frozenset()

    def sound(self, *keys: str) -> bool:
        return self.broken.isdisjoint(keys)


@dataclass(frozen=True, slots=True)
class Parts:
    """The sections of a configuration that can be judged; those that are no sections at all are left out."""

    streams: tuple[Entry[StreamSettings], ...]
    rules: tuple[Entry[RuleSettings], ...]
    webhooks: tuple[Entry[WebhookSettings], ...]
    http: Entry[HttpSettings] | None
    detector: Entry[DetectorSettings] | None
    state_dir: Path | None


def parts_of(document: Document, context: Mapping[str, str]) -> Parts:
    """Return what can be judged of a configuration, be it valid or not."""
    content = document.content
    return Parts(
        tuple(_entries(content, "streams", StreamSettings, context)),
        tuple(_entries(content, "rules", RuleSettings, context)),
        tuple(_entries(content, "webhooks", WebhookSettings, context)),
        _entry(content.get("http", {}), ("http",), HttpSettings, context),
        _entry(content.get("detector", {}), ("detector",), DetectorSettings, context),
        _state_dir(content, context),
    )


def _state_dir(content: Mapping[str, Any], context: Mapping[str, str]) -> Path | None:
    path = content.get("state_dir", Config.model_fields["state_dir"].default)
    return Path(context["folder"], path) if isinstance(path, str) and path else None


def cross_faults(document: Document, parts: Parts) -> Iterator[Fault]:
    """Yield what is wrong between keys and between sections that are each right by themselves."""
    content, streams, rules = document.content, parts.streams, parts.rules
    for entry in (*streams, *rules, *parts.webhooks, *((parts.http,) if parts.http else ())):
        yield from _conflicts(entry)
    for key in ("streams", "rules", "webhooks"):
        yield from _repeated_names(_names(content, (key,)))
    known = tuple(_names(content, ("rules",)).values())
    for stream in streams:
        yield from _repeated_names(_names(content, (*stream.path, "zones")))
        yield from _rules_of(stream, known)
        yield from _views_of(stream, rules)
        yield from _masked(stream)
    named = [stream for stream in streams if stream.sound("name")]
    for rule in rules:
        users = [stream for stream in named if rule.settings.name in stream.settings.rules]
        yield from _zones_of(rule, users)
        yield from _deaf(rule, users)
        yield from _blind(rule, users)


def _entries(
    content: Mapping[str, Any], key: str, model: type[S], context: Mapping[str, str]
) -> Iterator[Entry[S]]:
    items = content.get(key)
    for number, item in enumerate(items if isinstance(items, list) else ()):
        entry = _entry(item, (key, number), model, context)
        if entry is not None:
            yield entry


def _entry(item: object, path: KeyPath, model: type[S], context: Mapping[str, str]) -> Entry[S] | None:
    """The section without its faulty keys; None where nothing is left of it."""
    try:
        return Entry(path, model.model_validate_json(to_json(item), context=context))
    except ValidationError as error:
        places = [details["loc"] for details in error.errors(include_input=False, include_url=False)]
    if not isinstance(item, dict):
        return None
    broken = frozenset(str(place[0]) for place in places if place)
    rest = {key: value for key, value in item.items() if key not in broken}
    rest |= {key: value for key, value in _STAND_INS.items() if key in broken and key in model.model_fields}
    try:
        return Entry(path, model.model_validate_json(to_json(rest), context=context), broken)
    except ValidationError:  # cannot be for the sections there are: each required key has a stand-in
        return None


def _conflicts(entry: Entry[S]) -> Iterator[Fault]:
    section, path = entry.settings, entry.path
    if entry.sound(*section.weighed):
        yield from (Fault((*path, *fault.path), fault.sentence) for fault in section.conflicts())
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from _conflicts(Entry((*path, key), value))
        for number, item in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(item, Section):
                yield from _conflicts(Entry((*path, key, number), item))


def _names(content: Any, path: KeyPath) -> dict[KeyPath, str]:
    """The names in the list at `path`, those of faulty sections included."""
    for step in path:
        content = content.get(step) if isinstance(content, dict) else content[step]
    return {
        (*path, number): item["name"]
        for number, item in enumerate(content if isinstance(content, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }


def _repeated_names(names: Mapping[KeyPath, str]) -> Iterator[Fault]:
    first: dict[str, KeyPath] = {}
    for path, name in names.items():
        if name in first:
            number = first[name][-1]
            yield Fault(
                (*path, "name"),
                f"expected a name of its own, found {name}, which is taken by number {number}",
            )
        first.setdefault(name, path)


def _rules_of(stream: Entry[StreamSettings], known: tuple[str, ...]) -> Iterator[Fault]:
    for number, name in enumerate(stream.settings.rules):
        path = (*stream.path, "rules", number)
        if name not in known:
            yield Fault(path, f"expected the name of a rule, found {name}{meant(name, known)}")
        if name in stream.settings.rules[:number]:
            yield Fault(path, f"expected each rule once, found {name} again")


def _zones_of(rule: Entry[RuleSettings], users: list[Entry[StreamSettings]]) -> Iterator[Fault]:
    named = [("zones", *one) for one in enumerate(rule.settings.zones)]
    named += [("exclude", *one) for one in enumerate(rule.settings.exclude)]
    for key, number, name in named:
        for stream in users:
            zones = tuple(zone.name for zone in stream.settings.zones)
            if name not in zones and stream.sound("zones"):
                yield Fault(
                    (*rule.path, key, number),
                    f"expected a zone of stream {stream.settings.name}, found {name}{meant(name, zones)}",
                )


def _views_of(stream: Entry[StreamSettings], rules: tuple[Entry[RuleSettings], ...]) -> Iterator[Fault]:
    """Views of zones need zones that a rule looks at, and no more than a frame's record has room for."""
    settings = stream.settings
    if settings.views != "zones" or not stream.sound("views", "rules", "zones"):
        return
    used = [rule for rule in rules if rule.settings.name in settings.rules]
    if len(used) < len(settings.rules) or not all(rule.sound("name", "zones") for rule in used):
        return  # which is a fault of its own
    count = len({name for rule in used for name in rule.settings.zones})
    if count == 0:
        yield Fault(
            (*stream.path, "views"),
            "expected a zone that one of this stream's rules names, found none to view",
        )
    elif count > MOST_ZONES:
        yield Fault((*stream.path, "views"), f"expected {MOST_ZONES} zones at most to view, found {count}")


def _masked(stream: Entry[StreamSettings]) -> Iterator[Fault]:
    masks = stream.settings.masks
    if masks and stream.sound("masks") and area_left((), masks) <= _NOTHING:
        yield Fault((*stream.path, "masks"), "expected masks that leave a part to look at, found none")


def _blind(rule: Entry[RuleSettings], users: list[Entry[StreamSettings]]) -> Iterator[Fault]:
    """A rule for which nothing counts, wherever it stands: nobody would notice before it is too late."""
    if not rule.sound("zones", "exclude") or not set(rule.settings.zones).isdisjoint(rule.settings.exclude):
        return
    for stream in users if rule.settings.exclude else ():
        where = f"on stream {stream.settings.name}"
        zones = {zone.name: zone.polygon for zone in stream.settings.zones}
        names = (*rule.settings.zones, *rule.settings.exclude)
        if not stream.sound("zones") or not all(name in zones for name in names):
            continue  # which is a fault of its own
        parts = [[zones[name] for name in given] for given in (rule.settings.zones, rule.settings.exclude)]
        if area_left(*parts) <= _NOTHING:
            yield Fault(
                (*rule.path, "exclude"), f"expected zones that leave a part to look at {where}, found none"
            )


def _deaf(rule: Entry[RuleSettings], users: list[Entry[StreamSettings]]) -> Iterator[Fault]:
    confirm = rule.settings.confirm
    rated = [stream.settings for stream in users if stream.sound("max_fps")]
    if not rated or not rule.sound("confirm"):
        return
    slowest = min(rated, key=lambda stream: stream.max_fps)
    if confirm.deaf_at(slowest.max_fps):
        yield Fault(
            (*rule.path, "confirm"),
            f"expected {confirm.hits} hits to fit within {confirm.within:g}s, found that they take "
            f"{confirm.needs(slowest.max_fps):g}s at stream {slowest.name}'s max_fps {slowest.max_fps:g}",
        )
