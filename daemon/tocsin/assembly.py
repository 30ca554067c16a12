"""What the parts are made of, out of the configuration; nothing is started here."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from tocsin.alarm.episode import Resumed
from tocsin.alarm.memory import NOTHING
from tocsin.alarm.rule import Tier
from tocsin.alarm.settings import ZoneSettings
from tocsin.alarm.watch import Rule, Watch, rule_from
from tocsin.alarm.zone import Zones
from tocsin.alarms import Watched, memory_of
from tocsin.capture.order import Order, ReelOrder, SourceOrder, ViewOrder
from tocsin.capture.regions import around, tiles
from tocsin.clock import monotonic_time
from tocsin.config.load import Config, HttpSettings, Secrets, StreamSettings, messages, place
from tocsin.custody.archive import Settings, Span, Wanted
from tocsin.deliver.access import Access, basic, tls_context
from tocsin.deliver.alarmdata import AlarmRecord
from tocsin.deliver.attach import ORDER, Attach, Way
from tocsin.deliver.formats import (
    Format,
    Render,
    as_alert,
    as_cloudevent,
    as_form,
    as_template,
    as_tocsin,
    beside,
    in_parts,
)
from tocsin.deliver.history import Keep
from tocsin.deliver.recall import Recall
from tocsin.deliver.settings import WebhookSettings
from tocsin.deliver.webhook import Webhook
from tocsin.detect.model import check_classes
from tocsin.detect.stamp import Stamp
from tocsin.endpoint.terms import Web
from tocsin.errors import ConfigError
from tocsin.evidence.settings import StreamEvidenceSettings
from tocsin.evidence.shelf import Limits
from tocsin.light.plan import Mode, Policy
from tocsin.metrics import Names
from tocsin.plan import Draft
from tocsin.yamlfile import Fault

LEAST_REEL = 5.0
"""Seconds: a frame is looked for when its alarm is raised, and the first sighting lies some seconds before."""

REEL_BYTES = 2_400_000
"""Of packets a second at most: nearly five times 4 Mbit/s, for as much lies between two keyframes again."""

LEAST_FREE = 200_000_000
"""Bytes that evidence leaves on the disk for alarms."""

NOBODY_ASKS = 1.0
"""The score below which the detector may forget everything when no rule asks for anything."""


def names(config: Config) -> Names:
    """Return the words that become metric labels."""
    return Names(
        streams={stream.name: stream.rules for stream in config.streams},
        rules={rule.name: rule.classes for rule in config.rules},
        webhooks=[webhook.name for webhook in config.webhooks],
    )


def score_floor(config: Config) -> float:
    """Return the lowest score that any rule asks for."""
    return min((rule_from(rule).keeps for rule in config.rules), default=NOBODY_ASKS)


def rules_by_stream(config: Config) -> dict[str, list[Rule]]:
    """Return the rules that watch each stream."""
    rules = {rule.name: rule_from(rule) for rule in config.rules}
    return {stream.name: [rules[name] for name in stream.rules] for stream in config.streams}


def unknown_classes(config: Config, labels: Sequence[str]) -> list[str]:
    """Return a sentence for each class of a rule that the model does not have."""
    faults = [
        Fault(("rules", number, "classes", rule.classes.index(unknown.name)), str(unknown))
        for number, rule in enumerate(config.rules)
        for unknown in check_classes(labels, rule.classes)
    ]
    faults += [
        Fault(("rules", number, "near"), str(unknown))
        for number, rule in enumerate(config.rules)
        for unknown in check_classes(labels, () if rule.near is None else (rule.near,))
    ]
    return messages(config, faults)


class Input(Protocol):
    """The part of the detector that views are made for."""

    @property
    def input_width(self) -> int: ...
    @property
    def input_height(self) -> int: ...
    @property
    def keep_aspect(self) -> bool: ...


def order(config: Config, stream: StreamSettings, secrets: Secrets, takes: Input) -> Order:
    """Return what the capture worker of one of the streams is told."""
    source = SourceOrder(
        location=stream.source.removeprefix("file:"),
        username=stream.username,
        password=secrets.passwords.get(stream.name),
        transport=stream.transport,
        tls_verify=stream.tls_verify,
        ca_file=stream.ca_file,
        realtime=stream.realtime,
        loop=stream.loop,
        decode=stream.decode,
    )
    return Order(
        stream.name, source, views(config, stream, takes), policy(stream), stream.max_fps, reel=reel(stream)
    )


def reel(stream: StreamSettings) -> ReelOrder | None:
    """Return how much of a stream's video is kept for evidence; None: nothing."""
    kept = stream.evidence
    if not (kept.pictures or kept.clip):
        return None
    seconds = max(kept.before, LEAST_REEL)
    return ReelOrder(seconds, round(seconds * REEL_BYTES), kept.pictures, stream.private)


def keeping(config: Config, address: str) -> Settings:
    """Return what evidence is kept, and how; `address` is the endpoint's own."""
    wanted = {stream.name: _wanted(stream.evidence) for stream in config.streams}
    kept = config.evidence
    limits = Limits(kept.keep, kept.max_megabytes * 1_000_000, LEAST_FREE, kept.keep_judged)
    return Settings(wanted, limits, config.http.public_url or address)


def remembering(config: Config) -> Keep:
    """Return for how long alarms and acts are remembered."""
    return Keep(config.history.alarms, config.history.audit)


def _wanted(kept: StreamEvidenceSettings) -> Wanted:
    return Wanted(kept.pictures, Span(kept.before, kept.after) if kept.clip else None)


def orders(config: Config, secrets: Secrets, takes: Input) -> list[Order]:
    """Return what the capture workers of all streams are told."""
    return [order(config, stream, secrets, takes) for stream in config.streams]


def views(config: Config, stream: StreamSettings, takes: Input) -> tuple[ViewOrder, ...]:
    """Return the views of a stream's frames, in their order.

    The first is always the whole frame: it sees what no tile and no zone holds as one, such as a person that fills
    three tiles, and its light is that of the stream.
    """
    full = whole(takes)
    if stream.tiles is not None:
        parts = tiles(stream.tiles.rows, stream.tiles.columns, stream.tiles.overlap)
        return full, *(replace(full, region=part) for part in parts)
    if stream.views == "zones":
        parts = tuple(around(zone.polygon) for zone in zones_seen(config, stream))
        return full, *(replace(full, region=part, grow=True) for part in parts)
    return (full,)


def whole(takes: Input) -> ViewOrder:
    """Return the view of the whole frame."""
    return ViewOrder(takes.input_width, takes.input_height, takes.keep_aspect)


def zones_seen(config: Config, stream: StreamSettings) -> list[ZoneSettings]:
    """Return the zones of a stream that its rules name, in the order of the file."""
    named = {zone for rule in config.rules if rule.name in stream.rules for zone in rule.zones}
    return [zone for zone in stream.zones if zone.name in named]


def zones_of(stream: StreamSettings) -> Zones:
    """Return the zones and masks of a stream."""
    return Zones({zone.name: zone.polygon for zone in stream.zones}, stream.masks)


def policy(stream: StreamSettings) -> Policy:
    """Return how the stream's light is treated."""
    return Policy(mode=Mode(stream.light.mode), brighter_than=stream.light.brighter_than)


def web(http: HttpSettings) -> Web:
    """Return on what terms the endpoint serves; nothing is read yet."""
    path = None if http.web_config is None else Path(http.web_config)
    return Web(path, guarded=http.is_exposed and not http.insecure)


def webhooks(config: Config, secrets: Secrets, only: str | None = None) -> list[Webhook]:
    """Return the receivers of a configuration, or the `only` one of that name.

    Raises ConfigError with the place of a file that cannot be used.
    """
    receivers = []
    for number, settings in enumerate(config.webhooks):
        if only is not None and settings.name != only:
            continue
        try:
            receivers.append(_webhook(settings, secrets))
        except ConfigError as error:
            key, _, sentence = str(error).partition(": ")
            raise ConfigError(place(config, ("webhooks", number, key), sentence)) from error
    return receivers


def patterns(config: Config) -> dict[str, Sequence[str]]:
    """Return the types of event that each webhook wants."""
    return {webhook.name: webhook.patterns for webhook in config.webhooks}


def alertmanagers(receivers: Sequence[Webhook]) -> list[Webhook]:
    """Return those of the receivers that are Alertmanagers."""
    return [one for one in receivers if one.render is as_alert]


def draft(config: Config, secrets: Secrets, model: Stamp) -> Draft:
    """Return what the parts are made of, with what the webhooks' files hold now; raises as `webhooks`."""
    certificates = {one.name: _fingerprint(one) for one in config.webhooks}
    return Draft(config, secrets, model, tuple(webhooks(config, secrets)), certificates)


def _fingerprint(settings: WebhookSettings) -> str:
    """Return what changes with the webhook's certificates and key."""
    digest = sha256()
    for file in (settings.ca_file, settings.cert_file, settings.key_file):
        with suppress(OSError):  # said by whoever needs it
            digest.update(b"" if file is None else Path(file).read_bytes())
    return digest.hexdigest()


def _webhook(settings: WebhookSettings, secrets: Secrets) -> Webhook:
    given = secrets.credentials.get(settings.name, {})
    headers = {
        name: given.get(f"headers.{name}", value.reference) for name, value in settings.headers.items()
    }
    if settings.username is not None:
        headers["authorization"] = basic(settings.username, given["password"])
    if settings.token is not None:
        headers["authorization"] = f"Bearer {given['token']}"
    tls = tls_context(settings.ca_file, settings.cert_file, settings.key_file)
    access = Access(headers, settings.networks, tls)
    key = secrets.signing_keys.get(settings.name)
    previous = given.get("previous_secret")
    return Webhook(
        settings.name,
        settings.url if isinstance(settings.url, str) else given["url"],
        key,
        access=access,
        render=_render(settings),
        previous_secret=previous,
        severities=settings.severities,
        attach=_attach(settings),
    )


def _attach(settings: WebhookSettings) -> Attach | None:
    way = Way(settings.attach)
    if way is Way.NONE:
        return None
    return Attach(way, settings.attach_bytes, settings.pictures_named or ORDER)


def _render(settings: WebhookSettings) -> Render:
    match Format(settings.format), Way(settings.attach):
        case Format.TEMPLATE, Way.MULTIPART if not isinstance(settings.template, str):
            return as_form(settings.template)
        case _, Way.NONE:
            return _plain(settings)
        case _, Way.BASE64:
            return beside(_plain(settings))
        case _:
            return in_parts(_plain(settings))


def _plain(settings: WebhookSettings) -> Render:
    match Format(settings.format):
        case Format.TOCSIN:
            return as_tocsin
        case Format.CLOUDEVENTS:
            return as_cloudevent
        case Format.ALERTMANAGER:
            return as_alert
        case Format.TEMPLATE:
            return as_template(settings.template)


def watched(
    config: Config,
    labels: tuple[str, ...],
    resumed: Sequence[AlarmRecord],
    recalls: Sequence[Recall] = (),
) -> tuple[dict[str, list[Watched]], list[AlarmRecord]]:
    """Return the watches of each stream, and the open alarms that none of them carries on.

    `resumed` are the oldest first. Of several alarms of one rule on one stream, as are left where the end of one
    was lost, the latest is carried on.
    """
    memories = {(one.stream, one.rule): memory_of(one) for one in recalls}
    latest = {(alarm.alarm.stream, alarm.alarm.rule): alarm for alarm in resumed}
    severities = {rule.name: rule.severity for rule in config.rules}
    tiers = {rule.name: Tier(rule.tier) for rule in config.rules}
    rules = rules_by_stream(config)
    watches: dict[str, list[Watched]] = {}
    for stream in config.streams:
        zones = zones_of(stream)
        watches[stream.name] = [
            Watched(
                Watch(
                    *(stream.name, rule, zones, labels),
                    _resumed(latest.get((stream.name, rule.name))),
                    memories.get((stream.name, rule.name), NOTHING),
                ),
                rule.name,
                severities[rule.name],
                tiers[rule.name],
                () if tiers[rule.name] is Tier.ALARM else _graver(rule, rules[stream.name], tiers),
            )
            for rule in sorted(rules[stream.name], key=lambda rule: tiers[rule.name] is Tier.REVIEW)
        ]
    carried = [latest.get((stream, one.rule)) for stream, all_ in watches.items() for one in all_]
    return watches, [alarm for alarm in resumed if alarm not in carried]


def _graver(rule: Rule, others: Sequence[Rule], tiers: Mapping[str, Tier]) -> tuple[str, ...]:
    """Return the names of the rules that raise alarms of the classes that `rule` only has reviewed."""
    return tuple(
        other.name
        for other in others
        if tiers[other.name] is Tier.ALARM and not set(other.classes).isdisjoint(rule.classes)
    )


def _resumed(known: AlarmRecord | None) -> Resumed | None:
    if known is None:
        return None
    judged = known.alarm.judged is not None
    return Resumed(monotonic_time(known.alarm.first_seen), monotonic_time(known.reported), judged)
